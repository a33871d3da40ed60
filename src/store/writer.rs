//! The one thread that writes to RocksDB, and the queue before it.
//!
//! Always: what is submitted is written in the order of submission, a whole number of entries at a time,
//! with the position after the last of them; after an error nothing more is written, and whoever
//! waits is told so. The lock of the queue is never held while the disk is used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::base::{Base, Directory};
use super::window::Window;
use super::{Error, FatalHook, Position, Rows, live};
use crate::base::limits;

/// How often a failed merge in the background is looked for.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked whether merging has caught up, while the writer waits for that.
const RUNS_INTERVAL: Duration = Duration::from_millis(10);
/// Positions without rows (marks of the service time) are written this many times less often than rows.
const IDLE_FACTOR: u32 = 6;
/// How much lower than clients' threads the writer's and RocksDB's rank: they yield where both want a core.
const NICENESS: i32 = 5;

/// Tells whoever asked.
pub type Reply<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// What is asked of the writer, besides writing.
pub enum Request {
    /// Write all that was submitted before.
    Flush(Reply<Option<Position>>),
    /// The same, then a checkpoint in that new directory.
    Checkpoint(PathBuf, Reply<Position>),
    /// Drop what was submitted, and go on with that directory instead.
    Install(PathBuf, Reply<Position>),
    /// End, and drop what was submitted.
    Close,
}

#[derive(Default)]
struct Queue {
    window: Window,
    last: Option<Position>,
    /// When the first thing that is not written yet was submitted.
    since: Option<Instant>,
    requests: Vec<Request>,
    stopped: Option<String>,
}

/// What the store's handle and its thread share.
pub struct Shared {
    pub root: PathBuf,
    window_bytes: usize,
    interval: Duration,
    backlog_limit: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// The same, where the writer is a task.
    pub bell: Notify,
    pub base: Arc<dyn Base>,
    backlog: AtomicUsize,
    pub room: Notify,
    pub durable: watch::Sender<Option<Position>>,
    db: RwLock<Option<Arc<dyn Directory>>>,
    fatal: FatalHook,
}

impl Shared {
    pub fn new(options: &super::Options, fatal: FatalHook) -> Self {
        Self {
            root: options.dir.clone(),
            window_bytes: options.window_bytes,
            interval: options.flush_interval,
            backlog_limit: options.backlog_bytes,
            queue: Mutex::default(),
            wake: Condvar::new(),
            bell: Notify::new(),
            base: options.base.clone(),
            backlog: AtomicUsize::new(0),
            room: Notify::new(),
            durable: watch::Sender::new(None),
            db: RwLock::new(None),
            fatal,
        }
    }

    /// Queues the rows of one entry. Dropped once the store has stopped.
    pub fn submit(&self, rows: Rows, at: Position) {
        let mut queue = self.queue.lock();
        if queue.stopped.is_some() {
            return;
        }
        debug_assert!(
            queue
                .last
                .as_ref()
                .is_none_or(|last| last.index <= at.index),
            "entries are submitted in order"
        );
        let before = queue.window.bytes();
        self.backlog.fetch_add(rows.len(), Ordering::Relaxed);
        queue.window.push(rows);
        queue.last = Some(at);
        let first = queue.since.is_none();
        if first {
            queue.since = Some(Instant::now());
        }
        let full = before < self.window_bytes && queue.window.bytes() >= self.window_bytes;
        // The first row after marks without rows brings the time to write forward.
        let dirty = before == 0 && queue.window.bytes() > 0;
        drop(queue);
        if first || full || dirty {
            self.wake.notify_one();
        }
    }

    /// Queues a request, or answers it with the reason why the store has stopped.
    pub fn request(&self, request: Request) {
        let mut queue = self.queue.lock();
        match &queue.stopped {
            Some(why) => {
                let why = why.clone();
                drop(queue);
                request.refuse(&Error::Stopped(why));
            }
            None => {
                queue.requests.push(request);
                drop(queue);
                self.wake.notify_one();
                self.bell.notify_one();
            }
        }
    }

