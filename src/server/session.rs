//! What the server remembers of one client between its commands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::command::table::Flags;
use crate::command::tracking::Options;

use super::access::Identity;
use super::clients::Client;
use super::pubsub::{Hub, Kind};

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// Not to the next command; the flag says that it is this one.
    SkipNext,
    Skip,
}

/// An open MULTI.
#[derive(Default)]
pub struct Multi {
    /// Commands with their arguments.
    pub queue: Vec<Vec<Bytes>>,
    pub bytes: usize,
    /// A command was refused while queueing: EXEC aborts.
    pub aborted: bool,
    /// What the commands of it are: its EXEC is refused, or held back by CLIENT PAUSE, as any of them would be.
    pub flags: Flags,
}

/// The keys that a session watches.
#[derive(Default)]
pub struct Watch {
    /// Raised when one of them changes.
    pub dirty: Arc<AtomicBool>,
    /// Database and key.
    pub keys: Vec<(u32, Bytes)>,
    /// The era in which they are watched: a WATCH does not outlive its leader.
    pub era: u64,
    /// The batch that the state they were in waits for.
    pub wait: u64,
}

impl Watch {
    pub fn dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }
}

/// What of a session's tracking every command looks at; the rest is in the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracks {
    pub on: bool,
    /// Another client is told of what changes.
    pub redirects: bool,
    /// CLIENT CACHING was given for the next command.
    pub caching: bool,
}

/// One client's session.
pub struct Session {
    pub client: Arc<Client>,
    pub db: u32,
    pub authenticated: bool,
    /// An operator's, by certificate: policy refuses it no command.
    pub operator: bool,
    /// Who it speaks for.
    pub identity: Identity,
    /// READONLY was sent: a standby may answer reads.
    pub readonly: bool,
    /// What this node must have applied so that a read of the request that is being run is linearizable, where known.
    pub read_index: Option<u64>,
    pub no_touch: bool,
    pub reply: ReplyMode,
    pub multi: Option<Multi>,
    pub watch: Watch,
    pub channels: BTreeSet<Bytes>,
    pub patterns: BTreeSet<Bytes>,
    pub shards: BTreeSet<Bytes>,
    /// Counts looks at the subscriptions that may have changed them.
    pub names_changed: u64,
    /// Close once all replies have left.
    pub closing: bool,
    /// Inside EXEC: blocking and the like behave as if nothing could be waited for.
    pub in_exec: bool,
    pub tracking: Tracks,
    /// How it tracks, as the engine has it.
    pub tracked: Option<Options>,
    /// Inside a script.
    pub in_script: bool,
    /// A command may take long, until then: it runs on the thread of long scripts.
    pub patient: Option<Instant>,
    /// The command's error reply was counted where it arose, in a script.
    pub error_counted: bool,
    /// A script of the command took too long for where it runs.
    pub overran: bool,
    /// The last command, by its full name.
    pub last_command: &'static str,
    /// It reads the replication stream.
    pub replica: bool,
    /// REPLCONF listening-port.
    pub listening_port: u16,
    /// Inside MONITOR.
    pub monitor: bool,
    /// A DEBUG SLEEP that is under way: when it began and when it ends.
    pub asleep: Option<(Instant, Instant)>,
    /// Bytes in the input buffer and free in it, of the request, and of held replies: for CLIENT LIST.
    pub memory: Memory,
}

/// Bytes that a connection holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub input: usize,
    pub input_free: usize,
    pub args: usize,
    pub output: usize,
}

impl Session {
    pub fn new(client: Arc<Client>) -> Session {
        Session {
            client,
            db: 0,
            authenticated: false,
            operator: false,
            identity: Identity::default(),
            readonly: false,
            read_index: None,
            no_touch: false,
            reply: ReplyMode::On,
            multi: None,
            watch: Watch::default(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shards: BTreeSet::new(),
            names_changed: 0,
            closing: false,
            in_exec: false,
            tracking: Tracks::default(),
            tracked: None,
            in_script: false,
            patient: None,
            error_counted: false,
            overran: false,
            last_command: "NULL",
            replica: false,
            listening_port: 0,
            monitor: false,
            asleep: None,
            memory: Memory::default(),
        }
    }

    /// Subscriptions of all kinds.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shards.len()
    }

    /// Whether only the primary can send it what it waits for.
    pub fn tied(&self) -> bool {
        self.subscriptions() > 0 || self.tracking.redirects
    }

    /// Whether another primary cannot go on with it.
    pub fn stays(&self) -> bool {
        let skips = matches!(self.reply, ReplyMode::Skip | ReplyMode::SkipNext);
        self.monitor || self.replica || self.operator || skips
    }

    /// The names subscribed to in one way.
    pub fn names(&mut self, kind: Kind) -> &mut BTreeSet<Bytes> {
        self.names_changed += 1;
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }

    /// Ends all subscriptions.
    pub fn unsubscribe_all(&mut self, hub: &Hub) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            for name in std::mem::take(self.names(kind)) {
                hub.unsubscribe(kind, &name, self.client.id);
            }
        }
    }

    /// Forgets watched keys.
    pub fn unwatch(&mut self) {
        self.watch = Watch::default();
    }

    /// Back to a new connection's state, but for its id (RESET).
    pub fn reset(&mut self, hub: &Hub) {
        self.unsubscribe_all(hub);
        self.unwatch();
        self.multi = None;
        self.db = 0;
        self.readonly = false;
        self.no_touch = false;
        self.reply = ReplyMode::On;
        self.monitor = false;
        self.client.proto.store(2, Ordering::Relaxed);
        let mut about = self.client.about.lock();
        about.name.clear();
        about.no_evict = false;
        about.no_touch = false;
    }

    /// Shows the session's state in CLIENT LIST.
    pub fn show(&self) {
        let mut about = self.client.about.lock();
        about.db = self.db;
        about.last_command = self.last_command;
        about.last_ms = self.client.since.elapsed().as_millis() as u64;
        about.subscriptions = self.channels.len();
        about.patterns = self.patterns.len();
        about.shard_subscriptions = self.shards.len();
        about.multi = self.multi.as_ref().map_or(-1, |m| m.queue.len() as i64);
        about.multi_bytes = self.multi.as_ref().map_or(0, |m| m.bytes);
        about.dirty = self.watch.dirty();
        about.closing = self.closing;
        about.monitor = self.monitor;
        about.replica = self.replica;
        about.readonly = self.readonly;
        about.no_touch = self.no_touch;
        about.args_bytes = self.memory.args;
        about.input = self.memory.input;
        about.input_free = self.memory.input_free;
        about.output = self.memory.output;
    }
}
