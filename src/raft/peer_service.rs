//! The `Peer` service: what other nodes ask of this one, given to Raft.
//!
//! Always: a message is looked at only if the vote in it names the node whose certificate brought
//! it. A vote request is answered while the leader's lease here is suspended, and a granted one
//! revokes it. A node that has just restarted neither grants votes nor promises to: see [`VoteGate`].

use super::lease::Lease;
use super::listener::Caller;
use super::snapshot_stream::{Error as SnapshotError, Progress, Receiver, SnapshotDir};
use super::types::{Config, LogId, NodeId, SnapshotMeta, Vote};
use super::wire;
use super::witness::Watchdog;
use crate::base::{clock::Clock, work};
use crate::log::{Space, SpaceNow};
use crate::proto::{
    ExtentReply, ExtentRequest, Frame, SnapshotChunk, peer_server::Peer, snapshot_chunk::Part,
};
use crate::tls::Identity;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::RaftStateMachine;
use openraft::{Raft, ReadPolicy};
use parking_lot::Mutex;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;
/// A snapshot as Raft takes it.
pub type Snapshot = openraft::alias::SnapshotOf<Config, SnapshotDir>;

/// What the service needs of Raft. An error is the reason why Raft stopped, or did not answer.
pub trait RaftHandle: Clone + Send + Sync + 'static {
    /// One AppendEntries.
    fn append(
        &self,
        request: AppendEntriesRequest<Config>,
    ) -> impl Future<Output = Result<AppendEntriesResponse<Config>, String>> + Send;
    /// Many, in order; ends after the first that is refused.
    fn stream_append(
        &self,
        input: BoxStream<AppendEntriesRequest<Config>>,
    ) -> BoxStream<Result<StreamAppendResult<Config>, String>>;
    /// RequestVote.
    fn vote(
        &self,
        request: VoteRequest<Config>,
    ) -> impl Future<Output = Result<VoteResponse<Config>, String>> + Send;
    /// PreVote.
    fn pre_vote(
        &self,
        request: VoteRequest<Config>,
    ) -> impl Future<Output = Result<VoteResponse<Config>, String>> + Send;
    /// The leader names its successor.
    fn transfer(
        &self,
        request: TransferLeaderRequest<Config>,
    ) -> impl Future<Output = Result<TransferLeaderResponse<Config>, String>> + Send;
    /// A complete snapshot.
    fn install(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> impl Future<Output = Result<SnapshotResponse<Config>, String>> + Send;
    /// As leader: the log id that a linearizable read must have applied, leadership confirmed.
    fn read_index(&self) -> impl Future<Output = Result<LogId, String>> + Send;
}

