//! Which key to evict: sampled LRU and LFU as Redis approximates them, TTL, and chance.
//!
//! Access clocks are each node's own: a standby neither evicts nor notes accesses of the primary.
//! LRU: seconds in 24 bits. LFU: minutes in 16 bits and a logarithmic counter in 8, as in Redis's
//! documentation of eviction (the counter grows with probability 1/(c·factor+1), loses one each
//! `decay` minutes).

use rand::Rng;

use super::{Entry, Keyspace};

/// maxmemory-policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    #[default]
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
}

impl Policy {
    /// All policies by the names that CONFIG uses.
    pub const NAMES: [(&'static str, Policy); 8] = [
        ("noeviction", Policy::NoEviction),
        ("allkeys-lru", Policy::AllKeysLru),
        ("allkeys-lfu", Policy::AllKeysLfu),
        ("allkeys-random", Policy::AllKeysRandom),
        ("volatile-lru", Policy::VolatileLru),
        ("volatile-lfu", Policy::VolatileLfu),
        ("volatile-random", Policy::VolatileRandom),
        ("volatile-ttl", Policy::VolatileTtl),
    ];

    pub fn parse(name: &str) -> Option<Policy> {
        Self::NAMES
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, p)| *p)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, p)| *p == self)
            .map_or("noeviction", |(n, _)| n)
    }

    pub fn is_lfu(self) -> bool {
        matches!(self, Policy::AllKeysLfu | Policy::VolatileLfu)
    }

    fn volatile(self) -> bool {
        matches!(
            self,
            Policy::VolatileLru
                | Policy::VolatileLfu
                | Policy::VolatileRandom
                | Policy::VolatileTtl
        )
    }
}

/// How accesses are counted.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub policy: Policy,
    /// maxmemory-samples.
    pub samples: usize,
    /// lfu-log-factor.
    pub lfu_log_factor: u32,
    /// lfu-decay-time, minutes; 0: no decay.
    pub lfu_decay_minutes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            policy: Policy::NoEviction,
            samples: 5,
            lfu_log_factor: 10,
            lfu_decay_minutes: 1,
        }
    }
}

const LFU_INIT: u32 = 5;

/// The counter of an LFU access word after decay.
pub fn lfu_counter(access: u32, now_ms: u64, s: &Settings) -> u32 {
    let (counter, then) = (access & 0xff, access >> 8);
    if s.lfu_decay_minutes == 0 {
        return counter;
    }
    let minutes = ((now_ms / 60_000) as u32 & 0xffff).wrapping_sub(then) & 0xffff;
    counter.saturating_sub(minutes / s.lfu_decay_minutes)
}

/// Seconds since an LRU access word was set.
pub fn idle_seconds(access: u32, now_ms: u64) -> u64 {
    u64::from(((now_ms / 1000) as u32).wrapping_sub(access) & 0x00ff_ffff)
}

/// The access word of a key that is made now.
pub fn fresh(now_ms: u64, s: &Settings) -> u32 {
    if s.policy.is_lfu() {
        (((now_ms / 60_000) as u32 & 0xffff) << 8) | LFU_INIT
    } else {
        lru_clock(now_ms)
    }
}

/// The access word of LRU for a time.
pub fn lru_clock(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32 & 0x00ff_ffff
}

/// Notes an access.
pub fn touch(access: &mut u32, now_ms: u64, s: &Settings, rng: &mut impl Rng) {
    if !s.policy.is_lfu() {
        *access = lru_clock(now_ms);
        return;
    }
    let mut counter = lfu_counter(*access, now_ms, s);
    if counter < 255 {
        let base = f64::from(counter.saturating_sub(LFU_INIT));
        if rng.random::<f64>() < 1.0 / (base * f64::from(s.lfu_log_factor) + 1.0) {
            counter += 1;
        }
    }
    *access = (((now_ms / 60_000) as u32 & 0xffff) << 8) | counter;
}

impl Keyspace {
    /// The key to evict next under a policy: its database and name; `None` where none may go.
    pub fn victim(&self, s: &Settings, now_ms: u64, rng: &mut impl Rng) -> Option<(u32, Vec<u8>)> {
        if s.policy == Policy::VolatileTtl {
            let soonest = self
                .dbs
                .iter()
                .enumerate()
                .filter_map(|(i, db)| Some((i, db.expires.first()?)));
            return soonest
                .min_by_key(|(_, (at, _))| *at)
                .map(|(i, (_, key))| (i as u32, key.as_bytes().to_vec()));
        }
        if s.policy == Policy::NoEviction {
            return None;
        }
        let candidates = self.dbs.iter().map(|db| {
            if s.policy.volatile() {
                db.expires.len()
            } else {
                db.len()
            }
        });
        let total: usize = candidates.clone().sum();
        if total == 0 {
            return None;
        }
        let random = matches!(s.policy, Policy::AllKeysRandom | Policy::VolatileRandom);
        let mut best: Option<(u64, u32, &Entry)> = None;
        for _ in 0..if random { 1 } else { s.samples.max(1) } {
            // A database in proportion to its candidates, then one of them.
            let mut nth = rng.random_range(0..total);
            let db = candidates.clone().position(|n| {
                let here = nth < n;
                if !here {
                    nth -= n;
                }
                here
            })? as u32;
            let Some(entry) = self.sample(db, s.policy.volatile(), rng) else {
                continue;
            };
            let score = if s.policy.is_lfu() {
                255 - u64::from(lfu_counter(entry.access, now_ms, s))
            } else {
                idle_seconds(entry.access, now_ms)
            };
            if best.is_none_or(|(top, ..)| score >= top) {
                best = Some((score, db, entry));
            }
        }
        best.map(|(_, db, entry)| (db, entry.key.as_bytes().to_vec()))
    }

    /// A random key of a database; one that expires where `volatile`.
    fn sample(&self, db: u32, volatile: bool, rng: &mut impl Rng) -> Option<&Entry> {
        let db = self.db(db);
        if !volatile {
            return db.table.random(rng).map(|e| &**e);
        }
        // Keys that expire may be few among many: try some at random, then take the next by a random name of
        // the expiry index, which is cheap and always finds one.
        for _ in 0..16 {
            if let Some(entry) = db.table.random(rng).filter(|e| e.expire_at != 0) {
                return Some(entry);
            }
        }
        let (first, last) = (db.expires.first()?.0, db.expires.last()?.0);
        let at = rng.random_range(first..=last);
        let (_, key) = db
            .expires
            .range((at, crate::data::Small::new(b""))..)
            .next()
            .or_else(|| db.expires.first())?;
        db.table
            .find(self.seed.hash(key.as_bytes()), key.as_bytes())
            .map(|e| &**e)
    }

    /// A random key of a database.
    pub fn random_key(&self, db: u32, rng: &mut impl Rng) -> Option<&Entry> {
        self.sample(db, false, rng)
    }

    /// How many keys are there whose time has come.
    pub fn expired(&self, now_ms: u64) -> u64 {
        let of = |db: &super::Db| {
            db.expires
                .iter()
                .take_while(|(at, _)| *at <= now_ms)
                .count()
        };
        self.dbs.iter().map(of).sum::<usize>() as u64
    }

    /// Keys that have expired at a service time, soonest first, at most `max`.
    pub fn due(&self, now_ms: u64, max: usize) -> Vec<(u32, Vec<u8>)> {
        let mut due = Vec::new();
        for (i, db) in self.dbs.iter().enumerate() {
            for (at, key) in &db.expires {
                if *at > now_ms || due.len() >= max {
                    break;
                }
                due.push((i as u32, key.as_bytes().to_vec()));
            }
        }
        due
    }
}
