//! Mutations as bytes: a kind, then its fields; numbers as LEB128, byte strings with their length.
//!
//! The high bit of a kind says that database and key are those of the mutation before, so that a
//! command that touches many elements of one key pays for the key once. Kinds are never reused.

use super::Mutation;
use crate::base::limits::ENTRY_LEN_MAX;

const SAME_KEY: u8 = 0x80;

/// Bytes that are not a mutation this version knows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("mutation kind {0} is not known to this version: upgrade this node")]
    UnknownKind(u8),
    #[error("the mutation ends before its last field")]
    Short,
    #[error("a number of the mutation is longer than 64 bits")]
    Number,
    #[error("a mutation refers to the key before it, and there is none")]
    NoKeyBefore,
}

/// Appends mutations to one buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    key: Vec<u8>,
    db: u32,
    has_key: bool,
    /// Where the bytes may be cut: behind each of these a mutation names its key in full.
    cuts: Vec<usize>,
}

impl Writer {
    /// The bytes as pieces of about [`ENTRY_LEN_MAX`] each (a single large mutation is not cut); one empty piece
    /// where there are none.
    pub fn pieces(&self) -> Vec<&[u8]> {
        let mut pieces = Vec::with_capacity(self.cuts.len() + 1);
        let mut from = 0;
        for &cut in self.cuts.iter().filter(|&&cut| cut < self.buf.len()) {
            pieces.push(&self.buf[from..cut]);
            from = cut;
        }
        pieces.push(&self.buf[from..]);
        pieces
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Forgets all mutations, keeping the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.cuts.clear();
        self.has_key = false;
    }

    /// Takes back everything after `len` bytes: a command that was undone before it was proposed.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
        self.cuts.retain(|&cut| cut <= len);
        self.has_key = false;
    }

    /// The next mutation names its key in full: what follows can be read by itself.
    pub fn restart(&mut self) {
        self.has_key = false;
    }

    /// Appends one mutation.
    pub fn push(&mut self, m: &Mutation<'_>) {
        use Mutation::*;
        if self.buf.len() - self.cuts.last().copied().unwrap_or(0) >= ENTRY_LEN_MAX {
            self.cuts.push(self.buf.len());
            self.has_key = false;
        }
        let kind = kind_of(m);
        match m.key() {
            Some((db, key)) => {
                if self.has_key && self.db == db && self.key == key {
                    self.buf.push(kind | SAME_KEY);
                } else {
                    self.buf.push(kind);
                    put_u64(&mut self.buf, db.into());
                    put_bytes(&mut self.buf, key);
                    self.db = db;
                    self.key.clear();
                    self.key.extend_from_slice(key);
                    self.has_key = true;
                }
            }
            None => self.buf.push(kind),
        }
        let buf = &mut self.buf;
        match *m {
            StrSet {
                value, expire_at, ..
            } => {
                put_u64(buf, expire_at);
                put_bytes(buf, value);
            }
            StrRange { offset, bytes, .. } => {
                put_u64(buf, offset);
                put_bytes(buf, bytes);
            }
            Del { .. } => {}
            Expire { at, .. } => put_u64(buf, at),
            Rename { to_db, to, .. } | Copy { to_db, to, .. } => {
                put_u64(buf, to_db.into());
                put_bytes(buf, to);
            }
            FlushDb { db } => put_u64(buf, db.into()),
            SwapDb { a, b } => {
                put_u64(buf, a.into());
                put_u64(buf, b.into());
            }
            HashSet { field, value, .. } => {
                put_bytes(buf, field);
                put_bytes(buf, value);
            }
            HashDel { field, .. } => put_bytes(buf, field),
            SetAdd { member, .. } | SetDel { member, .. } | ZSetDel { member, .. } => {
                put_bytes(buf, member)
            }
            ZSetAdd { member, score, .. } => {
                buf.extend_from_slice(&score.to_bits().to_be_bytes());
                put_bytes(buf, member);
            }
            ListPush { front, value, .. } => {
                buf.push(front.into());
                put_bytes(buf, value);
            }
            ListPop { front, count, .. } => {
                buf.push(front.into());
                put_u64(buf, count);
            }
            ListSet { index, value, .. } | ListInsert { index, value, .. } => {
                put_u64(buf, index);
                put_bytes(buf, value);
            }
            ListRemove { index, .. } => put_u64(buf, index),
            StreamAdd { id, fields, .. } => {
                put_id(buf, id);
                put_bytes(buf, fields);
            }
            StreamDel { id, .. } => put_id(buf, id),
            StreamTrim { count, .. } => put_u64(buf, count),
            StreamSet {
                last,
                max_deleted,
                added,
                ..
            } => {
                put_id(buf, last);
                put_id(buf, max_deleted);
                put_u64(buf, added);
            }
            StreamGroup {
                group, last, read, ..
            } => {
                put_bytes(buf, group);
                put_id(buf, last);
                put_option(buf, read);
            }
            StreamGroupDel { group, .. } => put_bytes(buf, group),
            StreamConsumer {
                group,
                consumer,
                seen,
                active,
                ..
            } => {
                put_bytes(buf, group);
                put_bytes(buf, consumer);
                put_u64(buf, seen);
                put_option(buf, active);
            }
            StreamConsumerDel {
                group, consumer, ..
            } => {
                put_bytes(buf, group);
                put_bytes(buf, consumer);
            }
            StreamPending {
                group,
                consumer,
                id,
                time,
                count,
                ..
            } => {
                put_bytes(buf, group);
                put_bytes(buf, consumer);
                put_id(buf, id);
                put_u64(buf, time);
                put_u64(buf, count);
            }
            StreamAck { group, id, .. } => {
                put_bytes(buf, group);
                put_id(buf, id);
            }
            SystemPut { table, name, value } => {
                buf.push(table);
                put_bytes(buf, name);
                put_bytes(buf, value);
            }
            SystemDel { table, name } => {
                buf.push(table);
                put_bytes(buf, name);
            }
        }
    }
}

