//! Keys that sessions watch, and which changes count against a WATCH: those that Redis counts.
//!
//! A key that had expired, unnoticed, when it was watched is as good as absent: its deletion is no
//! change, whatever comes after it is one. A flush or a swap changes only keys that are there before
//! or after it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;

/// Watched keys at which the marks of sessions that are gone are first swept away.
const SWEEP_MIN: usize = 1024;

/// What is at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Absent,
    /// It expired and was not deleted yet.
    Expired,
    Present,
}

/// A session's mark that something it watches has changed.
struct Watcher {
    dirty: Weak<AtomicBool>,
    /// The key is there, but had expired already when the session watched it.
    expired: bool,
}

impl Watcher {
    /// Notes what became of the key; says whether the watcher is still to be kept.
    fn saw(&mut self, before: State, after: State) -> bool {
        let Some(dirty) = self.dirty.upgrade() else {
            return false;
        };
        match (self.expired, before, after) {
            (true, _, State::Absent) => self.expired = false,
            (true, _, State::Expired) | (false, State::Absent, State::Absent) => {}
            (false, State::Absent, State::Expired) => self.expired = true,
            _ => {
                dirty.store(true, Relaxed);
                return false;
            }
        }
        true
    }
}

/// Keys that sessions watch.
#[derive(Default)]
pub struct Watches {
    dbs: HashMap<u32, HashMap<Box<[u8]>, Vec<Watcher>>>,
    keys: usize,
    sweep_at: usize,
}

impl Watches {
    /// A session watches a key: its flag is raised when the key changes. `expired`: the key is there
    /// but its time has passed.
    pub fn add(&mut self, db: u32, key: &[u8], expired: bool, dirty: &Arc<AtomicBool>) {
        if self.keys >= self.sweep_at {
            self.retain(|_, _, watcher| watcher.dirty.strong_count() > 0);
            self.sweep_at = SWEEP_MIN.max(2 * self.keys);
        }
        let watchers = self.dbs.entry(db).or_default().entry(key.into());
        let watchers = match watchers {
            hashbrown::hash_map::Entry::Occupied(there) => there.into_mut(),
            hashbrown::hash_map::Entry::Vacant(free) => {
                self.keys += 1;
                free.insert(Vec::new())
            }
        };
        watchers.retain(|w| w.dirty.strong_count() > 0);
        watchers.push(Watcher {
            dirty: Arc::downgrade(dirty),
            expired,
        });
    }

    /// Whether a session's key counts as expired already when its watch began: its time then is no change.
    pub fn counts_expired(&self, db: u32, key: &[u8], dirty: &Arc<AtomicBool>) -> bool {
        let watchers = self.dbs.get(&db).and_then(|keys| keys.get(key));
        let own = |w: &&Watcher| std::ptr::eq(w.dirty.as_ptr(), Arc::as_ptr(dirty));
        watchers.is_some_and(|all| all.iter().find(own).is_some_and(|w| w.expired))
    }

    /// Nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// A key changed; `after` is what it is now.
    pub fn touch(&mut self, db: u32, key: &[u8], after: State) {
        let Some(keys) = self.dbs.get_mut(&db) else {
            return;
        };
        if let Some(watchers) = keys.get_mut(key) {
            watchers.retain_mut(|w| w.saw(State::Present, after));
            if watchers.is_empty() {
                keys.remove(key);
                self.keys -= 1;
            }
        }
    }

    /// A database changed as a whole: `change` says what a key of it was and what it is now.
    pub fn touch_db(&mut self, db: u32, change: impl Fn(&[u8]) -> (State, State)) {
        self.retain(|at, key, watcher| {
            let (before, after) = if at == db {
                change(key)
            } else {
                return true;
            };
            watcher.saw(before, after)
        });
    }

    fn retain(&mut self, mut keep: impl FnMut(u32, &[u8], &mut Watcher) -> bool) {
        self.keys = 0;
        self.dbs.retain(|&db, keys| {
            keys.retain(|key, watchers| {
                watchers.retain_mut(|w| keep(db, key, w));
                !watchers.is_empty()
            });
            self.keys += keys.len();
            !keys.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(flag: &Arc<AtomicBool>) -> bool {
        flag.swap(false, Relaxed)
    }

    #[test]
    fn a_change_raises_the_flag_of_its_key_alone() {
        let (a, b) = (Arc::default(), Arc::default());
        let mut watches = Watches::default();
        watches.add(0, b"a", false, &a);
        watches.add(0, b"b", false, &b);
        watches.touch(1, b"a", State::Present);
        assert!(!raised(&a));
        watches.touch(0, b"a", State::Absent);
        assert!(raised(&a) && !raised(&b));
        watches.touch(0, b"a", State::Present);
        assert!(!raised(&a), "one change is enough");
    }

    #[test]
    fn deleting_what_had_expired_is_no_change() {
        let flag = Arc::default();
        let mut watches = Watches::default();
        watches.add(0, b"k", true, &flag);
        watches.touch(0, b"k", State::Absent);
        assert!(!raised(&flag));
        watches.touch(0, b"k", State::Present);
        assert!(raised(&flag));
    }

    #[test]
    fn a_whole_database() {
        use State::{Absent, Expired, Present};
        for (expired, before, after, dirty) in [
            (false, Present, Absent, true),
            (false, Absent, Absent, false),
            (false, Absent, Present, true),
            (false, Absent, Expired, false),
            (true, Expired, Absent, false),
            (true, Expired, Expired, false),
            (true, Expired, Present, true),
        ] {
            let flag = Arc::default();
            let mut watches = Watches::default();
            watches.add(3, b"k", expired, &flag);
            watches.touch_db(2, |_| (Present, Absent));
            assert!(!raised(&flag), "another database");
            watches.touch_db(3, |_| (before, after));
            assert_eq!(raised(&flag), dirty, "{expired} {before:?} {after:?}");
        }
    }

    #[test]
    fn marks_of_sessions_that_are_gone_do_not_pile_up() {
        let mut watches = Watches::default();
        for i in 0..10 * SWEEP_MIN {
            watches.add(0, &i.to_le_bytes(), false, &Arc::default());
        }
        assert!(watches.keys <= SWEEP_MIN, "{}", watches.keys);
    }
}
