//! The value of a list key: a deque of chunks, each a run of elements in one vector.
//!
//! Every element has a *position*, a number that stays the same while elements come and go at the
//! ends and, when one comes or goes within, on the longer side of it. So what a mutation costs
//! follows the mutation, where elements are stored by position.
//!
//! **Invariants.** Element `i` has position `first_pos() + i`. No chunk is empty. A chunk is at most
//! `CHUNK_MAX` bytes unless it has one element alone.

use std::collections::VecDeque;

use super::chunk::{CHUNK_MAX, Chunk, entry_size};
use super::size::alloc_size;
use super::view::parse_int;
use super::{Limits, pack};

/// Two neighbours of no more than this together become one, bytes.
const MERGE_MAX: usize = CHUNK_MAX / 2;
/// Bytes of an empty listpack in Redis: its header and its end.
const LISTPACK_EMPTY: usize = 7;
/// A listpack that is bounded by its count is bounded by this too, bytes.
const LISTPACK_SAFE: usize = 8192;

/// Which side's elements changed their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Those before the place: by one down on an insertion, by one up on a removal.
    Front,
    /// Those after the place: by one up on an insertion, by one down on a removal.
    Back,
}

/// A list of byte strings.
#[derive(Debug, Default)]
pub struct List {
    chunks: VecDeque<Chunk>,
    first: i64,
    len: usize,
    /// Whether it is a quicklist: grown beyond a listpack, and not yet small again.
    quick: bool,
    /// Bytes of all elements as Redis's listpack holds them: what decides about the encoding.
    listpack_bytes: usize,
    /// Heap bytes of all chunks.
    bytes: usize,
}

impl Clone for List {
    /// A copy without the slack that the original's chunks may have.
    fn clone(&self) -> Self {
        let chunks = self.chunks.clone();
        Self {
            bytes: chunks.iter().map(Chunk::heap_bytes).sum(),
            chunks,
            ..*self
        }
    }
}

impl List {
    /// An empty list; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A list of these elements, the first of which has position `first_pos`.
    pub fn from_positions<V: AsRef<[u8]>>(
        first_pos: i64,
        values: impl IntoIterator<Item = V>,
        limits: &Limits,
    ) -> Self {
        let mut list = Self {
            first: first_pos,
            ..Self::default()
        };
        for value in values {
            list.push_back(value.as_ref(), limits);
        }
        list
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The position of the first element; element `i` has position `first_pos() + i`.
    pub fn first_pos(&self) -> i64 {
        self.first
    }

    /// Moves all positions so that the first is this one.
    pub fn set_first_pos(&mut self, first_pos: i64) {
        let by = first_pos - self.first;
        self.first = first_pos;
        self.chunks.iter_mut().for_each(|chunk| chunk.first += by);
    }

    /// Element `i`.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        self.iter_from(i).next()
    }

    /// Adds an element before all others; its position is one below the first.
    pub fn push_front(&mut self, value: &[u8], limits: &Limits) {
        self.grow(value, 1, limits);
        self.first -= 1;
        match self.chunks.front() {
            Some(chunk) if chunk.has_room(value) => {
                self.edit(0, |chunk| chunk.insert(chunk.start(), value));
                self.chunks[0].first = self.first;
            }
            _ => {
                if !self.chunks.is_empty() {
                    self.edit(0, Chunk::tighten);
                }
                self.insert_chunk(0, self.first, value);
            }
        }
        self.added(value);
    }

    /// Adds an element behind all others; its position is one above the last.
    pub fn push_back(&mut self, value: &[u8], limits: &Limits) {
        self.grow(value, 1, limits);
        match self.chunks.back() {
            Some(chunk) if chunk.has_room(value) => {
                self.edit(self.chunks.len() - 1, |chunk| {
                    chunk.insert(chunk.end(), value)
                });
            }
            _ => {
                if !self.chunks.is_empty() {
                    self.edit(self.chunks.len() - 1, Chunk::tighten);
                }
                let position = self.first + self.len as i64;
                self.insert_chunk(self.chunks.len(), position, value);
            }
        }
        self.added(value);
    }

