//! openraft's network: what a node sends to its peers.
//!
//! Making a client neither blocks nor connects: RaftCore awaits it. Appends are pipelined over one
//! gRPC stream with a bounded number of bytes in flight, and their answers come in order. Each is
//! stamped for the leader's lease before it leaves, each membership is shown to the lease before it
//! leaves, and a transfer of leadership revokes the lease before it leaves.

use super::lease::Lease;
use super::peers::{Lane, Peers};
use super::snapshot_stream::{self, Progress, SnapshotDir};
use super::types::{Config, LogId, Member, NodeId, Vote};
use super::wire;
use crate::base::limits;
use crate::proto::{Frame, peer_client::PeerClient};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

type Failure = RPCError<Config>;
type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type BoxStream<'a, T> = std::pin::Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

/// A follower that has not answered an append for this long is given up, and the stream begun anew.
/// Far above what a slow disk takes: beginning anew sends everything in flight once more. A dead
/// connection is noticed sooner, by HTTP/2's own pings.
const STALL: Duration = Duration::from_secs(5);
/// How often a silent stream is looked at.
const STALL_CHECK: Duration = Duration::from_millis(500);
/// Retries after "unreachable", milliseconds; the last repeats. Short: a peer that restarts is
/// replicated to at once, and a refused connection costs nothing.
const BACKOFF_MS: [u64; 5] = [10, 20, 40, 80, 100];
/// The pause after a stream that could not be begun. Raft's own pauses come where it is asked for the next request, and a peer
/// that refuses the connection never asks: it would be tried as fast as a processor goes, for as long as it is down.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

struct Shared {
    own: NodeId,
    /// A witness has no data to send.
    witness: bool,
    peers: Arc<Peers>,
    lease: Arc<Lease>,
    snapshots: Mutex<HashMap<NodeId, Arc<Progress>>>,
}

/// Makes the clients. Cheap to clone; the clones share connections.
#[derive(Clone)]
pub struct Factory(Arc<Shared>);

impl Factory {
    /// For node `own`; acknowledgements of its followers are told to `lease`. A witness sends no snapshot.
    pub fn new(own: NodeId, witness: bool, peers: Arc<Peers>, lease: Arc<Lease>) -> Self {
        Self(Arc::new(Shared {
            own,
            witness,
            peers,
            lease,
            snapshots: Mutex::default(),
        }))
    }

    /// The snapshots that are being sent, by target.
    pub fn snapshots(&self) -> HashMap<NodeId, Arc<Progress>> {
        self.0.snapshots.lock().clone()
    }

    /// Asks the leader for an index: a read that waits until it is applied here is linearizable.
    pub async fn read_index(
        &self,
        leader: NodeId,
        node: &Member,
        time: Duration,
    ) -> Result<LogId, Status> {
        let mut client = self.client(leader, node, Lane::Heartbeat);
        let frame = Frame {
            body: wire::encode_read_index(),
        };
        let reply = within(time, client.grpc.read_index(frame)).await?;
        wire::decode_read_index_reply(reply.into_inner().body).map_err(unreadable)
    }

    fn client(&self, target: NodeId, node: &Member, lane: Lane) -> Client {
        let grpc = self.0.peers.client(target, &node.peer_addr, lane);
        Client {
            shared: self.0.clone(),
            target,
            data: node.data,
            lane,
            grpc,
        }
    }
}

impl RaftNetworkFactory<Config> for Factory {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Lane::Snapshot)
    }
}

/// Sends to one node on one lane.
pub struct Client {
    shared: Arc<Shared>,
    target: NodeId,
    /// False: the target is a witness, and a marker is all that it gets of a snapshot.
    data: bool,
    lane: Lane,
    grpc: PeerClient<Channel>,
}

impl Client {
    fn failure(&self, action: RPCTypes, status: &Status, time: Duration) -> Failure {
        failure(self.shared.own, self.target, action, status, time)
    }
}

/// Everything but a timeout is "unreachable", which is retried after a short pause. A peer that
/// refuses (another version, a certificate) would otherwise be asked without pause.
fn failure(
    own: NodeId,
    target: NodeId,
    action: RPCTypes,
    status: &Status,
    timeout: Duration,
) -> Failure {
    match status.code() {
        Code::DeadlineExceeded => Timeout {
            action,
            id: own,
            target,
            timeout,
        }
        .into(),
        _ => Unreachable::from_string(format!("node {target}: {status}")).into(),
    }
}

