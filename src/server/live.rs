//! Settings that connections read without the engine's lock, and the stall that DEBUG SLEEP makes.
//! Always: a value here equals what CONFIG GET shows, but for the bounds of `base/limits.rs`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::Options;
use crate::base::allow::Allow;
use crate::base::limits::{BULK_LEN_MAX, REQUEST_LEN_MAX};

/// What CONFIG SET changed for connections.
pub struct Live {
    /// Commands that policy refuses, lower case.
    pub restricted: ArcSwap<BTreeSet<String>>,
    /// Whether EVAL and its kin are open.
    pub scripting: AtomicBool,
    /// Whether FUNCTION, FCALL and FCALL_RO are open.
    pub functions: AtomicBool,
    /// Standbys answer `-MOVED` instead of relaying.
    pub redirect: AtomicBool,
    /// Subscribers are disconnected when the primary that they listened to is none any more: what was published meanwhile
    /// is lost to them, and drivers that connect anew know that.
    pub close_subscribers: AtomicBool,
    /// Who may connect.
    pub allow: ArcSwap<Allow>,
    pub maxclients: AtomicUsize,
    /// Idle clients are disconnected after this many seconds; 0: never.
    pub timeout_s: AtomicU64,
    /// proto-max-bulk-len, bytes.
    pub bulk_len_max: AtomicUsize,
    /// client-query-buffer-limit, bytes.
    pub request_len_max: AtomicUsize,
    /// busy-reply-threshold, milliseconds: how long a script may run before others are answered BUSY; 0: for ever.
    pub busy_after_ms: AtomicU64,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call DEBUG PROTOCOL and DEBUG SLEEP.
    pub debug_in_scripts: AtomicBool,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    started: Instant,
    /// Milliseconds after `started` until which no command runs; 0: not asleep.
    asleep_until: AtomicU64,
}

impl Live {
    /// The settings at the start.
    pub fn new(options: &Options) -> Live {
        let id: [u8; 20] = rand::random();
        Live {
            restricted: ArcSwap::from_pointee(options.restricted.clone()),
            scripting: AtomicBool::new(options.scripting),
            functions: AtomicBool::new(options.functions),
            redirect: AtomicBool::new(options.redirect),
            close_subscribers: AtomicBool::new(true),
            allow: ArcSwap::default(),
            maxclients: AtomicUsize::new(options.maxclients),
            timeout_s: AtomicU64::new(0),
            bulk_len_max: AtomicUsize::new(BULK_LEN_MAX),
            request_len_max: AtomicUsize::new(REQUEST_LEN_MAX),
            busy_after_ms: AtomicU64::new(5000),
            debug_in_scripts: AtomicBool::new(false),
            run_id: hex::encode(id),
            started: Instant::now(),
            asleep_until: AtomicU64::new(0),
        }
    }

    /// Whether standbys answer `-MOVED`.
    pub fn redirects(&self) -> bool {
        self.redirect.load(Relaxed)
    }

    /// Whether subscribers are disconnected by a failover.
    pub fn closes_subscribers(&self) -> bool {
        self.close_subscribers.load(Relaxed)
    }

    /// How long a script may run before others are answered BUSY; 0: for ever.
    pub fn busy_after(&self) -> Duration {
        Duration::from_millis(self.busy_after_ms.load(Relaxed))
    }

    /// No command runs until then. Raft and the log go on.
    pub fn sleep_until(&self, deadline: Instant) {
        let ms = deadline.saturating_duration_since(self.started).as_millis() as u64;
        self.asleep_until.fetch_max(ms.max(1), Relaxed);
    }

    /// Until when no command runs, where that is in the future.
    pub fn asleep(&self) -> Option<Instant> {
        let until = match self.asleep_until.load(Relaxed) {
            0 => return None,
            ms => self.started + Duration::from_millis(ms),
        };
        if until > Instant::now() {
            return Some(until);
        }
        self.asleep_until.store(0, Relaxed);
        None
    }
}