    /// Bytes submitted and not yet on disk.
    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Whether no more should be proposed for now.
    pub fn over_limit(&self) -> bool {
        self.backlog() > self.backlog_limit
    }

    /// The open directory, or why there is none.
    pub fn db(&self) -> Result<Arc<dyn Directory>, Error> {
        self.db.read().clone().ok_or_else(|| {
            let why = self.queue.lock().stopped.clone();
            Error::Stopped(why.unwrap_or_else(|| "it was closed".into()))
        })
    }

    /// The thread: opens the store, says how that went, writes until it is told to close.
    pub fn run(&self, opened: impl FnOnce(Result<Option<Position>, Error>)) {
        // Threads that RocksDB starts while opening inherit this. Without it all works, less politely.
        let _ = rustix::process::nice(NICENESS);
        let begun = self.begin();
        let failed = begun.is_err();
        opened(begun);
        if failed {
            return;
        }
        // A panic is a mistake in this module; whoever waits must hear of it all the same.
        let served = catch_unwind(AssertUnwindSafe(|| self.serve()))
            .unwrap_or_else(|_| Err(Error::Stopped("its thread panicked".into())));
        self.end(served);
    }

    /// Opens the store, or stops it.
    pub fn begin(&self) -> Result<Option<Position>, Error> {
        let opened = self.open();
        match &opened {
            Ok(position) => drop(self.durable.send_replace(position.clone())),
            Err(error) => self.stop(&error.to_string()),
        }
        opened
    }

    /// Lets go of what is open, and tells why if it failed.
    pub fn end(&self, served: Result<(), Error>) {
        if let Err(error) = served {
            tracing::error!("{error}");
            self.stop(&error.to_string());
            (self.fatal)(&error);
        } else {
            self.stop("it was closed");
        }
        if let Some(db) = self.db.write().take() {
            db.cancel();
        }
    }

    fn open(&self) -> Result<Option<Position>, Error> {
        let dir = match live::find(&self.root)? {
            Some(dir) => dir,
            None => live::create(&self.root, |dir| self.base.create(dir))?,
        };
        let (db, position) = self.base.open(&dir)?;
        *self.db.write() = Some(db);
        Ok(position)
    }

    /// Until closed (`Ok`) or broken.
    fn serve(&self) -> Result<(), Error> {
        loop {
            self.wait()?;
            if !self.turn()? {
                return Ok(());
            }
        }
    }

    /// Does what waits; false: it is closed.
    pub fn turn(&self) -> Result<bool, Error> {
        let (window, last, requests) = self.next();
        let dropped = matches!(
            requests.first(),
            Some(Request::Install(..) | Request::Close)
        );
        let written = match last {
            Some(last) if !dropped => self.write(&window, last),
            _ => Ok(()),
        };
        self.backlog.fetch_sub(window.bytes(), Ordering::Relaxed);
        drop(window);
        self.room.notify_waiters();
        let mut result = written;
        for request in requests {
            match (&result, request) {
                (Err(error), request) => request.refuse(error),
                (Ok(()), Request::Close) => return Ok(false),
                (Ok(()), request) => result = self.answer(request),
            }
        }
        result.map(|()| true)
    }

    /// Writes all that was submitted, on this thread.
    pub fn write_now(&self) -> Result<(), Error> {
        if let Some(why) = &self.queue.lock().stopped {
            return Err(Error::Stopped(why.clone()));
        }
        self.turn().map(drop)
    }

    /// Whether there is something to do now.
    pub fn due(&self) -> bool {
        self.patience(&self.queue.lock()).is_none()
    }

    /// How long there is nothing to do, if nobody asks for anything; none: there is.
    fn patience(&self, queue: &Queue) -> Option<Duration> {
        if !queue.requests.is_empty() || queue.window.bytes() >= self.window_bytes {
            return None;
        }
        let Some(since) = queue.since else {
            return Some(HEALTH_INTERVAL);
        };
        let interval = match queue.window.bytes() {
            0 => self.interval * IDLE_FACTOR,
            _ => self.interval,
        };
        let left = interval.saturating_sub(since.elapsed());
        (!left.is_zero()).then(|| left.min(HEALTH_INTERVAL))
    }

