//! Live settings that commands read; CONFIG SET and the service's settings change them.

use crate::keyspace::evict;

/// Classes of keyspace notifications, as in notify-keyspace-events.
pub mod notify {
    pub const KEYSPACE: u32 = 1 << 0; // K
    pub const KEYEVENT: u32 = 1 << 1; // E
    pub const GENERIC: u32 = 1 << 2; // g
    pub const STRING: u32 = 1 << 3; // $
    pub const LIST: u32 = 1 << 4; // l
    pub const SET: u32 = 1 << 5; // s
    pub const HASH: u32 = 1 << 6; // h
    pub const ZSET: u32 = 1 << 7; // z
    pub const EXPIRED: u32 = 1 << 8; // x
    pub const EVICTED: u32 = 1 << 9; // e
    pub const STREAM: u32 = 1 << 10; // t
    pub const KEY_MISS: u32 = 1 << 11; // m
    pub const MODULE: u32 = 1 << 13; // d
    pub const NEW: u32 = 1 << 14; // n
    /// What `A` stands for: all but `m` and `n`.
    pub const ALL: u32 =
        GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE;
}

/// Settings of a service that take effect without a restart.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of data at which eviction begins; 0: no limit.
    pub maxmemory: u64,
    pub eviction: evict::Settings,
    /// Which notifications are made; see [`notify`].
    pub notify: u32,
    /// proto-max-bulk-len, bytes: also the longest string a command may build.
    pub bulk_len_max: u64,
    /// hll-sparse-max-bytes: a sparse HyperLogLog that would grow beyond becomes dense.
    pub hll_sparse_bytes_max: usize,
    /// DEBUG SET-ACTIVE-EXPIRE 0 turns the background deletion of expired keys off.
    pub active_expire: bool,
    /// slowlog-log-slower-than, microseconds; negative: off.
    pub slowlog_slower_than_us: i64,
    /// slowlog-max-len.
    pub slowlog_len_max: usize,
    /// latency-monitor-threshold, milliseconds; 0: off.
    pub latency_monitor_ms: u64,
    /// Until then, service time in milliseconds, CLIENT PAUSE holds writes back and nothing is expired or evicted.
    pub paused_until: u64,
    /// min-replicas-to-write: writes are refused while fewer standbys answer.
    pub replicas_to_write: usize,
    /// The pause holds all commands back, not only those that write.
    pub pause_all: bool,
    /// lazyfree and the like have no meaning here; values a client sets are kept and shown.
    pub shown: std::collections::BTreeMap<String, String>,
}

impl Settings {
    /// Whether a setting that is merely shown was set to `yes`.
    pub fn is_on(&self, name: &str) -> bool {
        self.shown.get(name).is_some_and(|value| value == "yes")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            maxmemory: 0,
            eviction: evict::Settings::default(),
            notify: 0,
            bulk_len_max: crate::base::limits::BULK_LEN_MAX as u64,
            hll_sparse_bytes_max: 3000,
            active_expire: true,
            slowlog_slower_than_us: 10_000,
            slowlog_len_max: 128,
            latency_monitor_ms: 0,
            paused_until: 0,
            replicas_to_write: 0,
            pause_all: false,
            shown: Default::default(),
        }
    }
}
