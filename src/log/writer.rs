//! The writer's turn: take all that waits, write it, sync once, publish, report.

use super::error::Error;
use super::memory::Slot;
use super::record::{self, Head, Kind};
use super::segment::{self, FIRST, Header};
use super::state::State;
use super::{Done, Id, Inner, Op, Segment, Shared, keeper, planted};
use crate::base::limits;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The one that writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: File,
    path: PathBuf,
    header: Header,
    /// The highest index that the segment holds an entry of.
    last_index: Option<u64>,
    /// Where the next record goes.
    pos: u32,
    /// Where the batch began in this segment.
    batch: Option<u32>,
    /// Encoded and not written yet; its first byte goes to `buf_at`.
    buf: Vec<u8>,
    buf_at: u32,
    /// Written and not synced yet.
    dirty: bool,
    synced_at: Instant,
    /// Written since the space was last looked at here, bytes.
    unlooked: u64,
    /// As of the last record.
    state: State,
    /// Entries of this batch: index, ticket, place.
    placed: Vec<(u64, u64, Slot)>,
    /// The vote of this batch.
    vote: Option<Bytes>,
}

/// What one turn writes.
pub(super) struct Batch {
    ops: Vec<Op>,
    hint: Option<Option<Id>>,
    /// What it counts for in the queue, bytes.
    len: usize,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, file: File, at: Segment, pos: u32, state: State) -> Writer {
        let path = segment::path(&shared.dir, at.header.seq);
        Writer {
            shared,
            file,
            path,
            header: at.header,
            last_index: at.last_index,
            pos,
            batch: None,
            buf: Vec::new(),
            buf_at: 0,
            dirty: false,
            synced_at: Instant::now(),
            unlooked: 0,
            state,
            placed: Vec::new(),
            vote: None,
        }
    }

    /// Works until the log is closed or a write fails.
    pub fn run(mut self) {
        let worked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            while let Some(batch) = take(&self.shared) {
                self.turn(batch)?;
            }
            Ok(())
        }));
        match worked {
            Ok(Ok(())) => {}
            Ok(Err(e)) => stop(&self.shared, e),
            Err(_) => stop(&self.shared, io::Error::other("the writer panicked")),
        }
    }

    pub fn turn(&mut self, batch: Batch) -> io::Result<()> {
        let Batch { mut ops, hint, len } = batch;
        if planted::reply_before_sync() {
            report(dones(&mut ops), &Ok(()));
        }
        let result = self.store(&ops, hint);
        if result.is_ok() {
            self.publish(len);
        }
        report(dones(&mut ops), &result);
        result
    }

    /// Writes and syncs.
    fn store(&mut self, ops: &[Op], hint: Option<Option<Id>>) -> io::Result<()> {
        self.batch = None;
        for op in ops {
            match op {
                Op::Entries {
                    entries, ticket, ..
                } => {
                    for (entry, ticket) in entries.iter().zip(*ticket..) {
                        let offset = self.put(Kind::Entry, entry.kind, entry.id, &entry.body)?;
                        let len = entry.body.len() as u32;
                        let slot = Slot {
                            segment: self.header.seq,
                            offset,
                            len,
                        };
                        self.placed.push((entry.id.index, ticket, slot));
                        self.state.last = Some(entry.id);
                        self.last_index = self.last_index.max(Some(entry.id.index));
                    }
                }
                Op::Vote { vote, .. } => {
                    self.put(Kind::Vote, 0, Id::default(), vote)?;
                    self.state.vote = Some(vote.clone());
                    self.vote = Some(vote.clone());
                }
                Op::Truncate { from, last } => {
                    self.put(
                        Kind::Truncate,
                        0,
                        Id {
                            term: 0,
                            index: *from,
                        },
                        &[],
                    )?;
                    self.state.last = *last;
                }
                Op::Purge { id, last } => {
                    self.put(Kind::Purge, 0, *id, &[])?;
                    if self.state.purged.is_none_or(|p| p.index < id.index) {
                        self.state.purged = Some(*id);
                    }
                    self.state.last = *last;
                }
                Op::Flush { .. } => {}
            }
        }
        if let Some(id) = hint.filter(|id| *id != self.state.committed) {
            self.put(
                Kind::Committed,
                id.is_some() as u8,
                id.unwrap_or_default(),
                &[],
            )?;
            self.state.committed = id;
        }
        self.write()?;
        self.sync()
    }

    /// Encodes a record, and returns its offset. Goes on to the next segment where it does not fit.
    fn put(&mut self, kind: Kind, sub: u8, id: Id, body: &[u8]) -> io::Result<u32> {
        let len = record::total(body.len() as u32);
        let at = record::place(self.pos);
        if u64::from(at) + u64::from(len) > u64::from(self.header.len) {
            // Synced before the next one is begun: only the last segment can be torn.
            self.write()?;
            self.sync()?;
            self.roll()?;
        }
        if self.pos == FIRST {
            let state = self.state.encode();
            self.encode(Kind::State, 0, Id::default(), &state);
        }
        let at = self.encode(kind, sub, id, body);
        if self.buf.len() >= limits::LOG_WRITE_LEN {
            self.write()?;
        }
        Ok(at)
    }

    fn encode(&mut self, kind: Kind, sub: u8, id: Id, body: &[u8]) -> u32 {
        let at = record::place(self.pos);
        if self.buf.is_empty() {
            self.buf_at = at;
        } else {
            self.buf.resize((at - self.buf_at) as usize, 0);
        }
        let batch = *self.batch.get_or_insert(at);
        let (term, index) = (id.term, id.index);
        let head = Head {
            kind,
            sub,
            len: 0,
            crc: 0,
            term,
            index,
            batch,
            mask: 0,
        };
        record::encode(&mut self.buf, self.header.salt, at, head, body);
        self.pos = self.buf_at + self.buf.len() as u32;
        at
    }

    fn write(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let disk = &self.shared.options.disk;
        disk.write_at(&self.file, &self.path, &self.buf, u64::from(self.buf_at))?;
        let written = &self.shared.counters.bytes_written;
        written.fetch_add(self.buf.len() as u64, Ordering::Relaxed);
        // What is written here is soon written to the store once more, however busy the keeper is.
        self.unlooked += self.buf.len() as u64;
        if self.unlooked >= limits::LOG_LOOK_LEN {
            self.unlooked = 0;
            keeper::check_space(&self.shared);
        }
        self.buf.clear();
        self.buf.shrink_to(2 * limits::LOG_WRITE_LEN);
        self.dirty = true;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        if planted::reply_before_sync() && self.synced_at.elapsed() < planted::SYNC_EVERY {
            return Ok(());
        }
        self.dirty = false;
        self.synced_at = Instant::now();
        let start = Instant::now();
        self.shared.options.disk.sync(&self.file, &self.path)?;
        self.shared.counters.synced(start.elapsed());
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        let (file, header) = self.shared.keeper.take(&self.shared)?;
        let mut inner = self.shared.inner.lock();
        if let Some(full) = inner.segments.back_mut() {
            full.last_index = self.last_index;
        }
        inner.segments.push_back(Segment {
            header,
            last_index: None,
        });
        drop(inner);
        self.file = file;
        self.path = segment::path(&self.shared.dir, header.seq);
        self.header = header;
        self.last_index = None;
        self.pos = FIRST;
        self.batch = Some(FIRST);
        Ok(())
    }

    /// Tells the readers what is on disk now, and the keeper what can go.
    fn publish(&mut self, len: usize) {
        let mut inner = self.shared.inner.lock();
        for (index, ticket, slot) in self.placed.drain(..) {
            inner.memory.placed(index, ticket, slot);
        }
        inner.memory.evict(self.shared.options.cache_len);
        if let Some(vote) = self.vote.take() {
            inner.memory.state.vote = Some(vote);
        }
        inner.queue_len -= len;
        if let Some(active) = inner.segments.back_mut() {
            active.last_index = self.last_index;
        }
        // By what is purged on disk, not in memory. The state in later segments stands for the rest.
        let purged = self.state.purged.map(|p| p.index);
        let mut doomed = Vec::new();
        while inner.segments.len() > 1
            && inner.segments[0]
                .last_index
                .is_none_or(|i| purged.is_some_and(|p| i <= p))
        {
            doomed.extend(inner.segments.pop_front().map(|s| s.header.seq));
        }
        drop(inner);
        self.placed.shrink_to(4096);
        self.shared.room.notify_waiters();
        self.shared.keeper.delete(doomed);
    }
}