    /// Waits for something to do.
    fn wait(&self) -> Result<(), Error> {
        let mut queue = self.queue.lock();
        while let Some(patience) = self.patience(&queue) {
            if self.wake.wait_for(&mut queue, patience).timed_out() {
                parking_lot::MutexGuard::unlocked(&mut queue, || self.db()?.health())?;
            }
        }
        Ok(())
    }

    /// What is to be done now. Requests that come after one that changes what a window means wait for the next turn.
    fn next(&self) -> (Window, Option<Position>, Vec<Request>) {
        let mut queue = self.queue.lock();
        let single = |request: &Request| !matches!(request, Request::Flush(_));
        let count = match queue.requests.iter().position(single) {
            // An install stands alone: flushes before it still mean the rows before it.
            Some(0) => 1,
            Some(at) => at,
            None => queue.requests.len(),
        };
        queue.since = None;
        let requests = queue.requests.drain(..count).collect();
        (
            std::mem::take(&mut queue.window),
            queue.last.take(),
            requests,
        )
    }

    fn write(&self, window: &Window, last: Position) -> Result<(), Error> {
        let db = self.db()?;
        db.health()?;
        while db.runs() >= limits::STORE_RUNS_MAX {
            std::thread::sleep(RUNS_INTERVAL);
            db.health()?;
        }
        db.write(window, &last)?;
        self.durable.send_replace(Some(last));
        Ok(())
    }

    /// Does what was asked. An error here is one that ends the store.
    fn answer(&self, request: Request) -> Result<(), Error> {
        match request {
            Request::Flush(reply) => reply(Ok(self.durable.borrow().clone())),
            Request::Checkpoint(to, reply) => reply(self.checkpoint(&to)),
            Request::Install(from, reply) => match self.install(&from) {
                Ok(position) => reply(Ok(position)),
                Err(error) => {
                    reply(Err(error.clone()));
                    return Err(error);
                }
            },
            Request::Close => {}
        }
        Ok(())
    }

    fn checkpoint(&self, to: &Path) -> Result<Position, Error> {
        let position = self.durable.borrow().clone();
        let position = position.ok_or_else(|| Error::Io {
            dir: to.to_path_buf(),
            what: "could not make a checkpoint: nothing was ever submitted".into(),
        })?;
        self.db()?.checkpoint(to)?;
        Ok(position)
    }

    fn install(&self, from: &Path) -> Result<Position, Error> {
        let old = self.db()?;
        let dir = live::adopt(&self.root, from, old.dir())?;
        let (db, position) = self.base.open(&dir)?;
        let position = position.ok_or_else(|| Error::damage(&dir, "it holds no position"))?;
        live::point(&self.root, &dir)?;
        *self.db.write() = Some(db);
        self.durable.send_replace(Some(position.clone()));
        old.cancel();
        let old_dir = old.dir().to_path_buf();
        drop(old);
        // A load that still reads from it keeps its files open; their names go now.
        live::remove(&self.root, &old_dir)?;
        Ok(position)
    }

    fn stop(&self, why: &str) {
        let mut queue = self.queue.lock();
        queue.stopped = Some(why.to_string());
        let requests = std::mem::take(&mut queue.requests);
        queue.window = Window::default();
        queue.last = None;
        drop(queue);
        self.backlog.store(0, Ordering::Relaxed);
        self.room.notify_waiters();
        for request in requests {
            request.refuse(&Error::Stopped(why.to_string()));
        }
    }
}

impl Request {
    fn refuse(self, error: &Error) {
        match self {
            Self::Flush(reply) => reply(Err(error.clone())),
            Self::Checkpoint(_, reply) | Self::Install(_, reply) => reply(Err(error.clone())),
            Self::Close => {}
        }
    }
}
