//! Execution: a leader runs commands against memory ahead of the log, and answers when it commits.
//!
//! One lock guards everything (`Engine::lock`). A session holds it while it runs the commands it
//! has read, so a transaction is atomic by holding on. What runs between two proposals forms one
//! batch ([`command::Turn`](crate::command::Turn)); the proposer takes it, Raft commits it, and
//! [`Core::apply`] releases the replies that wait for it or, when something else commits first,
//! takes back what was executed ahead.
//!
//! **Invariants.** Nothing is executed before the epoch's own open entry was applied. A reply is
//! released only when the batch it waits for is committed. After `end_epoch` memory equals what is
//! committed. The engine names neither Raft nor the store: it hands out batches and rows.

pub mod apply;
pub mod blocked;
pub mod clock;
pub mod core;
pub mod evictor;
mod gather;
pub mod pause;
pub mod said;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

pub use self::apply::{Applied, ApplyError};
pub use self::core::{Core, Proposal, Role};
pub use self::gather::HOLD_MAX;
pub use self::pause::Pause;

use crate::base::clock::Clock;
use crate::command::acl::Users;
use crate::command::turn::Event;
use crate::keyspace::Keyspace;

/// How often who waits for the lock looks whether a script has begun to take long.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Receives what is to be told to subscribers, in order, once committed.
pub type EventSink = Box<dyn Fn(Vec<Event>) + Send + Sync>;

/// Is told of users: as they were, and as they are now.
pub type UsersSink = Box<dyn Fn(&Users, &Users) + Send + Sync>;

/// Takes the service's settings as the core has them.
pub type SettingsSink = Box<dyn FnMut(&mut Core) + Send + Sync>;

/// The engine of one node, shared by its sessions, its proposer and its state machine.
pub struct Engine {
    core: Mutex<Core>,
    /// Rung when there is something to propose or room to propose it.
    pub propose: Notify,
    /// Holds up sessions while the data or the leader is exchanged.
    pub pause: Pause,
    /// A script has the engine for long: who needs the lock goes on with something else ([`Engine::try_lock`]).
    pub long: Pause,
    /// Raised to end the script that runs.
    pub kill: Arc<AtomicBool>,
    /// Counts roles and epochs: a reply waits within one era.
    era: AtomicU64,
    committed: AtomicU64,
    leading: AtomicBool,
    /// Told of each change of `leading`.
    leads: watch::Sender<bool>,
    lease: arc_swap::ArcSwap<LeaseCheck>,
}

/// Says whether this leader's lease holds now.
pub struct LeaseCheck(pub Box<dyn Fn() -> bool + Send + Sync>);

/// What became of a batch that a reply waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    Committed,
    /// The epoch ended before it was seen to commit. It may still take effect.
    Unknown,
}

impl Engine {
    /// An engine that serves nothing until it is given data and a role.
    pub fn new(ks: Keyspace, settings: crate::command::Settings) -> Arc<Engine> {
        Engine::with_clock(ks, settings, Clock::system())
    }

    /// The same, by another machine's clocks.
    pub fn with_clock(
        ks: Keyspace,
        settings: crate::command::Settings,
        time: Clock,
    ) -> Arc<Engine> {
        Arc::new(Engine {
            core: Mutex::new(Core::new(ks, settings, time)),
            propose: Notify::new(),
            pause: Pause::default(),
            long: Pause::default(),
            kill: Arc::default(),
            era: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            leading: AtomicBool::new(false),
            leads: watch::Sender::new(false),
            lease: arc_swap::ArcSwap::from_pointee(LeaseCheck(Box::new(|| false))),
        })
    }

    /// Sets how the lease is checked. Until then no lease holds.
    pub fn set_lease(&self, check: impl Fn() -> bool + Send + Sync + 'static) {
        self.lease.store(Arc::new(LeaseCheck(Box::new(check))));
    }

    /// Whether replies from committed data alone may leave at once.
    pub fn lease_valid(&self) -> bool {
        (self.lease.load().0)()
    }

