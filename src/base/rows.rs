//! A batch of row changes as flat bytes: what one committed entry does to the store, in order.
//!
//! One buffer holds the whole batch, so that building it costs no allocation per row and handing
//! it over moves a pointer. Always: each record is complete, and its key does not begin with
//! `RESERVED`, the first byte of the store's own rows.

/// Rows of the store itself begin with this byte; rows of callers must not.
pub const RESERVED: u8 = 0;

/// Tag, key length, value length.
const HEAD: usize = 1 + 4 + 4;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;

/// One change to rows, borrowed from a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOp<'a> {
    /// The row `key` becomes `value`.
    Put { key: &'a [u8], value: &'a [u8] },
    /// The row `key` is gone; it need not have existed.
    Delete { key: &'a [u8] },
    /// All rows from `from` up to, but without, `to` are gone, as of this point in the order.
    DeleteRange { from: &'a [u8], to: &'a [u8] },
}

/// Row changes in the order in which they happened.
///
/// Keys compare as bytes. A key is not empty, does not begin with [`RESERVED`], and keys and values are
/// shorter than 4 GiB; anything else is a mistake of the caller and panics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    bytes: Vec<u8>,
}

impl Rows {
    /// An empty batch; it allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `bytes` of encoded rows.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Sets a row.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        check(key);
        self.record(PUT, key, value);
    }

    /// Sets a row whose value is made of pieces that stand one after the other, saving the caller a buffer.
    pub fn put_parts(&mut self, key: &[u8], parts: &[&[u8]]) {
        check(key);
        self.head(PUT, key.len(), parts.iter().map(|part| part.len()).sum());
        self.bytes.extend_from_slice(key);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Sets a row whose value `write` appends to what it is given.
    pub fn put_with(&mut self, key: &[&[u8]], write: impl FnOnce(&mut Vec<u8>)) {
        check(key.first().copied().unwrap_or_default());
        let head = self.bytes.len();
        self.head(PUT, key.iter().map(|part| part.len()).sum(), 0);
        for part in key {
            self.bytes.extend_from_slice(part);
        }
        let value = self.bytes.len();
        write(&mut self.bytes);
        let len =
            u32::try_from(self.bytes.len() - value).expect("a row value is shorter than 4 GiB");
        self.bytes[head + 5..head + HEAD].copy_from_slice(&len.to_le_bytes());
    }

    /// Removes a row.
    pub fn delete(&mut self, key: &[u8]) {
        check(key);
        self.record(DELETE, key, &[]);
    }

    /// Removes all rows from `from` (included) to `to` (excluded). An empty range changes nothing.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        check(from);
        if from < to {
            self.record(DELETE_RANGE, from, to);
        }
    }

    /// Adds the changes of `other` after those here.
    pub fn append(&mut self, other: &Rows) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// Forgets what was added since the batch had that encoded size.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// The encoded size, bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The changes in order.
    pub fn iter(&self) -> impl Iterator<Item = RowOp<'_>> {
        self.offsets().map(|(_, op)| op)
    }

    /// The changes in order, each with the offset at which it stands.
    pub fn offsets(&self) -> impl Iterator<Item = (usize, RowOp<'_>)> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            if offset == self.bytes.len() {
                return None;
            }
            let (op, next) = self.read(offset);
            Some((std::mem::replace(&mut offset, next), op))
        })
    }

    /// The change at `offset`, which `offsets` gave.
    pub fn at(&self, offset: usize) -> RowOp<'_> {
        self.read(offset).0
    }

    fn read(&self, offset: usize) -> (RowOp<'_>, usize) {
        let head = &self.bytes[offset..offset + HEAD];
        let length = |at: usize| {
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        };
        let key_at = offset + HEAD;
        let value_at = key_at + length(1);
        let end = value_at + length(5);
        let key = &self.bytes[key_at..value_at];
        let value = &self.bytes[value_at..end];
        let op = match head[0] {
            PUT => RowOp::Put { key, value },
            DELETE => RowOp::Delete { key },
            _ => RowOp::DeleteRange {
                from: key,
                to: value,
            },
        };
        (op, end)
    }

    fn record(&mut self, tag: u8, key: &[u8], value: &[u8]) {
        self.head(tag, key.len(), value.len());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }

    fn head(&mut self, tag: u8, key: usize, value: usize) {
        let key = u32::try_from(key).expect("a row key is shorter than 4 GiB");
        let value = u32::try_from(value).expect("a row value is shorter than 4 GiB");
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&key.to_le_bytes());
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
}

impl<'a> FromIterator<RowOp<'a>> for Rows {
    fn from_iter<I: IntoIterator<Item = RowOp<'a>>>(ops: I) -> Self {
        let mut rows = Self::new();
        for op in ops {
            match op {
                RowOp::Put { key, value } => rows.put(key, value),
                RowOp::Delete { key } => rows.delete(key),
                RowOp::DeleteRange { from, to } => rows.delete_range(from, to),
            }
        }
        rows
    }
}

fn check(key: &[u8]) {
    assert!(
        key.first().is_some_and(|&first| first != RESERVED),
        "a row key is empty or begins with the byte 0, which is the store's own"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in_in_order() {
        let ops = [
            RowOp::Put {
                key: b"a",
                value: b"",
            },
            RowOp::DeleteRange {
                from: b"a",
                to: b"b",
            },
            RowOp::Delete { key: b"zz" },
            RowOp::Put {
                key: b"a",
                value: &[7; 300],
            },
        ];
        let rows: Rows = ops.into_iter().collect();
        assert_eq!(rows.iter().collect::<Vec<_>>(), ops);
        for (offset, op) in rows.offsets() {
            assert_eq!(rows.at(offset), op);
        }
        let mut twice = rows.clone();
        twice.append(&rows);
        assert_eq!(twice.iter().count(), 8);
    }

    #[test]
    fn parts_make_one_value_and_an_empty_range_makes_nothing() {
        let mut rows = Rows::new();
        rows.put_parts(b"k", &[b"ab", b"", b"c"]);
        rows.delete_range(b"k", b"k");
        rows.delete_range(b"l", b"k");
        assert_eq!(
            rows.iter().collect::<Vec<_>>(),
            [RowOp::Put {
                key: b"k",
                value: b"abc"
            }]
        );
    }

    #[test]
    #[should_panic(expected = "the store's own")]
    fn the_stores_own_keys_are_refused() {
        Rows::new().put(&[RESERVED, 1], b"");
    }
}
