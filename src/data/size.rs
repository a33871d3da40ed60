//! What an allocation costs: jemalloc's size classes.
//!
//! **Invariant.** `alloc_size(n) >= n`, and it is monotone.

/// Bytes that jemalloc hands out for a request of `n` bytes: 8, then steps of 16 to 128, then four
/// classes to each doubling (jemalloc(3), "size classes"). Zero costs nothing.
pub const fn alloc_size(n: usize) -> usize {
    match n {
        0 => 0,
        1..=8 => 8,
        9..=128 => n.next_multiple_of(16),
        _ => {
            let bits = usize::BITS - (n - 1).leading_zeros();
            n.next_multiple_of(1 << (bits - 3))
        }
    }
}

/// Heap bytes of a vector's buffer.
pub fn vec_bytes<T>(v: &Vec<T>) -> usize {
    alloc_size(v.capacity() * size_of::<T>())
}

/// Makes room for `extra` more items, filling the size class that it lands in. Classes are a
/// quarter apart, so pushing stays amortized O(1) while little is wasted.
pub fn reserve_class<T>(v: &mut Vec<T>, extra: usize) {
    let need = v.len() + extra;
    if need > v.capacity() {
        let capacity = alloc_size(need * size_of::<T>()) / size_of::<T>();
        v.reserve_exact(capacity - v.len());
    }
}

/// Gives back what a vector no longer needs, once more than half of it is unused.
pub fn shrink_class<T>(v: &mut Vec<T>) {
    if v.capacity() > 16 && v.len() < v.capacity() / 2 {
        v.shrink_to((alloc_size(v.len() * size_of::<T>()) / size_of::<T>()).max(4));
    }
}

#[cfg(test)]
mod tests {
    use super::alloc_size;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let classes = [
            8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
            896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120,
        ];
        let mut below = 0;
        for class in classes {
            assert_eq!(alloc_size(below + 1), class);
            assert_eq!(alloc_size(class), class);
            below = class;
        }
        assert_eq!(alloc_size(0), 0);
    }
}
