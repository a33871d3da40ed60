//! The store: RocksDB behind memory.
//!
//! What committed entries change is queued, coalesced, and written to RocksDB in the background, as sorted
//! runs that each carry the position after their last entry. RocksDB's own log is off: the Raft log is the
//! only one. Always: what the store holds is exactly the effect of all entries up to its position, and
//! what it calls durable is in its files and its manifest.
//!
//! Rows are opaque here. Their keys compare as bytes and must not begin with the byte 0.

pub mod base;
mod error;
mod live;
mod load;
mod position;
mod rocks;
mod tasks;
mod window;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

pub use self::base::Base;
pub use crate::base::rows::{RESERVED, RowOp, Rows};
pub use error::Error;
pub use position::Position;
pub use rocks::Rocks;
pub use window::Window;

use crate::base::limits;
use crate::base::work::Pace;
use writer::{Reply, Request, Shared};

/// Called once, from the store's thread, when the store has failed and takes nothing more. The node is to stop.
pub type FatalHook = Box<dyn Fn(&Error) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The root directory, created where it is missing. What is to be installed must be on its file system.
    pub dir: PathBuf,
    /// Submitted rows from which a run is written, bytes. More coalesces better, and costs memory twice.
    pub window_bytes: usize,
    /// Submitted rows not yet written above which [`Store::over_limit`] says so, bytes.
    pub backlog_bytes: usize,
    /// The longest that a row waits to be written. Positions without rows wait six times as long.
    pub flush_interval: Duration,
    /// What keeps the rows.
    pub base: Arc<dyn Base>,
    /// In a simulation: a task of the caller's runtime does what else a thread does.
    pub pace: Option<Pace>,
}

impl Options {
    /// The usual values for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            window_bytes: limits::STORE_WINDOW_BYTES,
            backlog_bytes: limits::STORE_BACKLOG_BYTES,
            flush_interval: Duration::from_secs(10),
            base: Arc::new(Rocks),
            pace: None,
        }
    }
}

