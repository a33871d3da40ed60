//! Applying mutations: the only code that changes the data set.
//!
//! Each step keeps four things in line: the data, the digest, the byte count and the index of
//! expiries; and says what the store is to write and how the step is undone.

use crate::data::{Hash, List, Set, Small, Str, Stream, ZSet};
use crate::mutation::Mutation;

use super::rows;
use super::undo::Undo;
use super::value::{Coll, Entry, STR_ROW_MAX, Value};
use super::{Db, Effects, Keyspace, digest, garbage};

/// Values of more bytes than this are freed in the background.
const GARBAGE_BYTES: u64 = 64 * 1024;

/// A mutation that cannot apply to this data: the node's data is not what its peers have. It must stop.
#[derive(Debug, thiserror::Error)]
#[error("the data set differs from the leader's: {what} of key {key:?} in database {db}")]
pub struct Diverged {
    what: &'static str,
    db: u32,
    key: String,
}

fn diverged(what: &'static str, m: &Mutation<'_>) -> Diverged {
    let (db, key) = m.key().unwrap_or((0, b""));
    Diverged {
        what,
        db,
        key: String::from_utf8_lossy(key).into_owned(),
    }
}

impl Keyspace {
    /// Applies one mutation. An error means that this node's data has diverged; nothing was changed.
    pub fn apply(&mut self, m: &Mutation<'_>, fx: &mut Effects) -> Result<(), Diverged> {
        use Mutation::*;
        if let Some((db, _)) = m.key()
            && !self.room_for(db)
        {
            return Err(diverged("a database that this node does not have", m));
        }
        match *m {
            StrSet {
                db,
                key,
                value,
                expire_at,
            } => self.str_set(db, key, value, expire_at, fx),
            StrRange {
                db,
                key,
                offset,
                bytes,
            } => {
                let offset = usize::try_from(offset).map_err(|_| diverged("range", m))?;
                return self
                    .str_range(db, key, offset, bytes, fx)
                    .ok_or_else(|| diverged("the string", m));
            }
            Del { db, key } => {
                let gone = self
                    .take_entry(db, key)
                    .ok_or_else(|| diverged("deletion", m))?;
                self.delete_rows(db, &gone, fx);
                Self::replaced(db, key, Some(gone), fx);
            }
            Expire { db, key, at } => {
                let was = self
                    .entry(db, key)
                    .ok_or_else(|| diverged("expiry", m))?
                    .expire_at;
                self.set_expiry(db, key, at);
                self.put_key_row(db, key, fx);
                fx.undo_by(|| Undo::Expire {
                    db,
                    key: Small::new(key),
                    at: was,
                });
            }
            Rename { db, key, to_db, to } => {
                return self
                    .rename(db, key, to_db, to, fx)
                    .ok_or_else(|| diverged("renaming", m));
            }
            Copy { db, key, to_db, to } => {
                return self
                    .copy(db, key, to_db, to, fx)
                    .ok_or_else(|| diverged("copying", m));
            }
            FlushDb { db } => {
                if !self.room_for(db) {
                    return Err(diverged("flush", m));
                }
                self.flush(db, fx);
            }
            SwapDb { a, b } => {
                if !self.room_for(a.max(b)) {
                    return Err(diverged("swap", m));
                }
                self.dbs.swap(a as usize, b as usize);
                for db in [a, b] {
                    rows::put_slot(db, self.dbs[db as usize].slot, &mut fx.rows);
                }
                fx.undo_by(|| Undo::SwapDb { a, b });
            }
            SystemPut { table, name, value } => {
                self.system_set(table, name, Some(value), fx);
            }
            SystemDel { table, name } => {
                return self
                    .system_set(table, name, None, fx)
                    .ok_or_else(|| diverged("a table's entry", m));
            }
            HashSet {
                db,
                key,
                field,
                value,
            } => {
                self.ensure(
                    db,
                    key,
                    |g| Value::Hash(Box::new(Coll::new(g, Hash::new()))),
                    fx,
                );
                return self
                    .hash_set(db, key, field, value, fx)
                    .ok_or_else(|| diverged("the hash", m));
            }
            HashDel { db, key, field } => {
                self.hash_del(db, key, field, fx)
                    .ok_or_else(|| diverged("the hash", m))?;
                self.drop_if_empty(db, key, fx);
            }
            SetAdd { db, key, member } => {
                self.ensure(
                    db,
                    key,
                    |g| Value::Set(Box::new(Coll::new(g, Set::new()))),
                    fx,
                );
                return self
                    .set_change(db, key, member, true, fx)
                    .ok_or_else(|| diverged("the set", m));
            }
            SetDel { db, key, member } => {
                self.set_change(db, key, member, false, fx)
                    .ok_or_else(|| diverged("the set", m))?;
                self.drop_if_empty(db, key, fx);
            }
            ZSetAdd {
                db,
                key,
                member,
                score,
            } => {
                self.ensure(
                    db,
                    key,
                    |g| Value::ZSet(Box::new(Coll::new(g, ZSet::new()))),
                    fx,
                );
                let done = self.zset_change(db, key, member, Some(score), fx);
                return done.ok_or_else(|| diverged("the sorted set", m));
            }
            ZSetDel { db, key, member } => {
                self.zset_change(db, key, member, None, fx)
                    .ok_or_else(|| diverged("the sorted set", m))?;
                self.drop_if_empty(db, key, fx);
            }
            ListPush {
                db,
                key,
                front,
                value,
            } => {
                self.ensure(
                    db,
                    key,
                    |g| Value::List(Box::new(Coll::new(g, List::new()))),
                    fx,
                );
                return self
                    .list_push(db, key, front, value, fx)
                    .ok_or_else(|| diverged("the list", m));
            }
            ListPop {
                db,
                key,
                front,
                count,
            } => {
                let count = usize::try_from(count).map_err(|_| diverged("the list", m))?;
                self.list_pop(db, key, front, count, fx)
                    .ok_or_else(|| diverged("the list", m))?;
                self.drop_if_empty(db, key, fx);
            }
            ListSet {
                db,
                key,
                index,
                value,
            } => {
                let index = usize::try_from(index).map_err(|_| diverged("the list", m))?;
                return self
                    .list_set(db, key, index, value, fx)
                    .ok_or_else(|| diverged("the list", m));
            }
            ListInsert {
                db,
                key,
                index,
                value,
            } => {
                let index = usize::try_from(index).map_err(|_| diverged("the list", m))?;
                return self
                    .list_insert(db, key, index, value, fx)
                    .ok_or_else(|| diverged("the list", m));
            }
            ListRemove { db, key, index } => {
                let index = usize::try_from(index).map_err(|_| diverged("the list", m))?;
                self.list_remove(db, key, index, fx)
                    .ok_or_else(|| diverged("the list", m))?;
                self.drop_if_empty(db, key, fx);
            }
            StreamAdd { .. }
            | StreamDel { .. }
            | StreamTrim { .. }
            | StreamSet { .. }
            | StreamGroup { .. }
            | StreamGroupDel { .. }
            | StreamConsumer { .. }
            | StreamConsumerDel { .. }
            | StreamPending { .. }
            | StreamAck { .. } => {
                if let StreamAdd {
                    db, key, id: 1.., ..
                }
                | StreamSet { db, key, .. } = *m
                {
                    let empty = |g| Value::Stream(Box::new(Coll::new(g, Stream::new())));
                    self.ensure(db, key, empty, fx);
                }
                return self
                    .stream_change(m, fx)
                    .ok_or_else(|| diverged("the stream", m));
            }
        }
        Ok(())
    }