fn kind_of(m: &Mutation<'_>) -> u8 {
    use Mutation::*;
    match m {
        StrSet { .. } => 1,
        StrRange { .. } => 2,
        Del { .. } => 3,
        Expire { .. } => 4,
        Rename { .. } => 5,
        Copy { .. } => 6,
        FlushDb { .. } => 7,
        SwapDb { .. } => 8,
        HashSet { .. } => 9,
        HashDel { .. } => 10,
        SetAdd { .. } => 11,
        SetDel { .. } => 12,
        ZSetAdd { .. } => 13,
        ZSetDel { .. } => 14,
        ListPush { .. } => 15,
        ListPop { .. } => 16,
        ListSet { .. } => 17,
        ListInsert { .. } => 18,
        ListRemove { .. } => 19,
        StreamAdd { .. } => 20,
        StreamDel { .. } => 21,
        StreamTrim { .. } => 22,
        StreamSet { .. } => 23,
        StreamGroup { .. } => 24,
        StreamGroupDel { .. } => 25,
        StreamConsumer { .. } => 26,
        StreamConsumerDel { .. } => 27,
        StreamPending { .. } => 28,
        StreamAck { .. } => 29,
        SystemPut { .. } => 100,
        SystemDel { .. } => 101,
    }
}

/// Reads the mutations of a buffer in order, borrowing from it.
pub struct Reader<'a> {
    rest: &'a [u8],
    key: Option<(u32, &'a [u8])>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader {
            rest: bytes,
            key: None,
        }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let (&first, rest) = self.rest.split_first().ok_or(Error::Short)?;
        self.rest = rest;
        Ok(first)
    }

    fn number(&mut self) -> Result<u64, Error> {
        get_u64(&mut self.rest)
    }

    fn db(&mut self) -> Result<u32, Error> {
        u32::try_from(self.number()?).map_err(|_| Error::Number)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        get_bytes(&mut self.rest)
    }

    fn next_mutation(&mut self) -> Result<Mutation<'a>, Error> {
        let tag = self.byte()?;
        let kind = tag & !SAME_KEY;
        if kind == 7 {
            return Ok(Mutation::FlushDb { db: self.db()? });
        }
        if kind == 8 {
            return Ok(Mutation::SwapDb {
                a: self.db()?,
                b: self.db()?,
            });
        }
        if kind == 100 {
            return Ok(Mutation::SystemPut {
                table: self.byte()?,
                name: self.bytes()?,
                value: self.bytes()?,
            });
        }
        if kind == 101 {
            return Ok(Mutation::SystemDel {
                table: self.byte()?,
                name: self.bytes()?,
            });
        }
        if !(1..=29).contains(&kind) {
            return Err(Error::UnknownKind(tag));
        }
        let (db, key) = if tag & SAME_KEY != 0 {
            self.key.ok_or(Error::NoKeyBefore)?
        } else {
            let named = (self.db()?, self.bytes()?);
            self.key = Some(named);
            named
        };
        Ok(match kind {
            1 => {
                let expire_at = self.number()?;
                Mutation::StrSet {
                    db,
                    key,
                    value: self.bytes()?,
                    expire_at,
                }
            }
            2 => {
                let offset = self.number()?;
                Mutation::StrRange {
                    db,
                    key,
                    offset,
                    bytes: self.bytes()?,
                }
            }
            3 => Mutation::Del { db, key },
            4 => Mutation::Expire {
                db,
                key,
                at: self.number()?,
            },
            5 => Mutation::Rename {
                db,
                key,
                to_db: self.db()?,
                to: self.bytes()?,
            },
            6 => Mutation::Copy {
                db,
                key,
                to_db: self.db()?,
                to: self.bytes()?,
            },
            9 => Mutation::HashSet {
                db,
                key,
                field: self.bytes()?,
                value: self.bytes()?,
            },
            10 => Mutation::HashDel {
                db,
                key,
                field: self.bytes()?,
            },
            11 => Mutation::SetAdd {
                db,
                key,
                member: self.bytes()?,
            },
            12 => Mutation::SetDel {
                db,
                key,
                member: self.bytes()?,
            },
            13 => {
                let (bits, rest) = self.rest.split_first_chunk::<8>().ok_or(Error::Short)?;
                self.rest = rest;
                let score = f64::from_bits(u64::from_be_bytes(*bits));
                Mutation::ZSetAdd {
                    db,
                    key,
                    member: self.bytes()?,
                    score,
                }
            }
            14 => Mutation::ZSetDel {
                db,
                key,
                member: self.bytes()?,
            },
            15 => {
                let front = self.byte()? != 0;
                Mutation::ListPush {
                    db,
                    key,
                    front,
                    value: self.bytes()?,
                }
            }
            16 => {
                let front = self.byte()? != 0;
                Mutation::ListPop {
                    db,
                    key,
                    front,
                    count: self.number()?,
                }
            }
            17 => {
                let index = self.number()?;
                Mutation::ListSet {
                    db,
                    key,
                    index,
                    value: self.bytes()?,
                }
            }
            18 => {
                let index = self.number()?;
                Mutation::ListInsert {
                    db,
                    key,
                    index,
                    value: self.bytes()?,
                }
            }
            19 => Mutation::ListRemove {
                db,
                key,
                index: self.number()?,
            },
            _ => self.stream(kind, db, key)?,
        })
    }

    /// The mutations of streams.
    fn stream(&mut self, kind: u8, db: u32, key: &'a [u8]) -> Result<Mutation<'a>, Error> {
        Ok(match kind {
            20 => Mutation::StreamAdd {
                db,
                key,
                id: get_id(&mut self.rest)?,
                fields: self.bytes()?,
            },
            21 => Mutation::StreamDel {
                db,
                key,
                id: get_id(&mut self.rest)?,
            },
            22 => Mutation::StreamTrim {
                db,
                key,
                count: self.number()?,
            },
            23 => Mutation::StreamSet {
                db,
                key,
                last: get_id(&mut self.rest)?,
                max_deleted: get_id(&mut self.rest)?,
                added: self.number()?,
            },
            24 => Mutation::StreamGroup {
                db,
                key,
                group: self.bytes()?,
                last: get_id(&mut self.rest)?,
                read: get_option(&mut self.rest)?,
            },
            25 => Mutation::StreamGroupDel {
                db,
                key,
                group: self.bytes()?,
            },
            26 => Mutation::StreamConsumer {
                db,
                key,
                group: self.bytes()?,
                consumer: self.bytes()?,
                seen: self.number()?,
                active: get_option(&mut self.rest)?,
            },
            27 => Mutation::StreamConsumerDel {
                db,
                key,
                group: self.bytes()?,
                consumer: self.bytes()?,
            },
            28 => Mutation::StreamPending {
                db,
                key,
                group: self.bytes()?,
                consumer: self.bytes()?,
                id: get_id(&mut self.rest)?,
                time: self.number()?,
                count: self.number()?,
            },
            _ => Mutation::StreamAck {
                db,
                key,
                group: self.bytes()?,
                id: get_id(&mut self.rest)?,
            },
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Mutation<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let next = self.next_mutation();
        if next.is_err() {
            self.rest = &[];
        }
        Some(next)
    }
}

/// Appends a number as LEB128.
pub fn put_u64(buf: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        buf.push(n as u8 | 0x80);
        n >>= 7;
    }
    buf.push(n as u8);
}

/// Appends a stream's id.
pub fn put_id(buf: &mut Vec<u8>, id: u128) {
    put_u64(buf, (id >> 64) as u64);
    put_u64(buf, id as u64);
}

/// Takes a stream's id off the front.
pub fn get_id(rest: &mut &[u8]) -> Result<u128, Error> {
    Ok(u128::from(get_u64(rest)?) << 64 | u128::from(get_u64(rest)?))
}

/// Appends a number that may be absent.
pub fn put_option(buf: &mut Vec<u8>, n: Option<u64>) {
    buf.push(n.is_some().into());
    if let Some(n) = n {
        put_u64(buf, n);
    }
}

/// Takes a number that may be absent off the front.
pub fn get_option(rest: &mut &[u8]) -> Result<Option<u64>, Error> {
    match get_u64(rest)? {
        0 => Ok(None),
        _ => Ok(Some(get_u64(rest)?)),
    }
}

/// Appends a byte string behind its length.
pub fn put_bytes(buf: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

/// Takes a LEB128 number off the front.
pub fn get_u64(rest: &mut &[u8]) -> Result<u64, Error> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&b, tail) = rest.split_first().ok_or(Error::Short)?;
        *rest = tail;
        if shift == 63 && b > 1 {
            return Err(Error::Number);
        }
        n |= u64::from(b & 0x7f) << shift;
        if b < 0x80 {
            return Ok(n);
        }
    }
    Err(Error::Number)
}

