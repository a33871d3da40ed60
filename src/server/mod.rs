//! Clients: their connections, sessions and subscriptions, and the commands about them.
//!
//! A connection is a task on one of a few single-threaded runtimes. It reads what has arrived,
//! runs it under one hold of the engine's lock, and holds each reply until the batch that it was
//! formed from is committed. **Invariant**: replies leave in the order of their requests, and none
//! before its batch committed; one whose batch's fate is unknown says so.

pub mod access;
pub mod acks;
pub mod acllog;
pub mod allow;
pub mod caches;
pub mod clients;
pub mod commands;
pub mod conn;
pub mod dispatch;
pub mod freshness;
pub mod held;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod monitor;
pub mod pubsub;
pub mod relay;
pub mod replicas;
pub mod scripts;
pub mod session;
pub mod stats;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_acl;
#[cfg(test)]
mod tests_long;
#[cfg(test)]
mod tests_replicas;
#[cfg(test)]
mod tests_scripts;
#[cfg(test)]
mod tests_tracking;
#[cfg(test)]
mod tests_waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::engine::Engine;

pub use clients::Clients;
pub use live::Live;
pub use monitor::Monitors;
pub use pubsub::Hub;
pub use session::Session;
pub use stats::Stats;

/// What the cluster looks like from here; the raft module keeps it up to date.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub node_id: u64,
    pub cluster_id: String,
    /// The leader, if one is known; this node's own id where it leads.
    pub leader: Option<Peer>,
    /// All members with data.
    pub members: Vec<Peer>,
    pub term: u64,
}

/// A member as clients may be told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    pub id: u64,
    /// `host:port` for `-MOVED` and CLUSTER SLOTS.
    pub announced: String,
    pub voter: bool,
}

/// Settings of the front end as its node's configuration has them; those of `Live` begin with them.
pub struct Options {
    pub password: Vec<u8>,
    /// Commands that policy refuses, lower case.
    pub restricted: std::collections::BTreeSet<String>,
    pub maxclients: usize,
    /// Standbys answer `-MOVED` instead of relaying.
    pub redirect: bool,
    /// The most that a standby's data may lag for a READONLY read, milliseconds.
    pub staleness_ms: u64,
    /// A READONLY read at a standby asks the primary how far it must be, and is linearizable.
    pub linearizable: bool,
    /// Port of the RESP listener, for INFO.
    pub port: u16,
    /// Whether EVAL and its kin are open.
    pub scripting: bool,
    /// Whether FUNCTION, FCALL and FCALL_RO are open.
    pub functions: bool,
    /// With it a gateway says who its clients are.
    pub proxy_key: Option<crate::tls::proxy::Key>,
    /// The files of its certificates, with what each is for: their ends are among the metrics.
    pub certificates: Vec<(&'static str, std::path::PathBuf)>,
}

/// Everything that connections share.
pub struct Server {
    pub engine: Arc<Engine>,
    pub options: Options,
    pub clients: Clients,
    pub hub: Arc<Hub>,
    pub view: tokio::sync::watch::Receiver<View>,
    pub relay: Arc<dyn relay::Dial>,
    pub started: Instant,
    pub counters: Counters,
    pub stats: Stats,
    pub live: Live,
    pub monitors: Monitors,
    /// Clients that read the replication stream.
    pub replicas: replicas::Replicas,
    /// The users as they were last told of: for when a script has the engine.
    pub users: arc_swap::ArcSwap<crate::command::acl::Users>,
    pub acl_log: parking_lot::Mutex<acllog::AclLog>,
    pub scripts: scripts::Scripts,
    pub slowlog: parking_lot::Mutex<commands::slowlog::Slowlog>,
    /// Facts for INFO that other modules own: `section -> lines`.
    pub facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    /// Clients that wait for standbys.
    pub acks: acks::Acks,
    /// How fresh this node's data certainly is, where it does not lead.
    pub freshness: Arc<freshness::Freshness>,
    /// How much room the disk has.
    pub disk: Arc<crate::log::SpaceNow>,
    /// Does what DEBUG RELOAD asks: drop memory and load it from store and log.
    pub reload: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Server {
    /// Standbys that answer this primary.
    pub fn followers_reachable(&self) -> usize {
        let facts = (self.facts)();
        facts.followers.iter().filter(|f| f.2).count()
    }
}

/// What the log, the store and Raft have to say in INFO.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub last_log: u64,
    pub applied: u64,
    pub committed: u64,
    pub durable: u64,
    pub log_bytes: u64,
    pub log_syncs: u64,
    pub sync_p50_us: u64,
    pub sync_p99_us: u64,
    pub store_backlog_bytes: u64,
    pub store_disk_bytes: u64,
    pub term: u64,
    /// How long the log's fdatasyncs took, microseconds.
    pub sync_us: Option<hdrhistogram::Histogram<u64>>,
    /// Free space of the log's disk, bytes.
    pub disk_free: u64,
    /// Per other member: announced address, matched log index, reachable.
    pub followers: Vec<(String, u64, bool)>,
}

/// Counters of INFO that connections move.
#[derive(Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub rejected: AtomicU64,
    pub commands: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub errors: AtomicU64,
    pub relayed: AtomicU64,
    /// Relayed sessions that went on when their primary was one no more.
    pub returned: AtomicU64,
    /// Reads and writes of sockets.
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    /// Refused passwords, and commands, keys and channels refused by policy or by the user's rules.
    pub denied_auth: AtomicU64,
    pub denied_command: AtomicU64,
    pub denied_key: AtomicU64,
    pub denied_channel: AtomicU64,
    /// Clients that wait: held back by CLIENT PAUSE, or in a blocking command. A gauge.
    pub blocked: AtomicU64,
    pub calls: CommandCounters,
}

/// Calls per command, by its dense number: calls, microseconds, failures, refusals.
pub struct CommandCounters(Vec<[AtomicU64; 4]>);

impl Default for CommandCounters {
    fn default() -> Self {
        CommandCounters(
            (0..crate::command::table::COUNT)
                .map(|_| Default::default())
                .collect(),
        )
    }
}

impl CommandCounters {
    /// The counters of a command: calls, microseconds, failed calls, rejected calls.
    pub fn of(&self, id: crate::command::table::CommandId) -> &[AtomicU64; 4] {
        &self.0[id as usize]
    }

    fn reset(&self) {
        self.0.iter().flatten().for_each(|n| n.store(0, Relaxed));
    }
}

impl Counters {
    /// Commands, bytes in and bytes out: what rates are made of.
    pub fn rated(&self) -> [u64; 3] {
        [&self.commands, &self.bytes_in, &self.bytes_out].map(|n| n.load(Relaxed))
    }

    /// Back to zero, as CONFIG RESETSTAT does; the gauge stays.
    pub fn reset(&self) {
        let all = [
            &self.connections,
            &self.rejected,
            &self.commands,
            &self.bytes_in,
            &self.bytes_out,
            &self.errors,
            &self.relayed,
            &self.returned,
            &self.reads,
            &self.writes,
            &self.denied_auth,
            &self.denied_command,
            &self.denied_key,
            &self.denied_channel,
        ];
        all.into_iter().for_each(|n| n.store(0, Relaxed));
        self.calls.reset();
    }
}
