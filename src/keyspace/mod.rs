//! The data set in memory: databases of keys, changed by mutations alone.
//!
//! **Invariant**: every change goes through [`Keyspace::apply`]; commands read and never write.
//! So a leader that executes and a standby that follows run the same code, and equal mutations
//! give equal data, digests and store rows. Expired keys stay until a mutation deletes them:
//! whether a key counts as expired is asked with a service time in hand ([`Entry::expired`]).

pub mod apply;
mod collections;
pub mod digest;
pub mod evict;
pub mod garbage;
mod lists;
pub mod load;
pub mod rows;
pub mod sequence;
mod streams;
pub mod system;
#[cfg(test)]
mod tests;
pub mod undo;
pub mod value;

use std::collections::BTreeSet;

use crate::base::limits::DATABASES_MAX;
use crate::base::rows::Rows;
use crate::data::{Keyed, Limits, Seed, Small, Table};

pub use apply::Diverged;
pub use garbage::{Freed, Garbage};
pub use sequence::Sequence;
pub use system::System;
pub use undo::{Undo, Undos};
pub use value::{Coll, Entry, Value};

/// What applying a mutation leaves for others to do.
#[derive(Default)]
pub struct Effects {
    /// The rows that the store is to write, in order.
    pub rows: Rows,
    /// How to take the changes back, latest last; `None` where nothing will be undone.
    pub undo: Option<Undos>,
    /// What a new key's access clock or counter begins with; see `evict`.
    pub access: u32,
    /// Values that were replaced and are large: to be freed away from requests.
    pub garbage: Garbage,
}

impl Effects {
    /// Notes how a step is undone, where steps are.
    fn undo_by(&mut self, step: impl FnOnce() -> Undo) {
        if let Some(undo) = &mut self.undo {
            undo.push(step());
        }
    }

    /// Effects that can be taken back.
    pub fn undoable() -> Self {
        Effects {
            undo: Some(Undos::default()),
            ..Effects::default()
        }
    }
}

/// One database.
pub struct Db {
    /// Keys in hash order.
    pub table: Table<Box<Entry>>,
    /// The keys that expire, soonest first.
    pub expires: BTreeSet<(u64, Small)>,
    /// Sum of the keys' digests, wrapping.
    pub digest: u128,
    /// Estimated bytes of keys and values.
    pub bytes: u64,
    /// Under which number the store keeps this database's rows: databases swap without rewriting.
    pub slot: u32,
}

impl Db {
    fn new(slot: u32) -> Self {
        Db {
            table: Table::new(),
            expires: BTreeSet::new(),
            digest: 0,
            bytes: 0,
            slot,
        }
    }

    /// The number of keys, expired ones that were not yet deleted included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The setting that says how many databases there are.
const SETTING: &[u8] = b"databases";

/// All databases of a service.
pub struct Keyspace {
    /// Hash seed: the same at all nodes, so that a SCAN cursor means the same everywhere.
    pub seed: Seed,
    /// Thresholds of the compact encodings. They shape memory, not meaning.
    pub limits: Limits,
    /// Scripts, functions, users.
    pub system: System,
    /// Those that were needed so far: they come when a key or the setting asks for them, and stay.
    dbs: Vec<Db>,
    /// What stands for one that nothing needed yet.
    none: Db,
    /// How many there are where no setting says otherwise.
    configured: u32,
    next_gen: u64,
}

impl Keyed for Box<Entry> {
    fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }
}

impl Keyspace {
    /// An empty data set of that many databases, where no setting says otherwise.
    pub fn new(databases: u32, seed: Seed) -> Self {
        Keyspace {
            seed,
            limits: Limits::new(seed),
            system: System::default(),
            dbs: (0..databases).map(Db::new).collect(),
            none: Db::new(u32::MAX),
            configured: databases,
            next_gen: 1,
        }
    }

    /// Takes a hash seed; the data set must be empty.
    pub fn set_seed(&mut self, seed: Seed) {
        self.seed = seed;
        self.limits.seed = seed;
    }

    /// How many databases may have keys: all of them are below this number.
    pub fn databases(&self) -> u32 {
        self.dbs.len() as u32
    }

    /// How many databases there are without a setting.
    pub fn configured(&self) -> u32 {
        self.configured
    }

    /// How many databases SELECT and its kin can choose from.
    pub fn selectable(&self) -> u32 {
        let set = self.system.get(system::Table::Settings, SETTING);
        let set = set.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
        set.unwrap_or(self.configured).min(DATABASES_MAX)
    }

    /// Makes room for a database where that is one that a service may have. Whether it is.
    fn room_for(&mut self, db: u32) -> bool {
        let have = self.dbs.len() as u32;
        if db >= have && db < DATABASES_MAX {
            self.dbs.extend((have..=db).map(Db::new));
        }
        (db as usize) < self.dbs.len()
    }

    /// A database; an empty one stands for what nothing needed yet.
    pub fn db(&self, db: u32) -> &Db {
        self.dbs.get(db as usize).unwrap_or(&self.none)
    }

    /// The entry of a key, expired or not.
    pub fn entry(&self, db: u32, key: &[u8]) -> Option<&Entry> {
        self.db(db)
            .table
            .find(self.seed.hash(key), key)
            .map(|e| &**e)
    }

    /// The entry of a key whose hash is known.
    pub fn entry_at(&self, db: u32, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.db(db).table.find(hash, key).map(|e| &**e)
    }

    /// The entry of a key whose hash is known, for noting an access.
    pub fn entry_at_mut(&mut self, db: u32, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        let table = &mut self.dbs.get_mut(db as usize)?.table;
        table.find_mut(hash, key).map(|e| &mut **e)
    }

    /// The entry of a key for noting an access; nothing else of it may be changed here.
    pub fn entry_mut(&mut self, db: u32, key: &[u8]) -> Option<&mut Entry> {
        self.dbs
            .get_mut(db as usize)?
            .table
            .find_mut(self.seed.hash(key), key)
            .map(|e| &mut **e)
    }

    /// Keys in all databases.
    pub fn len(&self) -> usize {
        self.dbs.iter().map(Db::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimated bytes of all keys and values: what maxmemory is held against.
    pub fn bytes(&self) -> u64 {
        self.dbs.iter().map(|db| db.bytes).sum()
    }

    /// The next generation number: each collection is stored under one of its own.
    pub fn next_gen(&self) -> u64 {
        self.next_gen
    }

    /// Sets the number after an undo or a load.
    pub fn set_next_gen(&mut self, next_gen: u64) {
        self.next_gen = next_gen;
    }
}
