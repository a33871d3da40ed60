//! The value of a string key.
//!
//! **Invariants.** It takes 24 bytes plus at most one block (two once it was changed in place). An
//! `Int` is stored only for canonical decimal text. A value changed in place stays "raw", as in
//! Redis.

use super::size::{alloc_size, vec_bytes};
use super::view::{View, parse_int};

/// Bytes that fit without an allocation.
const INLINE_MAX: usize = 22;
/// The longest string that Redis calls "embstr", bytes.
const EMBSTR_MAX: usize = 44;
/// From here on a buffer grows by an eighth instead of doubling, bytes.
const GROWTH_SLOW_FROM: usize = 1024 * 1024;

/// A string value: an integer, short and inline, in a block of its exact size, or a buffer that
/// was changed in place and may be again.
#[derive(Clone, Debug)]
pub struct Str(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Int(i64),
    Inline {
        len: u8,
        bytes: [u8; INLINE_MAX],
    },
    Boxed(Box<[u8]>),
    // Boxed again, because a vector would make every value 32 bytes.
    #[allow(clippy::box_collection)]
    Buffer(Box<Vec<u8>>),
}

impl Str {
    /// A value as SET stores it: canonical integer text becomes an integer.
    pub fn new(bytes: &[u8]) -> Self {
        match parse_int(bytes) {
            Some(int) => Self(Repr::Int(int)),
            None => Self::plain(bytes),
        }
    }

    /// As [`Str::new`], without a copy if the value is long.
    pub fn from_boxed(bytes: Box<[u8]>) -> Self {
        if bytes.len() <= INLINE_MAX {
            Self::new(&bytes)
        } else {
            Self(Repr::Boxed(bytes))
        }
    }

    /// The integer as a value.
    pub fn from_int(int: i64) -> Self {
        Self(Repr::Int(int))
    }

    /// A value that is never looked at as an integer (what INCRBYFLOAT stores).
    pub fn plain(bytes: &[u8]) -> Self {
        Self(if bytes.len() <= INLINE_MAX {
            let mut inline = [0; INLINE_MAX];
            inline[..bytes.len()].copy_from_slice(bytes);
            Repr::Inline {
                len: bytes.len() as u8,
                bytes: inline,
            }
        } else {
            Repr::Boxed(bytes.into())
        })
    }

    /// A value that counts as changed in place, as SETRANGE and SETBIT make them: always "raw".
    pub fn buffer(bytes: Vec<u8>) -> Self {
        Self(Repr::Buffer(Box::new(bytes)))
    }

    /// The value's bytes; an integer's are its text.
    pub fn as_bytes(&self) -> View<'_> {
        match &self.0 {
            Repr::Int(int) => View::int(*int),
            Repr::Inline { len, bytes } => View::Bytes(&bytes[..usize::from(*len)]),
            Repr::Boxed(bytes) => View::Bytes(bytes),
            Repr::Buffer(bytes) => View::Bytes(bytes),
        }
    }

    /// The integer whose canonical text the value is, in whatever encoding.
    pub fn as_int(&self) -> Option<i64> {
        match &self.0 {
            Repr::Int(int) => Some(*int),
            _ => parse_int(&self.as_bytes()),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Int(int) => View::int(*int).len(),
            Repr::Inline { len, .. } => usize::from(*len),
            Repr::Boxed(bytes) => bytes.len(),
            Repr::Buffer(bytes) => bytes.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Redis's name: "int", "embstr" (at most 44 bytes, never changed in place) or "raw".
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Int(_) => "int",
            Repr::Inline { .. } => "embstr",
            Repr::Boxed(bytes) if bytes.len() <= EMBSTR_MAX => "embstr",
            Repr::Boxed(_) | Repr::Buffer(_) => "raw",
        }
    }

    /// Adds `bytes` at the end. The caller checks the length against the bound for strings.
    pub fn append(&mut self, bytes: &[u8]) {
        let buffer = self.buffer_mut();
        reserve(buffer, bytes.len());
        buffer.extend_from_slice(bytes);
    }

    /// Writes `bytes` at `offset`, filling with zeros from the end to there. The caller checks the
    /// length against the bound for strings.
    pub fn set_range(&mut self, offset: usize, bytes: &[u8]) {
        let buffer = self.buffer_mut();
        let end = offset + bytes.len();
        if end > buffer.len() {
            reserve(buffer, end - buffer.len());
            buffer.resize(end, 0);
        }
        buffer[offset..end].copy_from_slice(bytes);
    }

    /// Writes other bytes in the place of a string's in a block of its own, where they are as many: as [`Str::new`], but
    /// nothing is allocated. Says whether it did.
    pub fn overwrite(&mut self, bytes: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Boxed(own) if own.len() == bytes.len() => {
                own.copy_from_slice(bytes);
                true
            }
            _ => false,
        }
    }

    /// Whether [`Str::overwrite`] would do it.
    pub fn takes(&self, bytes: &[u8]) -> bool {
        matches!(&self.0, Repr::Boxed(own) if own.len() == bytes.len())
    }

    /// Cuts the value to `len` bytes; does nothing if it is no longer.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let buffer = self.buffer_mut();
            buffer.truncate(len);
            if buffer.capacity() / 2 > len {
                buffer.shrink_to_fit();
            }
        }
    }

    /// The value as bytes to change in place; from here on it is "raw".
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer_mut()
    }

    /// The bytes, owned.
    pub fn into_boxed(self) -> Box<[u8]> {
        match self.0 {
            Repr::Boxed(bytes) => bytes,
            Repr::Buffer(bytes) => bytes.into_boxed_slice(),
            other => Str(other).as_bytes().to_boxed(),
        }
    }

    /// Heap bytes beside the 24 of the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Int(_) | Repr::Inline { .. } => 0,
            Repr::Boxed(bytes) => alloc_size(bytes.len()),
            Repr::Buffer(bytes) => alloc_size(size_of::<Vec<u8>>()) + vec_bytes(bytes),
        }
    }

    fn buffer_mut(&mut self) -> &mut Vec<u8> {
        if !matches!(self.0, Repr::Buffer(_)) {
            let bytes = std::mem::replace(self, Self::from_int(0))
                .into_boxed()
                .into_vec();
            self.0 = Repr::Buffer(Box::new(bytes));
        }
        match &mut self.0 {
            Repr::Buffer(bytes) => bytes,
            _ => unreachable!("it was just made a buffer"),
        }
    }
}