/// An open store. Shared by reference; its own thread does the work.
///
/// Dropping it writes nothing more, as a crash would; [`Store::close`] writes what was submitted.
pub struct Store {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in `options.dir`, or makes an empty one there. Also its position: none if nothing
    /// was ever written. Blocks while files are opened (milliseconds).
    ///
    /// # Errors
    /// [`Error::Damage`], [`Error::Format`], [`Error::InUse`], [`Error::Io`].
    pub fn open(options: Options, fatal: FatalHook) -> Result<(Self, Option<Position>), Error> {
        let shared = Arc::new(Shared::new(&options, fatal));
        if let Some(pace) = options.pace {
            let position = shared.begin()?;
            tokio::spawn(tasks::write(shared.clone(), pace));
            let store = Self {
                shared,
                thread: Mutex::default(),
            };
            return Ok((store, position));
        }
        let (opened, result) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.run(|result| {
                        let _ = opened.send(result);
                    });
                }
            })
            .map_err(|e| Error::io(&options.dir, "start a thread", &e))?;
        let store = Self {
            shared,
            thread: Mutex::new(Some(thread)),
        };
        let position = result
            .recv()
            .map_err(|_| Error::Stopped("its thread panicked while opening".into()))??;
        Ok((store, position))
    }

    /// Queues what one committed entry changed, in order, and the position after it. It never blocks or
    /// fails: after a failure, which the fatal hook was told, it does nothing.
    ///
    /// Entries come in the order of their index. Parts of a split batch are submitted together at the last.
    pub fn submit(&self, rows: Rows, at: Position) {
        self.shared.submit(rows, at);
    }

    /// Bytes submitted and not yet written.
    pub fn backlog(&self) -> usize {
        self.shared.backlog()
    }

    /// Whether the backlog has reached its bound: propose nothing until [`Store::room`] returns.
    pub fn over_limit(&self) -> bool {
        self.shared.over_limit()
    }

    /// Returns once the backlog is below its bound, or the store has stopped.
    pub async fn room(&self) {
        loop {
            let changed = self.shared.room.notified();
            if !self.shared.over_limit() {
                return;
            }
            changed.await;
        }
    }

    /// The position whose effect is on disk; none if nothing was ever written.
    pub fn durable(&self) -> Option<Position> {
        self.shared.durable.borrow().clone()
    }

    /// Follows [`Store::durable`].
    pub fn watch_durable(&self) -> watch::Receiver<Option<Position>> {
        self.shared.durable.subscribe()
    }

    /// Writes all that was submitted before the call, and returns the durable position.
    ///
    /// # Errors
    /// [`Error::Stopped`], or the error that stopped it just now.
    pub async fn flush(&self) -> Result<Option<Position>, Error> {
        self.ask(Request::Flush).await
    }

    /// [`Store::flush`], blocking this thread.
    pub fn flush_blocking(&self) -> Result<Option<Position>, Error> {
        self.ask_blocking(Request::Flush)
    }

    /// Makes a consistent copy in the directory `to`, which must not exist while its parent does. It shares files by
    /// hard links if `to` is on the store's file system. Writing goes on meanwhile, but for a moment. The copy
    /// holds exactly what the returned position says, all that was submitted before the call included, and
    /// is on disk on return.
    ///
    /// # Errors
    /// [`Error::Io`] where `to` cannot be made; the store goes on.
    pub async fn checkpoint(&self, to: &Path) -> Result<Position, Error> {
        let to = to.to_path_buf();
        self.ask(|reply| Request::Checkpoint(to, reply)).await
    }

    /// [`Store::checkpoint`], blocking this thread.
    pub fn checkpoint_blocking(&self, to: &Path) -> Result<Position, Error> {
        let to = to.to_path_buf();
        self.ask_blocking(|reply| Request::Checkpoint(to, reply))
    }

    /// What opens this store's directories, and checks one that was received.
    pub fn base(&self) -> Arc<dyn Base> {
        self.shared.base.clone()
    }

    /// Replaces all that the store holds by the checkpoint in `from`, which must be on the store's file system
    /// and have been verified; it is moved. What was submitted and not yet written is dropped, so submit
    /// nothing until this returns. After a crash at any moment the store is the old or the new one as a whole.
    ///
    /// # Errors
    /// Any error ends the store.
    pub async fn install(&self, from: &Path) -> Result<Position, Error> {
        let from = from.to_path_buf();
        self.ask(|reply| Request::Install(from, reply)).await
    }

    /// [`Store::install`], blocking this thread.
    pub fn install_blocking(&self, from: &Path) -> Result<Position, Error> {
        let from = from.to_path_buf();
        self.ask_blocking(|reply| Request::Install(from, reply))
    }

    /// Gives every row that is on disk to `on_row` once, from `threads` threads, with the number of its part.
    /// `cuts`, ascending, divide the keys into parts: part 0 holds those before the first cut, part `i`
    /// those from cut `i - 1` on. The rows of a part come in ascending order from one thread. A few times more
    /// parts than threads keep all threads busy. Blocks; returns how many rows there were.
    ///
    /// # Errors
    /// [`Error::Damage`] for a wrong checksum or a missing file; [`Error::Row`] with what `on_row` said.
    pub fn load<F>(&self, threads: usize, cuts: &[Vec<u8>], on_row: F) -> Result<u64, Error>
    where
        F: Fn(usize, &[u8], &[u8]) -> Result<(), String> + Sync,
    {
        load::load(&*self.shared.db()?, threads, cuts, on_row)
    }

    /// Cuts for [`Store::load`] that divide what is on disk into parts of some tens of MiB. They may fall
    /// anywhere between two rows; where rows belong together, the caller moves or drops cuts.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::Io`].
    pub fn cuts(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.shared.db()?.cuts()
    }

    /// Size of the files that hold the rows, bytes; 0 once stopped.
    pub fn disk_bytes(&self) -> u64 {
        self.shared.db().map_or(0, |db| db.disk_bytes())
    }

    /// Frees disk that removed rows still take, where that is worth it and `free` bytes of disk suffice. `data` is what
    /// all rows stand for, bytes. Blocks while it merges; true where it did.
    pub fn reclaim(&self, data: u64, free: u64) -> bool {
        let Ok(db) = self.shared.db() else {
            return false;
        };
        // The merge leaves about as much as the data, and at most what there is.
        let need = db
            .disk_bytes()
            .min(data + data / 2 + limits::STORE_WINDOW_BYTES as u64);
        let merge = db.worth_merging(data) && free > need;
        if merge {
            tracing::info!(
                free,
                data,
                bytes = db.disk_bytes(),
                "the store is merged to free disk"
            );
            db.merge_all();
        }
        merge
    }

    /// Writes what was submitted, and closes the files. Blocks.
    ///
    /// # Errors
    /// The error that kept it from writing.
    pub fn close(&self) -> Result<(), Error> {
        let threaded = self.thread.lock().is_some();
        let result = match threaded {
            true => self.flush_blocking().map(|_| ()),
            // Its task cannot work while this waits.
            false => self.shared.write_now(),
        };
        self.end();
        result
    }

    fn end(&self) {
        self.shared.request(Request::Close);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.shared.request(request(Box::new(move |result| {
            let _ = reply.send(result);
        })));
        answer
            .await
            .unwrap_or_else(|_| Err(Error::Stopped("its thread panicked".into())))
    }

    fn ask_blocking<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.shared.request(request(Box::new(move |result| {
            let _ = reply.send(result);
        })));
        answer
            .recv()
            .unwrap_or_else(|_| Err(Error::Stopped("its thread panicked".into())))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.end();
    }
}