    /// The engine, for as long as the guard lives.
    pub fn lock(&self) -> Guard<'_> {
        Guard::new(self, self.core.lock())
    }

    /// The engine; `None` while a script has it for long. For threads that have others to serve: a script that begins
    /// to take long while they wait does not hold them.
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        while !self.long.active() {
            if let Some(core) = self.core.try_lock_for(LOOK_AGAIN) {
                return Some(Guard::new(self, core));
            }
        }
        None
    }

    /// The engine, once no one has it for long: for tasks, which must not hold up their thread. Raft's own run on it, and
    /// its heartbeats go on while a command looks at a million keys.
    pub async fn locked(&self) -> Guard<'_> {
        loop {
            if self.long.active() {
                poll_fn(|cx| match self.long.holds(cx.waker()) {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                })
                .await;
            } else if let Some(core) = self.core.try_lock_for(LOOK_AGAIN) {
                return Guard::new(self, core);
            } else {
                // A lock that is let go tells no task of it.
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Ends a script that has the engine for long: this node leads no more, and what it does will be taken back.
    pub fn end_script(&self) {
        if self.long.active() {
            self.kill.store(true, Ordering::Relaxed);
        }
    }

    /// The current era.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Whether this node executes commands as leader.
    pub fn leading(&self) -> bool {
        self.leading.load(Ordering::Acquire)
    }

    /// Follows whether this node executes commands as leader.
    pub fn follow_role(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// What became of a batch of an era, without the lock for the common cases.
    pub fn outcome(&self, era: u64, batch: u64) -> Outcome {
        if batch == 0
            || self.era.load(Ordering::Acquire) == era
                && batch <= self.committed.load(Ordering::Acquire)
        {
            // The era may have changed between the two loads, to one whose batches are fewer or more: look again.
            if batch == 0 || self.era.load(Ordering::Acquire) == era {
                return Outcome::Committed;
            }
        }
        if self.era.load(Ordering::Acquire) == era {
            return Outcome::Pending;
        }
        // Who asks while a script has the engine is woken when it ends, and asks again.
        self.try_lock()
            .map_or(Outcome::Pending, |core| core.outcome(era, batch))
    }
}

/// The engine's lock; publishes what changed under it when it is let go.
pub struct Guard<'a> {
    engine: &'a Engine,
    /// There until the guard is dropped.
    core: Option<MutexGuard<'a, Core>>,
}

impl<'a> Guard<'a> {
    fn new(engine: &'a Engine, core: MutexGuard<'a, Core>) -> Self {
        Guard {
            engine,
            core: Some(core),
        }
    }
}

impl std::ops::Deref for Guard<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        match &self.core {
            Some(core) => core,
            None => unreachable!("only drop takes it"),
        }
    }
}

impl std::ops::DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        match &mut self.core {
            Some(core) => core,
            None => unreachable!("only drop takes it"),
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(mut guard) = self.core.take() else {
            return;
        };
        let core = &mut *guard;
        core.tell_of_users();
        core.take_settings();
        core.release_ready(|| self.engine.lease_valid());
        // Committed first where the era stays, era first where it changes: `outcome` never sees a batch of the
        // new era as committed by the old one's count.
        if self.engine.era.load(Ordering::Relaxed) != core.era {
            self.engine.committed.store(0, Ordering::Release);
            self.engine.era.store(core.era, Ordering::Release);
        }
        self.engine
            .committed
            .store(core.committed, Ordering::Release);
        let leads = matches!(core.role, Role::Leading { .. });
        if self.engine.leading.load(Ordering::Relaxed) != leads {
            self.engine.leading.store(leads, Ordering::Release);
            self.engine.leads.send_replace(leads);
        }
        let propose = core.take_tell_of_wait() || core.wants_proposal();
        let wake = std::mem::take(&mut core.wake);
        // Who is woken wants the lock: to wake under it makes both wait.
        drop(guard);
        if propose {
            self.engine.propose.notify_one();
        }
        for waker in wake {
            waker.wake();
        }
    }
}
