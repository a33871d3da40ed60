//! The digest of the data set: order-independent, kept up to date by each mutation.
//!
//! A key's digest covers its name, type, expiry and either its string or the sum of its elements'
//! digests; a database's is the sum over its keys; the data set's a hash over its databases. The
//! hash seed, access clocks and encodings are not in it. Equal data, equal digest, on every node.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::value::{Entry, STR_ROW_MAX, Value};
use super::{Db, Keyspace, streams};

/// Digest of one element of a collection: its parts, each with its length.
pub fn element(parts: &[&[u8]]) -> u64 {
    let mut buf = smallvec::SmallVec::<[u8; 256]>::new();
    for part in parts {
        buf.extend_from_slice(&(part.len() as u32).to_le_bytes());
        buf.extend_from_slice(part);
    }
    xxh3_64(&buf)
}

/// Sum of the digests of a long string's chunks from the one that holds `from` to the one that holds `to`.
pub fn chunks(bytes: &[u8], from: usize, to: usize) -> u64 {
    let (first, end) = (
        from / STR_ROW_MAX,
        to.min(bytes.len()).div_ceil(STR_ROW_MAX),
    );
    (first..end).fold(0u64, |sum, i| {
        let chunk = &bytes[i * STR_ROW_MAX..bytes.len().min((i + 1) * STR_ROW_MAX)];
        sum.wrapping_add(element(&[&(i as u64).to_le_bytes(), chunk]))
    })
}

/// Digest of one key.
pub fn key(entry: &Entry) -> u128 {
    let mut buf = smallvec::SmallVec::<[u8; 512]>::new();
    buf.extend_from_slice(&(entry.key.as_bytes().len() as u32).to_le_bytes());
    buf.extend_from_slice(entry.key.as_bytes());
    buf.extend_from_slice(&entry.expire_at.to_le_bytes());
    let (kind, sum, len) = match &entry.value {
        Value::Str(s) => {
            buf.push(0);
            buf.extend_from_slice(&s.as_bytes());
            return xxh3_128(&buf);
        }
        Value::Long(c) => (1u8, c.sum, c.data.len()),
        Value::List(c) => (2, c.sum, c.data.len()),
        Value::Set(c) => (3, c.sum, c.data.len()),
        Value::Hash(c) => (4, c.sum, c.data.len()),
        Value::ZSet(c) => (5, c.sum, c.data.len()),
        Value::Stream(c) => {
            let header = c.data.header;
            for number in [header.last, header.max_deleted, header.added.into()] {
                buf.extend_from_slice(&number.to_le_bytes());
            }
            (6, c.sum, c.data.len())
        }
    };
    buf.push(kind);
    buf.extend_from_slice(&sum.to_le_bytes());
    buf.extend_from_slice(&(len as u64).to_le_bytes());
    xxh3_128(&buf)
}

/// Computes a value's element sum from scratch.
pub fn sum(value: &Value) -> u64 {
    match value {
        Value::Str(_) => 0,
        Value::Long(c) => chunks(&c.data.as_bytes(), 0, c.data.len()),
        Value::List(c) => {
            let first = c.data.first_pos();
            c.data.iter().enumerate().fold(0u64, |sum, (i, v)| {
                sum.wrapping_add(list_element(first + i as i64, v))
            })
        }
        Value::Set(c) => c
            .data
            .iter()
            .fold(0u64, |sum, m| sum.wrapping_add(element(&[&m]))),
        Value::Hash(c) => c
            .data
            .iter()
            .fold(0u64, |sum, (f, v)| sum.wrapping_add(element(&[f, v]))),
        Value::ZSet(c) => c
            .data
            .iter()
            .fold(0u64, |sum, (m, s)| sum.wrapping_add(zset_element(m, s))),
        Value::Stream(c) => streams::sum(&c.data),
    }
}

/// Computes a value's element sum from scratch and keeps it.
pub fn resum(value: &mut Value) {
    let fresh = sum(value);
    match value {
        Value::Str(_) => {}
        Value::Long(c) => c.sum = fresh,
        Value::List(c) => c.sum = fresh,
        Value::Set(c) => c.sum = fresh,
        Value::Hash(c) => c.sum = fresh,
        Value::ZSet(c) => c.sum = fresh,
        Value::Stream(c) => c.sum = fresh,
    }
}

/// Digest of a list's element at its position.
pub fn list_element(position: i64, value: &[u8]) -> u64 {
    element(&[&position.to_le_bytes(), value])
}

/// Digest of a sorted set's member.
pub fn zset_element(member: &[u8], score: f64) -> u64 {
    element(&[&score.to_bits().to_le_bytes(), member])
}

impl Keyspace {
    /// The digest of the whole data set, in time that depends on the number of databases alone.
    pub fn digest(&self) -> u128 {
        let mut buf = smallvec::SmallVec::<[u8; 320]>::new();
        for (i, db) in self.dbs.iter().enumerate() {
            if db.digest != 0 {
                buf.extend_from_slice(&(i as u32).to_le_bytes());
                buf.extend_from_slice(&db.digest.to_le_bytes());
            }
        }
        if self.system.digest() != 0 {
            buf.extend_from_slice(&self.system.digest().to_le_bytes());
        }
        if buf.is_empty() { 0 } else { xxh3_128(&buf) }
    }

    /// The digest computed from scratch: what [`Keyspace::digest`] must equal.
    pub fn digest_slow(&self) -> u128 {
        let mut copy = Keyspace::new(0, self.seed);
        copy.dbs = self
            .dbs
            .iter()
            .map(|db| {
                let mut sums = Db::new(db.slot);
                sums.digest = db.table.iter().fold(0u128, |sum, e| {
                    let mut e = (**e).clone();
                    resum(&mut e.value);
                    sum.wrapping_add(key(&e))
                });
                sums
            })
            .collect();
        copy.system = self.system.redigested();
        copy.digest()
    }
}
