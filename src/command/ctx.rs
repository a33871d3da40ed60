//! What a command sees of the data set, and its one way to change it.
//!
//! Every look at a key goes through here: it deletes what has expired (by a mutation, at the
//! leader), notes the access for eviction, and raises the batch number that the reply waits for.

use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;

use crate::data::{Hash, List, Set, Str, Stream, ZSet};
use crate::keyspace::{Entry, Keyspace, Value, evict};
use crate::mutation::Mutation;

use super::acl::User;
use super::propagate::Record;
use super::settings::notify;
use super::turn::{Event, Turn};
use super::{Block, Blocking, Fail, Gate, Settings, Tracking};

pub use super::watch::{State, Watches};

/// Counters of INFO that commands move.
#[derive(Debug, Default, Clone)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    pub evicted: u64,
}

/// The world of one command.
pub struct Ctx<'a> {
    pub ks: &'a mut Keyspace,
    pub turn: &'a mut Turn,
    pub gate: &'a mut Gate,
    pub watches: &'a mut Watches,
    /// Keys that clients may have cached.
    pub tracking: &'a mut Tracking,
    /// What the replication stream is told.
    pub record: &'a mut Record,
    /// Clients that wait for a key.
    pub blocking: &'a mut Blocking,
    pub settings: &'a Settings,
    pub stats: &'a mut Stats,
    pub rng: &'a mut SmallRng,
    /// The selected database.
    pub db: u32,
    /// Service time, milliseconds since 1970: the only clock that a command may use.
    pub now: u64,
    /// At a standby nothing is changed: expired keys are merely not seen.
    pub standby: bool,
    /// Whose command this is; 0: nobody's.
    pub client: u64,
    /// CLIENT NO-TOUCH: accesses are not noted.
    pub no_touch: bool,
    /// Whose command this is, where something is denied to that user; `None`: it may do everything.
    pub user: Option<Arc<User>>,
    /// A script calls the command: what it replies must not depend on how a set lies in memory.
    pub script: bool,
    /// The batch that the reply waits for; 0: none.
    pub wait: u64,
    /// What the command, which then has written no reply, waits for.
    pub block: Option<Block>,
    /// The key that this command deleted last, where anybody wants to know of new keys.
    pub deleted: Option<(u32, Box<[u8]>)>,
}

/// Who is told that a key changed.
struct Told {
    watchers: bool,
    waiters: bool,
}

impl Told {
    const ALL: Told = Told {
        watchers: true,
        waiters: true,
    };

    /// What groups of a stream know is no change of the key to those who watch it; and those who wait for
    /// entries are told only of what may serve them: what they do when run anew changes their group.
    fn of(m: &Mutation<'_>) -> Told {
        use Mutation::*;
        let (watchers, waiters) = match m {
            StreamSet { .. }
            | StreamGroup { .. }
            | StreamConsumer { .. }
            | StreamConsumerDel { .. }
            | StreamPending { .. }
            | StreamAck { .. } => (false, false),
            StreamGroupDel { .. } => (false, true),
            StreamDel { .. } | StreamTrim { .. } => (true, false),
            _ => (true, true),
        };
        Told { watchers, waiters }
    }
}

