//! The keys under load and what every client saw of them.
//!
//! Always: a key has at most [`OPS_MAX`] operations of load and is retired after [`UNKNOWN_MAX`] unknown outcomes, so
//! that its history can be decided; a fresh one takes its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use parking_lot::Mutex;
use rand::Rng;

use crate::client::{Request, request};
use crate::model::{NEVER, Op, Operation, Reply};

/// Operations of load on one key; reads of faults and checks come on top, within 500.
pub const OPS_MAX: usize = 440;
/// Unknown outcomes after which a key is retired.
pub const UNKNOWN_MAX: usize = 10;

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SET, GET, exchange.
    Register,
    /// INCRBY, GET.
    Counter,
    /// APPEND, GET.
    Text,
    /// RPUSH, LRANGE: what a node applies is no absolute value here, so that twice shows.
    List,
}

/// One key and its history.
pub struct Track {
    pub name: String,
    pub kind: Kind,
    issued: AtomicUsize,
    unknown: AtomicUsize,
    ops: Mutex<Vec<Operation>>,
}

impl Track {
    /// Notes an operation. Reads of unknown outcome say nothing and are left out.
    pub fn note(&self, client: usize, op: Op, reply: Option<Reply>, call: u64, end: u64) {
        if reply.is_none() {
            if op == Op::Get {
                return;
            }
            self.unknown.fetch_add(1, SeqCst);
        }
        let end = if reply.is_none() { NEVER } else { end };
        self.ops.lock().push(Operation {
            client,
            op,
            reply,
            call,
            end,
        });
    }

    /// The request that reads the key.
    pub fn get(&self) -> Request {
        match self.kind {
            Kind::List => request([b"LRANGE", self.name.as_bytes(), b"0", b"-1"]),
            _ => request([b"GET", self.name.as_bytes()]),
        }
    }

    /// The history so far.
    pub fn history(&self) -> Vec<Operation> {
        self.ops.lock().clone()
    }

    /// Whether it takes one more operation of load, which is counted.
    fn takes_one(&self) -> bool {
        self.unknown.load(SeqCst) < UNKNOWN_MAX && self.issued.fetch_add(1, SeqCst) < OPS_MAX
    }
}

/// The harness's clock, one for all clients.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// All keys: some under load, the others retired.
pub struct Keys {
    live: Vec<Mutex<Arc<Track>>>,
    all: Mutex<Vec<Arc<Track>>>,
    count: AtomicU64,
    prefix: String,
}

impl Keys {
    /// `live` keys of each kind at a time; names begin with `prefix`, which no earlier load had.
    pub fn new(prefix: &str, live: usize, kinds: &[Kind]) -> Keys {
        let mut keys = Keys {
            live: Vec::new(),
            all: Mutex::default(),
            count: AtomicU64::new(0),
            prefix: prefix.to_string(),
        };
        for _ in 0..live {
            for kind in kinds {
                let track = keys.fresh(*kind);
                keys.live.push(Mutex::new(track));
            }
        }
        keys
    }

    fn fresh(&self, kind: Kind) -> Arc<Track> {
        let number = self.count.fetch_add(1, SeqCst);
        let track = Arc::new(Track {
            name: format!("{}:{kind:?}:{number}", self.prefix).to_lowercase(),
            kind,
            issued: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            ops: Mutex::default(),
        });
        self.all.lock().push(track.clone());
        track
    }

    /// A key for one more operation.
    pub fn pick(&self, rng: &mut impl Rng) -> Arc<Track> {
        let mut live = self.live[rng.random_range(0..self.live.len())].lock();
        if !live.takes_one() {
            *live = self.fresh(live.kind);
            live.takes_one();
        }
        live.clone()
    }

    /// The keys under load now.
    pub fn live(&self) -> Vec<Arc<Track>> {
        self.live.iter().map(|t| t.lock().clone()).collect()
    }

    /// Every key that there was.
    pub fn all(&self) -> Vec<Arc<Track>> {
        self.all.lock().clone()
    }
}
