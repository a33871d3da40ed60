//! One member of a Raft group: the log, the network and the state machine, joined, with the tasks
//! that give the engine its role, propose what it executed, and keep the log short.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft::impls::ProgressResponder;
use openraft::rt::{Instant as _, WatchReceiver as _};
use openraft::{Raft, ServerState, SnapshotPolicy};
use tokio::sync::{Notify, Semaphore};

use crate::base::clock::Clock;
use crate::base::limits::PARTS_IN_FLIGHT_MAX;
use crate::base::work;
use crate::engine::{Engine, HOLD_MAX, Role};
use crate::log::{Log, Space};
use crate::store::Store;

use super::lease::Lease;
use super::log_storage::LogStorage;
use super::network::Factory;
use super::peer_service::VoteGate;
use super::peers::Peers;
use super::reads::Reads;
use super::state_machine::StateMachine;
use super::types::{Config, Member, NodeId, Payload};
use super::witness::Watchdog;

/// How the group is run; the timeouts must be the same at all members.
pub struct Options {
    pub id: NodeId,
    pub cluster_id: String,
    pub heartbeat: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
    /// Log bytes beyond which a snapshot is made and the log purged.
    pub log_keep_bytes: u64,
    /// Log bytes beyond which a voter that does not answer no longer holds the purge back.
    pub log_cap_bytes: u64,
    /// At a witness: its data folder.
    pub witness: Option<PathBuf>,
    pub clock: Clock,
}

/// A running member.
pub struct Group {
    pub id: NodeId,
    pub cluster_id: String,
    pub raft: Raft<Config, StateMachine>,
    pub engine: Arc<Engine>,
    pub store: Arc<Store>,
    pub log: Log,
    pub lease: Arc<Lease>,
    pub peers: Arc<Peers>,
    pub gate: VoteGate,
    pub incoming: PathBuf,
    pub started: Instant,
    /// At a witness.
    pub watchdog: Option<Arc<Watchdog>>,
    pub(super) factory: Factory,
    pub(super) reads: Reads,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) reopen: Notify,
    /// The engine as the operator was last told of it.
    pub(super) seen: parking_lot::Mutex<Seen>,
    last_proposal_ms: AtomicU64,
    pub(super) clock: Clock,
    pub(super) options: Options,
}

/// What the operator is told of the engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub role: Role,
    pub epoch: u64,
    pub keys: u64,
    pub bytes: u64,
    pub expired_before: u64,
    pub refuses_at: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            role: Role::Loading,
            epoch: 0,
            keys: 0,
            bytes: 0,
            expired_before: 0,
            refuses_at: 0,
        }
    }
}

/// How often expired keys are looked for.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// An idle leader writes a mark of the service time this often, so that standbys know how current they are.
const MARK_EVERY: Duration = Duration::from_millis(500);
/// How often the log's length is looked at.
pub(super) const PURGE_EVERY: Duration = Duration::from_secs(2);

impl Group {
    /// Starts Raft on an opened log and state machine.
    pub async fn start(
        options: Options,
        log: Log,
        sm: StateMachine,
        engine: Arc<Engine>,
        store: Arc<Store>,
        peers: Arc<Peers>,
        incoming: PathBuf,
    ) -> anyhow::Result<Arc<Group>> {
        let clock = options.clock.clone();
        let lease = Lease::new(options.id, options.election_timeout_min, clock.clone());
        let config = openraft::Config {
            cluster_name: options.cluster_id.clone(),
            heartbeat_interval: options.heartbeat.as_millis() as u64,
            election_timeout_min: options.election_timeout_min.as_millis() as u64,
            election_timeout_max: options.election_timeout_max.as_millis() as u64,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            install_snapshot_timeout: 600_000,
            max_payload_entries: 256,
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            enable_elect: false,
            ..Default::default()
        };
        let config = Arc::new(config.validate()?);
        let restarted = log.vote().is_some();
        let storage = LogStorage::new(log.clone());
        let factory = Factory::new(
            options.id,
            options.witness.is_some(),
            peers.clone(),
            lease.clone(),
        );
        let raft = Raft::new(options.id, config, factory.clone(), storage, sm).await?;
        // Asked of Raft's core itself: what it publishes says nothing until it has begun to work, and a voter that took its
        // group for empty would vote without waiting.
        let id = options.id;
        let (voters, led) = raft
            .with_raft_state(move |state| {
                let voters = state.membership_state.effective().voter_ids().count();
                (voters, state.vote_ref().leader_id.voted_for == id)
            })
            .await?;
        let gate = if restarted && voters > 1 {
            VoteGate::closed_for(clock.clone(), options.election_timeout_max)
        } else {
            VoteGate::open(clock.clone())
        };
        // Two timeouts, counted from the end of the lease as a data node's one is: the data nodes go first.
        let patience = options.election_timeout_max * 3;
        let watchdog = options
            .witness
            .as_ref()
            .map(|dir| Watchdog::new(clock.clone(), patience, dir, gate.clone()));
        {
            let lease = lease.clone();
            engine.set_lease(move || lease.valid());
        }
        let group = Arc::new(Group {
            id: options.id,
            cluster_id: options.cluster_id.clone(),
            raft,
            engine,
            store,
            log,
            lease,
            peers,
            gate,
            incoming,
            started: Instant::now(),
            watchdog,
            factory,
            reads: Reads::default(),
            runtime: tokio::runtime::Handle::current(),
            reopen: Notify::new(),
            seen: parking_lot::Mutex::new(Seen::default()),
            last_proposal_ms: AtomicU64::new(0),
            clock,
            options,
        });
        if let Some(dog) = group.watchdog.clone() {
            tokio::spawn(group.clone().watch_leader(dog));
            tokio::spawn(group.clone().purge_witness());
            return Ok(group);
        }
        tokio::spawn(group.clone().stand(voters == 1, led));
        tokio::spawn(group.clone().keep_role());
        tokio::spawn(group.clone().propose());
        tokio::spawn(group.clone().tick());
        tokio::spawn(group.clone().purge());
        Ok(group)
    }

