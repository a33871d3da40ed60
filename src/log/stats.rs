//! What the log did and has, for metrics and the operator.

use super::{Id, Shared};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counted since the log was opened.
pub(super) struct Counters {
    pub syncs: AtomicU64,
    pub bytes_written: AtomicU64,
    pub stalls: AtomicU64,
    pub free: AtomicU64,
    sync_us: Mutex<Histogram<u64>>,
    worst: Mutex<Worst>,
}

impl Default for Counters {
    fn default() -> Self {
        // One microsecond to one minute, to 1 %.
        let sync_us = Histogram::new_with_bounds(1, 60_000_000, 2).expect("sound bounds");
        Counters {
            syncs: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            free: AtomicU64::new(0),
            sync_us: Mutex::new(sync_us),
            worst: Mutex::default(),
        }
    }
}

impl Counters {
    pub fn synced(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.worst
            .lock()
            .record(Instant::now(), took.as_micros() as u64);
        self.sync_us
            .lock()
            .saturating_record(took.as_micros() as u64);
    }
}

/// How long [`Worst`] gathers before it begins anew.
const WORST_OF: Duration = Duration::from_secs(30);

/// The longest sync of this half minute, and of the one before.
#[derive(Debug, Default)]
struct Worst {
    since: Option<Instant>,
    this: u64,
    before: u64,
}

impl Worst {
    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= WORST_OF {
            let this = std::mem::take(&mut self.this);
            self.before = if age < WORST_OF * 2 { this } else { 0 };
            self.since = Some(now);
        }
    }

    fn record(&mut self, now: Instant, us: u64) {
        self.turn(now);
        self.this = self.this.max(us);
    }

    fn now(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.this.max(self.before)
    }
}

/// The log at one moment.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Segments that hold records.
    pub segments: usize,
    /// Their length, bytes.
    pub bytes: u64,
    /// The first entry's index.
    pub first: Option<u64>,
    /// The last entry, or what was purged.
    pub last: Option<Id>,
    /// Entries up to this one are gone.
    pub purged: Option<Id>,
    /// Bodies kept in memory, about, bytes.
    pub memory: usize,
    /// Waiting for the writer, bytes.
    pub queued: usize,
    /// Free space of the disk, bytes, as of the last look.
    pub free: u64,
    /// fdatasyncs of the log since it was opened.
    pub syncs: u64,
    /// Bytes written since then.
    pub bytes_written: u64,
    /// Times that the writer had to wait for a new segment.
    pub stalls: u64,
    /// How long the syncs took, microseconds.
    pub sync_us: Histogram<u64>,
    /// The longest in the last half minute or more, at most a minute, microseconds.
    pub sync_worst_us: u64,
}

impl Stats {
    pub(super) fn of(shared: &Shared) -> Stats {
        let inner = shared.inner.lock();
        let c = &shared.counters;
        Stats {
            segments: inner.segments.len(),
            bytes: inner.segments.iter().map(|s| u64::from(s.header.len)).sum(),
            first: inner.memory.first(),
            last: inner.memory.last(),
            purged: inner.memory.state.purged,
            memory: inner.memory.recent_cost(),
            queued: inner.queue_len,
            free: c.free.load(Ordering::Relaxed),
            syncs: c.syncs.load(Ordering::Relaxed),
            bytes_written: c.bytes_written.load(Ordering::Relaxed),
            stalls: c.stalls.load(Ordering::Relaxed),
            sync_us: c.sync_us.lock().clone(),
            sync_worst_us: c.worst.lock().now(Instant::now()),
        }
    }
}
