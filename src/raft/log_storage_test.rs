//! openraft's own tests of a log store, on ours, with the smallest state machine that they accept.

use super::*;
use crate::log::Options;
use crate::raft::types::{SnapshotMeta, StoredMembership};
use futures_util::TryStreamExt;
use openraft::alias::SnapshotOf;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, StorageError};
use tempfile::TempDir;

/// Knows what was applied last, and nothing else.
#[derive(Default, Clone)]
struct Machine {
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<SnapshotMeta>,
}

impl RaftSnapshotBuilder<Config> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Config, ()>, io::Error> {
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
        };
        Ok(SnapshotOf::<Config, ()> { meta, snapshot: () })
    }
}

/// Hands its clones to builders; what is built is what would be stored.
#[derive(Default)]
struct Machines {
    now: Machine,
}

impl RaftStateMachine<Config> for Machines {
    type SnapshotData = ();
    type SnapshotBuilder = Machine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.now.applied, self.now.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Config>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.now.applied = Some(entry.log_id);
            if let EntryPayload::Membership(m) = entry.payload {
                self.now.membership = StoredMembership::new(Some(entry.log_id), m);
            }
            if let Some(responder) = responder {
                responder.send(crate::raft::types::Applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        let meta = SnapshotMeta {
            last_log_id: self.now.applied,
            last_membership: self.now.membership.clone(),
        };
        self.now.snapshot = Some(meta);
        self.now.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, _: ()) -> Result<(), io::Error> {
        self.now.applied = meta.last_log_id;
        self.now.membership = meta.last_membership.clone();
        self.now.snapshot = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Config, ()>>, io::Error> {
        let of = |meta| SnapshotOf::<Config, ()> { meta, snapshot: () };
        Ok(self.now.snapshot.clone().map(of))
    }
}

/// Small segments and no cache, so that the suite reads from the disk too.
fn options(cache_len: usize) -> Options {
    Options {
        segment_len: 64 * 1024,
        cache_len,
        space_low: 0,
        ballast_len: 0,
        ..Options::default()
    }
}

struct Builder {
    cache_len: usize,
}

impl StoreBuilder<Config, LogStorage, Machines, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStorage, Machines), StorageError<Config>> {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path().join("log"), options(self.cache_len)).unwrap();
        Ok((dir, LogStorage::new(log), Machines::default()))
    }
}

#[tokio::test]
async fn the_suite_passes_from_memory() {
    Suite::test_all(Builder { cache_len: 1 << 20 })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_suite_passes_from_disk() {
    Suite::test_all(Builder { cache_len: 0 }).await.unwrap();
}

fn normal(index: u64, len: usize) -> Entry {
    let body = bytes::Bytes::from(vec![index as u8; len]);
    let payload = EntryPayload::Normal(crate::raft::types::Payload(body));
    Entry {
        log_id: LogId::new_term_index(1, index),
        payload,
    }
}

async fn append(storage: &mut LogStorage, entries: Vec<Entry>) {
    let (tx, rx) = Config::oneshot();
    storage
        .append(entries, IOFlushed::signal(tx))
        .await
        .unwrap();
    rx.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_is_bounded_and_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(
        dir.path(),
        Options {
            segment_len: 8 << 20,
            ..options(1 << 20)
        },
    )
    .unwrap();
    let mut storage = LogStorage::new(log);
    let len = limits::APPEND_LEN / 4;
    append(&mut storage, (0..10).map(|i| normal(i, len)).collect()).await;
    append(&mut storage, vec![normal(10, limits::APPEND_LEN * 2)]).await;
    assert_eq!(
        storage.limited_get_log_entries(0, 11).await.unwrap().len(),
        4
    );
    assert_eq!(
        storage.limited_get_log_entries(9, 11).await.unwrap().len(),
        1
    );
    let large = storage.limited_get_log_entries(10, 11).await.unwrap();
    assert_eq!(large, [normal(10, limits::APPEND_LEN * 2)]);
}

#[tokio::test]
async fn a_stream_has_all_entries_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(
        dir.path(),
        Options {
            segment_len: 8 << 20,
            ..options(0)
        },
    )
    .unwrap();
    let mut storage = LogStorage::new(log);
    let len = limits::APPEND_LEN / 3;
    let entries: Vec<_> = (0..20).map(|i| normal(i, len)).collect();
    append(&mut storage, entries.clone()).await;
    let all: Vec<_> = storage
        .entries_stream(0..20)
        .await
        .try_collect()
        .await
        .unwrap();
    assert!(all == entries, "a stream must be what was appended");
    let some: Vec<_> = storage
        .entries_stream(3..=17)
        .await
        .try_collect()
        .await
        .unwrap();
    assert_eq!(some.len(), 15);
}

#[tokio::test]
async fn an_end_that_was_never_committed_is_dropped_where_the_store_knows_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), options(1 << 20)).unwrap();
    let mut storage = LogStorage::new(log.clone());
    append(&mut storage, (1..=6).map(|i| normal(i, 8)).collect()).await;
    let last = || log.last().map(|id| (id.term, id.index));
    // The same history, shorter or as long.
    for index in [2, 6, 9] {
        assert!(!super::supersede(&log, &LogId::new_term_index(1, index)).unwrap());
    }
    assert_eq!(last(), Some((1, 6)));
    assert!(super::supersede(&log, &LogId::new_term_index(2, 5)).unwrap());
    assert_eq!(last(), Some((1, 4)), "the fifth and what is behind it");
}

#[tokio::test]
async fn vote_and_committed_survive() {
    let dir = tempfile::tempdir().unwrap();
    let vote = Vote::new_committed(7, 3);
    let committed = Some(LogId::new_term_index(1, 1));
    {
        let mut storage = LogStorage::new(Log::open(dir.path(), options(0)).unwrap());
        storage.save_vote(&vote).await.unwrap();
        assert_eq!(storage.read_vote().await.unwrap(), Some(vote));
        append(&mut storage, vec![normal(0, 1), normal(1, 1)]).await;
        storage.save_committed(committed).await.unwrap();
    }
    let mut storage = LogStorage::new(Log::open(dir.path(), options(0)).unwrap());
    assert_eq!(storage.read_vote().await.unwrap(), Some(vote));
    assert_eq!(storage.read_committed().await.unwrap(), committed);
}
