//! Building the data set from the store's rows.
//!
//! Rows arrive in key order within a part, parts on threads of their own: first the keys, then the
//! elements, which belong to keys by generation. Strings are hashed and digested where they are read, and
//! spread so that the table is built at once; collections wait for all of their elements. What came out is held
//! against the digest that was recorded with the rows: a store that lost or changed a row is found here.

use std::collections::{BTreeMap, HashMap};

use crate::base::limits::DATABASES_MAX;
use crate::data::table::{self, Table};
use crate::data::{Hash, List, Seed, Set, Small, Str, Stream, ZSet};

use super::rows::{self, Kind};
use super::value::{Coll, Entry, STR_ROW_MAX, Value};
use super::{Keyspace, digest, streams};

/// Rows that do not make a data set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store has a malformed row, {0}")]
    Malformed(String),
    #[error("the store names database {0}, and a service has at most {1}")]
    Databases(u32, u32),
    #[error(
        "the data loaded from the store has digest {found:032x}, and {recorded:032x} was recorded with it"
    )]
    Digest { found: u128, recorded: u128 },
}

fn malformed(key: &[u8]) -> Error {
    Error::Malformed(String::from_utf8_lossy(key).into_owned())
}

/// The rows of one part.
pub struct Part {
    seed: Seed,
    slots: Vec<(u32, u32)>,
    strings: BTreeMap<u32, Strings>,
    owners: Vec<(u32, Box<Entry>)>,
    elements: Vec<(u64, Elements)>,
    system: Vec<(u8, Row)>,
}

/// The keys of one slot that need no other row, and what a database knows of its keys.
struct Strings {
    /// By [`Table::part`], with their hashes.
    items: Vec<Vec<(u64, Box<Entry>)>>,
    expires: Vec<(u64, Small)>,
    digest: u128,
    bytes: u64,
}

impl Default for Strings {
    fn default() -> Self {
        Strings {
            items: (0..table::PARTS).map(|_| Vec::new()).collect(),
            expires: Vec::new(),
            digest: 0,
            bytes: 0,
        }
    }
}

impl Strings {
    fn take(&mut self, hash: u64, entry: Box<Entry>) {
        self.digest = self.digest.wrapping_add(digest::key(&entry));
        self.bytes += entry.bytes();
        if entry.expire_at != 0 {
            self.expires.push((entry.expire_at, entry.key.clone()));
        }
        self.items[Table::<Box<Entry>>::part(hash)].push((hash, entry));
    }

    fn append(&mut self, other: Strings) {
        self.digest = self.digest.wrapping_add(other.digest);
        self.bytes += other.bytes;
        self.expires.extend(other.expires);
        for (mine, theirs) in self.items.iter_mut().zip(other.items) {
            match mine.is_empty() {
                true => *mine = theirs,
                false => mine.extend(theirs),
            }
        }
    }
}

/// The elements of one generation that one part saw.
#[derive(Default)]
struct Elements(Vec<Row>);

/// An element's name in its row, and its value.
type Row = (Box<[u8]>, Box<[u8]>);

impl Part {
    /// Of a data set whose keys are hashed with `seed`.
    pub fn new(seed: Seed) -> Part {
        Part {
            seed,
            slots: Vec::new(),
            strings: BTreeMap::new(),
            owners: Vec::new(),
            elements: Vec::new(),
            system: Vec::new(),
        }
    }

    /// Takes one row.
    pub fn row(&mut self, key: &[u8], value: &[u8], now_access: u32) -> Result<(), Error> {
        match key.first() {
            Some(&rows::SLOT) => {
                let db = key
                    .get(1..5)
                    .and_then(|b| b.try_into().ok())
                    .map(u32::from_be_bytes);
                let slot = value.try_into().ok().map(u32::from_be_bytes);
                self.slots.push(db.zip(slot).ok_or_else(|| malformed(key))?);
            }
            Some(&rows::KEY) if key.len() >= 5 => {
                let slot = u32::from_be_bytes([key[1], key[2], key[3], key[4]]);
                let (expire_at, kind) = rows::read_key(value).ok_or_else(|| malformed(key))?;
                let value = match kind {
                    Kind::Str(s) => Value::Str(Str::new(s)),
                    Kind::Long { generation, len } => {
                        let len = u32::try_from(len).map_err(|_| malformed(key))?;
                        let zeros = vec![0; len as usize];
                        Value::Long(Box::new(Coll::new(generation, Str::buffer(zeros))))
                    }
                    Kind::List(g) => Value::List(Box::new(Coll::new(g, List::new()))),
                    Kind::Set(g) => Value::Set(Box::new(Coll::new(g, Set::new()))),
                    Kind::Hash(g) => Value::Hash(Box::new(Coll::new(g, Hash::new()))),
                    Kind::ZSet(g) => Value::ZSet(Box::new(Coll::new(g, ZSet::new()))),
                    Kind::Stream(g) => Value::Stream(Box::new(Coll::new(g, Stream::new()))),
                };
                let entry = Box::new(Entry {
                    key: Small::new(&key[5..]),
                    value,
                    expire_at,
                    access: now_access,
                });
                match entry.value.generation() {
                    Some(_) => self.owners.push((slot, entry)),
                    None => {
                        let hash = self.seed.hash(entry.key.as_bytes());
                        self.strings.entry(slot).or_default().take(hash, entry);
                    }
                }
            }
            Some(&rows::ELEMENT) if key.len() >= 9 => {
                let generation =
                    u64::from_be_bytes(key[1..9].try_into().map_err(|_| malformed(key))?);
                if self.elements.last().is_none_or(|(g, _)| *g != generation) {
                    self.elements.push((generation, Elements::default()));
                }
                if let Some((_, elements)) = self.elements.last_mut() {
                    elements.0.push((key[9..].into(), value.into()));
                }
            }
            Some(&rows::SYSTEM) if key.len() >= 2 => {
                self.system.push((key[1], (key[2..].into(), value.into())));
            }
            _ => return Err(malformed(key)),
        }
        Ok(())
    }
}

