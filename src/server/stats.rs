//! What INFO, LATENCY and LATENCY HISTOGRAM tell: errors by prefix, latencies by command, latency
//! events, rates, and the peak of memory. Always: bounded, and nothing is told that was not counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::base::limits::{ERROR_KINDS_MAX, LATENCY_SAMPLES_MAX};
use crate::command::table::{COUNT, CommandId};

/// Rates are taken over this many samples, `SAMPLE_EVERY` apart, as Redis does.
const SAMPLES: usize = 16;
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Latencies are told up to this, nanoseconds (one second, as Redis).
const LATENCY_NS_MAX: u64 = 1_000_000_000;

/// What one kind of latency event looked like over time.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Second since 1970 and the worst latency within it, milliseconds; oldest first.
    pub samples: VecDeque<(u64, u64)>,
    /// The worst of all, milliseconds.
    pub max: u64,
}

/// Rates per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    pub commands: u64,
    pub bytes_in: f64,
    pub bytes_out: f64,
}

/// Counts of a moment: commands, bytes in, bytes out.
type Counts = [u64; 3];

#[derive(Default)]
struct Samples {
    ring: VecDeque<(Instant, Counts)>,
}

/// The statistics of one node.
pub struct Stats {
    errors: Mutex<BTreeMap<Box<str>, u64>>,
    latencies: Mutex<Vec<Option<Histogram<u64>>>>,
    /// latency-tracking.
    pub tracking: AtomicBool,
    events: Mutex<BTreeMap<&'static str, Series>>,
    samples: Mutex<Samples>,
    peak: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            errors: Mutex::default(),
            latencies: Mutex::new(vec![None; COUNT]),
            tracking: AtomicBool::new(true),
            events: Mutex::default(),
            samples: Mutex::default(),
            peak: AtomicU64::new(0),
        }
    }
}

impl Stats {
    /// Counts an error reply by its prefix.
    pub fn error(&self, text: &[u8]) {
        let head = &text[..text.len().min(32)];
        let prefix = match head.iter().position(|&b| b == b' ') {
            Some(end) => String::from_utf8_lossy(&head[..end]),
            None => "ERR".into(),
        };
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(&*prefix) {
            *count += 1;
        } else if errors.len() < ERROR_KINDS_MAX {
            errors.insert(prefix.into(), 1);
        }
    }

    /// Error replies by prefix, in the order of their names.
    pub fn errors(&self) -> Vec<(String, u64)> {
        let errors = self.errors.lock();
        errors.iter().map(|(k, n)| (k.to_string(), *n)).collect()
    }

    /// Notes how long a command took.
    pub fn took(&self, id: CommandId, took: Duration) {
        if !self.tracking.load(Relaxed) {
            return;
        }
        let ns = (took.as_nanos() as u64).clamp(1, LATENCY_NS_MAX);
        let mut all = self.latencies.lock();
        let histogram = &mut all[id as usize];
        if histogram.is_none() {
            *histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 2).ok();
        }
        if let Some(h) = histogram {
            h.saturating_record(ns);
        }
    }

    /// The latencies of a command, nanoseconds, where it was called.
    pub fn latency(&self, id: CommandId) -> Option<Histogram<u64>> {
        self.latency_of(id as usize)
    }

    /// The same by the command's number.
    pub fn latency_of(&self, id: usize) -> Option<Histogram<u64>> {
        self.latencies.lock().get(id)?.clone()
    }

    /// Notes a latency event, milliseconds: one sample a second, its worst.
    pub fn event(&self, name: &'static str, ms: u64, now_s: u64) {
        let mut events = self.events.lock();
        let series = events.entry(name).or_default();
        series.max = series.max.max(ms);
        match series.samples.back_mut() {
            Some((at, worst)) if *at == now_s => *worst = (*worst).max(ms),
            _ => {
                if series.samples.len() == LATENCY_SAMPLES_MAX {
                    series.samples.pop_front();
                }
                series.samples.push_back((now_s, ms));
            }
        }
    }

    /// All latency events by name.
    pub fn events(&self) -> BTreeMap<&'static str, Series> {
        self.events.lock().clone()
    }

    /// Forgets one kind of latency event, or all; says how many it forgot.
    pub fn forget_events(&self, name: Option<&[u8]>) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        match name {
            None => events.clear(),
            Some(name) => events.retain(|k, _| !k.as_bytes().eq_ignore_ascii_case(name)),
        }
        before - events.len()
    }

    /// Forgets what CONFIG RESETSTAT forgets.
    pub fn reset(&self) {
        self.errors.lock().clear();
        self.latencies.lock().fill(None);
        self.samples.lock().ring.clear();
        self.peak.store(0, Relaxed);
    }

    /// Takes a sample where one is due; `bytes` tells how large the data is.
    pub fn sample(&self, counts: Counts, bytes: impl FnOnce() -> u64) {
        let Some(mut samples) = self.samples.try_lock() else {
            return;
        };
        let now = Instant::now();
        if samples
            .ring
            .back()
            .is_some_and(|(at, _)| now - *at < SAMPLE_EVERY)
        {
            return;
        }
        if samples.ring.len() == SAMPLES {
            samples.ring.pop_front();
        }
        samples.ring.push_back((now, counts));
        self.peak.fetch_max(bytes(), Relaxed);
    }

    /// Rates since the oldest sample that still counts; zero where nothing happened lately.
    pub fn rates(&self, counts: Counts) -> Rates {
        let samples = self.samples.lock();
        let now = Instant::now();
        let window = SAMPLE_EVERY * SAMPLES as u32;
        let base = samples
            .ring
            .iter()
            .find(|(at, _)| now - *at <= window)
            .or(samples.ring.back());
        let Some((at, then)) = base else {
            return Rates::default();
        };
        let seconds = (now - *at).as_secs_f64().max(0.001);
        let rate = |i: usize| counts[i].saturating_sub(then[i]) as f64 / seconds;
        Rates {
            commands: rate(0) as u64,
            bytes_in: rate(1),
            bytes_out: rate(2),
        }
    }

    /// The most that the data took, bytes, as sampled; it takes `now` at this moment.
    pub fn peak(&self, now: u64) -> u64 {
        self.peak.fetch_max(now, Relaxed).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_prefix_and_bounded() {
        let stats = Stats::default();
        stats.error(b"ERR no");
        stats.error(b"WRONGTYPE x");
        stats.error(b"nospace");
        assert_eq!(
            stats.errors(),
            [("ERR".to_string(), 2), ("WRONGTYPE".to_string(), 1)]
        );
        for i in 0..2 * ERROR_KINDS_MAX {
            stats.error(format!("E{i} x").as_bytes());
        }
        assert_eq!(stats.errors().len(), ERROR_KINDS_MAX);
    }

    #[test]
    fn events_keep_the_worst_of_a_second() {
        let stats = Stats::default();
        stats.event("command", 5, 100);
        stats.event("command", 9, 100);
        stats.event("command", 3, 101);
        let series = &stats.events()["command"];
        assert_eq!((series.max, series.samples.len()), (9, 2));
        assert_eq!(series.samples[0], (100, 9));
        assert_eq!(stats.forget_events(Some(b"COMMAND")), 1);
        for s in 0..1000 {
            stats.event("command", 1, s);
        }
        assert_eq!(stats.events()["command"].samples.len(), LATENCY_SAMPLES_MAX);
    }
}
