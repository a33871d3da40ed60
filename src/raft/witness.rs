//! What a witness does that a data node does not: it stands only when the data nodes stayed silent, leads only to hand its
//! tail over, and gives up entries only when both data nodes have them on disk.
//!
//! A witness may hold the only second copy of an acknowledged write. So it grants no vote, nor stands, before it was once
//! as far as a leader of its term had committed: one whose disk was wiped would elect a node that lacks what it forgot.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use openraft::ServerState;
use openraft::rt::WatchReceiver as _;

use crate::base::clock::Clock;
use crate::proto::{ExtentReply, ExtentRequest};

use super::group::Group;
use super::peer_service::VoteGate;
use super::peers::{Lane, Peers};
use super::types::{LogId, NodeId};

/// The file in the data folder that says that this witness was once as far as a leader.
const WHOLE: &str = "witness-whole";
/// How long a data node may take to say what it holds.
pub(super) const EXTENT_TIME: Duration = Duration::from_millis(500);
/// How long handing the tail over may take before it is tried again.
const HAND_OVER: Duration = Duration::from_secs(1);
/// The pause between two attempts to hand over, and between questions about a leader.
const PAUSE: Duration = Duration::from_millis(50);

/// When a leader was last heard of, and whether this witness may vote yet.
pub struct Watchdog {
    clock: Clock,
    patience: Duration,
    heard_ms: AtomicU64,
    whole: PathBuf,
    gate: VoteGate,
}

impl Watchdog {
    /// For the witness whose data folder this is. `patience`: the silence after which it stands.
    pub fn new(clock: Clock, patience: Duration, data_dir: &Path, gate: VoteGate) -> Arc<Self> {
        let heard_ms = clock.boottime_ms().into();
        let whole = data_dir.join(WHOLE);
        if !whole.exists() {
            gate.shut();
        }
        Arc::new(Self {
            clock,
            patience,
            heard_ms,
            whole,
            gate,
        })
    }

    /// A leader's append or heartbeat was taken, or a vote was granted. A vote that was refused is nobody's word.
    pub fn heard(&self) {
        self.heard_ms
            .store(self.clock.boottime_ms(), Ordering::Relaxed);
    }

    /// All up to `last` is on this disk, by the word of the leader of `term`, who had committed up to `committed`.
    pub fn holds(&self, last: Option<LogId>, term: u64, committed: Option<LogId>) {
        if !self.gate.is_shut() {
            return;
        }
        let (Some(last), Some(committed)) = (last, committed) else {
            return;
        };
        // What a leader committed in its own term covers all that was committed before it.
        if committed.leader_id.term != term || last < committed {
            return;
        }
        let mark = || -> std::io::Result<()> {
            File::create(&self.whole)?.sync_all()?;
            let parent = self.whole.parent().unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()
        };
        match mark() {
            Ok(()) => self.gate.open_now(),
            Err(e) => tracing::error!("{}: {e}: this witness cannot vote", self.whole.display()),
        }
    }

    /// Whether the data nodes were silent for so long that this node is to stand.
    pub fn expired(&self) -> bool {
        let silent = self
            .clock
            .boottime_ms()
            .saturating_sub(self.heard_ms.load(Ordering::Relaxed));
        silent >= self.patience.as_millis() as u64 && self.gate.remaining().is_zero()
    }
}

/// Up to which entry a witness may purge its log: what every data voter has said is durable in its store, and no more
/// than its own marker covers. `None`: nothing, since one of them has never said.
pub fn purge_upto(
    voters: impl IntoIterator<Item = NodeId>,
    durable: &BTreeMap<NodeId, u64>,
    marker: u64,
) -> Option<u64> {
    let mut upto = None;
    for voter in voters {
        let has = *durable.get(&voter)?;
        upto = Some(upto.map_or(has, |least: u64| least.min(has)));
    }
    upto.map(|least| least.min(marker)).filter(|upto| *upto > 0)
}

/// Asks a node what it holds.
pub(super) async fn extent(peers: &Peers, id: NodeId, addr: &str) -> Option<ExtentReply> {
    let mut client = peers.client(id, addr, Lane::Heartbeat);
    let asked = client.extent(ExtentRequest {});
    let reply = tokio::time::timeout(EXTENT_TIME, asked).await.ok()?.ok()?;
    Some(reply.into_inner())
}

