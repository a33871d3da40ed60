//! What a structure has to know of its surroundings when it changes.

use super::Seed;

/// Thresholds between encodings, as CONFIG names them (Redis's redis.conf, "ADVANCED CONFIG"), and
/// the seed with which a structure that becomes a hash table hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The service's hash seed; copied into a structure when it becomes a table.
    pub seed: Seed,
    /// Fields that a listpack hash holds at most.
    pub hash_max_listpack_entries: usize,
    /// Bytes of a field or value in a listpack hash, at most.
    pub hash_max_listpack_value: usize,
    /// Members of an intset, at most.
    pub set_max_intset_entries: usize,
    /// Members of a listpack set, at most.
    pub set_max_listpack_entries: usize,
    /// Bytes of a member in a listpack set, at most.
    pub set_max_listpack_value: usize,
    /// Members of a listpack sorted set, at most.
    pub zset_max_listpack_entries: usize,
    /// Bytes of a member in a listpack sorted set, at most.
    pub zset_max_listpack_value: usize,
    /// Size of a listpack list: a count when positive, else -1 to -5 for 4, 8, 16, 32 or 64 KiB.
    pub list_max_listpack_size: i64,
    /// Entries that a stream's chunk is given; 0: no limit of its own.
    pub stream_node_max_entries: usize,
    /// Bytes of fields after which a stream's chunk takes no more entries; 0: no limit of its own.
    pub stream_node_max_bytes: usize,
}

impl Limits {
    /// Redis 7.2's defaults, with this seed.
    pub const fn new(seed: Seed) -> Self {
        Self {
            seed,
            hash_max_listpack_entries: 128,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            stream_node_max_entries: 100,
            stream_node_max_bytes: 4096,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Seed::default())
    }
}
