//! What an operator can ask of a member. Refusals say what is in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::ChangeMembers;
use openraft::rt::WatchReceiver as _;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::engine::Role;
use crate::keyspace::evict::Policy;
use crate::log::Space;
use crate::proto::admin_server::Admin;
use crate::proto::{
    AddRequest, ChangeReply, DigestReply, DigestRequest, Empty, EntriesRequest, LogEntries,
    LogStatusReply, Member as MemberInfo, NodeRequest, PromoteRequest, ReplaceRequest,
    SnapshotChunk, SnapshotReply, StatusReply,
};

use super::copies;
use super::group::{Group, Seen};
use super::state_machine::role_name;
use super::types::{Member, NodeId};
use super::witness;

/// How far a learner may lag and still be promoted, log entries, unless the operator says otherwise.
const LAG_MAX: u64 = 1000;
/// How long a voter may take to lead after it was told to.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long a replacement may take to catch up, unless the operator says otherwise.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(600);

/// The admin service of one member.
#[derive(Clone)]
pub struct Service(pub Arc<Group>);

fn refused(text: impl Into<String>) -> Status {
    Status::failed_precondition(text)
}

impl Service {
    fn status_now(&self) -> StatusReply {
        let g = &self.0;
        // A copy: with the watch held, a second look at it waits behind a waiting writer, for ever.
        let metrics = g.raft.metrics();
        let m = metrics.borrow_watched().clone();
        let now = g.engine.try_lock().map(|core| Seen {
            role: core.role,
            epoch: core.sequence.epoch,
            keys: core.ks.len() as u64,
            bytes: core.ks.bytes(),
            expired_before: core.expired_before,
            refuses_at: match core.settings.eviction.policy {
                Policy::NoEviction => core.settings.maxmemory,
                _ => 0,
            },
        });
        // While a script has the engine, the node lives and is what it was.
        let mut last = g.seen.lock();
        *last = now.unwrap_or(*last);
        let Seen {
            role,
            epoch,
            keys,
            bytes,
            expired_before,
            refuses_at,
        } = *last;
        drop(last);
        let loading = role == Role::Loading && !g.is_witness();
        let membership = m.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let own_voter = voters.contains(&g.id);
        let members = membership
            .nodes()
            .map(|(id, node)| {
                let replicated = m
                    .replication
                    .as_ref()
                    .and_then(|r| r.get(id))
                    .and_then(Option::as_ref);
                let matched = if *id == g.id {
                    m.last_log_index
                } else {
                    replicated.map(|l| l.index)
                };
                let leader = m.current_leader == Some(*id);
                let role = if !node.data {
                    "witness"
                } else if leader {
                    "primary"
                } else if voters.contains(id) {
                    "standby"
                } else {
                    "learner"
                };
                MemberInfo {
                    id: *id,
                    peer_addr: node.peer_addr.clone(),
                    client_addr: node.client_addr.clone(),
                    announced: node.announced.clone(),
                    role: role.into(),
                    voter: voters.contains(id),
                    matched: matched.unwrap_or(0),
                    reachable: m.replication.is_none() || g.reachable(*id),
                }
            })
            .collect();
        // While a witness has the only second copy, the lost data node is to be replaced.
        let second_copy_at_witness = m.replication.is_some()
            && membership.nodes().any(|(_, n)| !n.data)
            && !membership
                .nodes()
                .any(|(id, n)| n.data && *id != g.id && voters.contains(id) && g.reachable(*id));
        let state = match &m.running_state {
            Ok(()) if loading => "loading".to_string(),
            Ok(()) if g.log.space() == Space::Full => "disk full".to_string(),
            Ok(()) if g.log.space() == Space::Low => "disk low".to_string(),
            Ok(()) if g.is_witness() && g.log_over_cap() => "alarm: log at its cap".to_string(),
            Ok(()) if second_copy_at_witness => "alarm: no standby".to_string(),
            Ok(()) => "running".to_string(),
            Err(e) => format!("stopped: {e}"),
        };
        let stats = g.log.stats();
        StatusReply {
            id: g.id,
            cluster_id: g.cluster_id.clone(),
            role: match g.is_witness() {
                true => "witness",
                false => role_name(role, own_voter),
            }
            .into(),
            term: m.current_term,
            leader: m.current_leader.unwrap_or(0),
            last_log: m.last_log_index.unwrap_or(0),
            committed: m.cluster_committed.as_ref().map_or(0, |id| id.index),
            applied: m.last_applied.as_ref().map_or(0, |id| id.index),
            purged: m.purged.as_ref().map_or(0, |id| id.index),
            durable: g.store.durable().map_or(0, |p| p.index),
            snapshot: m.snapshot.as_ref().map_or(0, |id| id.index),
            members,
            serving: matches!(role, Role::Leading { .. }),
            epoch,
            log_bytes: stats.bytes,
            keys,
            used_memory: bytes,
            uptime_s: g.started.elapsed().as_secs(),
            version: env!("CARGO_PKG_VERSION").into(),
            expired_before,
            wall_ms: g.clock.wall_ms(),
            sync_worst_us: stats.sync_worst_us,
            refuses_at,
            state,
        }
    }