impl Ctx<'_> {
    /// Applies a mutation: the only way to change data. Fails, with nothing changed, where the
    /// mutation does not fit the data (a bug in the command).
    pub fn apply(&mut self, m: Mutation<'_>) -> Result<(), Fail> {
        if self.standby {
            return Err(Fail::READONLY);
        }
        self.turn.effects.access = evict::fresh(self.now, &self.settings.eviction);
        self.before(&m);
        let created = self.creates(&m);
        self.ks
            .apply(&m, &mut self.turn.effects)
            .map_err(|e| Fail::text(format!("ERR internal error: {e}")))?;
        self.turn.mutations.push(&m);
        self.turn.count += 1;
        self.wait = self.turn.batch;
        match m {
            Mutation::FlushDb { db } => self.wrote_db(db),
            Mutation::SwapDb { a, b } => {
                self.wrote_db(a);
                self.wrote_db(b);
            }
            Mutation::Rename { db, key, to_db, to } => {
                self.wrote(db, key, Told::ALL);
                self.wrote(to_db, to, Told::ALL);
            }
            Mutation::Copy { to_db, to, .. } => self.wrote(to_db, to, Told::ALL),
            Mutation::SystemPut { .. } | Mutation::SystemDel { .. } => {
                self.gate.wrote_system(self.turn.batch);
            }
            _ => {
                if let Some((db, key)) = m.key() {
                    self.wrote(db, key, Told::of(&m));
                }
            }
        }
        if let Some((db, key)) = created {
            self.notify_in(notify::NEW, "new", db, key);
        }
        Ok(())
    }

    /// What must be looked at before a mutation is applied: which watched keys a change of whole
    /// databases reaches.
    fn before(&mut self, m: &Mutation<'_>) {
        let (ks, now) = (&*self.ks, self.now);
        let state = |db, key: &[u8]| match ks.entry(db, key) {
            None => State::Absent,
            Some(entry) if entry.expired(now) => State::Expired,
            Some(_) => State::Present,
        };
        match *m {
            _ if self.watches.is_empty() => {}
            Mutation::FlushDb { db } => {
                self.watches
                    .touch_db(db, |key| (state(db, key), State::Absent));
            }
            Mutation::SwapDb { a, b } => {
                for (db, other) in [(a, b), (b, a)] {
                    self.watches
                        .touch_db(db, |key| (state(db, key), state(other, key)));
                }
            }
            _ => {}
        }
    }

    /// The key that a mutation makes where there was none, if anybody wants to know.
    fn creates<'m>(&mut self, m: &Mutation<'m>) -> Option<(u32, &'m [u8])> {
        if self.settings.notify & notify::NEW == 0 {
            return None;
        }
        let (db, key) = match *m {
            Mutation::Del { db, key } => {
                self.deleted = Some((db, key.into()));
                return None;
            }
            Mutation::Rename { to_db, to, .. } | Mutation::Copy { to_db, to, .. } => {
                return Some((to_db, to));
            }
            _ => m.key()?,
        };
        // A value that is replaced as a whole is deleted first: its key is not new.
        if matches!(&self.deleted, Some((d, k)) if *d == db && **k == *key) {
            return None;
        }
        self.ks.entry(db, key).is_none().then_some((db, key))
    }

    fn wrote(&mut self, db: u32, key: &[u8], told: Told) {
        self.gate.wrote(db, self.ks.seed.hash(key), self.turn.batch);
        if told.watchers {
            self.tell_watchers(db, key);
        }
        if told.waiters {
            self.blocking.touch(db, key);
        }
    }

    fn wrote_db(&mut self, db: u32) {
        self.gate.wrote_db(db, self.turn.batch);
        self.tracking.touch_all();
        self.blocking.touch_db(db);
    }

    /// A key counts as changed for those who watch it. [`Ctx::apply`] does this; a command calls it
    /// where Redis counts a change though the data stay as they were.
    pub fn touched(&mut self, db: u32, key: &[u8]) {
        self.record.touched();
        self.tell_watchers(db, key);
    }

    fn tell_watchers(&mut self, db: u32, key: &[u8]) {
        self.tracking.touch(key, self.client);
        if !self.watches.is_empty() {
            let after = match self.ks.entry(db, key) {
                Some(_) => State::Present,
                None => State::Absent,
            };
            self.watches.touch(db, key, after);
        }
    }

    /// The command found nothing and waits; it has written no reply and must return at once.
    pub fn block(&mut self, block: Block) {
        self.block = Some(block);
    }

    // ---- looking ---------------------------------------------------------------------------------

    /// Prepares a look at a key: deletes it if it has expired, and makes the reply wait for what
    /// changed it. After this, `ks.entry` of several keys may be held at once ([`Ctx::peek`]).
    pub fn prepare(&mut self, db: u32, key: &[u8]) {
        let hash = self.ks.seed.hash(key);
        self.wait = self.wait.max(self.gate.key(db, hash));
        if self
            .ks
            .entry_at(db, hash, key)
            .is_some_and(|e| e.expired(self.now))
        {
            self.found_expired(db, key);
        }
    }

    fn found_expired(&mut self, db: u32, key: &[u8]) {
        let held = self.now < self.settings.paused_until;
        if !self.standby && !held {
            self.expire_now(db, key);
        }
    }

    /// Deletes a key because its time has come.
    pub fn expire_now(&mut self, db: u32, key: &[u8]) {
        if self.apply(Mutation::Del { db, key }).is_ok() {
            self.stats.expired += 1;
            if self.record.on {
                let unlink = self.settings.is_on("lazyfree-lazy-expire");
                self.record.deleted(db, key, unlink, true);
            }
            self.notify_in(notify::EXPIRED, "expired", db, key);
        }
    }

    /// The entry of a prepared key, without noting an access; `None` where absent or expired.
    pub fn peek(&self, db: u32, key: &[u8]) -> Option<&Entry> {
        self.ks.entry(db, key).filter(|e| !e.expired(self.now))
    }

    /// Looks at a key for reading: counts a hit or a miss and notes the access.
    pub fn lookup(&mut self, key: &[u8]) -> Option<&Entry> {
        let found = self.look(key);
        if found {
            self.stats.hits += 1;
        } else {
            self.stats.misses += 1;
            self.notify(notify::KEY_MISS, "keymiss", key);
        }
        self.peek(self.db, key)
    }

    /// Looks at a key for writing: notes the access, counts neither hit nor miss.
    pub fn lookup_write(&mut self, key: &[u8]) -> Option<&Entry> {
        self.look(key);
        self.peek(self.db, key)
    }

    /// Looks at a key for reading without noting an access (EXISTS, TYPE, TTL).
    pub fn lookup_untouched(&mut self, key: &[u8]) -> Option<&Entry> {
        let no_touch = std::mem::replace(&mut self.no_touch, true);
        self.lookup(key);
        self.no_touch = no_touch;
        self.peek(self.db, key)
    }

    fn look(&mut self, key: &[u8]) -> bool {
        let hash = self.ks.seed.hash(key);
        self.wait = self.wait.max(self.gate.key(self.db, hash));
        let (now, no_touch) = (self.now, self.no_touch || self.standby);
        let Some(entry) = self.ks.entry_at_mut(self.db, hash, key) else {
            return false;
        };
        if entry.expired(now) {
            self.found_expired(self.db, key);
            return false;
        }
        if !no_touch {
            evict::touch(&mut entry.access, now, &self.settings.eviction, self.rng);
        }
        true
    }

    /// The reply depends on whole databases (SCAN, KEYS, DBSIZE, RANDOMKEY).
    pub fn look_at_all(&mut self) {
        self.wait = self.wait.max(self.gate.all());
    }

    /// The string of a key, for reading. Fails where the key has another type.
    pub fn string(&mut self, key: &[u8]) -> Result<Option<&Str>, Fail> {
        typed(self.lookup(key), Value::as_str)
    }

    pub fn hash(&mut self, key: &[u8]) -> Result<Option<&Hash>, Fail> {
        typed(self.lookup(key), as_hash)
    }

    pub fn set(&mut self, key: &[u8]) -> Result<Option<&Set>, Fail> {
        typed(self.lookup(key), as_set)
    }

    pub fn zset(&mut self, key: &[u8]) -> Result<Option<&ZSet>, Fail> {
        typed(self.lookup(key), as_zset)
    }

    pub fn list(&mut self, key: &[u8]) -> Result<Option<&List>, Fail> {
        typed(self.lookup(key), as_list)
    }

    pub fn stream(&mut self, key: &[u8]) -> Result<Option<&Stream>, Fail> {
        typed(self.lookup(key), as_stream)
    }

    /// The string of a key, for writing (no hit or miss is counted). Likewise the ones below.
    pub fn string_write(&mut self, key: &[u8]) -> Result<Option<&Str>, Fail> {
        typed(self.lookup_write(key), Value::as_str)
    }

    pub fn hash_write(&mut self, key: &[u8]) -> Result<Option<&Hash>, Fail> {
        typed(self.lookup_write(key), as_hash)
    }

    pub fn set_write(&mut self, key: &[u8]) -> Result<Option<&Set>, Fail> {
        typed(self.lookup_write(key), as_set)
    }

    pub fn zset_write(&mut self, key: &[u8]) -> Result<Option<&ZSet>, Fail> {
        typed(self.lookup_write(key), as_zset)
    }

    pub fn list_write(&mut self, key: &[u8]) -> Result<Option<&List>, Fail> {
        typed(self.lookup_write(key), as_list)
    }

    pub fn stream_write(&mut self, key: &[u8]) -> Result<Option<&Stream>, Fail> {
        typed(self.lookup_write(key), as_stream)
    }

    /// The set of a key that was looked at already; for holding several at once.
    pub fn peek_set(&self, key: &[u8]) -> Result<Option<&Set>, Fail> {
        typed(self.peek(self.db, key), as_set)
    }

    /// The sorted set of a key that was looked at already; for holding several at once.
    pub fn peek_zset(&self, key: &[u8]) -> Result<Option<&ZSet>, Fail> {
        typed(self.peek(self.db, key), as_zset)
    }

    /// The stream of a key that was looked at already.
    pub fn peek_stream(&self, key: &[u8]) -> Result<Option<&Stream>, Fail> {
        typed(self.peek(self.db, key), as_stream)
    }

    // ---- common changes --------------------------------------------------------------------------

    /// Sets a string; `expire_at` 0: it never expires.
    pub fn set_string(&mut self, key: &[u8], value: &[u8], expire_at: u64) -> Result<(), Fail> {
        self.apply(Mutation::StrSet {
            db: self.db,
            key,
            value,
            expire_at,
        })
    }

    /// Writes bytes into a string from `offset` on; it grows, zero-filled, where it is shorter or
    /// absent. Its expiry stays. The caller has checked its type and length.
    pub fn set_range(&mut self, key: &[u8], offset: usize, bytes: &[u8]) -> Result<(), Fail> {
        self.apply(Mutation::StrRange {
            db: self.db,
            key,
            offset: offset as u64,
            bytes,
        })
    }

    /// Deletes a key where it is present; says whether it was. Makes no notification.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, Fail> {
        if self.lookup_write(key).is_none() {
            return Ok(false);
        }
        self.apply(Mutation::Del { db: self.db, key })?;
        Ok(true)
    }

    /// A keyspace notification about a key of the selected database, released at commit.
    pub fn notify(&mut self, class: u32, event: &'static str, key: &[u8]) {
        self.notify_in(class, event, self.db, key);
    }

    /// A keyspace notification about a key of some database.
    pub fn notify_in(&mut self, class: u32, event: &'static str, db: u32, key: &[u8]) {
        let wanted = self.settings.notify;
        if wanted & class != 0
            && wanted & (notify::KEYSPACE | notify::KEYEVENT) != 0
            && !self.standby
        {
            self.turn.events.push(Event::Keyspace {
                class,
                event,
                db,
                key: Bytes::copy_from_slice(key),
            });
        }
    }
}

fn typed<'a, T>(
    entry: Option<&'a Entry>,
    get: impl Fn(&'a Value) -> Option<&'a T>,
) -> Result<Option<&'a T>, Fail> {
    entry
        .map(|e| get(&e.value).ok_or(Fail::WRONG_TYPE))
        .transpose()
}

/// The hash in a value. Likewise the ones below.
pub fn as_hash(value: &Value) -> Option<&Hash> {
    if let Value::Hash(c) = value {
        Some(&c.data)
    } else {
        None
    }
}

pub fn as_set(value: &Value) -> Option<&Set> {
    if let Value::Set(c) = value {
        Some(&c.data)
    } else {
        None
    }
}

pub fn as_zset(value: &Value) -> Option<&ZSet> {
    if let Value::ZSet(c) = value {
        Some(&c.data)
    } else {
        None
    }
}

pub fn as_list(value: &Value) -> Option<&List> {
    if let Value::List(c) = value {
        Some(&c.data)
    } else {
        None
    }
}

pub fn as_stream(value: &Value) -> Option<&Stream> {
    if let Value::Stream(c) = value {
        Some(&c.data)
    } else {
        None
    }
}
