//! The write-ahead log: segments of checksummed records, one writer, one fdatasync for all that
//! waits. It knows nothing of consensus: entries are bytes with a term and an index.
//!
//! What always holds:
//! - Everything goes through one queue to one thread, in the order in which it was given: entries,
//!   votes, truncations, purges, hints. What is reported done is on disk, and all before it too.
//! - A failed write or sync stops the log for good. It is never retried: after a failed fdatasync
//!   nobody knows what the disk holds.
//! - What is read back was checked. A part that was once durable and is not what was written is
//!   [`Error::Damage`]; only a tail whose missing sectors are still zeros is cut ([`record`]).
//! - Nothing but the writer thread writes, and only to the last segment.
//!
//! Read [`record`] for the format, `recover` for what is decided on opening, `writer` for the turn.

pub mod disk;
mod error;
mod keeper;
mod memory;
mod planted;
mod read;
pub mod record;
mod recover;
mod scrub;
mod segment;
mod space;
mod state;
mod stats;
mod tasks;
#[cfg(test)]
mod tests;
mod writer;

pub use error::Error;
pub use space::{Space, SpaceNow};
pub use stats::Stats;

use crate::base::limits;
use crate::base::work::Pace;
use bytes::Bytes;
use disk::Disk;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// An entry's place in the history: ordered by term, then index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The term of the leader that made it.
    pub term: u64,
    /// Its position, without gaps.
    pub index: u64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// A tag of the caller's.
    pub kind: u8,
    /// Its bytes, shared with whoever gave or reads it.
    pub body: Bytes,
}

/// Called once, on the writer's thread: on disk, or never will be. Must not block.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Called once with the error that stopped the log; the node should end itself.
pub type Fatal = Box<dyn Fn(&io::Error) + Send + Sync>;

/// How a log is kept.
pub struct Options {
    /// Length of a segment, bytes; a multiple of 4096, from 64 KiB to 1 GiB.
    pub segment_len: u32,
    /// Bodies kept in memory, bytes.
    pub cache_len: usize,
    /// Free space below which [`Log::space`] is [`Space::Low`], bytes.
    pub space_low: u64,
    /// Space set aside for rolling on a full disk, bytes; 0 for none.
    pub ballast_len: u64,
    /// The disk, or a simulated one.
    pub disk: Arc<dyn Disk>,
    /// Where the space is written down.
    pub space: Arc<SpaceNow>,
    /// Told when the log stops.
    pub on_fatal: Option<Fatal>,
    /// In a simulation: tasks of the caller's runtime do what else threads do.
    pub pace: Option<Pace>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_len: limits::LOG_SEGMENT_LEN,
            cache_len: limits::LOG_CACHE_LEN,
            space_low: limits::LOG_SPACE_LOW,
            ballast_len: limits::LOG_BALLAST_LEN,
            disk: Arc::new(disk::Os),
            space: Arc::default(),
            on_fatal: None,
            pace: None,
        }
    }
}

/// A segment that holds records.
#[derive(Debug, Clone, Copy)]
struct Segment {
    header: segment::Header,
    /// The highest index that it holds an entry of, truncated ones included.
    last_index: Option<u64>,
}

/// What waits for the writer.
enum Op {
    Entries {
        entries: Vec<Entry>,
        ticket: u64,
        done: Done,
    },
    Vote {
        vote: Bytes,
        done: Done,
    },
    /// Entries from `from` on go; `last` remains the last.
    Truncate {
        from: u64,
        last: Option<Id>,
    },
    /// Entries up to `id` go; `last` is then the last.
    Purge {
        id: Id,
        last: Option<Id>,
    },
    /// Everything before it is to be on disk.
    Flush {
        done: Done,
    },
}