/// What was recorded with the rows.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    pub databases: u32,
    pub seed: Seed,
    pub next_gen: u64,
    pub digest: u128,
}

fn room_for(ks: &mut Keyspace, db: u32) -> Result<(), Error> {
    match ks.room_for(db) {
        true => Ok(()),
        false => Err(Error::Databases(db, DATABASES_MAX)),
    }
}

/// Builds the data set of all parts, in the order of their key ranges.
pub fn build(
    parts: Vec<Part>,
    recorded: &Recorded,
    limits: crate::data::Limits,
) -> Result<Keyspace, Error> {
    let mut ks = Keyspace::new(recorded.databases, recorded.seed);
    ks.limits = limits;
    ks.limits.seed = recorded.seed;
    ks.next_gen = recorded.next_gen;
    for &(db, slot) in parts.iter().flat_map(|p| &p.slots) {
        room_for(&mut ks, db.max(slot))?;
        ks.dbs[db as usize].slot = slot;
    }
    let slots = ks.dbs.iter().enumerate().map(|(i, db)| (db.slot, i as u32));
    let slots: HashMap<u32, u32> = slots.collect();
    let database = |ks: &mut Keyspace, slot: u32| match slots.get(&slot) {
        Some(db) => Ok(*db),
        // One that a setting made, or makes, and nothing swapped.
        None => room_for(ks, slot).map(|()| slot),
    };
    let mut strings: BTreeMap<u32, Strings> = BTreeMap::new();
    let mut owners: HashMap<u64, (u32, Box<Entry>)> = HashMap::new();
    let mut elements = Vec::new();
    for part in parts {
        for (slot, more) in part.strings {
            strings
                .entry(database(&mut ks, slot)?)
                .or_default()
                .append(more);
        }
        for (slot, entry) in part.owners {
            if let Some(generation) = entry.value.generation() {
                owners.insert(generation, (database(&mut ks, slot)?, entry));
            }
        }
        elements.extend(part.elements);
        for (table, (name, value)) in part.system {
            ks.system.set(table, &name, Some(value.to_vec().into()));
        }
    }
    for (db, strings) in strings {
        let db = &mut ks.dbs[db as usize];
        db.table = Table::of_parts(strings.items);
        db.expires = strings.expires.into_iter().collect();
        db.digest = strings.digest;
        db.bytes = strings.bytes;
    }
    for (generation, part) in elements {
        // Elements without a key: a deletion of theirs that was not written with the key's. Ignored.
        if let Some((_, entry)) = owners.get_mut(&generation) {
            fill(entry, part, &ks)?;
        }
    }
    for (_, (db, mut entry)) in owners {
        digest::resum(&mut entry.value);
        ks.put_entry(db, entry);
    }
    let found = ks.digest();
    if found != recorded.digest {
        return Err(Error::Digest {
            found,
            recorded: recorded.digest,
        });
    }
    Ok(ks)
}

fn fill(entry: &mut Entry, elements: Elements, ks: &Keyspace) -> Result<(), Error> {
    let limits = &ks.limits;
    let bad = |key: &Small| malformed(key.as_bytes());
    match &mut entry.value {
        Value::Str(_) => {}
        Value::Long(c) => {
            for (number, chunk) in elements.0 {
                let number: [u8; 4] = (*number).try_into().map_err(|_| bad(&entry.key))?;
                let from = u32::from_be_bytes(number) as usize * STR_ROW_MAX;
                if from + chunk.len() > c.data.len() {
                    return Err(bad(&entry.key));
                }
                c.data.set_range(from, &chunk);
            }
        }
        Value::List(c) => {
            let mut first = None;
            for (position, value) in elements.0 {
                let position: [u8; 8] = (*position).try_into().map_err(|_| bad(&entry.key))?;
                first.get_or_insert(rows::list_position(position));
                c.data.push_back(&value, limits);
            }
            if let Some(first) = first.filter(|_| c.data.first_pos() == 0) {
                c.data.set_first_pos(first);
            }
        }
        Value::Set(c) => {
            for (member, _) in elements.0 {
                c.data.insert(&member, limits);
            }
        }
        Value::Hash(c) => {
            for (field, value) in elements.0 {
                c.data.set(&field, &value, limits);
            }
        }
        Value::Stream(c) => {
            for (name, value) in elements.0 {
                streams::load_row(&mut c.data, &name, &value, limits)
                    .ok_or_else(|| bad(&entry.key))?;
            }
        }
        Value::ZSet(c) => {
            for (member, score) in elements.0 {
                let bits: [u8; 8] = (*score).try_into().map_err(|_| bad(&entry.key))?;
                c.data
                    .insert(&member, f64::from_bits(u64::from_be_bytes(bits)), limits);
            }
        }
    }
    Ok(())
}
