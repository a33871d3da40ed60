//! Client-side caching: which client may have which key in its cache, and whom a change concerns.
//!
//! A key is remembered with those who read it until it changes; then they are told, once. Clients in
//! broadcasting mode are told of every change under their prefixes. As in Redis a key is its name,
//! whatever the database. **Invariant**: what is in `pending` concerns changes made so far; whoever
//! drains it releases it at the commit of these changes, and never before.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hashbrown::HashMap;
use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::Args;
use super::table::{self, Flags, Spec};
use crate::base::limits::TRACKING_FORGET_PER_COMMAND_MAX;

/// How a client tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    pub broadcast: bool,
    /// Only reads that follow CLIENT CACHING YES are tracked.
    pub opt_in: bool,
    /// Reads that follow CLIENT CACHING NO are not tracked.
    pub opt_out: bool,
    /// It is not told of its own changes.
    pub no_loop: bool,
    /// The client that is told instead; 0: none.
    pub redirect: u64,
    /// What it is told of in broadcasting mode.
    pub prefixes: BTreeSet<Vec<u8>>,
}

/// A client to tell, and the client that is told instead (0: none).
pub type Recipient = (u64, u64);

/// Something that caches must forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    /// `None`: all keys.
    pub keys: Option<Vec<Bytes>>,
    pub to: Vec<Recipient>,
}

/// A key that somebody may have cached.
struct Read {
    /// Its place in `order`.
    at: usize,
    by: BTreeSet<u64>,
}

/// A prefix that somebody broadcasts by: who, and the keys that changed with who changed them last.
#[derive(Default)]
struct Prefix {
    clients: BTreeSet<u64>,
    changed: BTreeMap<Bytes, u64>,
}

/// Everything that is tracked at this node.
pub struct Tracking {
    clients: BTreeMap<u64, Options>,
    reads: HashMap<Bytes, Read>,
    /// The keys of `reads`, so that one can be picked by chance.
    order: Vec<Bytes>,
    items: usize,
    prefixes: BTreeMap<Bytes, Prefix>,
    changed: bool,
    pending: Vec<Invalidation>,
    /// tracking-table-max-keys; 0: no bound.
    pub keys_max: usize,
}

impl Default for Tracking {
    fn default() -> Self {
        Tracking {
            clients: BTreeMap::new(),
            reads: HashMap::new(),
            order: Vec::new(),
            items: 0,
            prefixes: BTreeMap::new(),
            changed: false,
            pending: Vec::new(),
            keys_max: 1_000_000,
        }
    }
}

impl Tracking {
    /// Clients that track.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Keys that are remembered.
    pub fn keys(&self) -> usize {
        self.reads.len()
    }

    /// Pairs of a key and a client that are remembered.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Prefixes that somebody broadcasts by.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// How a client tracks, if it does.
    pub fn options(&self, client: u64) -> Option<&Options> {
        self.clients.get(&client)
    }

    /// A client tracks from now on, or in another way; prefixes are added to those it has.
    pub fn enable(&mut self, client: u64, mut options: Options) {
        if options.broadcast {
            if options.prefixes.is_empty() {
                options.prefixes.insert(Vec::new());
            }
            if let Some(before) = self.clients.get(&client) {
                options.prefixes.extend(before.prefixes.iter().cloned());
            }
            for prefix in &options.prefixes {
                let prefix = Bytes::copy_from_slice(prefix);
                let known = self.prefixes.entry(prefix).or_default();
                known.clients.insert(client);
            }
        }
        self.clients.insert(client, options);
    }

    /// A client tracks no more.
    pub fn disable(&mut self, client: u64) {
        let Some(options) = self.clients.remove(&client) else {
            return;
        };
        for prefix in &options.prefixes {
            if let Some(known) = self.prefixes.get_mut(&prefix[..]) {
                known.clients.remove(&client);
                if known.clients.is_empty() {
                    self.prefixes.remove(&prefix[..]);
                }
            }
        }
    }