#[derive(Default)]
struct Inner {
    memory: memory::Memory,
    segments: VecDeque<Segment>,
    queue: Vec<Op>,
    /// Memory that the queue and the batch being written take, bytes.
    queue_len: usize,
    /// The newest committed id, not yet written.
    hint: Option<Option<Id>>,
    /// Something in the queue is waited for.
    urgent: bool,
    closing: bool,
    /// Why nothing is written any more.
    stopped: Option<(io::ErrorKind, String)>,
}

impl Inner {
    fn check(&self) -> Result<(), Error> {
        match &self.stopped {
            Some((_, why)) => Err(Error::Stopped(why.clone())),
            None if self.closing => Err(Error::Stopped("the log is closed".into())),
            None => Ok(()),
        }
    }
}

struct Shared {
    dir: PathBuf,
    options: Options,
    inner: Mutex<Inner>,
    /// The writer waits here.
    work: Condvar,
    /// The same, where it is a task.
    bell: tokio::sync::Notify,
    /// Those that wait for a shorter queue.
    room: tokio::sync::Notify,
    keeper: keeper::Keeper,
    counters: stats::Counters,
    /// Holds the lock on the directory.
    _lock: File,
}

/// Ends the threads with the last handle.
struct Threads {
    shared: Arc<Shared>,
    /// The writer's and the keeper's, until they are joined.
    handles: Mutex<Option<[JoinHandle<()>; 2]>>,
}

impl Threads {
    fn end(&self) {
        self.shared.inner.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.bell.notify_one();
        let Some([writer, keeper]) = self.handles.lock().take() else {
            return;
        };
        // The writer first: to write out the queue it may need another segment of the keeper's. A
        // callback may drop the last handle on the writer's own thread, which cannot join itself.
        if writer.thread().id() != std::thread::current().id() {
            let _ = writer.join();
        }
        self.shared.keeper.close();
        let _ = keeper.join();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

/// A handle to an open log. Clones share it; the last one to go writes out the queue and closes it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

impl Log {
    /// Opens the log in `dir`, making both if they are not there. Reads all of it.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<Log, Error> {
        let dir = dir.into();
        let len = options.segment_len;
        if !(segment::LEN_MIN..=segment::LEN_MAX).contains(&len) || !len.is_multiple_of(4096) {
            let (min, max) = (segment::LEN_MIN, segment::LEN_MAX);
            return Err(Error::Options(format!(
                "segments of {len} bytes; they must have {min} to {max}, a multiple of 4096"
            )));
        }
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
        let lock = lock(&dir)?;
        let disk = options.disk.clone();
        let found = recover::recover(&*disk, &dir, len)?;
        let found = match found {
            Some(found) => found,
            None => {
                let first_len = len.min(limits::LOG_FIRST_SEGMENT_LEN);
                let (file, header) = segment::create(&*disk, &dir, 1, first_len, || ())
                    .map_err(|e| Error::io("create", &segment::path(&dir, 1), e))?;
                // The directory itself may be new.
                if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                    disk::sync_dir(parent).map_err(|e| Error::io("sync", parent, e))?;
                }
                recover::Recovered::new(file, header)
            }
        };
        if found.cut > 0 {
            tracing::warn!(
                bytes = found.cut,
                "the log ended in a write that the last stop interrupted; it was cut off"
            );
        }
        let active = found
            .segments
            .back()
            .copied()
            .expect("the last segment is written on");
        let keeper = keeper::Keeper::new(found.spare, active.header.seq + 1);
        let inner = Inner {
            memory: found.memory,
            segments: found.segments,
            ..Inner::default()
        };
        let shared = Arc::new(Shared {
            dir,
            options,
            inner: Mutex::new(inner),
            work: Condvar::new(),
            bell: tokio::sync::Notify::new(),
            room: tokio::sync::Notify::new(),
            keeper,
            counters: stats::Counters::default(),
            _lock: lock,
        });
        keeper::check_space(&shared);
        let writer =
            writer::Writer::new(shared.clone(), found.file, active, found.pos, found.state);
        let keeper = shared.clone();
        let handles = match shared.options.pace.clone() {
            Some(pace) => {
                tokio::spawn(tasks::write(writer, shared.clone(), pace));
                tokio::spawn(tasks::keep(keeper));
                None
            }
            None => Some([
                spawn("log-writer", move || writer.run())?,
                spawn("log-keeper", move || keeper::run(&keeper))?,
            ]),
        };
        let threads = Threads {
            shared: shared.clone(),
            handles: Mutex::new(handles),
        };
        Ok(Log {
            shared,
            threads: Arc::new(threads),
        })
    }