    // ---- entries: what keeps digest, bytes and expiries in line --------------------------------

    /// Inserts an entry whose key is absent.
    pub(super) fn put_entry(&mut self, db: u32, entry: Box<Entry>) {
        let hash = self.seed.hash(entry.key.as_bytes());
        let seed = self.seed;
        let db = &mut self.dbs[db as usize];
        db.digest = db.digest.wrapping_add(digest::key(&entry));
        db.bytes += entry.bytes();
        if entry.expire_at != 0 {
            db.expires.insert((entry.expire_at, entry.key.clone()));
        }
        db.table.insert_new(hash, entry, &seed);
    }

    /// Removes an entry.
    pub(super) fn take_entry(&mut self, db: u32, key: &[u8]) -> Option<Box<Entry>> {
        let seed = self.seed;
        let db = &mut self.dbs[db as usize];
        let entry = db.table.remove(seed.hash(key), key)?;
        db.digest = db.digest.wrapping_sub(digest::key(&entry));
        db.bytes -= entry.bytes();
        if entry.expire_at != 0 {
            db.expires.remove(&(entry.expire_at, entry.key.clone()));
        }
        Some(entry)
    }

    /// Changes an entry's value in place.
    pub(super) fn change<R>(
        &mut self,
        db: u32,
        key: &[u8],
        f: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let hash = self.seed.hash(key);
        let db = &mut self.dbs[db as usize];
        let entry = db.table.find_mut(hash, key)?;
        let (digest_was, bytes_was) = (digest::key(entry), entry.bytes());
        let result = f(entry);
        db.digest = db
            .digest
            .wrapping_sub(digest_was)
            .wrapping_add(digest::key(entry));
        db.bytes = db.bytes - bytes_was + entry.bytes();
        Some(result)
    }