/// Takes a byte string off the front.
pub fn get_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let len = usize::try_from(get_u64(rest)?).map_err(|_| Error::Number)?;
    if len > rest.len() {
        return Err(Error::Short);
    }
    let (bytes, tail) = rest.split_at(len);
    *rest = tail;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Mutation<'static>> {
        use Mutation::*;
        let (db, key) = (3, &b"key"[..]);
        vec![
            StrSet {
                db,
                key,
                value: b"v",
                expire_at: 1 << 42,
            },
            StrRange {
                db,
                key,
                offset: 7,
                bytes: b"xyz",
            },
            Del { db, key },
            Expire { db: 4, key, at: 0 },
            Rename {
                db,
                key,
                to_db: 1,
                to: b"other",
            },
            Copy {
                db,
                key,
                to_db: 1,
                to: b"",
            },
            FlushDb { db: 9 },
            SwapDb { a: 0, b: 300 },
            HashSet {
                db,
                key,
                field: b"f",
                value: b"",
            },
            HashDel {
                db,
                key,
                field: b"f",
            },
            SetAdd {
                db,
                key,
                member: b"m",
            },
            SetDel {
                db,
                key: b"k2",
                member: b"m",
            },
            ZSetAdd {
                db,
                key,
                member: b"m",
                score: f64::NEG_INFINITY,
            },
            ZSetDel {
                db,
                key,
                member: b"m",
            },
            ListPush {
                db,
                key,
                front: true,
                value: b"e",
            },
            ListPop {
                db,
                key,
                front: false,
                count: u64::MAX,
            },
            ListSet {
                db,
                key,
                index: 5,
                value: b"e",
            },
            ListInsert {
                db,
                key,
                index: 0,
                value: b"e",
            },
            ListRemove { db, key, index: 1 },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut w = Writer::default();
        for m in samples() {
            w.push(&m);
        }
        let read: Vec<_> = Reader::new(w.bytes()).map(Result::unwrap).collect();
        assert_eq!(read, samples());
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_list() {
        let mut w = Writer::default();
        for m in samples() {
            w.push(&m);
        }
        for cut in 0..w.len() {
            let whole: Vec<_> = Reader::new(&w.bytes()[..cut])
                .take_while(Result::is_ok)
                .map(Result::unwrap)
                .collect();
            assert_eq!(whole[..], samples()[..whole.len()]);
            assert!(whole.len() < samples().len());
        }
    }

    #[test]
    fn an_unknown_kind_is_named() {
        assert_eq!(Reader::new(&[99]).next(), Some(Err(Error::UnknownKind(99))));
        assert_eq!(
            Reader::new(&[0x80 | 3]).next(),
            Some(Err(Error::NoKeyBefore))
        );
    }
}