    /// Appends `entries`, which can be read when this returns; `done` is called when they are on
    /// disk. Does not wait; see [`Log::room`].
    ///
    /// # Errors
    /// Entries that do not follow the last one, or do not fit a segment. Then none is appended, and
    /// `done` is dropped.
    pub fn append(&self, entries: Vec<Entry>, done: Done) -> Result<(), Error> {
        let max = record::body_max(self.shared.options.segment_len) as usize;
        let mut cost = 0;
        for entry in &entries {
            let len = entry.body.len();
            if len > max {
                return Err(Error::TooLarge {
                    what: "an entry",
                    len,
                    max,
                });
            }
            cost += len + memory::ENTRY_COST;
        }
        let mut inner = self.shared.inner.lock();
        inner.check()?;
        let mut want = inner.memory.next();
        for entry in &entries {
            let index = entry.id.index;
            match want {
                Some(want) if want != index => return Err(Error::NotNext { index, want }),
                _ => want = Some(index + 1),
            }
        }
        let mut ticket = 0;
        for entry in &entries {
            ticket = inner.memory.push(entry);
        }
        // The ticket of the first: they were given in order.
        let ticket = (ticket + 1).saturating_sub(entries.len() as u64);
        inner.queue_len += cost;
        self.enqueue(
            inner,
            Op::Entries {
                entries,
                ticket,
                done,
            },
            true,
        );
        Ok(())
    }