    /// Makes the cluster out of these members, if this node has never been in one.
    pub async fn bootstrap(&self, members: BTreeMap<NodeId, Member>) -> anyhow::Result<()> {
        if self.raft.is_initialized().await? {
            return Ok(());
        }
        self.raft.initialize(members).await?;
        Ok(())
    }

    /// Lets the node stand for election once its promises of before the restart have run out. One that led before lets
    /// the others go first: they have been warm all along, and what killed it may kill it again.
    async fn stand(self: Arc<Self>, alone: bool, led: bool) {
        tokio::time::sleep(self.gate.remaining()).await;
        if led && !alone {
            // The others stand after their lease and their own timeout, of which some has passed.
            tokio::time::sleep(self.options.election_timeout_max * 2).await;
        }
        self.raft.runtime_config().elect(true);
        if alone {
            // Nobody else could lead: do not wait for a timeout.
            let _ = self.raft.trigger().elect(false).await;
        }
    }

    /// Gives the engine the role that Raft gives this node.
    async fn keep_role(self: Arc<Self>) {
        let mut metrics = self.raft.server_metrics();
        let mut opened_term = 0;
        loop {
            let (term, leads, membership) = {
                let m = metrics.borrow_watched();
                let leads = m.state == ServerState::Leader && m.current_leader == Some(self.id);
                (m.vote.leader_id.term, leads, m.membership_config.clone())
            };
            if leads {
                self.lease.begin(term, &membership);
                let open = {
                    let mut core = self.engine.locked().await;
                    core.gather(membership.voter_ids().nth(1).is_some());
                    let wanted = match core.role {
                        Role::Leading { .. } | Role::Opening { .. } => opened_term != term,
                        Role::Standby => true,
                        Role::Loading => false,
                    };
                    wanted.then(|| core.open_epoch(term))
                };
                if let Some(payload) = open {
                    opened_term = term;
                    tracing::info!(term, "this node leads; it opens an epoch");
                    let group = self.clone();
                    tokio::spawn(async move {
                        if let Err(e) = group.raft.client_write(Payload(payload)).await {
                            tracing::warn!("the epoch could not be opened: {e}");
                            group.end_epoch().await;
                        }
                    });
                }
            } else {
                self.lease.revoke();
                self.engine.end_script();
                self.engine.locked().await.end_epoch();
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { return },
                () = self.reopen.notified() => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The epoch is over; if this node still leads it opens another.
    async fn end_epoch(&self) {
        self.engine.end_script();
        self.engine.locked().await.end_epoch();
        self.reopen.notify_one();
    }

    /// Proposes what the engine executed, one batch after the other.
    async fn propose(self: Arc<Self>) {
        loop {
            self.engine.propose.notified().await;
            loop {
                if self.store.over_limit() {
                    self.store.room().await;
                }
                let (proposal, gathers) = {
                    let mut core = self.engine.locked().await;
                    (core.take_proposal(), core.gathers())
                };
                let Some(proposal) = proposal else {
                    if !gathers {
                        break;
                    }
                    tokio::select! {
                        () = self.engine.propose.notified() => {}
                        () = tokio::time::sleep(HOLD_MAX) => self.engine.locked().await.gather_no_more(),
                    }
                    continue;
                };
                self.last_proposal_ms
                    .store(self.clock.boottime_ms(), Ordering::Relaxed);
                // Of a batch of many parts only a few at a time: the log has a bound, and where Raft waits for room in it no
                // heartbeat leaves.
                let window = Arc::new(Semaphore::new(PARTS_IN_FLIGHT_MAX));
                for payload in proposal.payloads {
                    let Ok(turn) = window.clone().acquire_owned().await else {
                        return;
                    };
                    if self.engine.era() != proposal.era {
                        // It is skipped by all without its last part.
                        break;
                    }
                    let (responder, done) = ProgressResponder::complete_only();
                    if proposal.batch % 25 == 0 && crate::base::planted::staged("refused-proposal")
                    {
                        // As Raft may: it refuses this one and takes the next before that is known.
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                            drop(responder);
                        });
                    } else if self
                        .raft
                        .client_write_ff(Payload(payload), Some(responder))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    let (group, era) = (self.clone(), proposal.era);
                    tokio::spawn(async move {
                        let done = done.await;
                        drop(turn);
                        if matches!(done, Ok(Ok(_))) {
                            return;
                        }
                        if group.engine.era() == era {
                            tracing::warn!("a batch was not accepted: the epoch ends");
                            group.end_epoch().await;
                        } else {
                            // The engine ended it already, by what it applied: another is opened if none was.
                            group.reopen.notify_one();
                        }
                    });
                }
            }
        }
    }

    /// Expiry, and marks of the service time while nothing is written.
    async fn tick(self: Arc<Self>) {
        let mut every = tokio::time::interval(EXPIRE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if !self.engine.leading() || self.engine.pause.active() {
                continue;
            }
            while self.engine.locked().await.expire_due() {
                tokio::task::yield_now().await;
            }
            let idle = self
                .clock
                .boottime_ms()
                .saturating_sub(self.last_proposal_ms.load(Ordering::Relaxed));
            if idle >= MARK_EVERY.as_millis() as u64 {
                self.engine.locked().await.want_mark();
            }
        }
    }

    /// Makes snapshots and purges the log where it has grown.
    async fn purge(self: Arc<Self>) {
        let mut every = tokio::time::interval(PURGE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut merging: Option<tokio::task::JoinHandle<bool>> = None;
        loop {
            every.tick().await;
            if self.log.space() != Space::Ok
                && merging.as_ref().is_none_or(|merge| merge.is_finished())
            {
                let (store, free) = (self.store.clone(), self.log.stats().free);
                let data = self.engine.lock().ks.bytes();
                merging = Some(tokio::spawn(async move {
                    let merge = work::blocking(move || store.reclaim(data, free));
                    merge.await.unwrap_or(false)
                }));
            }
            // Where the disk is short of room, the log gives up what it need not keep.
            if self.log.stats().bytes < self.options.log_keep_bytes && self.log.space() == Space::Ok
            {
                continue;
            }
            if let Err(e) = self.purge_once().await {
                tracing::warn!("the log could not be purged: {e:#}");
            }
        }
    }

    /// One snapshot, and one purge of what it covers and every live voter has.
    async fn purge_once(&self) -> anyhow::Result<()> {
        let durable = self.store.durable().map_or(0, |p| p.index);
        let snapshot = self
            .raft
            .metrics()
            .borrow_watched()
            .snapshot
            .as_ref()
            .map_or(0, |id| id.index);
        if durable > snapshot {
            self.raft.trigger().snapshot().await?;
        }
        let (snapshot, matched) = {
            // A copy: with the watch held, a second look at it waits behind a waiting writer, for ever.
            let metrics = self.raft.metrics();
            let m = metrics.borrow_watched().clone();
            let snapshot = m.snapshot.as_ref().map_or(0, |id| id.index);
            let matched = m.replication.as_ref().map(|r| {
                m.membership_config
                    .voter_ids()
                    .filter(|v| *v != self.id && self.answers(*v))
                    .map(|v| {
                        r.get(&v)
                            .and_then(|id| id.as_ref())
                            .map_or(0, |id| id.index)
                    })
                    .min()
                    .unwrap_or(u64::MAX)
            });
            (snapshot, matched.unwrap_or(u64::MAX))
        };
        let over_cap = self.log.stats().bytes > self.options.log_cap_bytes;
        if over_cap && matched < snapshot {
            tracing::error!(
                matched,
                "a voter that lags no longer holds back the purge: the log has reached its cap"
            );
        }
        let upto = snapshot
            .min(durable)
            .min(if over_cap { u64::MAX } else { matched });
        if upto > 0 {
            self.raft.trigger().purge_log(upto).await?;
        }
        Ok(())
    }

    /// Resolves when Raft has stopped, with why.
    pub async fn ended(&self) -> String {
        // Of what is published, what changes seldom: the rest changes with each entry. It ends with Raft's task.
        let mut seldom = self.raft.server_metrics();
        while seldom.changed().await.is_ok() {}
        match &self.raft.metrics().borrow_watched().running_state {
            Err(e) => e.to_string(),
            Ok(()) => "its task is gone".into(),
        }
    }

    /// Whether a voter has answered within the last ten election timeouts.
    fn answers(&self, voter: NodeId) -> bool {
        let metrics = self.raft.metrics();
        let m = metrics.borrow_watched();
        let heard = m
            .heartbeat
            .as_ref()
            .and_then(|h| h.get(&voter))
            .and_then(Option::as_ref);
        heard.is_some_and(|at| at.elapsed() < self.options.election_timeout_max * 10)
    }

    /// Whether a member has been heard of lately by this leader.
    pub fn reachable(&self, member: NodeId) -> bool {
        member == self.id || self.answers(member)
    }

    /// Stops Raft; what was committed stays to be found at the next start.
    pub async fn stop(&self) {
        self.engine.end_script();
        self.engine.locked().await.end_epoch();
        let _ = self.raft.shutdown().await;
        self.log.close();
        let store = self.store.clone();
        let _ = work::blocking(move || store.close()).await;
    }
}

#[cfg(test)]
mod tests;