    /// Takes the first element; no other changes its position.
    pub fn pop_front(&mut self, limits: &Limits) -> Option<Box<[u8]>> {
        let value = self.take(0, 0, self.len.checked_sub(1)?);
        self.first += 1;
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.first = self.first;
        }
        self.shrink(limits);
        Some(value)
    }

    /// Takes the last element; no other changes its position.
    pub fn pop_back(&mut self, limits: &Limits) -> Option<Box<[u8]>> {
        let left = self.len.checked_sub(1)?;
        let c = self.chunks.len() - 1;
        let value = self.take(c, self.chunks[c].len() - 1, left);
        self.shrink(limits);
        Some(value)
    }

    /// Drops the first `count` elements; no other changes its position.
    pub fn drop_front(&mut self, count: usize, limits: &Limits) {
        let mut count = count.min(self.len);
        while let Some(chunk) = self.chunks.front()
            && chunk.len() <= count
        {
            count -= chunk.len();
            let chunk = self.remove_chunk(0);
            self.first += chunk.len() as i64;
        }
        for _ in 0..count {
            self.pop_front(limits);
        }
        self.shrink(limits);
    }

    /// Drops the last `count` elements; no other changes its position.
    pub fn drop_back(&mut self, count: usize, limits: &Limits) {
        let mut count = count.min(self.len);
        while let Some(chunk) = self.chunks.back()
            && chunk.len() <= count
        {
            count -= chunk.len();
            self.remove_chunk(self.chunks.len() - 1);
        }
        for _ in 0..count {
            self.pop_back(limits);
        }
        self.shrink(limits);
    }

    /// Replaces element `i`; returns what it was. `None`, and nothing is changed, beyond the end.
    pub fn set(&mut self, i: usize, value: &[u8], limits: &Limits) -> Option<Box<[u8]>> {
        let (mut c, mut k) = self.locate(i)?;
        let chunk = &self.chunks[c];
        let start = chunk.offset(k);
        let (old, end) = chunk.get(start);
        let old: Box<[u8]> = old.into();
        let size = chunk.bytes() - (end - start) + entry_size(value.len());
        if size > CHUNK_MAX && chunk.len() > 1 {
            // It gets a chunk of its own.
            if k + 1 < chunk.len() {
                self.split(c, k + 1);
            }
            if k > 0 {
                self.split(c, k);
                (c, k) = (c + 1, 0);
            }
        }
        self.listpack_bytes -= listpack_size(&old);
        self.grow(value, 0, limits);
        self.listpack_bytes += listpack_size(value);
        self.edit(c, |chunk| {
            chunk.remove(chunk.offset(k));
            chunk.insert(chunk.offset(k), value);
        });
        self.merge_around(c);
        self.shrink(limits);
        Some(old)
    }

    /// Inserts an element so that it becomes element `i`. With `i < len / 2` the elements before it
    /// move one position down, else those from `i` on move one up; which, is returned. Panics
    /// beyond the end.
    pub fn insert(&mut self, i: usize, value: &[u8], limits: &Limits) -> Shift {
        assert!(i <= self.len, "insertion at {i} of {}", self.len);
        let shift = if i < self.len / 2 {
            Shift::Front
        } else {
            Shift::Back
        };
        let Some((mut c, k)) = self.locate(i) else {
            self.push_back(value, limits);
            return shift;
        };
        self.grow(value, 1, limits);
        if self.chunks[c].has_room(value) {
            self.edit(c, |chunk| chunk.insert(chunk.offset(k), value));
        } else if k == 0 && c > 0 && self.chunks[c - 1].has_room(value) {
            c -= 1;
            self.edit(c, |chunk| chunk.insert(chunk.end(), value));
        } else {
            if k > 0 {
                self.split(c, k);
                c += 1;
            }
            if k > 0 && self.chunks[c - 1].has_room(value) {
                c -= 1;
                self.edit(c, |chunk| chunk.insert(chunk.end(), value));
            } else if self.chunks[c].has_room(value) {
                self.edit(c, |chunk| chunk.insert(chunk.start(), value));
            } else {
                self.insert_chunk(c, 0, value);
            }
        }
        self.added(value);
        if shift == Shift::Front {
            self.first -= 1;
        }
        self.renumber(c, shift);
        shift
    }

    /// Takes element `i` out. With `i < len / 2` the elements before it move one position up, else
    /// those after it move one down; which, is returned. `None` beyond the end.
    pub fn remove(&mut self, i: usize, limits: &Limits) -> Option<(Box<[u8]>, Shift)> {
        let (c, k) = self.locate(i)?;
        let shift = if i < self.len / 2 {
            Shift::Front
        } else {
            Shift::Back
        };
        let value = self.take(c, k, self.len - 1);
        if shift == Shift::Front {
            self.first += 1;
        }
        let c = c.min(self.chunks.len().saturating_sub(1));
        self.renumber(c, shift);
        self.merge_around(c);
        self.shrink(limits);
        Some((value, shift))
    }

    /// All elements from element `i` on.
    pub fn iter_from(&self, i: usize) -> Iter<'_> {
        match self.locate(i) {
            None => Iter {
                list: self,
                chunk: 0,
                at: 0,
                left: 0,
            },
            Some((chunk, k)) => Iter {
                list: self,
                chunk,
                at: self.chunks[chunk].offset(k),
                left: self.len - i,
            },
        }
    }

    /// All elements.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// Element `i` and all before it, downwards; nothing if `i` is beyond the end.
    pub fn iter_back_from(&self, i: usize) -> IterBack<'_> {
        match self.locate(i) {
            None => IterBack {
                list: self,
                chunk: 0,
                end: 0,
                left: 0,
            },
            Some((chunk, k)) => {
                let end = self.chunks[chunk].offset(k + 1);
                IterBack {
                    list: self,
                    chunk,
                    end,
                    left: i + 1,
                }
            }
        }
    }

    /// Redis's name: "listpack" or "quicklist".
    pub fn encoding(&self) -> &'static str {
        if self.quick { "quicklist" } else { "listpack" }
    }

    /// Heap bytes of all of it, beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        alloc_size(self.chunks.capacity() * size_of::<Chunk>()) + self.bytes
    }

    /// The chunk of element `i`, and its number there.
    fn locate(&self, i: usize) -> Option<(usize, usize)> {
        if i >= self.len {
            return None;
        }
        let position = self.first + i as i64;
        let c = self.chunks.partition_point(|chunk| chunk.first <= position) - 1;
        Some((c, (position - self.chunks[c].first) as usize))
    }

    /// Changes a chunk and keeps count of its memory.
    fn edit<R>(&mut self, c: usize, f: impl FnOnce(&mut Chunk) -> R) -> R {
        let chunk = &mut self.chunks[c];
        let before = chunk.heap_bytes();
        let result = f(chunk);
        self.bytes = self.bytes + chunk.heap_bytes() - before;
        result
    }

    fn insert_chunk(&mut self, c: usize, first: i64, value: &[u8]) {
        let chunk = Chunk::new(first, value);
        self.bytes += chunk.heap_bytes();
        if self.chunks.capacity() == 0 {
            // Most lists are short: room for one, where a deque would make it for four.
            self.chunks.reserve_exact(1);
        }
        self.chunks.insert(c, chunk);
    }

    /// Takes a whole chunk out, with its elements.
    fn remove_chunk(&mut self, c: usize) -> Chunk {
        let chunk = self.chunks.remove(c).expect("the chunk exists");
        self.bytes -= chunk.heap_bytes();
        self.len -= chunk.len();
        let mut at = chunk.start();
        while at < chunk.end() {
            let (value, next) = chunk.get(at);
            self.listpack_bytes -= listpack_size(value);
            at = next;
        }
        self.shrink_deque();
        chunk
    }

    /// Takes element `k` of chunk `c`, and the chunk if that was all; `left` elements remain.
    fn take(&mut self, c: usize, k: usize, left: usize) -> Box<[u8]> {
        let value = self.edit(c, |chunk| chunk.remove(chunk.offset(k)));
        self.listpack_bytes -= listpack_size(&value);
        self.len = left;
        if self.chunks[c].len() == 0 {
            self.remove_chunk(c);
        }
        value
    }

    /// Cuts chunk `c` before its element `k`, which is neither the first nor beyond the last.
    fn split(&mut self, c: usize, k: usize) {
        let upper = self.edit(c, |chunk| chunk.split(k));
        self.bytes += upper.heap_bytes();
        self.chunks.insert(c + 1, upper);
    }

    /// Merges chunk `c` with a neighbour if both are small.
    fn merge_around(&mut self, c: usize) {
        for lower in [c, c.wrapping_sub(1)] {
            if lower >= self.chunks.len() || lower + 1 >= self.chunks.len() {
                continue;
            }
            if self.chunks[lower].bytes() + self.chunks[lower + 1].bytes() > MERGE_MAX {
                continue;
            }
            let upper = self
                .chunks
                .remove(lower + 1)
                .expect("it was just looked at");
            self.bytes -= upper.heap_bytes();
            self.edit(lower, |chunk| chunk.append(&upper));
            self.shrink_deque();
            return;
        }
    }

    /// Sets the positions of the chunks anew, on one side of chunk `c` and around it.
    fn renumber(&mut self, c: usize, shift: Shift) {
        let (from, to) = match shift {
            Shift::Front => (0, (c + 2).min(self.chunks.len())),
            Shift::Back => (c.saturating_sub(1), self.chunks.len()),
        };
        let mut position = match self.chunks.get(from) {
            Some(chunk) if from > 0 => chunk.first,
            _ => self.first,
        };
        for chunk in self.chunks.range_mut(from..to) {
            chunk.first = position;
            position += chunk.len() as i64;
        }
    }

    fn added(&mut self, value: &[u8]) {
        self.len += 1;
        self.listpack_bytes += listpack_size(value);
    }

    /// Becomes a quicklist if a listpack with this element too, one of `more`, would be beyond the limit.
    fn grow(&mut self, value: &[u8], more: usize, limits: &Limits) {
        if !self.quick {
            let bytes = LISTPACK_EMPTY + self.listpack_bytes + value.len();
            let (bytes_max, len_max) = listpack_max(limits);
            self.quick = bytes > bytes_max || self.len + more > len_max;
        }
    }

    /// Becomes a listpack again when it is no more than half of what one may be.
    fn shrink(&mut self, limits: &Limits) {
        if self.quick {
            let (bytes_max, len_max) = listpack_max(limits);
            let bytes = LISTPACK_EMPTY + self.listpack_bytes;
            self.quick = bytes > bytes_max / 2 || self.len > len_max / 2;
        }
    }

    fn shrink_deque(&mut self) {
        if self.chunks.capacity() > 16 && self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.capacity() / 2);
        }
    }
}

