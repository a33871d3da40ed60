//! The list of keys. A new key is one entry here, and its check in `check.rs`.
//!
//! The order is that of the printed file. A key whose type is an `Option` or that has no sensible default
//! shows its example in comments.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;

use super::load::{Problem, take};
use super::types::{Eviction, Key, Kind, Member, Role, Secret, StandbyReads};
use crate::base::limits;

macro_rules! keys {
    ($( $(#[doc = $doc:literal])+ $name:ident: $type:ty, $kind:ident, $default:expr, $example:literal; )+) => {
        /// The configuration of one node.
        #[derive(Debug, Clone, Serialize)]
        pub struct Node {
            $( $(#[doc = $doc])+ pub $name: $type, )+
        }

        impl Default for Node {
            fn default() -> Node {
                Node { $( $name: $default, )+ }
            }
        }

        /// Every key, in the order of the printed file.
        pub const KEYS: &[Key] = &[
            $( Key { name: stringify!($name), doc: &[$($doc),+], kind: Kind::$kind, example: $example }, )+
        ];

        impl Node {
            /// Takes each known key out of `table`; what is of the wrong type is added to `problems`.
            pub(super) fn take_from(table: &mut toml::Table, problems: &mut Vec<Problem>) -> Node {
                let mut node = Node::default();
                $( take(table, stringify!($name), Kind::$kind, &mut node.$name, problems); )+
                node
            }
        }
    };
}

keys! {
    /// The number of this node within its cluster, 1 or more. A number is never used again
    /// for another node, nor for this one once its disk was lost.
    node_id: u64, Number, 0, "1";
    /// The name of the cluster: lower-case letters, digits and hyphens, at most 40. It is part of every
    /// certificate between nodes (node-<id>.<cluster_id>.pontoon), and messages of another cluster are refused.
    cluster_id: String, Text, String::new(), "\"c-3f9a1b\"";
    /// What this node is for: data, or witness: a voter that keeps the log and no data, so that two data nodes survive the
    /// loss of either. It serves no client, runs away from both, and lists the data nodes in members. It never changes.
    role: Role, Text, Role::Data, "";
    /// The folder of the log and the store. It belongs to this node alone.
    data_dir: PathBuf, Text, PathBuf::new(), "\"/var/lib/pontoon/node-1\"";

    /// Where clients connect: the address and port of the TLS listener.
    client_addr: SocketAddr, Text, any(6379), "";
    /// host:port that clients are told in -MOVED and in CLUSTER replies. Empty: client_addr, which then must not be
    /// an unspecified address such as 0.0.0.0 where redirect is on.
    announced: String, Text, String::new(), "";
    /// The certificate chain shown to clients, PEM. It is read again when the file changes; nobody is disconnected.
    tls_cert: PathBuf, Text, PathBuf::new(), "\"/etc/pontoon/server.pem\"";
    /// The private key of tls_cert, PEM.
    tls_key: PathBuf, Text, PathBuf::new(), "\"/etc/pontoon/server.key\"";

    /// Where the other nodes, gateways and operators connect, with mutual TLS.
    peer_addr: SocketAddr, Text, any(7379), "";
    /// The certificate that this node shows to its peers, PEM, for the name node-<node_id>.<cluster_id>.pontoon.
    peer_cert: PathBuf, Text, PathBuf::new(), "\"/etc/pontoon/node.pem\"";
    /// The private key of peer_cert, PEM.
    peer_key: PathBuf, Text, PathBuf::new(), "\"/etc/pontoon/node.key\"";
    /// The CA that signed the certificates of all nodes and operators of this cluster, PEM.
    peer_ca: PathBuf, Text, PathBuf::new(), "\"/etc/pontoon/ca.pem\"";

    /// The members that the cluster begins with: id, peer_addr, client_addr, announced (as above) and data
    /// (false for a witness). Used once, by the node with bootstrap = true; a node added later needs none, but for a
    /// witness: it asks the data nodes there whether its disk was wiped.
    members: Vec<Member>, Tables, Vec::new(),
        "[{ id = 1, peer_addr = \"db1:7379\", client_addr = \"db1:6379\", announced = \"db1.example:6379\" }]";
    /// True at exactly one node: it makes the cluster out of members when its log is empty. The others wait for it.
    bootstrap: bool, Switch, false, "";

    /// The password of the user `default`. Prefer password_file: the environment and flags of a process can be read.
    password: Secret, Hidden, Secret::default(), "\"...\"";
    /// A file whose first line is the password.
    password_file: Option<PathBuf>, Text, None, "\"/etc/pontoon/password\"";

    /// The memory of the plan, MiB. The most clients are max(10000, 4 x this).
    memory_mib: u64, Number, 1024, "";
    /// Where Prometheus reads metrics, at /metrics, by plain HTTP: an address that only it reaches. Empty: nowhere.
    metrics_addr: String, Text, String::new(), "\"127.0.0.1:9121\"";
    /// A file of 64 hexadecimal digits that gateways have too: with it they say who their clients are (PROXY protocol,
    /// version 2), which the allow-list and CLIENT LIST then see. Without it a gateway's clients come from the gateway.
    proxy_key_file: Option<PathBuf>, Text, None, "\"/etc/pontoon/proxy.key\"";
    /// The share of memory_mib that is maxmemory, %. The rest is for buffers, RocksDB and the log.
    maxmemory_percent: u64, Number, MAXMEMORY_PERCENT, "";
    /// What goes when maxmemory is reached: noeviction, allkeys-lru, allkeys-lfu, allkeys-random, volatile-lru,
    /// volatile-lfu, volatile-random or volatile-ttl.
    maxmemory_policy: Eviction, Text, Eviction::Noeviction, "";
    /// How many databases SELECT can choose from.
    databases: u64, Number, 16, "";
    /// Lets clients use the commands of restricted_commands.
    unrestricted: bool, Switch, false, "";
    /// Commands that are refused with NOPERM, also inside MULTI and scripts.
    restricted_commands: Vec<String>, Texts, RESTRICTED.iter().map(ToString::to_string).collect(), "";
    /// Opens EVAL, EVAL_RO, EVALSHA, EVALSHA_RO and SCRIPT to clients. Off: they are refused with NOPERM.
    lua_scripting: bool, Switch, true, "";
    /// Opens FUNCTION, FCALL and FCALL_RO to clients. Off: they are refused with NOPERM.
    functions: bool, Switch, false, "";
    /// What a standby does with a client: false relays it to the primary, true answers -MOVED with the primary's
    /// announced address and opens the read-only subcommands of CLUSTER and COMMAND, which cluster drivers need.
    redirect: bool, Switch, false, "";
    /// What a client that sent READONLY reads at a standby: stale (what the standby has, at most standby_staleness_ms
    /// old) or linearizable (the primary is asked first how far the standby must be: a round trip, nothing is missed).
    standby_reads: StandbyReads, Text, StandbyReads::Stale, "";
    /// How stale a standby's answer to a client that sent READONLY may be, ms. The primary is asked once in a while, whatever
    /// clocks say; a read that would be staler waits for its word, and is refused where it does not come within 2 s.
    standby_staleness_ms: u64, Number, 1000, "";
    /// Closes the connection of a client that was silent this long, s. 0: never.
    idle_timeout_s: u64, Number, 0, "";

    /// How often the leader tells the others that it lives, ms.
    heartbeat_ms: u64, Number, 100, "";
    /// The shortest time without a word from the leader, beyond its lease, before a node stands for election, ms.
    /// The lease is election_timeout_max_ms, so that a dead leader is replaced after about the sum of both.
    election_timeout_min_ms: u64, Number, 300, "";
    /// The longest such time, and the length of the leader's lease, ms. The same at every node of a cluster.
    election_timeout_max_ms: u64, Number, 400, "";

    /// Threads that serve connections. 0: as many as there are cores.
    io_threads: u64, Number, 0, "";
    /// A listener without TLS, for development. Loopback addresses only; says so loudly at each start.
    insecure_plaintext: Option<SocketAddr>, Text, None, "\"127.0.0.1:6380\"";

    /// The size of one segment of the log, bytes.
    log_segment_bytes: u64, Number, 64 << 20, "";
    /// The most disk that the log may use, bytes. Beyond it, nodes that hold back its purge are given up (alarm).
    log_disk_cap_bytes: u64, Number, 8 << 30, "";
    /// How often all of log and store is read from the disk and its checksums are compared, s. 0: never while the node runs.
    scrub_interval_s: u64, Number, 86_400, "";
    /// Free disk below which commands that need more of it are refused, MiB. Below an eighth of this nothing is written.
    /// Merging the store takes as much disk as the data for a while: best at least `maxmemory`.
    disk_low_mib: u64, Number, limits::LOG_SPACE_LOW >> 20, "";
    /// Disk set aside, MiB, and given up when the disk is nearly full, so that deletes and the log can go on.
    disk_ballast_mib: u64, Number, limits::LOG_BALLAST_LEN >> 20, "";
    /// Committed changes that are gathered in memory before they are written to the store as one sorted run, bytes.
    /// More coalesces better, and costs memory twice.
    store_window_bytes: u64, Number, limits::STORE_WINDOW_BYTES as u64, "";
    /// Changes not yet in the store above which writes wait for it, bytes.
    store_backlog_bytes: u64, Number, limits::STORE_BACKLOG_BYTES as u64, "";
    /// The longest time that a change waits to be written to the store, ms: bounds the log that a restart replays.
    store_flush_interval_ms: u64, Number, 10_000, "";
}

/// What a managed service refuses unless its operator decides otherwise (requirement A5).
pub const RESTRICTED: [&str; 16] = [
    "bgrewriteaof",
    "cluster",
    "command",
    "debug",
    "failover",
    "migrate",
    "role",
    "slaveof",
    "acl",
    "bgsave",
    "config",
    "lastsave",
    "monitor",
    "replicaof",
    "save",
    "shutdown",
];

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

impl Node {
    /// The most clients of a service: max(10000, 4 x its memory in MiB).
    #[must_use]
    pub fn maxclients(&self) -> u64 {
        maxclients(self.memory_mib)
    }

    /// The most memory that the data set may use, bytes: a share of the plan's memory.
    #[must_use]
    pub fn maxmemory(&self) -> u64 {
        maxmemory(self.memory_mib, self.maxmemory_percent)
    }

    /// host:port that clients are told.
    #[must_use]
    pub fn announced(&self) -> String {
        if self.announced.is_empty() {
            self.client_addr.to_string()
        } else {
            self.announced.clone()
        }
    }

    /// Threads that load the data: `io_threads`, or one for each processor.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.io_threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n as usize,
        }
    }

    /// Threads that Raft's own tasks take turns on: half of those. On two processors one thread that hands its tasks to
    /// itself does with a third of the wake-ups of two that hand them to each other.
    #[must_use]
    pub fn raft_threads(&self) -> usize {
        (self.threads() / 2).max(1)
    }

    /// Threads that serve connections: `io_threads`, or as many as Raft has.
    #[must_use]
    pub fn client_threads(&self) -> usize {
        match self.io_threads {
            0 => self.raft_threads(),
            n => n as usize,
        }
    }

    /// Whether policy refuses the command `name` (lower case).
    #[must_use]
    pub fn restricts(&self, name: &str) -> bool {
        !self.unrestricted && self.restricted_commands.iter().any(|c| c == name)
    }
}

/// The share of a plan's memory that is maxmemory unless it is said, %.
pub const MAXMEMORY_PERCENT: u64 = 70;

/// The bytes that data may take of a plan's memory.
pub fn maxmemory(memory_mib: u64, percent: u64) -> u64 {
    (memory_mib << 20) / 100 * percent
}

/// The most clients of a service whose data node has `memory_mib` MiB (requirement A7).
#[must_use]
pub fn maxclients(memory_mib: u64) -> u64 {
    memory_mib.saturating_mul(4).max(10_000)
}
