//! Clients in WAIT and WAITAOF: each is answered once so many standbys have in their logs what was
//! executed before it asked, or with how many have it when its time is over.
//!
//! **Invariant**: who waits here stands in line in the engine too, for no key, with the same parcel: so
//! CLIENT UNBLOCK, a lost lead and a client that leaves end its wait as any other. What is left here of a
//! wait that ended so is dropped at the next look.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::command::blocking::{Block, Kind, Parcel};
use crate::engine::{Core, Outcome};
use crate::resp::Out;

use super::Server;

/// What the standbys are to have.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The log up to this index.
    Index(u64),
    /// A batch that is not committed yet; from then on, the log as it was then.
    Batch { era: u64, batch: u64 },
}

/// What a command waits for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub target: Target,
    pub standbys: usize,
    /// The reply has two numbers: WAITAOF.
    pub aof: bool,
    /// Milliseconds; 0: for ever.
    pub timeout_ms: u64,
}

impl Wanted {
    /// How its session stands in line: for no key.
    pub fn block(&self) -> Block {
        Block {
            keys: Vec::new(),
            kind: Kind::List,
            timeout_ms: self.timeout_ms,
            on_gone: false,
            null_array: true,
            args: None,
        }
    }

    /// The reply that so many standbys have it. What is committed is synced here too.
    pub fn write(&self, out: &mut Out, standbys: usize) {
        if self.aof {
            out.array(2);
            out.int(1);
        }
        out.len_int(standbys);
    }
}

struct Waiting {
    client: u64,
    parcel: Arc<Parcel>,
    wanted: Wanted,
}

impl Waiting {
    fn in_line(&self, core: &Core) -> bool {
        let waiter = core.blocking.get(self.client);
        waiter.is_some_and(|w| Arc::ptr_eq(&w.parcel, &self.parcel))
    }
}

/// Everybody who waits for standbys: no more than there are clients, and those that left since the last look.
#[derive(Default)]
pub struct Acks {
    waiting: Mutex<Vec<Waiting>>,
    somebody: Notify,
}

impl Acks {
    /// A client waits, and stands in line with this parcel.
    pub fn add(&self, client: u64, parcel: Arc<Parcel>, wanted: Wanted) {
        self.waiting.lock().push(Waiting {
            client,
            parcel,
            wanted,
        });
        self.somebody.notify_one();
    }

    /// Resolves when somebody waits.
    pub async fn somebody(&self) {
        while self.waiting.lock().is_empty() {
            self.somebody.notified().await;
        }
    }
}

impl Server {
    /// Standbys that have the log up to an index.
    pub fn standbys_with(&self, index: u64) -> usize {
        let followers = (self.facts)().followers;
        followers.iter().filter(|f| f.1 >= index).count()
    }

    /// Answers those in WAIT for whom enough standbys have enough. To be called when a standby, or this node, has more.
    pub fn serve_acks(&self, core: &mut Core) {
        self.acks.waiting.lock().retain_mut(|w| {
            if !w.in_line(core) {
                return false;
            }
            let n = self.has(core, &mut w.wanted);
            if n < w.wanted.standbys {
                return true;
            }
            core.unblock(w.client, |out| w.wanted.write(out, n));
            false
        });
    }

    /// Standbys that have what is wanted.
    fn has(&self, core: &Core, wanted: &mut Wanted) -> usize {
        if let Target::Batch { era, batch } = wanted.target
            && core.outcome(era, batch) == Outcome::Committed
        {
            wanted.target = Target::Index(core.applied.0);
        }
        match wanted.target {
            Target::Index(index) => self.standbys_with(index),
            Target::Batch { .. } => 0,
        }
    }

    /// Ends a client's wait, whatever for, as if its time were over; says whether it waited.
    pub fn end_wait(&self, core: &mut Core, client: u64) -> bool {
        let mut waiting = self.acks.waiting.lock();
        let at = waiting
            .iter()
            .position(|w| w.client == client && w.in_line(core));
        let Some(mut ended) = at.map(|at| waiting.swap_remove(at)) else {
            return core.unblock(client, Out::null_array);
        };
        let n = self.has(core, &mut ended.wanted);
        core.unblock(client, |out| ended.wanted.write(out, n))
    }
}