    /// Membership is changed at the leader alone.
    fn leading(&self) -> Result<(), Status> {
        let metrics = self.0.raft.metrics();
        let leader = metrics.borrow_watched().current_leader;
        match leader {
            Some(id) if id == self.0.id => Ok(()),
            Some(id) => Err(refused(format!(
                "node {} does not lead; ask node {id}",
                self.0.id
            ))),
            None => Err(refused(
                "no node leads at this moment: membership cannot change",
            )),
        }
    }

    fn member(&self, id: NodeId) -> Option<(Member, bool)> {
        let metrics = self.0.raft.metrics();
        let m = metrics.borrow_watched();
        let membership = m.membership_config.membership();
        let voter = membership.voter_ids().any(|v| v == id);
        membership.get_node(&id).cloned().map(|node| (node, voter))
    }

    fn lag(&self, id: NodeId) -> u64 {
        let metrics = self.0.raft.metrics();
        let m = metrics.borrow_watched();
        let replicated = m
            .replication
            .as_ref()
            .and_then(|r| r.get(&id))
            .and_then(Option::as_ref);
        m.last_log_index
            .unwrap_or(0)
            .saturating_sub(replicated.map_or(0, |l| l.index))
    }

    async fn add(&self, r: &AddRequest) -> Result<u64, Status> {
        if r.id == 0 || r.peer_addr.is_empty() {
            return Err(Status::invalid_argument(
                "a node has an id of 1 or more and a peer address host:port",
            ));
        }
        if self.member(r.id).is_some() {
            return Err(refused(format!(
                "node {} is a member already; ids are never used twice",
                r.id
            )));
        }
        let node = Member {
            peer_addr: r.peer_addr.clone(),
            client_addr: r.client_addr.clone(),
            announced: r.announced.clone(),
            data: !r.witness,
        };
        let held = witness::extent(&self.0.peers, r.id, &r.peer_addr).await;
        if held.is_some_and(|held| held.witness != r.witness) {
            return Err(refused(format!(
                "node {} is configured for the other role: a witness is added with --role witness, a data node without",
                r.id
            )));
        }
        let done = self
            .0
            .raft
            .add_learner(r.id, node, false)
            .await
            .map_err(|e| refused(e.to_string()))?;
        Ok(done.log_id.index)
    }

    async fn change(&self, change: ChangeMembers<NodeId, Member>) -> Result<u64, Status> {
        let done = self
            .0
            .raft
            .change_membership(change, false)
            .await
            .map_err(|e| refused(e.to_string()))?;
        Ok(done.log_id.index)
    }
}

fn done(log_index: u64, text: impl Into<String>) -> Result<Response<ChangeReply>, Status> {
    Ok(Response::new(ChangeReply {
        log_index,
        text: text.into(),
    }))
}