impl PartialEq for Str {
    /// Whether the bytes are equal, whatever the encoding.
    fn eq(&self, other: &Self) -> bool {
        *self.as_bytes() == *other.as_bytes()
    }
}

impl Eq for Str {}

/// Makes room so that many appends cost amortized O(1) without doubling what is already large.
fn reserve(buffer: &mut Vec<u8>, extra: usize) {
    let need = buffer.len() + extra;
    if need > buffer.capacity() {
        let slack = if need < GROWTH_SLOW_FROM {
            need
        } else {
            need / 8
        };
        // The first write asks for no slack: SETBIT and SETRANGE often write once.
        let slack = if buffer.is_empty() { 0 } else { slack };
        buffer.reserve_exact(alloc_size(need + slack) - buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::Str;

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Str>(), 24);
        assert_eq!(size_of::<Option<Str>>(), 24);
    }

    #[test]
    fn encodings_follow_redis() {
        let long = [b'x'; 45];
        for (bytes, encoding) in [
            (&b"12"[..], "int"),
            (b"-9223372036854775808", "int"),
            (b"9223372036854775808", "embstr"),
            (b"012", "embstr"),
            (b"", "embstr"),
            (&long[..22], "embstr"),
            (&long[..23], "embstr"),
            (&long[..44], "embstr"),
            (&long[..45], "raw"),
        ] {
            for str in [Str::new(bytes), Str::from_boxed(bytes.into())] {
                assert_eq!(str.encoding(), encoding);
                assert_eq!(&*str.as_bytes(), bytes);
                assert_eq!(str.len(), bytes.len());
            }
        }
        assert_eq!(Str::plain(b"12").encoding(), "embstr");
        assert_eq!(Str::plain(b"12").as_int(), Some(12));
        let mut str = Str::new(b"12");
        str.append(b"3");
        assert_eq!((str.encoding(), str.as_int()), ("raw", Some(123)));
    }

    #[test]
    fn ranges_are_filled_with_zeros() {
        let mut str = Str::new(b"abc");
        str.set_range(5, b"xy");
        assert_eq!(&*str.as_bytes(), b"abc\0\0xy");
        str.set_range(1, b"BC");
        assert_eq!(&*str.as_bytes(), b"aBC\0\0xy");
        str.truncate(2);
        assert_eq!(&*str.as_bytes(), b"aB");
        str.bytes_mut()[0] = b'!';
        assert_eq!(&*str.into_boxed(), b"!B");
    }

    #[test]
    fn appending_wastes_at_most_half() {
        let mut str = Str::new(b"");
        for _ in 0..100_000 {
            str.append(b"0123456789abcdef");
        }
        assert_eq!(str.len(), 1_600_000);
        assert!(str.heap_bytes() < 2_200_000, "{}", str.heap_bytes());
    }
}