    /// A client has run a command: what it read is remembered. `caching`: CLIENT CACHING was given.
    pub fn read(&mut self, client: u64, caching: bool, spec: &Spec, args: Args<'_>) {
        let Some(options) = self.clients.get(&client) else {
            return;
        };
        let untracked = options.opt_in && !caching || options.opt_out && caching;
        let reads = spec.has(Flags::READONLY) && !spec.has(Flags::PUBSUB);
        if options.broadcast || untracked || !reads {
            return;
        }
        for key in table::keys(spec, args) {
            let name = args[key.at];
            let read = match self.reads.get_mut(name) {
                Some(read) => read,
                None => {
                    let name = Bytes::copy_from_slice(name);
                    let at = self.order.len();
                    self.order.push(name.clone());
                    let by = BTreeSet::new();
                    self.reads.entry(name).or_insert(Read { at, by })
                }
            };
            self.items += usize::from(read.by.insert(client));
        }
    }

    /// Forgets keys, by chance, until no more are remembered than may be; who has them is told.
    pub fn bound(&mut self, rng: &mut SmallRng) {
        if self.keys_max == 0 {
            return;
        }
        for _ in 0..TRACKING_FORGET_PER_COMMAND_MAX {
            if self.order.len() <= self.keys_max {
                return;
            }
            let key = self.order[rng.random_range(0..self.order.len())].clone();
            self.tell_readers(&key, 0);
        }
    }

    /// A key was changed by a client (0: by nobody's command).
    #[inline]
    pub fn touch(&mut self, key: &[u8], by: u64) {
        if !self.reads.is_empty() || !self.prefixes.is_empty() {
            self.tell(key, by);
        }
    }

    fn tell(&mut self, key: &[u8], by: u64) {
        for (prefix, known) in &mut self.prefixes {
            if key.starts_with(prefix) {
                known.changed.insert(Bytes::copy_from_slice(key), by);
                self.changed = true;
            }
        }
        self.tell_readers(key, by);
    }

    fn tell_readers(&mut self, key: &[u8], by: u64) {
        let Some((key, read)) = self.reads.remove_entry(key) else {
            return;
        };
        self.order.swap_remove(read.at);
        if let Some(moved) = self.order.get(read.at)
            && let Some(moved) = self.reads.get_mut(moved)
        {
            moved.at = read.at;
        }
        self.items -= read.by.len();
        let told = |client: &u64| {
            let options = self.clients.get(client)?;
            let own = options.no_loop && *client == by;
            (!options.broadcast && !own).then_some((*client, options.redirect))
        };
        let to: Vec<Recipient> = read.by.iter().filter_map(told).collect();
        if !to.is_empty() {
            let keys = Some(vec![key]);
            self.pending.push(Invalidation { keys, to });
        }
    }

    /// Everything may have changed: every client is told so, and nothing is remembered.
    pub fn touch_all(&mut self) {
        self.reads.clear();
        self.order.clear();
        self.items = 0;
        for prefix in self.prefixes.values_mut() {
            prefix.changed.clear();
        }
        self.changed = false;
        let to: Vec<Recipient> = self
            .clients
            .iter()
            .map(|(id, o)| (*id, o.redirect))
            .collect();
        // Said once where several databases are flushed one after the other.
        let again = self
            .pending
            .last()
            .is_some_and(|last| last.keys.is_none() && last.to == to);
        if !to.is_empty() && !again {
            self.pending.push(Invalidation { keys: None, to });
        }
    }