    /// Waits until less than the bound waits for the writer, or the log has stopped.
    pub async fn room(&self) {
        loop {
            let notified = self.shared.room.notified();
            {
                let inner = self.shared.inner.lock();
                if inner.queue_len < limits::LOG_QUEUE_LEN || inner.check().is_err() {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Saves the vote; [`Log::vote`] tells it from when `done` is called.
    pub fn save_vote(&self, vote: Bytes, done: Done) -> Result<(), Error> {
        let (len, max) = (vote.len(), limits::LOG_VOTE_LEN);
        if len > max {
            return Err(Error::TooLarge {
                what: "a vote",
                len,
                max,
            });
        }
        let mut inner = self.shared.inner.lock();
        inner.check()?;
        if planted::vote_not_synced() {
            inner.memory.state.vote = Some(vote.clone());
            let late: Done = Box::new(|_| ());
            self.enqueue(inner, Op::Vote { vote, done: late }, false);
            done(Ok(()));
            return Ok(());
        }
        self.enqueue(inner, Op::Vote { vote, done }, true);
        Ok(())
    }

    /// Notes what is committed. A hint: it is written with the next sync, and asks for none.
    pub fn save_committed(&self, id: Option<Id>) -> Result<(), Error> {
        let mut inner = self.shared.inner.lock();
        inner.check()?;
        inner.memory.state.committed = id;
        inner.hint = Some(id);
        Ok(())
    }

    /// Removes entries from `index` on. On disk with what is appended next.
    pub fn truncate(&self, index: u64) -> Result<(), Error> {
        let mut inner = self.shared.inner.lock();
        inner.check()?;
        inner.memory.truncate(index);
        let last = inner.memory.last();
        self.enqueue(inner, Op::Truncate { from: index, last }, false);
        Ok(())
    }

    /// Removes what is not of the history that `committed` belongs to: where the log has an entry of another term in its place,
    /// that one and all behind it. Says whether there was something.
    ///
    /// A node applies what a majority has before its own disk has it. Where it loses its power in between, its store knows
    /// more than its log, which may still end as a leader left it that was one no more.
    pub fn supersede(&self, committed: Id) -> Result<bool, Error> {
        let index = committed.index;
        let there = self.last_of_terms(index..index + 1);
        let other = there.first().is_some_and(|id| id.term != committed.term);
        if other {
            self.truncate(index)?;
        }
        Ok(other)
    }

    /// Removes entries up to `id`, which may lie beyond the last one; the next one to append is
    /// then the one after it. Segments that hold no others are deleted once that is on disk.
    pub fn purge(&self, id: Id) -> Result<(), Error> {
        let mut inner = self.shared.inner.lock();
        inner.check()?;
        inner.memory.purge(id);
        let last = inner.memory.last();
        self.enqueue(inner, Op::Purge { id, last }, true);
        Ok(())
    }

    /// Calls `done` when everything given before is on disk.
    pub fn flush(&self, done: Done) -> Result<(), Error> {
        let inner = self.shared.inner.lock();
        inner.check()?;
        self.enqueue(inner, Op::Flush { done }, true);
        Ok(())
    }

    fn enqueue(&self, mut inner: parking_lot::MutexGuard<'_, Inner>, op: Op, urgent: bool) {
        inner.queue.push(op);
        inner.urgent |= urgent;
        drop(inner);
        if urgent {
            self.shared.work.notify_one();
            if self.shared.options.pace.is_some() {
                self.shared.bell.notify_one();
            }
        }
    }

    /// The last vote that was saved.
    pub fn vote(&self) -> Option<Bytes> {
        self.shared.inner.lock().memory.state.vote.clone()
    }

    /// The last committed id that was hinted at; after a restart, one that was.
    pub fn committed(&self) -> Option<Id> {
        self.shared.inner.lock().memory.state.committed
    }

    /// Entries up to this one were purged.
    pub fn purged(&self) -> Option<Id> {
        self.shared.inner.lock().memory.state.purged
    }

    /// The last entry, or what was purged where there is none.
    pub fn last(&self) -> Option<Id> {
        self.shared.inner.lock().memory.last()
    }

    /// The index of the first entry, if there is one.
    pub fn first_index(&self) -> Option<u64> {
        self.shared.inner.lock().memory.first()
    }

    /// What was purged and what is last, at one moment.
    pub fn bounds(&self) -> (Option<Id>, Option<Id>) {
        let inner = self.shared.inner.lock();
        (inner.memory.state.purged, inner.memory.last())
    }

    /// The last entry of each term within `range`, ascending.
    pub fn last_of_terms(&self, range: Range<u64>) -> Vec<Id> {
        self.shared.inner.lock().memory.last_of_terms(range)
    }

    /// The entries of `range` that exist, from the first on: one at least, then as many as have
    /// bodies of `max` bytes in all. Reads the disk for older ones.
    pub fn read(&self, range: Range<u64>, max: usize) -> Result<Vec<Entry>, Error> {
        read::read(&self.shared, range, max)
    }

    /// As [`Log::read`], but none where that would read the disk.
    pub fn read_memory(&self, range: Range<u64>, max: usize) -> Option<Vec<Entry>> {
        read::read_memory(&self.shared, range, max)
    }

    /// Reads all that is on the disk, as a start does, while the log goes on. How many bytes that were.
    ///
    /// # Errors
    /// `Damage`, where a record is not what was written.
    pub fn scrub(&self) -> Result<u64, Error> {
        scrub::scrub(&self.shared)
    }

    /// Whether the disk has room, as of the last look.
    pub fn space(&self) -> Space {
        self.shared.options.space.get()
    }

    /// What the log did and has.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.shared)
    }

    /// Writes out the queue and ends the threads. What is given afterwards is refused.
    pub fn close(&self) {
        self.threads.end();
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(f)
        .map_err(|e| Error::io("start a thread for", Path::new(name), e))
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| Error::io("open", &path, e))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(dir.into())),
        Err(e) => Err(Error::io("lock", &path, e.into())),
    }
}