/// Bytes that an element takes in Redis's listpack (7.2, listpack.c): there integers are packed.
fn listpack_size(value: &[u8]) -> usize {
    let size = match parse_int(value) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-0x8000..=0x7fff) => 3,
        Some(-0x80_0000..=0x7f_ffff) => 4,
        Some(-0x8000_0000..=0x7fff_ffff) => 5,
        Some(_) => 9,
        None if value.len() < 64 => 1 + value.len(),
        None if value.len() < 4096 => 2 + value.len(),
        None => 5 + value.len(),
    };
    size + pack::len_size(size as u64)
}

/// The most bytes and elements of a listpack.
fn listpack_max(limits: &Limits) -> (usize, usize) {
    match limits.list_max_listpack_size {
        len @ 0.. => (LISTPACK_SAFE, (len as usize).max(1)),
        level => (4096 << ((-level).min(5) - 1), usize::MAX),
    }
}

/// Elements upwards.
pub struct Iter<'a> {
    list: &'a List,
    chunk: usize,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let mut chunk = &self.list.chunks[self.chunk];
        if self.at == chunk.end() {
            self.chunk += 1;
            chunk = &self.list.chunks[self.chunk];
            self.at = chunk.start();
        }
        let (value, next) = chunk.get(self.at);
        self.at = next;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Elements downwards.
pub struct IterBack<'a> {
    list: &'a List,
    chunk: usize,
    end: usize,
    left: usize,
}

impl<'a> Iterator for IterBack<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let mut chunk = &self.list.chunks[self.chunk];
        if self.end == chunk.start() {
            self.chunk -= 1;
            chunk = &self.list.chunks[self.chunk];
            self.end = chunk.end();
        }
        self.end = chunk.previous(self.end);
        Some(chunk.get(self.end).0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for IterBack<'_> {}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
