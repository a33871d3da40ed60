//! The data set as rows of the store.
//!
//! A key has one row: `K`, its database's slot, its name → type, expiry, generation and, for a
//! string of up to `STR_ROW_MAX` bytes, the string. Elements have rows of their own under the
//! generation: `E`, generation, element. `S` and a database number → the slot, where they differ.
//! `X`, a table's number, a name → an entry of `keyspace::system`.
//! Formats are versioned by the store's format row.

use crate::base::rows::Rows;
use crate::mutation::codec::{get_u64, put_u64};

use super::streams;
use super::value::{Entry, STR_ROW_MAX, Value};

pub const KEY: u8 = b'K';
pub const ELEMENT: u8 = b'E';
pub const SLOT: u8 = b'S';
pub const SYSTEM: u8 = b'X';

/// The row key of a key.
pub fn key_row(slot: u32, key: &[u8]) -> Box<[u8]> {
    let mut row = Vec::with_capacity(5 + key.len());
    row.push(KEY);
    row.extend_from_slice(&slot.to_be_bytes());
    row.extend_from_slice(key);
    row.into()
}

/// The row key of an entry of a table beside the databases.
pub fn system_row(table: u8, name: &[u8]) -> Box<[u8]> {
    let mut row = Vec::with_capacity(2 + name.len());
    row.extend_from_slice(&[SYSTEM, table]);
    row.extend_from_slice(name);
    row.into()
}

/// The row key of an element.
pub fn element_row(generation: u64, element: &[u8]) -> Box<[u8]> {
    let mut row = Vec::with_capacity(9 + element.len());
    row.push(ELEMENT);
    row.extend_from_slice(&generation.to_be_bytes());
    row.extend_from_slice(element);
    row.into()
}

/// The row key of a list's element: positions in order as bytes.
pub fn list_row(generation: u64, position: i64) -> Box<[u8]> {
    element_row(generation, &((position as u64) ^ (1 << 63)).to_be_bytes())
}

/// The position in a list's row.
pub fn list_position(element: [u8; 8]) -> i64 {
    (u64::from_be_bytes(element) ^ (1 << 63)) as i64
}

/// Deletes all elements of generations.
pub fn delete_generations(generations: impl IntoIterator<Item = u64>, rows: &mut Rows) {
    for generation in generations {
        rows.delete_range(
            &element_row(generation, &[]),
            &element_row(generation + 1, &[]),
        );
    }
}

/// Deletes all keys of a slot.
pub fn delete_slot(slot: u32, rows: &mut Rows) {
    rows.delete_range(&key_row(slot, &[]), &key_row(slot + 1, &[]));
}

/// Says under which slot a database's rows are.
pub fn put_slot(db: u32, slot: u32, rows: &mut Rows) {
    rows.put_with(&[&[SLOT], &db.to_be_bytes()], |value| {
        value.extend_from_slice(&slot.to_be_bytes());
    });
}

const TYPE_STR: u8 = 0;
const TYPE_LONG: u8 = 1;
const TYPE_LIST: u8 = 2;
const TYPE_SET: u8 = 3;
const TYPE_HASH: u8 = 4;
const TYPE_ZSET: u8 = 5;
const TYPE_STREAM: u8 = 6;

/// What a key's row says.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    Str(&'a [u8]),
    Long { generation: u64, len: u64 },
    List(u64),
    Set(u64),
    Hash(u64),
    ZSet(u64),
    Stream(u64),
}

/// Writes the row of a key.
pub fn put_key(slot: u32, entry: &Entry, rows: &mut Rows) {
    let key = entry.key.as_bytes();
    rows.put_with(&[&[KEY], &slot.to_be_bytes(), key], |value| {
        value.push(match &entry.value {
            Value::Str(_) => TYPE_STR,
            Value::Long(_) => TYPE_LONG,
            Value::List(_) => TYPE_LIST,
            Value::Set(_) => TYPE_SET,
            Value::Hash(_) => TYPE_HASH,
            Value::ZSet(_) => TYPE_ZSET,
            Value::Stream(_) => TYPE_STREAM,
        });
        put_u64(value, entry.expire_at);
        match &entry.value {
            Value::Str(s) => value.extend_from_slice(&s.as_bytes()),
            other => put_u64(value, other.generation().unwrap_or(0)),
        }
        if let Value::Long(c) = &entry.value {
            put_u64(value, c.data.len() as u64);
        }
    });
}

/// Sets the row of an element.
pub fn put_element(generation: u64, element: &[u8], value: &[u8], rows: &mut Rows) {
    let generation = generation.to_be_bytes();
    rows.put_with(&[&[ELEMENT], &generation, element], |buf| {
        buf.extend_from_slice(value);
    });
}

/// Reads the row of a key: its expiry and kind; `None` where it is malformed.
pub fn read_key(mut value: &[u8]) -> Option<(u64, Kind<'_>)> {
    let (&kind, tail) = value.split_first()?;
    value = tail;
    let expire_at = get_u64(&mut value).ok()?;
    if kind == TYPE_STR {
        return Some((expire_at, Kind::Str(value)));
    }
    let generation = get_u64(&mut value).ok()?;
    let kind = match kind {
        TYPE_LONG => Kind::Long {
            generation,
            len: get_u64(&mut value).ok()?,
        },
        TYPE_LIST => Kind::List(generation),
        TYPE_SET => Kind::Set(generation),
        TYPE_HASH => Kind::Hash(generation),
        TYPE_ZSET => Kind::ZSet(generation),
        TYPE_STREAM => Kind::Stream(generation),
        _ => return None,
    };
    Some((expire_at, kind))
}

/// Sets the row of a list's element.
pub fn put_item(generation: u64, position: i64, value: &[u8], rows: &mut Rows) {
    let position = ((position as u64) ^ (1 << 63)).to_be_bytes();
    put_element(generation, &position, value, rows);
}

/// The rows of a long string's chunks that hold bytes `from..to`, each without the zeros that it ends with: one bit
/// far out is a quarter of a GiB of them. The key's row has the length.
pub fn put_chunks(generation: u64, bytes: &[u8], from: usize, to: usize, rows: &mut Rows) {
    for i in from / STR_ROW_MAX..to.min(bytes.len()).div_ceil(STR_ROW_MAX) {
        let chunk = &bytes[i * STR_ROW_MAX..bytes.len().min((i + 1) * STR_ROW_MAX)];
        let end = chunk.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
        put_element(generation, &(i as u32).to_be_bytes(), &chunk[..end], rows);
    }
}

/// All rows of a key and its elements.
pub fn put_all(slot: u32, entry: &Entry, rows: &mut Rows) {
    put_key(slot, entry, rows);
    match &entry.value {
        Value::Str(_) => {}
        Value::Long(c) => put_chunks(c.generation, &c.data.as_bytes(), 0, c.data.len(), rows),
        Value::List(c) => {
            let first = c.data.first_pos();
            for (i, value) in c.data.iter().enumerate() {
                put_item(c.generation, first + i as i64, value, rows);
            }
        }
        Value::Set(c) => {
            for member in c.data.iter() {
                put_element(c.generation, &member, &[], rows);
            }
        }
        Value::Hash(c) => {
            for (field, value) in c.data.iter() {
                put_element(c.generation, field, value, rows);
            }
        }
        Value::ZSet(c) => {
            for (member, score) in c.data.iter() {
                let score = score.to_bits().to_be_bytes();
                put_element(c.generation, member, &score, rows);
            }
        }
        Value::Stream(c) => streams::put_all(c, rows),
    }
}
