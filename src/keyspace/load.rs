//! Building the data set from the store's rows.
//!
//! Rows arrive in key order within a part, parts on threads of their own: first the keys, then the
//! elements, which belong to keys by generation. Strings are hashed and digested where they are read and go into
//! the data set meanwhile, in batches; collections wait for all of their elements. What came out is held
//! against the digest that was recorded with the rows: a store that lost or changed a row is found here.

use std::collections::HashMap;

use crate::data::{Hash, List, Seed, Set, Small, Str, Stream, ZSet};

use super::rows::{self, Kind};
use super::value::{Coll, Entry, STR_ROW_MAX, Value};
use super::{Keyspace, digest, streams};

/// Rows that do not make a data set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store has a malformed row, {0}")]
    Malformed(String),
    #[error(
        "the store names database {0}, and this node is configured with {1}: raise `databases`"
    )]
    Databases(u32, u32),
    #[error(
        "the data loaded from the store has digest {found:032x}, and {recorded:032x} was recorded with it"
    )]
    Digest { found: u128, recorded: u128 },
}

fn malformed(key: &[u8]) -> Error {
    Error::Malformed(String::from_utf8_lossy(key).into_owned())
}

/// Strings that are handed over together.
const BATCH: usize = 1024;

/// The rows of one part.
pub struct Part {
    seed: Seed,
    slots: Vec<(u32, u32)>,
    strings: Vec<Ready>,
    owners: Vec<(u32, Box<Entry>)>,
    elements: Vec<(u64, Elements)>,
    system: Vec<(u8, Row)>,
}

/// A key that needs no other row, with its hash and digest.
struct Ready {
    slot: u32,
    hash: u64,
    digest: u128,
    entry: Box<Entry>,
}

/// Strings on their way into the data set.
pub struct Batch(Vec<Ready>);

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
            strings: Vec::new(),
            owners: Vec::new(),
            elements: Vec::new(),
            system: Vec::new(),
        }
    }

    /// What is there for [`Builder::take`], once it is worth handing over.
    pub fn batch(&mut self) -> Option<Batch> {
        let full = self.strings.len() >= BATCH;
        full.then(|| {
            Batch(std::mem::replace(
                &mut self.strings,
                Vec::with_capacity(BATCH),
            ))
        })
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
                    None => self.strings.push(Ready {
                        slot,
                        hash: self.seed.hash(entry.key.as_bytes()),
                        digest: digest::key(&entry),
                        entry,
                    }),
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

/// A data set that comes to be.
pub struct Builder {
    ks: Keyspace,
    digest: u128,
}

impl Builder {
    /// An empty one.
    pub fn new(recorded: &Recorded, limits: crate::data::Limits) -> Builder {
        let mut ks = Keyspace::new(recorded.databases, recorded.seed);
        ks.limits = limits;
        ks.limits.seed = recorded.seed;
        ks.next_gen = recorded.next_gen;
        let digest = recorded.digest;
        Builder { ks, digest }
    }

    /// Takes strings, of any part and in any order. Until the end they are where their slot says.
    ///
    /// # Errors
    /// [`Error::Databases`].
    pub fn take(&mut self, batch: Batch) -> Result<(), Error> {
        for ready in batch.0 {
            self.knows(ready.slot)?;
            let (slot, hash, digest) = (ready.slot, ready.hash, ready.digest);
            self.ks.put_hashed(slot, hash, digest, ready.entry);
        }
        Ok(())
    }

    fn knows(&self, slot: u32) -> Result<(), Error> {
        let databases = self.ks.dbs.len() as u32;
        let known = slot < databases;
        known.then_some(()).ok_or(Error::Databases(slot, databases))
    }

    /// With all that the parts still have, in the order of their key ranges: the data set.
    ///
    /// # Errors
    /// Rows that do not make one.
    pub fn finish(mut self, parts: Vec<Part>) -> Result<Keyspace, Error> {
        let mut owners: HashMap<u64, (u32, Box<Entry>)> = HashMap::new();
        let (mut elements, mut slots) = (Vec::new(), Vec::new());
        for part in parts {
            self.take(Batch(part.strings))?;
            for (slot, entry) in part.owners {
                self.knows(slot)?;
                if let Some(generation) = entry.value.generation() {
                    owners.insert(generation, (slot, entry));
                }
            }
            elements.extend(part.elements);
            slots.extend(part.slots);
            for (table, (name, value)) in part.system {
                self.ks
                    .system
                    .set(table, &name, Some(value.to_vec().into()));
            }
        }
        for (generation, part) in elements {
            // Elements without a key: a deletion of theirs that was not written with the key's. Ignored.
            if let Some((_, entry)) = owners.get_mut(&generation) {
                fill(entry, part, &self.ks)?;
            }
        }
        for (_, (slot, mut entry)) in owners {
            digest::resum(&mut entry.value);
            self.ks.put_entry(slot, entry);
        }
        self.swap(&slots)?;
        let (found, recorded) = (self.ks.digest(), self.digest);
        if found != recorded {
            return Err(Error::Digest { found, recorded });
        }
        Ok(self.ks)
    }

    /// Brings each database from its slot to its number.
    fn swap(&mut self, slots: &[(u32, u32)]) -> Result<(), Error> {
        let mut order: Vec<u32> = (0..self.ks.dbs.len() as u32).collect();
        for &(db, slot) in slots {
            self.knows(db)?;
            order[db as usize] = slot;
        }
        let mut at: Vec<_> = std::mem::take(&mut self.ks.dbs)
            .into_iter()
            .map(Some)
            .collect();
        for slot in order {
            let db = at.get_mut(slot as usize).and_then(Option::take);
            self.ks.dbs.push(db.ok_or_else(|| {
                Error::Malformed(format!("the slot {slot} of two databases, or of none"))
            })?);
        }
        Ok(())
    }
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
