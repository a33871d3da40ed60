//! Which commit a reply waits for: the keys that changed in batches not yet committed.
//!
//! A reply may leave when everything that its command looked at is committed. Keys are known here
//! by hash: two keys of one hash wait for each other, which is harmless.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// The uncommitted changes by key. Batch numbers count within the current epoch.
#[derive(Default)]
pub struct Gate {
    keys: HashMap<(u32, u64), u64>,
    order: VecDeque<(u64, (u32, u64))>,
    /// Per database, the last batch that changed it as a whole (flush, swap).
    floors: HashMap<u32, u64>,
    /// The last batch that changed anything.
    last: u64,
    /// The last batch that changed a table beside the databases.
    system: u64,
    committed: u64,
}

impl Gate {
    /// A batch changes a key.
    pub fn wrote(&mut self, db: u32, hash: u64, batch: u64) {
        self.last = batch;
        if self.keys.insert((db, hash), batch) != Some(batch) {
            self.order.push_back((batch, (db, hash)));
        }
    }

    /// A batch changes a database as a whole.
    pub fn wrote_db(&mut self, db: u32, batch: u64) {
        self.last = batch;
        self.floors.insert(db, batch);
    }

    /// A batch changes a table beside the databases.
    pub fn wrote_system(&mut self, batch: u64) {
        self.last = batch;
        self.system = batch;
    }

    /// The batch that a look at a table beside the databases waits for; 0: none. Every request looks at the users'.
    pub fn system(&self) -> u64 {
        if self.system > self.committed {
            self.system
        } else {
            0
        }
    }

    /// The batch that a look at a key waits for; 0: none.
    pub fn key(&self, db: u32, hash: u64) -> u64 {
        if self.last <= self.committed {
            return 0;
        }
        let key = self.keys.get(&(db, hash)).copied().unwrap_or(0);
        let floor = self.floors.get(&db).copied().unwrap_or(0);
        let batch = key.max(floor);
        if batch > self.committed { batch } else { 0 }
    }

    /// The batch that a look at a whole database waits for; 0: none.
    pub fn all(&self) -> u64 {
        if self.last > self.committed {
            self.last
        } else {
            0
        }
    }

    /// Batches up to this one are committed.
    pub fn commit(&mut self, batch: u64) {
        self.committed = batch;
        while let Some(&(wrote, key)) = self.order.front().filter(|(wrote, _)| *wrote <= batch) {
            self.order.pop_front();
            if self.keys.get(&key) == Some(&wrote) {
                self.keys.remove(&key);
            }
        }
        self.floors.retain(|_, &mut floor| floor > batch);
    }

    /// The epoch ended: nothing is uncommitted.
    pub fn clear(&mut self) {
        *self = Gate::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_for_its_last_uncommitted_batch() {
        let mut gate = Gate::default();
        assert_eq!(gate.key(0, 7), 0);
        gate.wrote(0, 7, 1);
        gate.wrote(0, 8, 1);
        gate.wrote(0, 7, 2);
        assert_eq!(
            (gate.key(0, 7), gate.key(0, 8), gate.key(1, 7), gate.all()),
            (2, 1, 0, 2)
        );
        gate.commit(1);
        assert_eq!((gate.key(0, 7), gate.key(0, 8)), (2, 0));
        gate.wrote_db(1, 3);
        assert_eq!((gate.key(1, 99), gate.key(0, 99)), (3, 0));
        gate.commit(3);
        assert_eq!((gate.key(0, 7), gate.key(1, 99), gate.all()), (0, 0, 0));
    }
}
