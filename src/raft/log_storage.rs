//! The log as openraft wants it.
//!
//! RaftCore awaits each of these calls, so none waits for the disk, save two: `save_vote` returns
//! when the vote is durable, as it must, and `append` waits for room when the writer is far behind.
//! Old entries are read from disk on a thread for blocking work.

use super::codec;
use super::types::{Config, Entry, LogId, Vote};
use crate::base::{limits, work};
use crate::log::{self, Log};
use futures_util::{Stream, stream};
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};

/// A handle to the log, for RaftCore and for each of its readers.
#[derive(Clone)]
pub struct LogStorage {
    log: Log,
}

impl LogStorage {
    /// Serves `log` to openraft.
    pub fn new(log: Log) -> LogStorage {
        LogStorage { log }
    }

    /// The log itself, for its statistics and space.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Entries of `range` from its first on, at least one if there is one, up to `max` bytes.
    async fn read(&self, range: Range<u64>, max: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.log.read_memory(range.clone(), max) {
            return decode(entries);
        }
        let log = self.log.clone();
        let entries = work::blocking(move || log.read(range, max)).await;
        decode(entries.map_err(io::Error::other)??)
    }
}

fn id_out(id: log::Id) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

/// See [`log::Log::supersede`].
pub fn supersede(log: &log::Log, applied: &LogId) -> Result<bool, log::Error> {
    log.supersede(id_in(applied))
}

fn id_in(id: &LogId) -> log::Id {
    log::Id {
        term: id.leader_id.term,
        index: id.index,
    }
}

fn decode(entries: Vec<log::Entry>) -> io::Result<Vec<Entry>> {
    let one = |e: log::Entry| Ok(codec::entry_of_parts(id_out(e.id), e.kind, e.body)?);
    entries.into_iter().map(one).collect()
}

fn half_open(range: impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(i) => *i,
        Bound::Excluded(i) => i.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(i) => i.saturating_add(1),
        Bound::Excluded(i) => *i,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Config> for LogStorage {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(half_open(range), usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let decode = |bytes: bytes::Bytes| codec::decode_vote(&mut &bytes[..]);
        Ok(self.log.vote().map(decode).transpose()?)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, limits::APPEND_LEN).await
    }

    /// In pieces: after a restart the range may be the whole log, which need not fit memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let Range { start, end } = half_open(range);
        let piece = Piece {
            storage: self.clone(),
            next: start,
            end,
            begun: false,
        };
        let pieces = stream::unfold(Some(piece), |piece| async move {
            let mut piece = piece?;
            match piece.take().await {
                Ok(entries) if entries.is_empty() => None,
                Ok(entries) => Some((entries.into_iter().map(Ok).collect(), Some(piece))),
                Err(e) => Some((vec![Err(e)], None)),
            }
        });
        Box::pin(futures_util::StreamExt::flat_map(
            pieces,
            stream::iter::<Vec<_>>,
        ))
    }

    async fn get_key_log_ids(
        &mut self,
        range: RangeInclusive<LogId>,
    ) -> Result<Vec<LogId>, io::Error> {
        let range = range.start().index..range.end().index.saturating_add(1);
        Ok(self
            .log
            .last_of_terms(range)
            .into_iter()
            .map(id_out)
            .collect())
    }
}

/// Where a stream of entries stands.
struct Piece {
    storage: LogStorage,
    next: u64,
    end: u64,
    begun: bool,
}

impl Piece {
    async fn take(&mut self) -> io::Result<Vec<Entry>> {
        if self.next >= self.end {
            return Ok(Vec::new());
        }
        let entries = self
            .storage
            .read(self.next..self.end, limits::APPEND_LEN)
            .await?;
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            // Entries may be missing before the first and after the last, never in between.
            if self.begun && first.log_id.index != self.next {
                let why = format!("entry {} was purged while it was being read", self.next);
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
            self.begun = true;
            self.next = last.log_id.index + 1;
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Config> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Config>, io::Error> {
        let (purged, last) = self.log.bounds();
        Ok(LogState {
            last_purged_log_id: purged.map(id_out),
            last_log_id: last.map(id_out),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut bytes = Vec::with_capacity(codec::VOTE_LEN);
        codec::encode_vote(vote, &mut bytes);
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.log
            .save_vote(bytes.into(), Box::new(|result| drop(tx.send(result))))?;
        rx.await
            .map_err(|_| io::Error::other("the log's writer ended before the vote"))?
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        Ok(self.log.save_committed(committed.as_ref().map(id_in))?)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed().map(id_out))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Config>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let parts = |e: Entry| {
            let (kind, body) = codec::entry_parts(&e);
            log::Entry {
                id: id_in(&e.log_id),
                kind,
                body,
            }
        };
        let entries = entries.into_iter().map(parts).collect();
        self.log.room().await;
        Ok(self
            .log
            .append(entries, Box::new(|result| callback.io_completed(result)))?)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        Ok(self.log.truncate(last.map_or(0, |l| l.index + 1))?)
    }

    async fn purge(&mut self, id: LogId) -> Result<(), io::Error> {
        if crate::base::planted::is("purge-too-far")
            && let Some(last) = self.log.last()
        {
            return Ok(self.log.purge(last)?);
        }
        Ok(self.log.purge(id_in(&id))?)
    }
}

#[cfg(test)]
#[path = "log_storage_test.rs"]
mod tests;