fn unreadable(error: wire::Error) -> Status {
    Status::internal(format!("the answer cannot be read: {error}"))
}

async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(time, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

impl RaftNetworkV2<Config> for Client {
    type SnapshotData = SnapshotDir;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Config>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Config>, Failure> {
        let time = option.soft_ttl();
        self.shared.note_memberships(&rpc);
        let (term, sent) = (rpc.vote.leader_id.term, self.shared.lease.stamp());
        let frame = Frame {
            body: wire::encode_append(&rpc),
        };
        let reply = within(time, self.grpc.append_once(frame)).await;
        let reply =
            reply.and_then(|r| wire::decode_append_reply(r.into_inner().body).map_err(unreadable));
        let reply = reply.map_err(|status| self.failure(RPCTypes::AppendEntries, &status, time))?;
        if matches!(
            reply,
            AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)
        ) {
            self.shared.lease.acknowledged(self.target, term, sent);
        }
        Ok(reply)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Config>, Failure>>, Failure>>
    where
        S: Stream<Item = AppendEntriesRequest<Config>> + OptionalSend + Unpin + 'static,
    {
        // A heartbeat is one request: a stream would be set up and torn down for each.
        if self.lane == Lane::Heartbeat {
            return openraft::network::stream_append_sequential(self, input, option);
        }
        Box::pin(async move {
            let session = Arc::new(Session {
                shared: self.shared.clone(),
                target: self.target,
                sent: Mutex::default(),
                room: Semaphore::new(ROOM),
            });
            let outgoing = outgoing(input, session.clone());
            match within(STALL, self.grpc.append(outgoing)).await {
                Ok(answers) => Ok(session.answers(answers.into_inner())),
                Err(status) => {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                    Err(self.failure(RPCTypes::AppendEntries, &status, STALL))
                }
            }
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, Failure> {
        let time = option.soft_ttl();
        let frame = Frame {
            body: wire::encode_vote(&rpc),
        };
        let reply = within(time, self.grpc.vote(frame)).await;
        let reply =
            reply.and_then(|r| wire::decode_vote_reply(r.into_inner().body).map_err(unreadable));
        reply.map_err(|status| self.failure(RPCTypes::Vote, &status, time))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, Failure> {
        let time = option.soft_ttl();
        let frame = Frame {
            body: wire::encode_vote(&rpc),
        };
        let reply = within(time, self.grpc.pre_vote(frame)).await;
        let reply =
            reply.and_then(|r| wire::decode_vote_reply(r.into_inner().body).map_err(unreadable));
        reply.map_err(|status| self.failure(RPCTypes::Vote, &status, time))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<Config, SnapshotDir>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Config>, StreamingError<Config>> {
        if self.shared.witness {
            let why = "a witness's snapshot is a marker and is sent to nobody";
            let error = std::io::Error::other(format!("node {}: {why}", self.target));
            tracing::error!(target_node = self.target, "{why}: it needs a data node");
            return Err(Unreachable::from_string(error).into());
        }
        let progress = Arc::new(Progress::default());
        self.shared
            .snapshots
            .lock()
            .insert(self.target, progress.clone());
        let _entry = Entry {
            shared: &self.shared,
            target: self.target,
        };

        let header = wire::encode_snapshot_header(&vote, &snapshot.meta);
        let (out, parts) = tokio::sync::mpsc::channel(limits::SNAPSHOT_QUEUE);
        let (dir, data) = (snapshot.snapshot, self.data);
        let begin = move || match data {
            true => snapshot_stream::Sender::of(dir, header, progress),
            false => Ok(snapshot_stream::Sender::marker(dir, header)),
        };
        // It ends when `parts` is dropped, which is when this future is.
        let reading = self
            .shared
            .peers
            .bulk()
            .spawn(snapshot_stream::send(begin, out));
        let parts = tokio_stream::wrappers::ReceiverStream::new(parts);
        // No time limit: a transfer takes as long as it takes, and a dead connection is noticed by
        // HTTP/2's pings.
        let reply = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            reply = self.grpc.install_snapshot(parts) => reply,
        };
        let time = option.soft_ttl();
        let reply = reply
            .and_then(|r| wire::decode_snapshot_reply(r.into_inner().body).map_err(unreadable));
        match reply {
            Ok(reply) => Ok(reply),
            Err(status) => {
                // A snapshot that cannot be read here ends the stream early, and the peer's answer
                // says only that.
                if let Ok(Err(error)) = reading.await
                    && !matches!(error, snapshot_stream::Error::Ended)
                {
                    tracing::error!(target_node = self.target, %error, "the snapshot cannot be read");
                    return Err(Unreachable::from_string(error).into());
                }
                Err(self
                    .failure(RPCTypes::InstallSnapshot, &status, time)
                    .into())
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Config>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Config>, Failure> {
        self.shared.lease.revoke();
        let time = option.soft_ttl();
        let frame = Frame {
            body: wire::encode_transfer(&req),
        };
        let reply = within(time, self.grpc.transfer_leader(frame)).await;
        let reply = reply
            .and_then(|r| wire::decode_transfer_reply(r.into_inner().body).map_err(unreadable));
        reply.map_err(|status| self.failure(RPCTypes::Vote, &status, time))
    }

    fn backoff(&self) -> Option<Backoff> {
        let last = BACKOFF_MS[BACKOFF_MS.len() - 1];
        let pauses = BACKOFF_MS.into_iter().chain(std::iter::repeat(last));
        Some(Backoff::new(pauses.map(Duration::from_millis)))
    }
}

/// Removes a transfer from the list when it ends, however it ends.
struct Entry<'a> {
    shared: &'a Shared,
    target: NodeId,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.shared.snapshots.lock().remove(&self.target);
    }
}

impl Shared {
    fn note_memberships(&self, request: &AppendEntriesRequest<Config>) {
        for entry in &request.entries {
            if let EntryPayload::Membership(membership) = &entry.payload {
                self.lease
                    .note_membership(request.vote.leader_id.term, entry.log_id, membership);
            }
        }
    }
}

/// Room in flight, in KiB. Each append takes at least `ROOM_LEAST`, which bounds their number too.
const ROOM: usize = limits::APPEND_INFLIGHT_BYTES / 1024;
const ROOM_LEAST: usize = ROOM / limits::APPEND_INFLIGHT;

/// One stream of appends to one follower.
struct Session {
    shared: Arc<Shared>,
    target: NodeId,
    /// What has not been answered, in order.
    sent: Mutex<VecDeque<Sent>>,
    room: Semaphore,
}

struct Sent {
    term: u64,
    stamp: u64,
    at: Instant,
    room: usize,
}

/// The requests as frames, cut to size, each as soon as there is room.
fn outgoing<S>(input: S, session: Arc<Session>) -> impl Stream<Item = Frame> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<Config>> + Send + Unpin + 'static,
{
    stream::unfold(
        (input, VecDeque::new(), session),
        |(mut input, mut parts, session)| async move {
            if parts.is_empty() {
                parts = split(input.next().await?);
            }
            let part = parts.pop_front()?;
            let body = session.take(&part).await?;
            Some((Frame { body }, (input, parts, session)))
        },
    )
}

/// Cuts a request into requests of about `APPEND_LEN` bytes. Raft counts acknowledgements by log id,
/// so more answers than requests are in order.
fn split(request: AppendEntriesRequest<Config>) -> VecDeque<AppendEntriesRequest<Config>> {
    let total: usize = request.entries.iter().map(wire::entry_len).sum();
    if total <= limits::APPEND_LEN || request.entries.len() < 2 {
        return VecDeque::from([request]);
    }
    let (vote, leader_commit) = (request.vote, request.leader_commit);
    let mut prev_log_id = request.prev_log_id;
    let mut parts = VecDeque::new();
    let (mut entries, mut len) = (Vec::new(), 0);
    for entry in request.entries {
        let entry_len = wire::entry_len(&entry);
        if !entries.is_empty() && len + entry_len > limits::APPEND_LEN {
            let last = entries.last().map(|e: &super::types::Entry| e.log_id);
            let entries = std::mem::take(&mut entries);
            parts.push_back(AppendEntriesRequest {
                vote,
                prev_log_id,
                entries,
                leader_commit,
            });
            (prev_log_id, len) = (last, 0);
        }
        len += entry_len;
        entries.push(entry);
    }
    parts.push_back(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    });
    parts
}

impl Session {
    async fn take(&self, request: &AppendEntriesRequest<Config>) -> Option<Bytes> {
        self.shared.note_memberships(request);
        let body = wire::encode_append(request);
        let room = (body.len() / 1024).clamp(ROOM_LEAST, ROOM);
        self.room.acquire_many(room as u32).await.ok()?.forget();
        // After the wait: a stamp may be late only by what follows, never early by a queue.
        let stamp = self.shared.lease.stamp();
        let term = request.vote.leader_id.term;
        self.sent.lock().push_back(Sent {
            term,
            stamp,
            at: Instant::now(),
            room,
        });
        Some(body)
    }

    /// Notes the answer to the oldest request that has none.
    fn answered(&self, answer: &StreamAppendResult<Config>) {
        let Some(sent) = self.sent.lock().pop_front() else {
            return;
        };
        self.room.add_permits(sent.room);
        if answer.is_ok() {
            self.shared
                .lease
                .acknowledged(self.target, sent.term, sent.stamp);
        }
    }

    fn stalled(&self) -> bool {
        self.sent
            .lock()
            .front()
            .is_some_and(|sent| sent.at.elapsed() > STALL)
    }

    fn answers(
        self: Arc<Self>,
        answers: Streaming<Frame>,
    ) -> BoxStream<'static, Result<StreamAppendResult<Config>, Failure>> {
        Box::pin(stream::unfold(Some((answers, self)), |state| async move {
            let (mut answers, session) = state?;
            let answer = session.next(&mut answers).await?;
            let more = matches!(answer, Ok(Ok(_)));
            Some((answer, more.then_some((answers, session))))
        }))
    }

    async fn next(
        &self,
        answers: &mut Streaming<Frame>,
    ) -> Option<Result<StreamAppendResult<Config>, Failure>> {
        let status = loop {
            match tokio::time::timeout(STALL_CHECK, answers.message()).await {
                Err(_) if self.stalled() => {
                    break Status::deadline_exceeded("the follower does not answer");
                }
                Err(_) => {}
                Ok(Ok(Some(frame))) => match wire::decode_stream_reply(frame.body) {
                    Ok(answer) => {
                        self.answered(&answer);
                        return Some(Ok(answer));
                    }
                    Err(error) => break unreadable(error),
                },
                Ok(Ok(None)) if self.sent.lock().is_empty() => return None,
                Ok(Ok(None)) => break Status::unavailable("the follower ended the stream"),
                Ok(Err(status)) => break status,
            }
        };
        let own = self.shared.own;
        Some(Err(failure(
            own,
            self.target,
            RPCTypes::AppendEntries,
            &status,
            STALL,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Entry, Payload};

    fn request(lens: &[usize]) -> AppendEntriesRequest<Config> {
        let id = |index| LogId::new_term_index(4, index);
        let entry = |(i, len): (usize, &usize)| Entry {
            log_id: id(10 + i as u64),
            payload: EntryPayload::Normal(Payload(vec![0; *len].into())),
        };
        AppendEntriesRequest {
            vote: Vote::new_committed(4, 1),
            prev_log_id: Some(id(9)),
            leader_commit: Some(id(8)),
            entries: lens.iter().enumerate().map(entry).collect(),
        }
    }

    #[test]
    fn large_requests_are_cut_and_stay_consecutive() {
        let half = limits::APPEND_LEN / 2;
        for (lens, parts) in [
            (vec![], 1),
            (vec![10], 1),
            (vec![10; 300], 1),
            (vec![half, half, half], 3),
            (vec![half - 100, half - 100, 10, half], 2),
            (vec![limits::ENTRY_LEN_MAX], 1),
            (vec![limits::ENTRY_LEN_MAX, 1, 1], 2),
        ] {
            let whole = request(&lens);
            let cut = split(whole.clone());
            assert_eq!(cut.len(), parts, "{lens:?}");
            let mut prev = whole.prev_log_id;
            let mut count = 0;
            for part in cut {
                assert_eq!(part.prev_log_id, prev);
                assert_eq!(
                    (part.vote, part.leader_commit),
                    (whole.vote, whole.leader_commit)
                );
                count += part.entries.len();
                prev = part.entries.last().map(|e| e.log_id).or(prev);
                assert!(wire::encode_append(&part).len() <= limits::PEER_MESSAGE_LEN_MAX);
            }
            assert_eq!(count, lens.len());
        }
    }
}
