//! Writing values as Redis 7.2 does.
//!
//! **Invariant.** A value that is small here by its encoding (OBJECT ENCODING) is written in the compact form
//! of that name; what is read back by either side is the same value.

use super::listpack::Builder;
use super::output::{put_int, put_len, put_string};
use super::{ValueRef, kind, legacy, stream};
use crate::base::number;
use crate::data::view::parse_int;
use crate::data::{Limits, List, ZSet};

/// A list's node is a listpack.
const NODE_PACKED: u64 = 2;
/// A node of a list whose limit is a count of elements is at most this large, bytes.
const NODE_SAFE: usize = 8192;

/// The number of the form that [`body`] writes.
pub fn kind(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Str(_) => kind::STRING,
        ValueRef::List(_) => kind::LIST_QUICKLIST_2,
        ValueRef::Set(set) => match set.encoding() {
            "intset" => kind::SET_INTSET,
            "listpack" => kind::SET_LISTPACK,
            _ => kind::SET,
        },
        ValueRef::Hash(hash) if hash.encoding() == "listpack" => kind::HASH_LISTPACK,
        ValueRef::Hash(_) => kind::HASH,
        ValueRef::ZSet(zset) if zset.encoding() == "listpack" => kind::ZSET_LISTPACK,
        ValueRef::ZSet(_) => kind::ZSET_2,
        ValueRef::Stream(_) => kind::STREAM_3,
    }
}

/// Appends the value in the form of its [`kind`].
pub fn body(value: ValueRef<'_>, limits: &Limits, out: &mut Vec<u8>) {
    match value {
        ValueRef::Str(string) if string.encoding() == "int" => {
            put_int(out, string.as_int().unwrap_or_default());
        }
        ValueRef::Str(string) => put_string(out, &string.as_bytes()),
        ValueRef::List(list) => put_list(out, list, limits),
        ValueRef::Set(set) => match kind(value) {
            kind::SET_INTSET => {
                let ints: Vec<i64> = set.iter().filter_map(|m| parse_int(&m)).collect();
                put_string(out, &legacy::put_intset(&ints));
            }
            kind::SET_LISTPACK => {
                let mut pack = Builder::default();
                set.iter().for_each(|member| pack.push(&member));
                put_string(out, &pack.finish());
            }
            _ => {
                put_len(out, set.len() as u64);
                set.iter().for_each(|member| put_string(out, &member));
            }
        },
        ValueRef::Hash(hash) if kind(value) == kind::HASH_LISTPACK => {
            let mut pack = Builder::default();
            for (field, value) in hash.iter() {
                pack.push(field);
                pack.push(value);
            }
            put_string(out, &pack.finish());
        }
        ValueRef::Hash(hash) => {
            put_len(out, hash.len() as u64);
            for (field, value) in hash.iter() {
                put_string(out, field);
                put_string(out, value);
            }
        }
        ValueRef::ZSet(zset) if kind(value) == kind::ZSET_LISTPACK => {
            let mut pack = Builder::default();
            for (member, score) in zset.iter() {
                pack.push(member);
                pack.push(number::format_double(score).as_str().as_bytes());
            }
            put_string(out, &pack.finish());
        }
        ValueRef::ZSet(zset) => put_zset(out, zset),
        ValueRef::Stream(data) => stream::encode(data, limits, out),
    }
}

/// From the last to the first, so that a loader inserts at the front each time.
fn put_zset(out: &mut Vec<u8>, zset: &ZSet) {
    put_len(out, zset.len() as u64);
    for (member, score) in zset.range_by_rank(zset.len().saturating_sub(1), zset.len(), true) {
        put_string(out, member);
        out.extend_from_slice(&score.to_le_bytes());
    }
}

/// In nodes that are as full as list-max-listpack-size allows; a larger element is alone in its own.
fn put_list(out: &mut Vec<u8>, list: &List, limits: &Limits) {
    let (bytes_max, count_max) = match limits.list_max_listpack_size {
        count @ 0.. => (NODE_SAFE, (count as usize).max(1)),
        level => (4096 << ((-level).min(5) - 1), usize::MAX),
    };
    let (mut nodes, mut body) = (0, Vec::new());
    let mut pack = Builder::default();
    let mut close = |pack: &mut Builder| {
        nodes += 1;
        put_len(&mut body, NODE_PACKED);
        put_string(&mut body, &std::mem::take(pack).finish());
    };
    for element in list.iter() {
        // An element takes at most 10 bytes beside its own.
        let full = pack.size() + element.len() + 10 > bytes_max || pack.count() >= count_max;
        if full && pack.count() > 0 {
            close(&mut pack);
        }
        pack.push(element);
    }
    close(&mut pack);
    put_len(out, nodes);
    out.extend_from_slice(&body);
}