#[tonic::async_trait]
impl Admin for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<StatusReply, Status>> + Send>>;

    async fn status(&self, _: Request<Empty>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(self.status_now()))
    }

    async fn watch(&self, _: Request<Empty>) -> Result<Response<Self::WatchStream>, Status> {
        let service = self.clone();
        let (tx, rx) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            let mut metrics = service.0.raft.server_metrics();
            let mut shown = None;
            let mut sent = Instant::now();
            loop {
                let status = service.status_now();
                let key = (
                    status.role.clone(),
                    status.leader,
                    status.serving,
                    status.members.len(),
                    status.state.clone(),
                );
                if shown.as_ref() != Some(&key) || sent.elapsed() >= Duration::from_secs(1) {
                    shown = Some(key);
                    sent = Instant::now();
                    if tx.send(Ok(status)).await.is_err() {
                        return;
                    }
                }
                // The engine's role follows Raft's within milliseconds and has no signal of its own.
                let _ = tokio::time::timeout(Duration::from_millis(20), metrics.changed()).await;
            }
        });
        Ok(Response::new(Box::pin(
            tokio_stream::wrappers::ReceiverStream::new(rx),
        )))
    }

    async fn add_learner(
        &self,
        request: Request<AddRequest>,
    ) -> Result<Response<ChangeReply>, Status> {
        self.leading()?;
        let r = request.into_inner();
        let index = self.add(&r).await?;
        done(
            index,
            format!(
                "node {} is a learner; promote it when it has caught up",
                r.id
            ),
        )
    }

    async fn promote(
        &self,
        request: Request<PromoteRequest>,
    ) -> Result<Response<ChangeReply>, Status> {
        self.leading()?;
        let r = request.into_inner();
        let Some((_, voter)) = self.member(r.id) else {
            return Err(refused(format!(
                "node {} is no member: add it as a learner first",
                r.id
            )));
        };
        if voter {
            return Err(refused(format!("node {} is a voter already", r.id)));
        }
        let (lag, max) = (
            self.lag(r.id),
            if r.lag_max == 0 { LAG_MAX } else { r.lag_max },
        );
        if lag > max || !self.0.reachable(r.id) {
            return Err(refused(format!(
                "node {} has not caught up: it lacks {lag} entries and at most {max} are allowed",
                r.id
            )));
        }
        self.0.covered(0, r.id).await.map_err(refused)?;
        let index = self
            .change(ChangeMembers::AddVoterIds(BTreeSet::from([r.id])))
            .await?;
        done(index, format!("node {} is a voter", r.id))
    }

    async fn remove(&self, request: Request<NodeRequest>) -> Result<Response<ChangeReply>, Status> {
        self.leading()?;
        let id = request.into_inner().id;
        let Some((_, voter)) = self.member(id) else {
            return Err(refused(format!("node {id} is no member")));
        };
        if id == self.0.id {
            return Err(refused(format!(
                "node {id} leads: transfer leadership first, then remove it"
            )));
        }
        if voter {
            let metrics = self.0.raft.metrics();
            let voters: Vec<NodeId> = metrics
                .borrow_watched()
                .membership_config
                .voter_ids()
                .collect();
            let alive = voters
                .iter()
                .filter(|v| **v != id && self.0.reachable(**v))
                .count();
            if voters.len() < 2 || alive < (voters.len() - 1) / 2 + 1 {
                return Err(refused(format!(
                    "without node {id} only {alive} of {} voters answer, which is no majority",
                    voters.len() - 1
                )));
            }
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])))
                .await?;
        }
        let index = match self.member(id) {
            Some(_) => {
                self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id])))
                    .await?
            }
            None => 0,
        };
        self.0.peers.forget(id);
        done(
            index,
            format!("node {id} is removed; its id is never to be used again"),
        )
    }

    async fn transfer(
        &self,
        request: Request<NodeRequest>,
    ) -> Result<Response<ChangeReply>, Status> {
        self.leading()?;
        let id = request.into_inner().id;
        match self.member(id) {
            None => return Err(refused(format!("node {id} is no member"))),
            Some((_, false)) => {
                return Err(refused(format!(
                    "node {id} is a learner and cannot lead: promote it first"
                )));
            }
            Some((node, true)) if !node.data => {
                return Err(refused(format!(
                    "node {id} is a witness and serves no client"
                )));
            }
            Some(_) if id == self.0.id => return Err(refused(format!("node {id} leads already"))),
            Some(_) if !self.0.reachable(id) => {
                return Err(refused(format!("node {id} does not answer")));
            }
            Some(_) => {}
        }
        self.0
            .hand_over(id, HAND_OVER)
            .await
            .map_err(|e| Status::deadline_exceeded(format!("{e}; see the status")))?;
        done(0, format!("node {id} leads"))
    }

    async fn replace(
        &self,
        request: Request<ReplaceRequest>,
    ) -> Result<Response<ChangeReply>, Status> {
        self.leading()?;
        let r = request.into_inner();
        let Some(new) = r.node else {
            return Err(Status::invalid_argument("the new node is missing"));
        };
        let Some((old, voter)) = self.member(r.old_id) else {
            return Err(refused(format!("node {} is no member", r.old_id)));
        };
        if old.data == new.witness {
            return Err(refused(
                "a witness is replaced by a witness (--role witness), a data node by a data node",
            ));
        }
        if r.old_id == self.0.id {
            return Err(refused(format!(
                "node {} leads: transfer leadership first",
                r.old_id
            )));
        }
        self.add(&new).await?;
        let limit = if r.timeout_ms == 0 {
            REPLACE_TIMEOUT
        } else {
            Duration::from_millis(r.timeout_ms)
        };
        let deadline = Instant::now() + limit;
        while self.lag(new.id) > LAG_MAX || !self.0.reachable(new.id) {
            if Instant::now() >= deadline {
                return Err(Status::deadline_exceeded(format!(
                    "node {} is a learner but has not caught up in {} s; the old node is untouched",
                    new.id,
                    limit.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while voter && let Err(why) = self.0.covered(r.old_id, new.id).await {
            if Instant::now() >= deadline {
                return Err(Status::deadline_exceeded(format!(
                    "{why}; the old node is untouched"
                )));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if voter {
            let metrics = self.0.raft.metrics();
            let mut voters: BTreeSet<NodeId> = metrics
                .borrow_watched()
                .membership_config
                .voter_ids()
                .collect();
            voters.remove(&r.old_id);
            voters.insert(new.id);
            self.change(ChangeMembers::ReplaceAllVoters(voters)).await?;
        }
        let mut index = 0;
        if self.member(r.old_id).is_some() {
            index = self
                .change(ChangeMembers::RemoveNodes(BTreeSet::from([r.old_id])))
                .await?;
        }
        self.0.peers.forget(r.old_id);
        done(
            index,
            format!("node {} has taken the place of node {}", new.id, r.old_id),
        )
    }

    async fn digest(
        &self,
        request: Request<DigestRequest>,
    ) -> Result<Response<DigestReply>, Status> {
        if self.0.is_witness() {
            return Err(refused("this node is a witness and has no data"));
        }
        let r = request.into_inner();
        let limit = Duration::from_millis(if r.timeout_ms == 0 {
            10_000
        } else {
            r.timeout_ms
        });
        let deadline = Instant::now() + limit;
        loop {
            {
                let core = self.0.engine.locked().await;
                let (applied, digest) = core.committed_digest();
                // The very index that was asked for, where it is still known.
                let found = match core.digest_at(r.at).filter(|_| r.at > 0) {
                    Some(then) => Some((r.at, then)),
                    None => (applied >= r.at).then_some((applied, digest)),
                };
                if let Some((applied, digest)) = found {
                    let keys = core.ks.len() as u64;
                    return Ok(Response::new(DigestReply {
                        applied,
                        digest: format!("{digest:032x}"),
                        keys,
                    }));
                }
            }
            if Instant::now() >= deadline {
                return Err(Status::deadline_exceeded(format!(
                    "index {} was not applied here in time",
                    r.at
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn snapshot(&self, _: Request<Empty>) -> Result<Response<SnapshotReply>, Status> {
        let raft = &self.0.raft;
        self.0
            .store
            .flush()
            .await
            .map_err(|e| Status::internal(e.to_string()))?;
        let before = raft
            .metrics()
            .borrow_watched()
            .snapshot
            .as_ref()
            .map_or(0, |id| id.index);
        raft.trigger()
            .snapshot()
            .await
            .map_err(|e| Status::internal(e.to_string()))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let now = raft
                .metrics()
                .borrow_watched()
                .snapshot
                .as_ref()
                .map_or(0, |id| id.index);
            if now > before || Instant::now() >= deadline {
                let bytes = self.0.store.disk_bytes();
                return Ok(Response::new(SnapshotReply {
                    index: now,
                    bytes,
                    path: String::new(),
                }));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    type BaseStream = copies::Parts<SnapshotChunk>;

    async fn base(&self, _: Request<Empty>) -> Result<Response<Self::BaseStream>, Status> {
        Ok(Response::new(copies::base(&self.0).await?))
    }

    type EntriesStream = copies::Parts<LogEntries>;

    async fn entries(
        &self,
        request: Request<EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        let from = request.into_inner().from;
        Ok(Response::new(copies::entries(&self.0, from)?))
    }

    async fn log_status(&self, _: Request<Empty>) -> Result<Response<LogStatusReply>, Status> {
        let log = &self.0.log;
        let s = log.stats();
        Ok(Response::new(LogStatusReply {
            first: log.first_index().unwrap_or(0),
            last: log.last().map_or(0, |id| id.index),
            purged: log.purged().map_or(0, |id| id.index),
            bytes: s.bytes,
            segments: s.segments as u64,
            syncs: s.syncs,
            sync_p50_us: s.sync_us.value_at_quantile(0.5),
            sync_p99_us: s.sync_us.value_at_quantile(0.99),
            durable_in_store: self.0.store.durable().map_or(0, |p| p.index),
            store_backlog_bytes: self.0.store.backlog() as u64,
        }))
    }
}

/// Members as a map, for bootstrap.
pub fn members(list: impl IntoIterator<Item = (NodeId, Member)>) -> BTreeMap<NodeId, Member> {
    list.into_iter().collect()
}
