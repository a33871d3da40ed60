//! What a node gives for a backup: a checkpoint of its store, and committed entries of its log.
//!
//! Always: entries are committed ones; a checkpoint is of this node alone and holds up no request; both are read and sent
//! by threads of a lower rank, at a bounded rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::rt::WatchReceiver as _;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::group::Group;
use super::snapshot_stream::{self, Progress, Sender, SnapshotDir};
use crate::base::{limits, work};
use crate::log::Entry;
use crate::proto::{BaseHeader, LogEntries, LogEntry, SnapshotChunk};

/// A checkpoint is taken for one backup at a time.
static BUSY: AtomicBool = AtomicBool::new(false);

struct Busy;

impl Busy {
    fn begin() -> Result<Busy, Status> {
        match BUSY.swap(true, Ordering::AcqRel) {
            true => Err(Status::resource_exhausted(
                "a checkpoint is being sent already: one at a time",
            )),
            false => Ok(Busy),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}

/// A stream of an answer's parts.
pub type Parts<T> = ReceiverStream<Result<T, Status>>;

/// A checkpoint of the store, with all that was applied when it was asked for.
pub async fn base(group: &Arc<Group>) -> Result<Parts<SnapshotChunk>, Status> {
    if group.is_witness() {
        return Err(Status::failed_precondition(
            "a witness holds no data: ask a data node",
        ));
    }
    let busy = Busy::begin()?;
    let failed = |e: crate::store::Error| Status::internal(e.to_string());
    group.store.flush().await.map_err(failed)?;
    let dir = group
        .incoming
        .join(format!("base-{:016x}", rand::random::<u64>()));
    let position = group.store.checkpoint(&dir).await.map_err(failed)?;
    let dir = SnapshotDir::temporary(dir);
    let header = BaseHeader {
        cluster_id: group.cluster_id.clone(),
        term: position.term,
        index: position.index,
        time_ms: position.service_time_ms,
        digest: position.digest.to_be_bytes().to_vec().into(),
    };
    let header = header.encode_to_vec().into();
    let (out, mut read) = mpsc::channel(limits::SNAPSHOT_QUEUE);
    let reading = group.peers.bulk().spawn(snapshot_stream::send(
        move || Sender::of(dir, header, Arc::<Progress>::default()),
        out,
    ));
    let (parts, answer) = mpsc::channel(limits::SNAPSHOT_QUEUE);
    tokio::spawn(async move {
        let _busy = busy;
        while let Some(part) = read.recv().await {
            if parts.send(Ok(part)).await.is_err() {
                return;
            }
        }
        if let Ok(Err(error)) = reading.await {
            let _ = parts.send(Err(Status::internal(error.to_string()))).await;
        }
    });
    Ok(ReceiverStream::new(answer))
}

/// The committed entries from `from` on.
pub fn entries(group: &Arc<Group>, from: u64) -> Result<Parts<LogEntries>, Status> {
    let committed = {
        let metrics = group.raft.metrics();
        let m = metrics.borrow_watched();
        m.cluster_committed.as_ref().map_or(0, |id| id.index)
    };
    let log = group.log.clone();
    let first = log.first_index().unwrap_or(0);
    if from < first || from == 0 {
        return Err(Status::failed_precondition(format!(
            "the log begins at {first} and {from} was asked for: take a new base"
        )));
    }
    let last = committed.min(log.last().map_or(0, |id| id.index));
    let (parts, answer) = mpsc::channel(limits::SNAPSHOT_QUEUE);
    group.peers.bulk().spawn(async move {
        let mut next = from;
        while next <= last {
            let log = log.clone();
            let read =
                work::blocking(move || log.read(next..last + 1, limits::LOG_READ_LEN as usize));
            let part = match read.await {
                Ok(Ok(read)) if !read.is_empty() => {
                    next = read.last().map_or(next, |e| e.id.index) + 1;
                    Ok(LogEntries {
                        entries: read.into_iter().map(told).collect(),
                    })
                }
                Ok(Ok(_)) => Err(Status::internal(format!("entry {next} is missing"))),
                Ok(Err(e)) => Err(Status::internal(e.to_string())),
                Err(e) => Err(Status::internal(e.to_string())),
            };
            let failed = part.is_err();
            if parts.send(part).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(answer))
}

fn told(entry: Entry) -> LogEntry {
    LogEntry {
        term: entry.id.term,
        index: entry.id.index,
        kind: entry.kind.into(),
        body: entry.body,
    }
}