    pub(super) fn set_expiry(&mut self, db: u32, key: &[u8], at: u64) {
        let was = self.change(db, key, |entry| std::mem::replace(&mut entry.expire_at, at));
        if let Some(was) = was {
            self.move_expiry(db, key, was, at);
        }
    }

    /// Every key of one slice that expires does so later.
    ///
    /// # Errors
    /// When a mutation does not fit.
    pub fn shift_expiry(
        &mut self,
        by_ms: u64,
        (slice, of): (u64, u64),
        fx: &mut Effects,
    ) -> Result<(), Diverged> {
        let seed = self.seed;
        let mine = |key: &Small| of <= 1 || seed.hash(key.as_bytes()) % of == slice;
        for db in 0..self.databases() {
            let expires = self.dbs[db as usize].expires.iter();
            let keys: Vec<(u64, Small)> = expires.filter(|(_, k)| mine(k)).cloned().collect();
            for (at, key) in keys {
                let (key, at) = (key.as_bytes(), at.saturating_add(by_ms));
                self.apply(&Mutation::Expire { db, key, at }, fx)?;
            }
        }
        Ok(())
    }

    /// A key that was to expire at one time expires at another; 0: never.
    fn move_expiry(&mut self, db: u32, key: &[u8], was: u64, at: u64) {
        if was == at {
            return;
        }
        let expires = &mut self.dbs[db as usize].expires;
        if was != 0 {
            expires.remove(&(was, Small::new(key)));
        }
        if at != 0 {
            expires.insert((at, Small::new(key)));
        }
    }

    /// Makes the key hold an empty collection where it is absent.
    fn ensure(&mut self, db: u32, key: &[u8], empty: impl FnOnce(u64) -> Value, fx: &mut Effects) {
        if self.entry(db, key).is_some() {
            return;
        }
        let generation = self.new_generation();
        let entry = Box::new(Entry {
            key: Small::new(key),
            value: empty(generation),
            expire_at: 0,
            access: fx.access,
        });
        rows::put_key(self.dbs[db as usize].slot, &entry, &mut fx.rows);
        self.put_entry(db, entry);
        Self::replaced(db, key, None, fx);
    }

    fn new_generation(&mut self) -> u64 {
        let generation = self.next_gen;
        self.next_gen += 1;
        generation
    }

    fn drop_if_empty(&mut self, db: u32, key: &[u8], fx: &mut Effects) {
        if self.entry(db, key).is_some_and(|e| e.value.elements() == 0)
            && let Some(entry) = self.take_entry(db, key)
        {
            fx.rows
                .delete(&rows::key_row(self.dbs[db as usize].slot, key));
            fx.undo_by(|| Undo::Entry {
                db,
                key: entry.key.clone(),
                entry: Some(entry),
            });
        }
    }

    fn delete_rows(&self, db: u32, gone: &Entry, fx: &mut Effects) {
        let slot = self.dbs[db as usize].slot;
        fx.rows.delete(&rows::key_row(slot, gone.key.as_bytes()));
        rows::delete_generations(gone.value.generation(), &mut fx.rows);
    }

    /// Frees what nothing will be undone to: here, or elsewhere where it is large.
    fn discard(was: Box<Entry>, fx: &mut Effects) {
        if was.bytes() > GARBAGE_BYTES {
            let objects = garbage::objects_of(&was);
            fx.garbage.push(was, objects);
        }
    }

    /// What a key held before, or nothing: kept for the undo, else freed.
    fn replaced(db: u32, key: &[u8], was: Option<Box<Entry>>, fx: &mut Effects) {
        match (&mut fx.undo, was) {
            (Some(undo), entry) => undo.push(Undo::Entry {
                db,
                key: Small::new(key),
                entry,
            }),
            (None, Some(was)) => Self::discard(was, fx),
            (None, _) => {}
        }
    }

