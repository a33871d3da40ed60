//! A vector in chunks: growing it never moves more than one chunk.
//!
//! **Invariants.** Items are dense: indices 0..len. Every chunk but the first has capacity `CHUNK`;
//! every chunk but the last used one is full. At most one chunk is spare.

use super::size::{alloc_size, vec_bytes};

/// Items of a chunk.
const CHUNK: usize = 512;

/// A dense, growable array whose growth has no long pauses.
#[derive(Debug)]
pub struct Chunked<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Clone> Clone for Chunked<T> {
    fn clone(&self) -> Self {
        // Pushed one by one, because a vector's copy would lack the capacity of a chunk.
        let mut copy = Self::default();
        self.iter().cloned().for_each(|item| copy.push(item));
        copy
    }
}

impl<T> Chunked<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at `index`; panics beyond the end.
    pub fn at(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }

    /// The item at `index`, to change; panics beyond the end.
    pub fn at_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        let chunk = self.len / CHUNK;
        if chunk == self.chunks.len() {
            self.chunks.push(if chunk == 0 {
                Vec::new()
            } else {
                Vec::with_capacity(CHUNK)
            });
        }
        let chunk = &mut self.chunks[chunk];
        if chunk.len() == chunk.capacity() {
            // Only the first chunk grows; small structures should stay small.
            let capacity = (chunk.len() + chunk.len() / 2).clamp(2, CHUNK);
            chunk.reserve_exact(capacity - chunk.len());
        }
        chunk.push(item);
        self.len += 1;
    }

    /// Takes the last item.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let chunk = &mut self.chunks[last / CHUNK];
        let item = chunk.pop();
        self.len = last;
        if last < CHUNK && chunk.capacity() > 8 && last < chunk.capacity() / 4 {
            chunk.shrink_to(chunk.capacity() / 2);
        }
        self.chunks.truncate(self.len.div_ceil(CHUNK) + 1);
        item
    }

    /// Takes the item at `index`; the last item takes its place. Panics beyond the end.
    pub fn swap_remove(&mut self, index: usize) -> T {
        let last = self.pop().expect("swap_remove needs an item");
        if index == self.len {
            last
        } else {
            std::mem::replace(self.at_mut(index), last)
        }
    }

    /// All items, in order of index.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// All items, in order of index, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// All items, in order of index, consumed.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.chunks.into_iter().flatten()
    }

    /// Heap bytes of the chunks, without what items own.
    pub fn heap_bytes(&self) -> usize {
        match self.chunks.first() {
            None => 0,
            Some(first) => {
                vec_bytes(&self.chunks)
                    + vec_bytes(first)
                    + (self.chunks.len() - 1) * alloc_size(CHUNK * size_of::<T>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Chunked;

    #[test]
    fn behaves_as_a_vector() {
        let (mut ours, mut model) = (Chunked::default(), Vec::new());
        for i in 0..5000usize {
            ours.push(i);
            model.push(i);
        }
        for step in 0..4990usize {
            let at = step * 7919 % model.len();
            assert_eq!(ours.swap_remove(at), model.swap_remove(at));
            assert_eq!(ours.len(), model.len());
            if step % 500 == 0 {
                assert!(ours.iter().eq(model.iter()));
            }
        }
        assert!(ours.iter().eq(model.iter()));
        assert!(ours.heap_bytes() < 10_000, "{}", ours.heap_bytes());
        assert!(ours.clone().iter().eq(model.iter()));
        while let Some(item) = ours.pop() {
            assert_eq!(Some(item), model.pop());
        }
        assert!(model.is_empty() && ours.is_empty());
    }
}
