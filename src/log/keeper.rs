//! The keeper: makes the next segment before it is needed, deletes those that are not needed any
//! more, and watches the space. A thread of its own, so that no reply waits for it.

use super::segment::{self, Header};
use super::{Shared, Space, recover};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often what failed is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How often the space is looked at, besides the looks of the writer (`limits::LOG_LOOK_LEN`) and after each segment.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How long the writer waits for a segment on a full disk before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest pause between two steps of making a segment. Without pauses a segment's zeros took the disk for a tenth of a
/// second, and the replies waited, of all nodes on it at the same log index.
const PAUSE_MAX: Duration = Duration::from_millis(25);
/// A segment is made in this part of the time that the one before it lasted.
const HASTE: u32 = 4;

/// What the keeper and the writer share.
pub(super) struct Keeper {
    desk: Mutex<Desk>,
    /// The keeper waits here.
    wake: Condvar,
    /// The writer waits here.
    ready: Condvar,
}

struct Desk {
    spare: Option<(File, Header)>,
    /// The number of the segment that is made next.
    next: u32,
    /// Segments to delete, oldest first.
    doomed: VecDeque<u32>,
    /// Why there is no spare.
    error: Option<(io::ErrorKind, String)>,
    /// When the writer took the last one, and how long the one before had lasted.
    taken: Instant,
    lasted: Duration,
    /// The writer waits.
    awaited: bool,
    closing: bool,
}

impl Keeper {
    pub fn new(spare: Option<(File, Header)>, next: u32) -> Keeper {
        let next = spare.as_ref().map_or(next, |(_, h)| h.seq + 1);
        let doomed = VecDeque::new();
        let desk = Desk {
            spare,
            next,
            doomed,
            error: None,
            taken: Instant::now(),
            lasted: Duration::ZERO,
            awaited: false,
            closing: false,
        };
        Keeper {
            desk: Mutex::new(desk),
            wake: Condvar::new(),
            ready: Condvar::new(),
        }
    }

    /// The next segment. Waits where it is not made yet, which counts as a stall.
    pub fn take(&self, shared: &Shared) -> io::Result<(File, Header)> {
        let mut desk = self.desk.lock();
        if desk.spare.is_none() {
            shared.counters.stalls.fetch_add(1, Ordering::Relaxed);
            if shared.options.pace.is_some() {
                // The keeper is a task, and cannot work while this waits.
                let seq = desk.next;
                drop(desk);
                make(shared, seq)?;
                desk = self.desk.lock();
            }
        }
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(spare) = desk.spare.take() {
                desk.awaited = false;
                desk.lasted = desk.taken.elapsed();
                desk.taken = Instant::now();
                self.wake.notify_one();
                return Ok(spare);
            }
            desk.awaited = true;
            self.wake.notify_one();
            let late = self.ready.wait_until(&mut desk, until).timed_out();
            if late || desk.closing {
                let (kind, why) = desk
                    .error
                    .clone()
                    .unwrap_or((io::ErrorKind::TimedOut, "it took too long".into()));
                let why = format!("no next segment could be made: {why}");
                return Err(io::Error::new(kind, why));
            }
        }
    }

    /// Between two of the `steps` of making a segment: not where the writer waits for it, and short where it soon will.
    fn pause(&self, steps: u32) {
        let mut desk = self.desk.lock();
        let pause = (desk.lasted / HASTE / steps.max(1)).min(PAUSE_MAX);
        let until = Instant::now() + pause;
        while !desk.awaited && !desk.closing {
            if self.wake.wait_until(&mut desk, until).timed_out() {
                return;
            }
        }
    }

    /// Has these segments deleted.
    pub fn delete(&self, seqs: Vec<u32>) {
        if !seqs.is_empty() {
            self.desk.lock().doomed.extend(seqs);
            self.wake.notify_one();
        }
    }

    /// Whether no segment can be made for lack of space, whatever the disk says is free.
    fn starved(&self) -> bool {
        let error = &self.desk.lock().error;
        matches!(error, Some((io::ErrorKind::StorageFull, _)))
    }

    pub fn close(&self) {
        self.desk.lock().closing = true;
        self.wake.notify_all();
        self.ready.notify_all();
    }
}

/// What is next to do.
enum Task {
    Make(u32),
    Delete(u32),
    Look,
    End,
}

/// Does what waits, and what has to be done regularly; for a keeper that is a task.
pub(super) fn once(shared: &Shared) -> io::Result<()> {
    loop {
        let task = {
            let desk = shared.keeper.desk.lock();
            match (&desk.spare, desk.doomed.front()) {
                _ if desk.closing => Task::End,
                (None, _) => Task::Make(desk.next),
                (Some(_), Some(seq)) => Task::Delete(*seq),
                (Some(_), None) => Task::Look,
            }
        };
        match task {
            Task::End => return Ok(()),
            Task::Make(seq) => make(shared, seq)?,
            Task::Delete(seq) => delete(shared, seq)?,
            Task::Look => {
                check_space(shared);
                keep_ballast(shared);
                return Ok(());
            }
        }
    }
}

