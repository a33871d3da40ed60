//! Applying mutations: the only code that changes the data set.
//!
//! Each step keeps four things in line: the data, the digest, the byte count and the index of
//! expiries; and says what the store is to write and how the step is undone.

use crate::data::{Hash, List, Set, Small, Str, ZSet};
use crate::mutation::Mutation;

use super::rows::{self, RowOp};
use super::undo::Undo;
use super::value::{Coll, Entry, STR_ROW_MAX, Value};
use super::{Db, Effects, Keyspace, digest};

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
            && db as usize >= self.dbs.len()
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
                self.discard(db, gone, fx);
            }
            Expire { db, key, at } => {
                let was = self
                    .entry(db, key)
                    .ok_or_else(|| diverged("expiry", m))?
                    .expire_at;
                self.set_expiry(db, key, at);
                self.put_key_row(db, key, fx);
                if let Some(undo) = &mut fx.undo {
                    undo.push(Undo::Expire {
                        db,
                        key: Small::new(key),
                        at: was,
                    });
                }
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
                if db as usize >= self.dbs.len() {
                    return Err(diverged("flush", m));
                }
                self.flush(db, fx);
            }
            SwapDb { a, b } => {
                if a.max(b) as usize >= self.dbs.len() {
                    return Err(diverged("swap", m));
                }
                self.dbs.swap(a as usize, b as usize);
                for db in [a, b] {
                    fx.rows.push(rows::put_slot(db, self.dbs[db as usize].slot));
                }
                if let Some(undo) = &mut fx.undo {
                    undo.push(Undo::SwapDb { a, b });
                }
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
        let expires = &mut self.dbs[db as usize].expires;
        if let Some(was) = was.filter(|&was| was != 0) {
            expires.remove(&(was, Small::new(key)));
        }
        if was.is_some() && at != 0 {
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
            access: 0,
        });
        fx.rows
            .push(rows::put_key(self.dbs[db as usize].slot, &entry));
        self.put_entry(db, entry);
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::Entry {
                db,
                key: Small::new(key),
                entry: None,
            });
        }
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
            fx.rows.push(RowOp::Delete {
                key: rows::key_row(self.dbs[db as usize].slot, key),
            });
            if let Some(undo) = &mut fx.undo {
                undo.push(Undo::Entry {
                    db,
                    key: entry.key.clone(),
                    entry: Some(entry),
                });
            }
        }
    }

    fn delete_rows(&self, db: u32, gone: &Entry, fx: &mut Effects) {
        let slot = self.dbs[db as usize].slot;
        fx.rows.push(RowOp::Delete {
            key: rows::key_row(slot, gone.key.as_bytes()),
        });
        fx.rows
            .extend(gone.value.generation().map(rows::delete_generation));
    }

    /// A key's old entry: kept for the undo, or freed.
    fn discard(&mut self, db: u32, gone: Box<Entry>, fx: &mut Effects) {
        match &mut fx.undo {
            Some(undo) => undo.push(Undo::Entry {
                db,
                key: gone.key.clone(),
                entry: Some(gone),
            }),
            None if gone.bytes() > GARBAGE_BYTES => fx.garbage.push(gone),
            None => {}
        }
    }

    fn put_key_row(&self, db: u32, key: &[u8], fx: &mut Effects) {
        if let Some(entry) = self.entry(db, key) {
            fx.rows
                .push(rows::put_key(self.dbs[db as usize].slot, entry));
        }
    }

    // ---- keys -----------------------------------------------------------------------------------

    fn str_set(&mut self, db: u32, key: &[u8], value: &[u8], expire_at: u64, fx: &mut Effects) {
        let old = self.take_entry(db, key);
        let access = old.as_ref().map_or(0, |e| e.access);
        if let Some(generation) = old.as_ref().and_then(|e| e.value.generation()) {
            fx.rows.push(rows::delete_generation(generation));
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
            access,
        });
        rows::put_all(self.dbs[db as usize].slot, &entry, &mut fx.rows);
        self.put_entry(db, entry);
        match old {
            Some(old) => self.discard(db, old, fx),
            None => {
                if let Some(undo) = &mut fx.undo {
                    undo.push(Undo::Entry {
                        db,
                        key: Small::new(key),
                        entry: None,
                    });
                }
            }
        }
    }

    /// A range of a string. The undo keeps the whole old value where it was short, else the key's
    /// old bytes in the range: a long string is not copied for a bit.
    fn str_range(
        &mut self,
        db: u32,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let end = offset.checked_add(bytes.len())?;
        let (old_len, long) = match self.entry(db, key) {
            None => (0, false),
            Some(e) => (e.value.as_str()?.len(), matches!(e.value, Value::Long(_))),
        };
        if !long || fx.undo.is_some() {
            // Short, or to be undone: keep the old entry by value.
            let mut entry = self.take_entry(db, key);
            let undo = fx.undo.is_some().then(|| entry.clone());
            let mut new = entry.take().unwrap_or_else(|| {
                Box::new(Entry {
                    key: Small::new(key),
                    value: Value::Str(Str::new(b"")),
                    expire_at: 0,
                    access: 0,
                })
            });
            let grown_long = matches!(new.value, Value::Str(_)) && old_len.max(end) > STR_ROW_MAX;
            if grown_long && let Value::Str(s) = &mut new.value {
                let data = std::mem::replace(s, Str::new(b""));
                new.value = Value::Long(Box::new(Coll::new(self.new_generation(), data)));
            }
            self.range_in(&mut new, offset, bytes, old_len, grown_long, fx, db);
            self.put_entry(db, new);
            if let (Some(undo), Some(was)) = (&mut fx.undo, undo) {
                undo.push(Undo::Entry {
                    db,
                    key: Small::new(key),
                    entry: was,
                });
            }
        } else {
            let mut entry = self.take_entry(db, key)?;
            self.range_in(&mut entry, offset, bytes, old_len, false, fx, db);
            self.put_entry(db, entry);
        }
        Some(())
    }

    #[allow(clippy::too_many_arguments)]
    fn range_in(
        &self,
        entry: &mut Entry,
        offset: usize,
        bytes: &[u8],
        old_len: usize,
        whole: bool,
        fx: &mut Effects,
        db: u32,
    ) {
        let end = offset + bytes.len();
        match &mut entry.value {
            Value::Str(s) => s.set_range(offset, bytes),
            Value::Long(c) => {
                // Chunks that change: those of the range, and the zero-filled ones before it.
                let from = if whole { 0 } else { offset.min(old_len) };
                let was = if whole {
                    0
                } else {
                    digest::chunks(&c.data.as_bytes(), from, end)
                };
                c.data.set_range(offset, bytes);
                let now = c.data.as_bytes();
                let to = if whole { now.len() } else { end };
                c.sum = c
                    .sum
                    .wrapping_sub(was)
                    .wrapping_add(digest::chunks(&now, from, to));
                rows::put_chunks(c.generation, &now, from, to, &mut fx.rows);
            }
            _ => return,
        }
        if whole || matches!(entry.value, Value::Str(_)) || end > old_len {
            fx.rows
                .push(rows::put_key(self.dbs[db as usize].slot, entry));
        }
    }

    fn rename(
        &mut self,
        db: u32,
        key: &[u8],
        to_db: u32,
        to: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        if to_db as usize >= self.dbs.len() || (db == to_db && key == to) {
            return None;
        }
        let mut entry = self.take_entry(db, key)?;
        let replaced = self.take_entry(to_db, to);
        let slots = (self.dbs[db as usize].slot, self.dbs[to_db as usize].slot);
        fx.rows.push(RowOp::Delete {
            key: rows::key_row(slots.0, key),
        });
        fx.rows.extend(
            replaced
                .as_ref()
                .and_then(|r| r.value.generation())
                .map(rows::delete_generation),
        );
        entry.key = Small::new(to);
        fx.rows.push(rows::put_key(slots.1, &entry));
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
            None => fx.garbage.extend(
                replaced
                    .filter(|r| r.bytes() > GARBAGE_BYTES)
                    .map(|r| r as _),
            ),
        }
        Some(())
    }

    fn copy(&mut self, db: u32, key: &[u8], to_db: u32, to: &[u8], fx: &mut Effects) -> Option<()> {
        if to_db as usize >= self.dbs.len() || (db == to_db && key == to) {
            return None;
        }
        let mut entry = Box::new(self.entry(db, key)?.clone());
        entry.key = Small::new(to);
        if entry.value.generation().is_some() {
            let generation = self.new_generation();
            entry.value.set_generation(generation);
        }
        let old = self.take_entry(to_db, to);
        fx.rows.extend(
            old.as_ref()
                .and_then(|o| o.value.generation())
                .map(rows::delete_generation),
        );
        rows::put_all(self.dbs[to_db as usize].slot, &entry, &mut fx.rows);
        self.put_entry(to_db, entry);
        match old {
            Some(old) => self.discard(to_db, old, fx),
            None => {
                if let Some(undo) = &mut fx.undo {
                    undo.push(Undo::Entry {
                        db: to_db,
                        key: Small::new(to),
                        entry: None,
                    });
                }
            }
        }
        Some(())
    }

    fn flush(&mut self, db: u32, fx: &mut Effects) {
        let slot = self.dbs[db as usize].slot;
        let was = std::mem::replace(&mut self.dbs[db as usize], Db::new(slot));
        fx.rows.push(rows::delete_slot(slot));
        fx.rows.extend(
            was.table
                .iter()
                .filter_map(|e| e.value.generation())
                .map(rows::delete_generation),
        );
        match &mut fx.undo {
            Some(undo) => undo.push(Undo::Db {
                db,
                was: Box::new(was),
            }),
            None => fx.garbage.push(Box::new(was)),
        }
    }

    // ---- collections ----------------------------------------------------------------------------

    fn hash_set(
        &mut self,
        db: u32,
        key: &[u8],
        field: &[u8],
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (was, generation) = self.change(db, key, |entry| {
            let Value::Hash(c) = &mut entry.value else {
                return None;
            };
            let was = c.data.set(field, value, &limits);
            let old = was.as_ref().map_or(0, |v| digest::element(&[field, v]));
            c.sum = c
                .sum
                .wrapping_sub(old)
                .wrapping_add(digest::element(&[field, value]));
            Some((was, c.generation))
        })??;
        fx.rows.push(RowOp::Put {
            key: rows::element_row(generation, field),
            value: value.into(),
        });
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::HashField {
                db,
                key: Small::new(key),
                field: field.into(),
                was,
            });
        }
        Some(())
    }

    fn hash_del(&mut self, db: u32, key: &[u8], field: &[u8], fx: &mut Effects) -> Option<()> {
        let (was, generation) = self.change(db, key, |entry| {
            let Value::Hash(c) = &mut entry.value else {
                return None;
            };
            let was = c.data.remove(field)?;
            c.sum = c.sum.wrapping_sub(digest::element(&[field, &was]));
            Some((was, c.generation))
        })??;
        fx.rows.push(RowOp::Delete {
            key: rows::element_row(generation, field),
        });
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::HashField {
                db,
                key: Small::new(key),
                field: field.into(),
                was: Some(was),
            });
        }
        Some(())
    }

    fn set_change(
        &mut self,
        db: u32,
        key: &[u8],
        member: &[u8],
        add: bool,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let generation = self.change(db, key, |entry| {
            let Value::Set(c) = &mut entry.value else {
                return None;
            };
            let element = digest::element(&[member]);
            if add {
                if !c.data.insert(member, &limits) {
                    return None;
                }
                c.sum = c.sum.wrapping_add(element);
            } else {
                if !c.data.remove(member) {
                    return None;
                }
                c.sum = c.sum.wrapping_sub(element);
            }
            Some(c.generation)
        })??;
        let row = rows::element_row(generation, member);
        fx.rows.push(if add {
            RowOp::Put {
                key: row,
                value: Box::default(),
            }
        } else {
            RowOp::Delete { key: row }
        });
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::SetMember {
                db,
                key: Small::new(key),
                member: member.into(),
                was: !add,
            });
        }
        Some(())
    }

    fn zset_change(
        &mut self,
        db: u32,
        key: &[u8],
        member: &[u8],
        score: Option<f64>,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (was, generation) = self.change(db, key, |entry| {
            let Value::ZSet(c) = &mut entry.value else {
                return None;
            };
            let was = match score {
                Some(score) => c.data.insert(member, score, &limits),
                None => Some(c.data.remove(member)?),
            };
            let element = |s: Option<f64>| s.map_or(0, |s| digest::zset_element(member, s));
            c.sum = c
                .sum
                .wrapping_sub(element(was))
                .wrapping_add(element(score));
            Some((was, c.generation))
        })??;
        let key_row = rows::element_row(generation, member);
        fx.rows.push(match score {
            Some(score) => RowOp::Put {
                key: key_row,
                value: score.to_bits().to_be_bytes().as_slice().into(),
            },
            None => RowOp::Delete { key: key_row },
        });
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::ZSetMember {
                db,
                key: Small::new(key),
                member: member.into(),
                was,
            });
        }
        Some(())
    }

    fn list_push(
        &mut self,
        db: u32,
        key: &[u8],
        front: bool,
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (generation, position) = self.change_list_in(db, key, |c| {
            let position = if front {
                c.data.push_front(value, &limits);
                c.data.first_pos()
            } else {
                c.data.push_back(value, &limits);
                c.data.first_pos() + c.data.len() as i64 - 1
            };
            c.sum = c.sum.wrapping_add(digest::list_element(position, value));
            Some((c.generation, position))
        })?;
        fx.rows.push(RowOp::Put {
            key: rows::list_row(generation, position),
            value: value.into(),
        });
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::ListPushed {
                db,
                key: Small::new(key),
                front,
            });
        }
        Some(())
    }

    fn list_pop(
        &mut self,
        db: u32,
        key: &[u8],
        front: bool,
        count: usize,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let keep = fx.undo.is_some();
        let rows = &mut fx.rows;
        let popped = self.change_list_in(db, key, |c| {
            if count > c.data.len() {
                return None;
            }
            let mut popped = Vec::new();
            for _ in 0..count {
                let position = if front {
                    c.data.first_pos()
                } else {
                    c.data.first_pos() + c.data.len() as i64 - 1
                };
                let value = if front {
                    c.data.pop_front(&limits)?
                } else {
                    c.data.pop_back(&limits)?
                };
                c.sum = c.sum.wrapping_sub(digest::list_element(position, &value));
                rows.push(RowOp::Delete {
                    key: rows::list_row(c.generation, position),
                });
                if keep {
                    popped.push(value);
                }
            }
            Some(popped)
        })?;
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::ListPopped {
                db,
                key: Small::new(key),
                front,
                values: popped,
            });
        }
        Some(())
    }

    fn list_set(
        &mut self,
        db: u32,
        key: &[u8],
        index: usize,
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (was, generation, position) = self.change_list_in(db, key, |c| {
            if index >= c.data.len() {
                return None;
            }
            let position = c.data.first_pos() + index as i64;
            let was = c.data.set(index, value, &limits)?;
            c.sum = c
                .sum
                .wrapping_sub(digest::list_element(position, &was))
                .wrapping_add(digest::list_element(position, value));
            Some((was, c.generation, position))
        })?;
        fx.rows.push(RowOp::Put {
            key: rows::list_row(generation, position),
            value: value.into(),
        });
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::ListSet {
                db,
                key: Small::new(key),
                index,
                was,
            });
        }
        Some(())
    }

    fn list_insert(
        &mut self,
        db: u32,
        key: &[u8],
        index: usize,
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let rows = &mut fx.rows;
        let first_pos = self.change_list_in(db, key, |c| {
            if index > c.data.len() {
                return None;
            }
            let first_pos = c.data.first_pos();
            let low = index < c.data.len() / 2;
            let moved = if low { 0..index } else { index..c.data.len() };
            c.sum = c.sum.wrapping_sub(range_sum(&c.data, moved.clone()));
            c.data.insert(index, value, &limits);
            let moved = if low {
                0..index + 1
            } else {
                index..c.data.len()
            };
            c.sum = c.sum.wrapping_add(range_sum(&c.data, moved.clone()));
            put_range(c, moved, rows);
            Some(first_pos)
        })?;
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::ListInserted {
                db,
                key: Small::new(key),
                index,
                first_pos,
            });
        }
        Some(())
    }

    fn list_remove(&mut self, db: u32, key: &[u8], index: usize, fx: &mut Effects) -> Option<()> {
        let limits = self.limits;
        let rows = &mut fx.rows;
        let (was, first_pos) = self.change_list_in(db, key, |c| {
            let len = c.data.len();
            if index >= len {
                return None;
            }
            let first_pos = c.data.first_pos();
            let low = index < len / 2;
            c.sum = c.sum.wrapping_sub(range_sum(
                &c.data,
                if low { 0..index + 1 } else { index..len },
            ));
            let (was, _) = c.data.remove(index, &limits)?;
            let moved = if low { 0..index } else { index..len - 1 };
            c.sum = c.sum.wrapping_add(range_sum(&c.data, moved.clone()));
            let free = if low {
                first_pos
            } else {
                first_pos + len as i64 - 1
            };
            rows.push(RowOp::Delete {
                key: rows::list_row(c.generation, free),
            });
            put_range(c, moved, rows);
            Some((was, first_pos))
        })?;
        if let Some(undo) = &mut fx.undo {
            undo.push(Undo::ListRemoved {
                db,
                key: Small::new(key),
                index,
                was,
                first_pos,
            });
        }
        Some(())
    }

    fn change_list_in<R>(
        &mut self,
        db: u32,
        key: &[u8],
        f: impl FnOnce(&mut Coll<List>) -> Option<R>,
    ) -> Option<R> {
        self.change(db, key, |entry| match &mut entry.value {
            Value::List(c) => f(c),
            _ => None,
        })?
    }
}

fn range_sum(list: &List, range: std::ops::Range<usize>) -> u64 {
    let first = list.first_pos();
    let values = list.iter_from(range.start).take(range.len());
    range.clone().zip(values).fold(0u64, |sum, (i, v)| {
        sum.wrapping_add(digest::list_element(first + i as i64, v))
    })
}

fn put_range(c: &Coll<List>, range: std::ops::Range<usize>, rows: &mut Vec<RowOp>) {
    let first = c.data.first_pos();
    for (i, value) in range.clone().zip(c.data.iter_from(range.start)) {
        rows.push(RowOp::Put {
            key: rows::list_row(c.generation, first + i as i64),
            value: value.into(),
        });
    }
}