    fn put_key_row(&self, db: u32, key: &[u8], fx: &mut Effects) {
        if let Some(entry) = self.entry(db, key) {
            rows::put_key(self.dbs[db as usize].slot, entry, &mut fx.rows);
        }
    }

    // ---- keys -----------------------------------------------------------------------------------

    fn str_set(&mut self, db: u32, key: &[u8], value: &[u8], expire_at: u64, fx: &mut Effects) {
        if value.len() <= STR_ROW_MAX && self.str_replace(db, key, value, expire_at, fx) {
            return;
        }
        let value = if value.len() <= STR_ROW_MAX {
            Value::Str(Str::new(value))
        } else {
            let mut c = Coll::new(self.new_generation(), Str::new(value));
            c.sum = digest::chunks(value, 0, value.len());
            Value::Long(Box::new(c))
        };
        let entry = Box::new(Entry {
            key: Small::new(key),
            value,
            expire_at,
            access: fx.access,
        });
        let old = self.replace_entry(db, entry, fx);
        Self::replaced(db, key, old, fx);
    }

    /// SET where a short string takes the place of another, which is most of what a cache does: the entry stays where it
    /// is, and with strings of one length so does the block of its bytes. Says whether it did.
    fn str_replace(
        &mut self,
        db: u32,
        key: &[u8],
        value: &[u8],
        expire_at: u64,
        fx: &mut Effects,
    ) -> bool {
        let slot = self.dbs[db as usize].slot;
        let replaced = self.change(db, key, |entry| {
            let Value::Str(was) = &mut entry.value else {
                return None;
            };
            let expired_at = std::mem::replace(&mut entry.expire_at, expire_at);
            if was.takes(value) {
                if let Some(undo) = &mut fx.undo {
                    undo.push_bytes(db, key, expired_at, &was.as_bytes());
                }
                was.overwrite(value);
            } else {
                let was = std::mem::replace(was, Str::new(value));
                fx.undo_by(|| Undo::Str {
                    db,
                    key: Small::new(key),
                    expire_at: expired_at,
                    was,
                });
            }
            rows::put_key(slot, entry, &mut fx.rows);
            Some(expired_at)
        });
        let Some(expired_at) = replaced.flatten() else {
            return false;
        };
        self.move_expiry(db, key, expired_at, expire_at);
        true
    }

    /// Puts an entry in the place of the one with the same key, which keeps its access clock, and writes the rows
    /// of both.
    fn replace_entry(
        &mut self,
        db: u32,
        mut entry: Box<Entry>,
        fx: &mut Effects,
    ) -> Option<Box<Entry>> {
        let seed = self.seed;
        let hash = seed.hash(entry.key.as_bytes());
        let at = &mut self.dbs[db as usize];
        let Some(place) = at.table.find_mut(hash, entry.key.as_bytes()) else {
            rows::put_all(at.slot, &entry, &mut fx.rows);
            self.put_entry(db, entry);
            return None;
        };
        entry.access = place.access;
        let generation = place.value.generation();
        rows::delete_generations(generation, &mut fx.rows);
        rows::put_all(at.slot, &entry, &mut fx.rows);
        at.digest = at
            .digest
            .wrapping_sub(digest::key(place))
            .wrapping_add(digest::key(&entry));
        at.bytes = at.bytes - place.bytes() + entry.bytes();
        if place.expire_at != 0 {
            at.expires.remove(&(place.expire_at, place.key.clone()));
        }
        if entry.expire_at != 0 {
            at.expires.insert((entry.expire_at, entry.key.clone()));
        }
        Some(std::mem::replace(place, entry))
    }

    /// A range of a string. The undo keeps a short string whole, and of a long one the bytes of the
    /// range alone: setting a bit of a large bitmap copies none of it.
    fn str_range(
        &mut self,
        db: u32,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let end = offset.checked_add(bytes.len())?;
        if let Some(Value::Long(_)) = self.entry(db, key).map(|e| &e.value) {
            return self.long_range(db, key, offset, bytes, fx);
        }
        let was = self.take_entry(db, key);
        let mut string = match was.as_ref().map(|e| &e.value) {
            None => Str::new(b""),
            Some(Value::Str(s)) => s.clone(),
            Some(_) => {
                was.into_iter().for_each(|e| self.put_entry(db, e));
                return None;
            }
        };
        string.set_range(offset, bytes);
        let value = if string.len().max(end) > STR_ROW_MAX {
            let mut c = Coll::new(self.new_generation(), string);
            c.sum = digest::chunks(&c.data.as_bytes(), 0, c.data.len());
            Value::Long(Box::new(c))
        } else {
            Value::Str(string)
        };
        let entry = Box::new(Entry {
            key: Small::new(key),
            value,
            expire_at: was.as_ref().map_or(0, |e| e.expire_at),
            access: was.as_ref().map_or(fx.access, |e| e.access),
        });
        rows::put_all(self.dbs[db as usize].slot, &entry, &mut fx.rows);
        self.put_entry(db, entry);
        Self::replaced(db, key, was, fx);
        Some(())
    }