/// The keeper's thread.
pub(super) fn run(shared: &Shared) {
    let keeper = &shared.keeper;
    let mut looked = Instant::now();
    let mut failed_at: Option<Instant> = None;
    loop {
        let task = {
            let mut desk = keeper.desk.lock();
            loop {
                let may_try = failed_at.is_none_or(|at| at.elapsed() >= TICK);
                if desk.closing {
                    break Task::End;
                } else if desk.spare.is_none() && may_try {
                    break Task::Make(desk.next);
                } else if let Some(seq) = desk.doomed.front().filter(|_| may_try) {
                    break Task::Delete(*seq);
                } else if looked.elapsed() >= LOOK {
                    break Task::Look;
                }
                keeper.wake.wait_for(&mut desk, LOOK);
            }
        };
        let done = match task {
            Task::End => return,
            Task::Make(seq) => make(shared, seq),
            Task::Delete(seq) => delete(shared, seq),
            Task::Look => {
                looked = Instant::now();
                check_space(shared);
                keep_ballast(shared);
                continue;
            }
        };
        failed_at = match done {
            Ok(()) => None,
            Err(error) => {
                if failed_at.is_none() {
                    tracing::error!(%error, "the log's keeper failed, and tries again");
                }
                Some(Instant::now())
            }
        };
    }
}

fn make(shared: &Shared, seq: u32) -> io::Result<()> {
    let (disk, len) = (&*shared.options.disk, shared.options.segment_len);
    let create = || {
        segment::create(disk, &shared.dir, seq, len, || {
            if shared.options.pace.is_none() {
                shared.keeper.pause(len / segment::STEP);
            }
        })
    };
    let mut made = create();
    if made
        .as_ref()
        .is_err_and(|e| e.kind() == io::ErrorKind::StorageFull)
    {
        // The mark first: whoever sees the ballast go finds it set.
        shared
            .options
            .space
            .set(Space::Low.max(shared.options.space.get()));
        if release_ballast(shared) {
            made = create();
        } else {
            shared.options.space.set(Space::Full);
        }
    }
    let mut desk = shared.keeper.desk.lock();
    let result = match made {
        Ok(spare) => {
            desk.spare = Some(spare);
            desk.next = seq + 1;
            desk.error = None;
            Ok(())
        }
        Err(e) => {
            desk.error = Some((e.kind(), e.to_string()));
            Err(e)
        }
    };
    drop(desk);
    shared.keeper.ready.notify_all();
    check_space(shared);
    result
}

fn delete(shared: &Shared, seq: u32) -> io::Result<()> {
    recover::remove(&shared.dir, seq)?;
    shared.keeper.desk.lock().doomed.pop_front();
    Ok(())
}

/// Looks at the free space and says what it means.
pub(super) fn check_space(shared: &Shared) {
    let free = match shared.options.disk.free(&shared.dir) {
        Ok(free) => free,
        Err(error) => {
            tracing::warn!(%error, "the free space of the log's disk is not known");
            return;
        }
    };
    shared.counters.free.store(free, Ordering::Relaxed);
    let mark = shared.options.space_low;
    let was = shared.options.space.get();
    // A mark is lifted a quarter higher than it is set.
    let below = |mark: u64, set: bool| free < if set { mark + mark / 4 } else { mark };
    let now = if below(mark / 8, was == Space::Full) {
        Space::Full
    } else if below(mark, was != Space::Ok) || shared.keeper.starved() {
        Space::Low
    } else {
        Space::Ok
    };
    if now != was {
        shared.options.space.set(now);
        match now {
            Space::Full => tracing::error!(free, mark, "the disk is full; nothing is written"),
            Space::Low => tracing::error!(free, mark, "the disk is nearly full; data may not grow"),
            Space::Ok => tracing::info!(free, mark, "the disk has room again"),
        }
    }
}

/// Takes the ballast while there is room for it, and lets go of it when there is next to none.
fn keep_ballast(shared: &Shared) {
    let free = shared.counters.free.load(Ordering::Relaxed);
    let (mark, len) = (shared.options.space_low, shared.options.ballast_len);
    let path = shared.dir.join("ballast");
    if free < mark / 4 {
        release_ballast(shared);
    } else if len > 0 && free > mark + 2 * len && !path.exists() {
        let taken =
            File::create(&path).and_then(|file| shared.options.disk.allocate(&file, &path, len));
        if let Err(error) = taken {
            tracing::warn!(%error, "no ballast could be set aside on the log's disk");
            let _ = fs::remove_file(&path);
        }
    }
}

/// True where there was one.
fn release_ballast(shared: &Shared) -> bool {
    let released = fs::remove_file(shared.dir.join("ballast")).is_ok();
    if released {
        tracing::error!("the disk is full; the log gave up its ballast to go on");
    }
    released
}
