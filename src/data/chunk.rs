//! A run of a list's elements in one vector.
//!
//! An element is its length, its bytes, and the length of both written to be read backwards. At the
//! front there may be a gap, so that adding and taking there moves nothing, as at the back.
//!
//! **Invariants.** From `gap` on, `buf` holds `len` whole elements and nothing else. A chunk of
//! several elements is at most `CHUNK_MAX` bytes, its gap included.

use super::pack;
use super::size::{reserve_class, shrink_class, vec_bytes};

/// Bytes of a chunk of several elements, at most.
pub const CHUNK_MAX: usize = 8192;

/// A run of elements with the position of the first.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Position of the first element; the list keeps it.
    pub first: i64,
    len: u32,
    gap: u32,
    buf: Vec<u8>,
}

impl Chunk {
    /// A chunk of one element.
    pub fn new(first: i64, value: &[u8]) -> Self {
        let mut chunk = Self {
            first,
            len: 0,
            gap: 0,
            buf: Vec::new(),
        };
        chunk.insert(0, value);
        chunk
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.buf.len() - self.start()
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        vec_bytes(&self.buf)
    }

    /// Offset of the first element.
    pub fn start(&self) -> usize {
        self.gap as usize
    }

    /// Offset behind the last element.
    pub fn end(&self) -> usize {
        self.buf.len()
    }

    /// Whether this element can be added here too.
    pub fn has_room(&self, value: &[u8]) -> bool {
        self.bytes() + entry_size(value.len()) <= CHUNK_MAX
    }

    /// Offset of element `k`; `k` may be the count of elements.
    pub fn offset(&self, k: usize) -> usize {
        if k <= self.len() / 2 {
            (0..k).fold(self.start(), |at, _| self.get(at).1)
        } else {
            (k..self.len()).fold(self.end(), |end, _| self.previous(end))
        }
    }

    /// The element at this offset, and the offset of the next.
    #[inline]
    pub fn get(&self, at: usize) -> (&[u8], usize) {
        let (value, end) = pack::get(&self.buf, at);
        (value, end + pack::len_size((end - at) as u64))
    }

    /// Offset of the element that ends at offset `end`.
    #[inline]
    pub fn previous(&self, mut end: usize) -> usize {
        let (mut size, mut shift) = (0usize, 0);
        loop {
            end -= 1;
            let byte = self.buf[end];
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return end - size;
            }
        }
    }

    /// Inserts an element at this offset. The caller has looked whether there is room.
    pub fn insert(&mut self, at: usize, value: &[u8]) {
        let size = entry_size(value.len());
        self.len += 1;
        if at == self.start() && at < self.end() {
            if self.start() < size {
                self.open(size);
            }
            let start = self.start() - size;
            put(&mut self.buf[start..start + size], value);
            self.gap = start as u32;
            return;
        }
        let mut at = at;
        if self.buf.len() + size > CHUNK_MAX && self.gap > 0 {
            at -= self.start();
            self.close();
        }
        let len = self.buf.len();
        reserve_class(&mut self.buf, size);
        self.buf.resize(len + size, 0);
        self.buf.copy_within(at..len, at + size);
        put(&mut self.buf[at..at + size], value);
    }

    /// Takes the element at this offset.
    pub fn remove(&mut self, at: usize) -> Box<[u8]> {
        let (value, end) = self.get(at);
        let value = value.into();
        self.len -= 1;
        if at == self.start() {
            self.gap = end as u32;
            // Moving no more than was taken before, so that taking costs O(1) on average.
            if self.start() >= self.bytes() {
                self.close();
            }
        } else {
            pack::replace(&mut self.buf, at, end, b"");
        }
        value
    }

    /// Cuts the chunk before element `k`; returns the upper part.
    pub fn split(&mut self, k: usize) -> Self {
        let at = self.offset(k);
        let upper = Self {
            first: self.first + k as i64,
            len: self.len - k as u32,
            gap: 0,
            buf: self.buf[at..].to_vec(),
        };
        self.buf.truncate(at);
        self.len = k as u32;
        self.tighten();
        upper
    }

    /// Adds all elements of `upper` behind the last. The caller has looked whether there is room.
    pub fn append(&mut self, upper: &Self) {
        self.close();
        reserve_class(&mut self.buf, upper.bytes());
        self.buf.extend_from_slice(&upper.buf[upper.start()..]);
        self.len += upper.len;
    }

    /// Gives back all memory that is not in use.
    pub fn tighten(&mut self) {
        self.close();
        self.buf.shrink_to_fit();
    }

    /// Makes the gap at the front at least `size` bytes, and as large as the elements if it may be.
    fn open(&mut self, size: usize) {
        let (len, start) = (self.buf.len(), self.start());
        let most = CHUNK_MAX.saturating_sub(self.bytes());
        let gap = (size + self.bytes()).min(most).max(size);
        reserve_class(&mut self.buf, gap - start);
        self.buf.resize(len + gap - start, 0);
        self.buf.copy_within(start..len, gap);
        self.gap = gap as u32;
    }

    /// Closes the gap at the front.
    fn close(&mut self) {
        if self.gap > 0 {
            self.buf.drain(..self.gap as usize);
            self.gap = 0;
        }
        shrink_class(&mut self.buf);
    }
}

/// Writes an element, which takes the whole of `out`.
fn put(out: &mut [u8], value: &[u8]) {
    let (mut at, mut len) = (0, value.len());
    while len >= 0x80 {
        out[at] = len as u8 | 0x80;
        len >>= 7;
        at += 1;
    }
    out[at] = len as u8;
    at += 1;
    out[at..at + value.len()].copy_from_slice(value);
    // The same from the back: what is read first, going backwards, are the low digits.
    let mut size = at + value.len();
    let mut at = out.len() - 1;
    while size >= 0x80 {
        out[at] = size as u8 | 0x80;
        size >>= 7;
        at -= 1;
    }
    out[at] = size as u8;
}

/// Bytes of an element of `len` bytes in a chunk.
pub fn entry_size(len: usize) -> usize {
    let front = pack::len_size(len as u64) + len;
    front + pack::len_size(front as u64)
}