    fn long_range(
        &mut self,
        db: u32,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let end = offset + bytes.len();
        let rows = &mut fx.rows;
        let (was, old_len) = self.change(db, key, |entry| {
            let Value::Long(c) = &mut entry.value else {
                return None;
            };
            let old_len = c.data.len();
            // Chunks that change: those of the range, and the zero-filled ones before it.
            let from = offset.min(old_len);
            let was: Box<[u8]> = c.data.as_bytes()[from..end.clamp(from, old_len)].into();
            let sum = digest::chunks(&c.data.as_bytes(), from, end);
            c.data.set_range(offset, bytes);
            let now = c.data.as_bytes();
            let sum_now = digest::chunks(&now, from, end);
            rows::put_chunks(c.generation, &now, from, end, rows);
            c.sum = c.sum.wrapping_sub(sum).wrapping_add(sum_now);
            Some((was, old_len))
        })??;
        if end > old_len {
            self.put_key_row(db, key, fx);
        }
        fx.undo_by(|| Undo::LongRange {
            db,
            key: Small::new(key),
            offset: offset.min(old_len),
            was,
            old_len,
        });
        Some(())
    }

    fn rename(
        &mut self,
        db: u32,
        key: &[u8],
        to_db: u32,
        to: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        if !self.room_for(to_db) || (db == to_db && key == to) {
            return None;
        }
        let mut entry = self.take_entry(db, key)?;
        let replaced = self.take_entry(to_db, to);
        let slots = (self.dbs[db as usize].slot, self.dbs[to_db as usize].slot);
        fx.rows.delete(&rows::key_row(slots.0, key));
        rows::delete_generations(
            replaced.as_ref().and_then(|r| r.value.generation()),
            &mut fx.rows,
        );
        entry.key = Small::new(to);
        rows::put_key(slots.1, &entry, &mut fx.rows);
        self.put_entry(to_db, entry);
        match &mut fx.undo {
            Some(undo) => {
                undo.push(Undo::Rename {
                    db,
                    key: Small::new(key),
                    to_db,
                    to: Small::new(to),
                    replaced,
                });
            }
            None => {
                if let Some(was) = replaced {
                    Self::discard(was, fx);
                }
            }
        }
        Some(())
    }

    fn copy(&mut self, db: u32, key: &[u8], to_db: u32, to: &[u8], fx: &mut Effects) -> Option<()> {
        if !self.room_for(to_db) || (db == to_db && key == to) {
            return None;
        }
        let mut entry = Box::new(self.entry(db, key)?.clone());
        entry.key = Small::new(to);
        entry.access = fx.access;
        if entry.value.generation().is_some() {
            let generation = self.new_generation();
            entry.value.set_generation(generation);
        }
        let old = self.take_entry(to_db, to);
        rows::delete_generations(
            old.as_ref().and_then(|o| o.value.generation()),
            &mut fx.rows,
        );
        rows::put_all(self.dbs[to_db as usize].slot, &entry, &mut fx.rows);
        self.put_entry(to_db, entry);
        Self::replaced(to_db, to, old, fx);
        Some(())
    }

    fn flush(&mut self, db: u32, fx: &mut Effects) {
        let slot = self.dbs[db as usize].slot;
        let was = std::mem::replace(&mut self.dbs[db as usize], Db::new(slot));
        rows::delete_slot(slot, &mut fx.rows);
        rows::delete_generations(
            was.table.iter().filter_map(|e| e.value.generation()),
            &mut fx.rows,
        );
        match &mut fx.undo {
            Some(undo) => undo.push(Undo::Db {
                db,
                was: Box::new(was),
            }),
            None => {
                let objects = was.table.len() as u64;
                fx.garbage.push(Box::new(was), objects);
            }
        }
    }
}