/// Before a witness with an empty log starts: asks the data nodes until one that leads has said that it never had a
/// word of node `own`.
///
/// # Errors
/// When it had: the disk was wiped, and this id must not come back.
pub async fn check_new(
    peers: &Peers,
    own: NodeId,
    data_nodes: &[(NodeId, String)],
) -> anyhow::Result<()> {
    let mut said = false;
    loop {
        for (id, addr) in data_nodes {
            let Some(reply) = extent(peers, *id, addr).await else {
                continue;
            };
            if reply.leads && reply.matched > 0 {
                bail!(
                    "this witness had the log up to entry {} and its disk is empty: it was wiped, and must not vote \
                     under its old id; remove its data folder and replace node {own} by a witness with a new id",
                    reply.matched
                );
            }
            if reply.leads {
                return Ok(());
            }
        }
        if !said {
            said = true;
            tracing::info!("an empty witness waits for a data node that leads");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Group {
    /// Whether this node is a witness.
    pub fn is_witness(&self) -> bool {
        self.watchdog.is_some()
    }

    /// What this node holds, for `caller`.
    pub fn extent(&self, caller: NodeId) -> ExtentReply {
        let metrics = self.raft.metrics();
        let m = metrics.borrow_watched().clone();
        let matched = m
            .replication
            .as_ref()
            .and_then(|r| r.get(&caller)?.as_ref().map(|l| l.index));
        let first = self.log.first_index();
        ExtentReply {
            durable: self.store.durable().map_or(0, |p| p.index),
            first: first.unwrap_or_else(|| self.log.purged().map_or(0, |id| id.index + 1)),
            leads: m.state == ServerState::Leader,
            matched: matched.unwrap_or(0),
            witness: self.is_witness(),
        }
    }

    /// What is wrong with promoting a voter now: a data node among `data` that has less on disk than one of `witnesses`
    /// still holds could never be given the rest by it.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn covered(&self, without: NodeId, also: NodeId) -> Result<(), String> {
        let members: Vec<_> = {
            let metrics = self.raft.metrics();
            let m = metrics.borrow_watched();
            let membership = m.membership_config.membership();
            let voters: Vec<NodeId> = membership.voter_ids().collect();
            let concerned = |id: NodeId| id != without && (id == also || voters.contains(&id));
            membership
                .nodes()
                .filter(|(id, _)| concerned(**id))
                .map(|(id, node)| (*id, node.clone()))
                .collect()
        };
        if members.iter().all(|(_, node)| node.data) {
            return Ok(());
        }
        let (mut durable, mut first) = ((u64::MAX, 0), (0, 0));
        for (id, node) in members {
            let held = match id == self.id {
                true => Some(self.extent(id)),
                false => extent(&self.peers, id, &node.peer_addr).await,
            };
            let Some(held) = held else {
                return Err(format!("node {id} does not say what it holds"));
            };
            if node.data {
                durable = durable.min((held.durable, id));
            } else {
                first = first.max((held.first, id));
            }
        }
        match durable.0 + 1 < first.0 {
            true => Err(format!(
                "node {} has on disk what was written up to entry {}, and the witness {} holds the log only from entry {} on: \
                 wait until it has written more",
                durable.1, durable.0, first.1, first.0
            )),
            false => Ok(()),
        }
    }

    /// Stands when the data nodes stayed silent, and hands leadership over whenever this witness has it.
    pub(super) async fn watch_leader(self: Arc<Self>, dog: Arc<Watchdog>) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let state = metrics.borrow_watched().state;
            match state {
                ServerState::Leader => {
                    dog.heard();
                    if let Some(to) = self.successor() {
                        match self.hand_over(to, HAND_OVER).await {
                            Ok(()) => tracing::info!(to, "the witness handed its tail over"),
                            Err(why) => tracing::warn!(to, "not handed over yet: {why}"),
                        }
                    }
                }
                ServerState::Follower | ServerState::Candidate if dog.expired() => {
                    tracing::info!("the data nodes are silent: the witness stands");
                    if self.raft.trigger().elect(true).await.is_err() {
                        return;
                    }
                    // Whoever refused may grant in a moment; the clock goes on.
                    tokio::time::sleep(self.options.election_timeout_min).await;
                }
                _ => {}
            }
            if let Ok(Err(_)) = tokio::time::timeout(PAUSE, metrics.changed()).await {
                return;
            }
        }
    }

    /// Purges up to what all data voters have on disk, when the log has grown.
    pub(super) async fn purge_witness(self: Arc<Self>) {
        let mut every = tokio::time::interval(super::group::PURGE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut durable = BTreeMap::new();
        let mut alarmed = false;
        loop {
            every.tick().await;
            if self.log.stats().bytes < self.options.log_keep_bytes {
                alarmed = false;
                continue;
            }
            if let Err(e) = self.purge_witness_once(&mut durable).await {
                tracing::warn!("the log could not be purged: {e:#}");
            }
            if self.log_over_cap() && !alarmed {
                alarmed = true;
                tracing::error!(
                    ?durable,
                    "ALARM: the witness's log has reached its cap, since a data node has not written what it holds: \
                     replace that node"
                );
            }
        }
    }

    async fn purge_witness_once(&self, durable: &mut BTreeMap<NodeId, u64>) -> anyhow::Result<()> {
        let (voters, marker): (Vec<_>, u64) = {
            let metrics = self.raft.metrics();
            let m = metrics.borrow_watched().clone();
            let membership = m.membership_config.membership();
            let data = |id| membership.get_node(&id).filter(|n| n.data).cloned();
            let voters = membership
                .voter_ids()
                .filter_map(|id| Some((id, data(id)?.peer_addr)));
            let voters = voters.collect();
            (voters, m.snapshot.as_ref().map_or(0, |id| id.index))
        };
        for (id, addr) in &voters {
            if let Some(reply) = extent(&self.peers, *id, addr).await {
                durable.insert(*id, reply.durable);
            }
        }
        let ids = || voters.iter().map(|(id, _)| *id);
        let Some(wanted) = purge_upto(ids(), durable, u64::MAX) else {
            return Ok(());
        };
        if marker < wanted {
            self.raft.trigger().snapshot().await.context("a marker")?;
        }
        if let Some(upto) = purge_upto(ids(), durable, marker) {
            self.raft.trigger().purge_log(upto).await?;
        }
        Ok(())
    }

    /// Whether this node's log has outgrown the disk that it may use.
    pub fn log_over_cap(&self) -> bool {
        self.log.stats().bytes > self.options.log_cap_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Manual;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new_term_index(term, index)
    }

    fn dog(dir: &Path, whole: bool) -> (Arc<Manual>, VoteGate, Arc<Watchdog>) {
        if whole {
            File::create(dir.join(WHOLE)).unwrap();
        }
        let manual = Manual::new(1_000, 0);
        let clock = Clock::new(manual.clone());
        let gate = VoteGate::open(clock.clone());
        let dog = Watchdog::new(clock, Duration::from_millis(1200), dir, gate.clone());
        (manual, gate, dog)
    }

    #[test]
    fn a_witness_stands_after_silence_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (time, _, dog) = dog(dir.path(), true);
        time.advance(1199);
        assert!(!dog.expired(), "one millisecond early");
        time.advance(1);
        assert!(dog.expired());
        dog.heard();
        assert!(!dog.expired(), "a leader's word begins the time anew");
        time.advance(1200);
        // What a leader says of the log is no word of its own: only its caller counts it.
        dog.holds(Some(id(1, 5)), 1, Some(id(1, 5)));
        assert!(dog.expired());
    }

    #[test]
    fn a_witness_that_was_wiped_neither_votes_nor_stands_before_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (time, gate, new) = dog(dir.path(), false);
        time.advance(10_000);
        assert!(gate.is_shut() && !new.expired());
        new.holds(Some(id(3, 90)), 3, Some(id(2, 80)));
        assert!(
            gate.is_shut(),
            "the leader has committed nothing in its own term"
        );
        new.holds(Some(id(3, 90)), 3, Some(id(3, 91)));
        new.holds(None, 3, Some(id(3, 91)));
        assert!(gate.is_shut(), "an entry that is committed is missing");
        new.holds(Some(id(3, 91)), 3, Some(id(3, 91)));
        assert!(!gate.is_shut() && new.expired());
        // It stays whole across a restart.
        let (_, gate, _) = dog_again(dir.path());
        assert!(!gate.is_shut());
    }

    fn dog_again(dir: &Path) -> (Arc<Manual>, VoteGate, Arc<Watchdog>) {
        dog(dir, false)
    }

    #[test]
    fn nothing_is_purged_that_a_data_node_lacks_on_disk() {
        let durable = BTreeMap::from([(1, 70), (2, 50), (9, 10)]);
        assert_eq!(purge_upto([1, 2], &durable, 100), Some(50));
        assert_eq!(purge_upto([1, 2], &durable, 40), Some(40), "the marker");
        assert_eq!(
            purge_upto([1, 3], &durable, 100),
            None,
            "node 3 never said what it has"
        );
        assert_eq!(purge_upto([], &durable, 100), None);
        let none = BTreeMap::from([(1, 70), (2, 0)]);
        assert_eq!(purge_upto([1, 2], &none, 100), None);
    }
}
