//! Reading values in every encoding since RDB version 6.
//!
//! **Invariants.** A value is built whole, in the encoding that the limits in force give it, or there is an
//! error. No collection is empty, no set, hash or sorted set has an element twice, no score is NaN.

use std::io::Read;

use super::input::Input;
use super::{Error, Value, kind, legacy, listpack, stream};
use crate::data::{Hash, Limits, List, Set, Str, View, ZSet};

/// How a list's node lies in a quicklist.
const NODE_PLAIN: u64 = 1;
const NODE_PACKED: u64 = 2;

const TWICE: Error = Error::Corrupt("an element is there twice");
const ODD: Error = Error::Corrupt("a field without a value");
const SCORE: Error = Error::Corrupt("a score");

/// Reads the value whose kind was read.
pub fn value<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<Value, Error> {
    input.next_value();
    let value = match kind {
        kind::STRING => return Ok(Value::Str(Str::new(&input.string()?))),
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            let list = list(input, kind, limits)?;
            (!list.is_empty()).then_some(Value::List(list))
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => {
            let set = set(input, kind, limits)?;
            (!set.is_empty()).then_some(Value::Set(set))
        }
        kind::HASH | kind::HASH_ZIPMAP | kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
            let hash = hash(input, kind, limits)?;
            (!hash.is_empty()).then_some(Value::Hash(hash))
        }
        kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
            let zset = zset(input, kind, limits)?;
            (!zset.is_empty()).then_some(Value::ZSet(zset))
        }
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
            return Ok(Value::Stream(stream::decode(input, kind, limits)?));
        }
        kind::MODULE => return Err(Error::Module(module(input)?)),
        _ => return Err(Error::Unknown(kind)),
    };
    value.ok_or(Error::Empty)
}

/// Reads elements one by one, as many as a count before them says.
fn each<R: Read>(
    input: &mut Input<R>,
    mut take: impl FnMut(&mut Input<R>) -> Result<(), Error>,
) -> Result<(), Error> {
    let count = input.count()?;
    for _ in 0..count {
        take(input)?;
    }
    Ok(())
}

fn list<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<List, Error> {
    let mut list = List::new();
    let mut push = |bytes: &[u8]| list.push_back(bytes, limits);
    match kind {
        kind::LIST => each(input, |input| {
            push(&input.string()?);
            Ok(())
        })?,
        kind::LIST_ZIPLIST => {
            for entry in legacy::ziplist(&input.string()?)? {
                push(&entry?);
            }
        }
        kind::LIST_QUICKLIST => each(input, |input| {
            for entry in legacy::ziplist(&input.string()?)? {
                push(&entry?);
            }
            Ok(())
        })?,
        _ => each(input, |input| match input.count()? {
            NODE_PLAIN => {
                push(&input.string()?);
                Ok(())
            }
            NODE_PACKED => {
                for entry in listpack::entries(&input.string()?)? {
                    push(&entry?);
                }
                Ok(())
            }
            _ => Err(Error::Corrupt("a list's node")),
        })?,
    }
    Ok(list)
}

fn set<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<Set, Error> {
    let mut set = Set::new();
    let mut add = |bytes: &[u8]| match set.insert(bytes, limits) {
        true => Ok(()),
        false => Err(TWICE),
    };
    match kind {
        kind::SET => each(input, |input| add(&input.string()?))?,
        kind::SET_INTSET => {
            for int in legacy::intset(&input.string()?)? {
                add(&int?)?;
            }
        }
        _ => {
            for entry in listpack::entries(&input.string()?)? {
                add(&entry?)?;
            }
        }
    }
    Ok(set)
}

/// Calls `take` with each two entries that stand together.
fn pairs<'a>(
    mut entries: impl Iterator<Item = Result<View<'a>, Error>>,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    while let Some(first) = entries.next() {
        take(&first?, &entries.next().ok_or(ODD)??)?;
    }
    Ok(())
}

fn hash<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<Hash, Error> {
    let mut hash = Hash::new();
    let mut set = |field: &[u8], value: &[u8]| match hash.set(field, value, limits) {
        None => Ok(()),
        Some(_) => Err(TWICE),
    };
    match kind {
        kind::HASH => each(input, |input| set(&input.string()?, &input.string()?))?,
        kind::HASH_ZIPMAP => pairs(legacy::zipmap(&input.string()?)?, set)?,
        kind::HASH_ZIPLIST => pairs(legacy::ziplist(&input.string()?)?, set)?,
        _ => pairs(listpack::entries(&input.string()?)?, set)?,
    }
    Ok(hash)
}

/// A score that is an entry's text.
fn score(text: &[u8]) -> Result<f64, Error> {
    let text = std::str::from_utf8(text).map_err(|_| SCORE)?;
    text.parse().map_err(|_| SCORE)
}

fn zset<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<ZSet, Error> {
    let mut zset = ZSet::new();
    let mut add = |member: &[u8], score: f64| {
        if score.is_nan() {
            return Err(SCORE);
        }
        match zset.insert(member, score, limits) {
            None => Ok(()),
            Some(_) => Err(TWICE),
        }
    };
    match kind {
        kind::ZSET => each(input, |input| add(&input.string()?, input.double_text()?))?,
        kind::ZSET_2 => each(input, |input| add(&input.string()?, input.double()?))?,
        kind::ZSET_ZIPLIST => pairs(legacy::ziplist(&input.string()?)?, |m, s| add(m, score(s)?))?,
        _ => pairs(listpack::entries(&input.string()?)?, |m, s| {
            add(m, score(s)?)
        })?,
    }
    Ok(zset)
}

/// Skips what a module wrote; the module's name.
pub fn module<R: Read>(input: &mut Input<R>) -> Result<String, Error> {
    let name = module_name(input.count()?);
    module_parts(input)?;
    Ok(name)
}

/// Skips what a module wrote beside the keys; the module's name.
pub fn module_aux<R: Read>(input: &mut Input<R>) -> Result<String, Error> {
    let name = module_name(input.count()?);
    // When it is to be read: an opcode and a number.
    input.count()?;
    input.count()?;
    module_parts(input)?;
    Ok(name)
}

fn module_parts<R: Read>(input: &mut Input<R>) -> Result<(), Error> {
    loop {
        match input.count()? {
            0 => return Ok(()),
            1 | 2 => drop(input.count()?),
            3 => drop(input.array::<4>()?),
            4 => drop(input.array::<8>()?),
            5 => drop(input.string()?),
            _ => return Err(Error::Corrupt("a module's value")),
        }
    }
}

/// The nine characters of a module type's name, in its number's upper bits by six each.
fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let character = |i: u32| CHARACTERS[(id >> (58 - 6 * i) & 63) as usize] as char;
    (0..9).map(character).collect()
}