/// Waits for work. None: the log is closed, and all is written.
fn take(shared: &Shared) -> Option<Batch> {
    let mut inner = shared.inner.lock();
    while !inner.urgent && !inner.closing {
        shared.work.wait(&mut inner);
    }
    take_now(&mut inner)
}

/// What waits, without waiting for more.
pub(super) fn take_now(inner: &mut Inner) -> Option<Batch> {
    inner.urgent = false;
    let ops = std::mem::take(&mut inner.queue);
    let hint = inner.hint.take();
    if ops.is_empty() && hint.is_none() {
        return if inner.closing {
            None
        } else {
            Some(Batch { ops, hint, len: 0 })
        };
    }
    // Entries and their overhead are all that counts; later appends add to the queue's part.
    let len = inner.queue_len;
    Some(Batch { ops, hint, len })
}

/// The callbacks of `ops`, in order.
fn dones(ops: &mut [Op]) -> Vec<Done> {
    let take = |done: &mut Done| std::mem::replace(done, Box::new(|_| ()));
    ops.iter_mut()
        .filter_map(|op| match op {
            Op::Entries { done, .. } | Op::Vote { done, .. } | Op::Flush { done } => {
                Some(take(done))
            }
            Op::Truncate { .. } | Op::Purge { .. } => None,
        })
        .collect()
}

fn report(dones: Vec<Done>, result: &io::Result<()>) {
    for done in dones {
        done(match result {
            Ok(()) => Ok(()),
            Err(e) => Err(again(e.kind(), &e.to_string())),
        });
    }
}

fn again(kind: io::ErrorKind, why: &str) -> io::Error {
    io::Error::new(kind, Error::Stopped(why.into()))
}

/// Stops the log for good: refuses all that waits and all that comes.
pub(super) fn stop(shared: &Shared, error: io::Error) {
    tracing::error!(%error, dir = %shared.dir.display(), "the log cannot be written; it stops");
    let mut ops = {
        let mut inner = shared.inner.lock();
        inner.stopped = Some((error.kind(), error.to_string()));
        std::mem::take(&mut inner.queue)
    };
    let refused = Err(again(error.kind(), &error.to_string()));
    report(dones(&mut ops), &refused);
    shared.room.notify_waiters();
    if let Some(fatal) = &shared.options.on_fatal {
        fatal(&error);
    }
}
