//! A byte string of 24 bytes that allocates only when it is long.
//!
//! **Invariant.** A string of at most `INLINE_MAX` bytes is always inline, so equal strings look
//! and cost alike.

use std::cmp::Ordering;
use std::fmt;
use std::hash;
use std::ops::Deref;

use super::size::alloc_size;
use super::table::Keyed;

/// Bytes that fit without an allocation.
pub const INLINE_MAX: usize = 22;

/// An immutable byte string: a key, or a member of a set.
#[derive(Clone)]
pub struct Small(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Heap(Box<[u8]>),
}

impl Small {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self(if bytes.len() <= INLINE_MAX {
            let mut inline = [0; INLINE_MAX];
            inline[..bytes.len()].copy_from_slice(bytes);
            Repr::Inline {
                len: bytes.len() as u8,
                bytes: inline,
            }
        } else {
            Repr::Heap(bytes.into())
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Heap bytes beside the 24 of the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Heap(bytes) => alloc_size(bytes.len()),
        }
    }

    /// The bytes, owned.
    pub fn into_boxed(self) -> Box<[u8]> {
        match self.0 {
            Repr::Inline { len, bytes } => bytes[..usize::from(len)].into(),
            Repr::Heap(bytes) => bytes,
        }
    }
}

impl Default for Small {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl From<&[u8]> for Small {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl From<Box<[u8]>> for Small {
    fn from(bytes: Box<[u8]>) -> Self {
        if bytes.len() <= INLINE_MAX {
            Self::new(&bytes)
        } else {
            Self(Repr::Heap(bytes))
        }
    }
}

impl From<Vec<u8>> for Small {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() <= INLINE_MAX {
            Self::new(&bytes)
        } else {
            Self(Repr::Heap(bytes.into()))
        }
    }
}

impl Keyed for Small {
    fn key(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Deref for Small {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Small {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::borrow::Borrow<[u8]> for Small {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Small {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Small {}

impl PartialOrd for Small {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Small {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl hash::Hash for Small {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Small {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::{INLINE_MAX, Small};

    #[test]
    fn keeps_every_length() {
        assert_eq!(size_of::<Small>(), 24);
        assert_eq!(size_of::<Option<Small>>(), 24);
        for len in 0..100usize {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let small = Small::new(&bytes);
            assert_eq!(small.as_bytes(), &bytes[..]);
            assert_eq!(small, Small::from(bytes.clone()));
            assert_eq!(small, Small::from(bytes.clone().into_boxed_slice()));
            assert_eq!(small.heap_bytes() > 0, len > INLINE_MAX);
            assert_eq!(&*small.clone().into_boxed(), &bytes[..]);
        }
        assert!(Small::new(b"ab") < Small::new(b"b"));
    }
}