    /// Whether somebody is to be told of something.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && !self.changed
    }

    /// What is to be told, broadcasts included where `all`: as a rule they wait until the turn is over, so that a
    /// client is told of many keys at once.
    pub fn drain(&mut self, all: bool) -> Vec<Invalidation> {
        if all && self.changed {
            self.broadcast();
        }
        std::mem::take(&mut self.pending)
    }

    fn broadcast(&mut self) {
        self.changed = false;
        for prefix in self.prefixes.values_mut() {
            if prefix.changed.is_empty() {
                continue;
            }
            let changed = std::mem::take(&mut prefix.changed);
            let mut to = Vec::new();
            for id in &prefix.clients {
                let Some(options) = self.clients.get(id) else {
                    continue;
                };
                let recipient = (*id, options.redirect);
                if !options.no_loop {
                    to.push(recipient);
                    continue;
                }
                let others = changed.iter().filter(|(_, by)| *by != id);
                let keys: Vec<Bytes> = others.map(|(key, _)| key.clone()).collect();
                if !keys.is_empty() {
                    self.pending.push(Invalidation {
                        keys: Some(keys),
                        to: vec![recipient],
                    });
                }
            }
            if !to.is_empty() {
                let keys = Some(changed.into_keys().collect());
                self.pending.push(Invalidation { keys, to });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn options(change: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options::default();
        change(&mut options);
        options
    }

    fn read(t: &mut Tracking, client: u64, request: &str) {
        let args: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let spec = table::resolve(&args).expect("a command");
        t.read(client, false, spec, &args);
    }

    fn told(t: &mut Tracking) -> Vec<String> {
        let text = |i: Invalidation| {
            let keys = i.keys.map(|keys| {
                let keys: Vec<_> = keys.iter().map(|k| String::from_utf8_lossy(k)).collect();
                keys.join(",")
            });
            let to: Vec<u64> = i.to.iter().map(|(id, _)| *id).collect();
            format!("{} to {to:?}", keys.unwrap_or("*".into()))
        };
        t.drain(true).into_iter().map(text).collect()
    }

    #[test]
    fn readers_are_told_once() {
        let mut t = Tracking::default();
        t.enable(1, Options::default());
        t.enable(2, options(|o| o.no_loop = true));
        t.enable(3, options(|o| o.opt_in = true));
        for client in [1, 2, 3, 4] {
            read(&mut t, client, "mget a b");
        }
        read(&mut t, 1, "set w x");
        assert_eq!((t.keys(), t.items()), (2, 4));
        t.touch(b"a", 2);
        t.touch(b"a", 1);
        assert_eq!(told(&mut t), ["a to [1]"]);
        t.touch(b"b", 0);
        assert_eq!(told(&mut t), ["b to [1, 2]"]);
        assert_eq!((t.keys(), t.items(), t.order.len()), (0, 0, 0));
        read(&mut t, 1, "get a");
        t.disable(1);
        t.touch(b"a", 0);
        assert!(t.is_quiet(), "nobody is left to be told");
    }

    #[test]
    fn prefixes() {
        let mut t = Tracking::default();
        let with = |prefixes: &[&str], no_loop| {
            options(|o| {
                o.broadcast = true;
                o.no_loop = no_loop;
                o.prefixes = prefixes.iter().map(|p| p.as_bytes().to_vec()).collect();
            })
        };
        t.enable(1, with(&["a", "b"], false));
        t.enable(2, with(&["a"], true));
        t.enable(3, with(&[], false));
        assert_eq!(t.prefixes(), 3);
        for (key, by) in [("a1", 2), ("b1", 2), ("c1", 2), ("a2", 1)] {
            t.touch(key.as_bytes(), by);
        }
        assert!(t.drain(false).is_empty(), "not before the turn is over");
        assert_eq!(
            told(&mut t),
            [
                "a1,a2,b1,c1 to [3]",
                "a2 to [2]",
                "a1,a2 to [1]",
                "b1 to [1]"
            ]
        );
        t.disable(1);
        assert_eq!(t.prefixes(), 2);
        t.touch(b"b1", 0);
        t.touch_all();
        t.touch_all();
        assert_eq!(told(&mut t), ["* to [2, 3]"]);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut t = Tracking {
            keys_max: 3,
            ..Tracking::default()
        };
        t.enable(1, Options::default());
        let mut rng = SmallRng::seed_from_u64(1);
        read(&mut t, 1, "mget a b c d e f");
        t.bound(&mut rng);
        assert_eq!((t.keys(), t.items(), t.order.len()), (3, 3, 3));
        assert_eq!(told(&mut t).len(), 3);
        for (at, key) in t.order.iter().enumerate() {
            assert_eq!(t.reads[key].at, at);
        }
    }
}