impl<SM> RaftHandle for Raft<Config, SM>
where
    SM: RaftStateMachine<Config, SnapshotData = SnapshotDir>,
{
    async fn append(
        &self,
        request: AppendEntriesRequest<Config>,
    ) -> Result<AppendEntriesResponse<Config>, String> {
        self.append_entries(request)
            .await
            .map_err(|e| e.to_string())
    }

    fn stream_append(
        &self,
        input: BoxStream<AppendEntriesRequest<Config>>,
    ) -> BoxStream<Result<StreamAppendResult<Config>, String>> {
        Box::pin(Raft::stream_append(self, input).map(|r| r.map_err(|e| e.to_string())))
    }

    async fn vote(&self, request: VoteRequest<Config>) -> Result<VoteResponse<Config>, String> {
        Raft::vote(self, request).await.map_err(|e| e.to_string())
    }

    async fn pre_vote(&self, request: VoteRequest<Config>) -> Result<VoteResponse<Config>, String> {
        Raft::pre_vote(self, request)
            .await
            .map_err(|e| e.to_string())
    }

    async fn transfer(
        &self,
        request: TransferLeaderRequest<Config>,
    ) -> Result<TransferLeaderResponse<Config>, String> {
        self.handle_transfer_leader(request)
            .await
            .map_err(|e| e.to_string())
    }

    async fn install(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<Config>, String> {
        self.install_full_snapshot(vote, snapshot)
            .await
            .map_err(|e| e.to_string())
    }

    async fn read_index(&self) -> Result<LogId, String> {
        let (id, _) = self
            .get_read_log_id(ReadPolicy::ReadIndex)
            .await
            .map_err(|e| e.to_string())?;
        Ok(*id.log_id())
    }
}

/// Holds back votes after a restart.
///
/// Raft keeps in memory alone until when a voter promised not to elect another leader. A voter that
/// restarts has forgotten it, and a leader may still read under that promise. So it grants neither
/// votes nor pre-votes for one whole `election_timeout_max`, by which time any such promise has run
/// out; and whoever starts the node does not let it stand before [`VoteGate::remaining`] is zero. A
/// group of one voter, and a voter that starts for the first time, has promised nothing.
#[derive(Clone)]
pub struct VoteGate {
    clock: Clock,
    opens_at: Arc<AtomicU64>,
}

impl VoteGate {
    /// A gate that is open.
    pub fn open(clock: Clock) -> Self {
        Self {
            clock,
            opens_at: Arc::default(),
        }
    }

    /// A gate that opens `time` from now.
    pub fn closed_for(clock: Clock, time: Duration) -> Self {
        // One more for the part of a millisecond that has gone by.
        let opens_at = clock.boottime_ms() + time.as_millis() as u64 + 1;
        Self {
            clock,
            opens_at: Arc::new(opens_at.into()),
        }
    }

    /// How long it stays closed; zero: it is open.
    pub fn remaining(&self) -> Duration {
        let opens_at = self.opens_at.load(Ordering::Relaxed);
        Duration::from_millis(opens_at.saturating_sub(self.clock.boottime_ms()))
    }

    /// Keeps it closed until [`VoteGate::open_now`].
    pub fn shut(&self) {
        self.opens_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether it waits for [`VoteGate::open_now`].
    pub fn is_shut(&self) -> bool {
        self.opens_at.load(Ordering::Relaxed) == u64::MAX
    }

    /// Opens what was shut. The caller knows that nothing was promised.
    pub fn open_now(&self) {
        self.opens_at.store(0, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Status> {
        if self.is_shut() {
            return Err(Status::unavailable(
                "this witness has not caught up since it began, and grants no vote",
            ));
        }
        match self.remaining() {
            Duration::ZERO => Ok(()),
            left => Err(Status::unavailable(format!(
                "this node restarted and grants no vote for another {} ms",
                left.as_millis()
            ))),
        }
    }
}

/// The service of one node.
pub struct Service<R> {
    raft: R,
    lease: Arc<Lease>,
    gate: VoteGate,
    /// Where snapshots are received; on the file system of the store, which renames them.
    incoming: PathBuf,
    /// One snapshot at a time.
    receiving: Arc<tokio::sync::Mutex<()>>,
    received: AtomicU64,
    progress: Arc<Mutex<Option<Arc<Progress>>>>,
    disk: Arc<SpaceNow>,
    witness: Option<Arc<Watchdog>>,
    extent: Arc<dyn Fn(NodeId) -> ExtentReply + Send + Sync>,
}

impl<R: RaftHandle> Service<R> {
    /// `incoming` is made, and emptied of what a crash left.
    pub fn new(
        raft: R,
        lease: Arc<Lease>,
        gate: VoteGate,
        incoming: PathBuf,
    ) -> Result<Self, SnapshotError> {
        super::snapshot_stream::clear(&incoming)?;
        Ok(Self {
            raft,
            lease,
            gate,
            incoming,
            receiving: Arc::default(),
            received: AtomicU64::new(0),
            progress: Arc::default(),
            disk: Arc::default(),
            witness: None,
            extent: Arc::new(|_| ExtentReply::default()),
        })
    }

    /// Refuses entries while this disk is full, so that no append can fail: one that does stops the node. Heartbeats
    /// are taken: the node goes on following, and stands for nothing.
    pub fn refusing_entries_on_a_full(mut self, disk: Arc<SpaceNow>) -> Self {
        self.disk = disk;
        self
    }

    /// Tells a witness's watchdog of what leaders send.
    pub fn watched_by(mut self, witness: Option<Arc<Watchdog>>) -> Self {
        self.witness = witness;
        self
    }

    /// Answers those who ask what this node holds.
    pub fn telling(
        mut self,
        extent: impl Fn(NodeId) -> ExtentReply + Send + Sync + 'static,
    ) -> Self {
        self.extent = Arc::new(extent);
        self
    }

    /// A view of the snapshot that is being received; `None` while there is none.
    pub fn receiving(&self) -> Arc<Mutex<Option<Arc<Progress>>>> {
        self.progress.clone()
    }
}

/// The node that sent a request.
fn sender<T>(request: &Request<T>) -> Result<NodeId, Status> {
    match Caller::of(request)?.identity {
        Identity::Node(id) => Ok(id),
        Identity::Admin => Err(Status::permission_denied("only a node may call Peer")),
    }
}

/// Checks that a message speaks for the node that sent it.
fn speaks_for(vote: &Vote, sender: NodeId) -> Result<(), Status> {
    match vote.leader_id.voted_for {
        node if node == sender => Ok(()),
        node => Err(Status::permission_denied(format!(
            "node {sender} sent a message in the name of node {node}"
        ))),
    }
}

fn has_room(disk: &SpaceNow, append: &AppendEntriesRequest<Config>) -> Result<(), Status> {
    match append.entries.is_empty() || disk.get() != Space::Full {
        true => Ok(()),
        false => Err(Status::resource_exhausted("this node's disk is full")),
    }
}

fn unreadable(error: wire::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(reason: String) -> Status {
    Status::unavailable(format!("Raft does not answer: {reason}"))
}

fn reply(body: Bytes) -> Result<Response<Frame>, Status> {
    Ok(Response::new(Frame { body }))
}

#[tonic::async_trait]
impl<R: RaftHandle> Peer for Service<R> {
    type AppendStream = BoxStream<Result<Frame, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let sender = sender(&request)?;
        let frames = request.into_inner();
        // Raft reads the requests; what ends them early is told after the answers to those before.
        let trouble: Arc<Mutex<Option<Status>>> = Arc::default();
        // The leader's term, and what it had committed, by the request before the one that is read.
        let said: Arc<Mutex<(u64, Option<LogId>)>> = Arc::default();
        let (witness, told) = (self.witness.clone(), said.clone());
        let state = (
            frames,
            (self.lease.clone(), self.disk.clone(), said),
            trouble.clone(),
        );
        let input = stream::unfold(state, move |(mut frames, shared, trouble)| async move {
            let (lease, disk, said) = &shared;
            let read = match frames.message().await {
                Ok(None) => return None,
                Ok(Some(frame)) => wire::decode_append(frame.body).map_err(unreadable),
                Err(status) => Err(status),
            };
            let read = read.and_then(|r| speaks_for(&r.vote, sender).map(|()| r));
            match read.and_then(|r| has_room(disk, &r).map(|()| r)) {
                Ok(request) => {
                    lease.observe_term(request.vote.leader_id.term);
                    *said.lock() = (request.vote.leader_id.term, request.leader_commit);
                    Some((request, (frames, shared, trouble)))
                }
                Err(status) => {
                    *trouble.lock() = Some(status);
                    None
                }
            }
        });
        let answers = self
            .raft
            .stream_append(Box::pin(input))
            .inspect(move |answer| {
                let Some(witness) = &witness else {
                    return;
                };
                match answer {
                    Ok(Ok(last)) => {
                        witness.heard();
                        let (term, committed) = *told.lock();
                        witness.holds(*last, term, committed);
                    }
                    Ok(Err(StreamAppendError::Conflict(_))) => witness.heard(),
                    Ok(Err(StreamAppendError::HigherVote(_))) | Err(_) => {}
                }
            })
            .map(|answer| match answer {
                Ok(answer) => Ok(Frame {
                    body: wire::encode_stream_reply(&answer),
                }),
                Err(reason) => Err(stopped(reason)),
            });
        let end = stream::once(async move { trouble.lock().take() });
        let end = end.filter_map(|status| std::future::ready(status.map(Err)));
        Ok(Response::new(Box::pin(answers.chain(end))))
    }

    async fn append_once(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let append = wire::decode_append(request.into_inner().body).map_err(unreadable)?;
        speaks_for(&append.vote, sender)?;
        has_room(&self.disk, &append)?;
        self.lease.observe_term(append.vote.leader_id.term);
        let answer = self.raft.append(append).await.map_err(stopped)?;
        if let Some(witness) = &self.witness
            && !matches!(answer, AppendEntriesResponse::HigherVote(_))
        {
            witness.heard();
        }
        reply(wire::encode_append_reply(&answer))
    }

    async fn vote(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let vote = wire::decode_vote(request.into_inner().body).map_err(unreadable)?;
        speaks_for(&vote.vote, sender)?;
        self.gate.check()?;
        let (raft, lease) = (self.raft.clone(), self.lease.clone());
        let witness = self.witness.clone();
        // A task of its own: were it cancelled with the caller's connection, Raft could still grant,
        // and the lease would not hear of it.
        let answer = tokio::spawn(async move {
            let _suspended = lease.suspend();
            let answer = raft.vote(vote).await;
            if !matches!(&answer, Ok(answer) if !answer.vote_granted) {
                lease.revoke();
            }
            // Who was granted a vote gets the time to lead; who was refused changes nothing.
            if let (
                Some(witness),
                Ok(VoteResponse {
                    vote_granted: true, ..
                }),
            ) = (&witness, &answer)
            {
                witness.heard();
            }
            answer
        });
        let answer = answer
            .await
            .map_err(|e| stopped(e.to_string()))?
            .map_err(stopped)?;
        reply(wire::encode_vote_reply(&answer))
    }

    async fn pre_vote(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let vote = wire::decode_vote(request.into_inner().body).map_err(unreadable)?;
        speaks_for(&vote.vote, sender)?;
        self.gate.check()?;
        let answer = self.raft.pre_vote(vote).await.map_err(stopped)?;
        reply(wire::encode_vote_reply(&answer))
    }

    async fn transfer_leader(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let transfer = wire::decode_transfer(request.into_inner().body).map_err(unreadable)?;
        speaks_for(transfer.from_leader(), sender)?;
        let answer = self.raft.transfer(transfer).await.map_err(stopped)?;
        reply(wire::encode_transfer_reply(&answer))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let mut chunks = request.into_inner();
        let header = match chunks.message().await?.and_then(|chunk| chunk.part) {
            Some(Part::Header(header)) => header,
            _ => {
                return Err(Status::invalid_argument(
                    "a snapshot begins with its header",
                ));
            }
        };
        let (vote, meta) = wire::decode_snapshot_header(header).map_err(unreadable)?;
        speaks_for(&vote, sender)?;
        let Ok(_receiving) = self.receiving.clone().try_lock_owned() else {
            return Err(Status::unavailable("another snapshot is being received"));
        };
        let progress = Arc::new(Progress::default());
        let _shown = Shown::new(&self.progress, progress.clone());
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let path = self.incoming.join(format!("from-{sender}-{number}"));
        tracing::info!(sender, last = ?meta.last_log_id, "a snapshot begins to arrive");
        let dir = receive(chunks, path, progress.clone()).await?;
        tracing::info!(sender, bytes = progress.bytes(), "a snapshot has arrived");
        let meta: SnapshotMeta = meta;
        let answer = self
            .raft
            .install(
                vote,
                Snapshot {
                    meta,
                    snapshot: dir,
                },
            )
            .await;
        reply(wire::encode_snapshot_reply(&answer.map_err(stopped)?))
    }

    async fn extent(
        &self,
        request: Request<ExtentRequest>,
    ) -> Result<Response<ExtentReply>, Status> {
        let sender = sender(&request)?;
        Ok(Response::new((self.extent)(sender)))
    }

    async fn read_index(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        sender(&request)?;
        wire::decode_read_index(request.into_inner().body).map_err(unreadable)?;
        let id = self.raft.read_index().await;
        let id =
            id.map_err(|reason| Status::failed_precondition(format!("no read index: {reason}")))?;
        reply(wire::encode_read_index_reply(&id))
    }
}

/// Shows a transfer while it runs, however it ends.
struct Shown<'a>(&'a Mutex<Option<Arc<Progress>>>);

impl<'a> Shown<'a> {
    fn new(place: &'a Mutex<Option<Arc<Progress>>>, progress: Arc<Progress>) -> Self {
        *place.lock() = Some(progress);
        Self(place)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

/// Writes what arrives, where it may block. Cancelled with the caller's connection; what was written is then removed.
async fn receive(
    mut chunks: Streaming<SnapshotChunk>,
    path: PathBuf,
    progress: Arc<Progress>,
) -> Result<SnapshotDir, Status> {
    let begin = {
        let progress = progress.clone();
        work::blocking(move || Receiver::create(path, progress))
    };
    let lost = |e: tokio::task::JoinError| Status::internal(e.to_string());
    let mut written = begin.await.map_err(lost)?;
    while written.is_ok()
        && let Some(chunk) = chunks.message().await?
    {
        let part = chunk
            .part
            .ok_or_else(|| Status::invalid_argument("an empty part"))?;
        let take = work::blocking(move || {
            let mut receiver = written?;
            receiver.take(part).map(|()| receiver)
        });
        written = take.await.map_err(lost)?;
    }
    let finish = work::blocking(move || written.and_then(Receiver::finish));
    let written = finish.await.map_err(lost)?;
    written.map_err(|error| {
        tracing::warn!(%error, "a snapshot is refused");
        match error {
            SnapshotError::Io { .. } => Status::resource_exhausted(error.to_string()),
            _ => Status::data_loss(error.to_string()),
        }
    })
}

#[cfg(test)]
mod tests;
