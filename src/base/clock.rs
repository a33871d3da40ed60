//! Time, behind a seam: whoever needs it is handed a [`Clock`] and tests turn it by hand.
//!
//! Two clocks. *Boot time* never goes back, counts time during which the machine was suspended, and
//! is for leases and durations. *Wall time* is what users see; it can jump, so nothing is ordered by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a [`Clock`] reads.
pub trait Source: Send + Sync + 'static {
    /// Microseconds since the machine started, suspension included. Never goes back.
    fn boottime_us(&self) -> u64;
    /// Microseconds since 1970-01-01 UTC.
    fn wall_us(&self) -> u64;
}

/// A handle to a source of time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Source>);

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(Arc::new(System))
    }

    /// A clock that reads from `source`.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self(source)
    }

    /// See [`Source::boottime_us`].
    pub fn boottime_us(&self) -> u64 {
        self.0.boottime_us()
    }

    /// See [`Source::wall_us`].
    pub fn wall_us(&self) -> u64 {
        self.0.wall_us()
    }

    /// Whole milliseconds of [`Clock::boottime_us`].
    pub fn boottime_ms(&self) -> u64 {
        self.boottime_us() / 1000
    }

    /// Whole milliseconds of [`Clock::wall_us`].
    pub fn wall_ms(&self) -> u64 {
        self.wall_us() / 1000
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Clock(boot {} ms, wall {} ms)",
            self.boottime_ms(),
            self.wall_ms()
        )
    }
}

/// CLOCK_BOOTTIME and the system's real-time clock.
struct System;

impl Source for System {
    fn boottime_us(&self) -> u64 {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
    }

    fn wall_us(&self) -> u64 {
        // Before 1970 is a clock that was never set; 0 is as good as any other wrong answer.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_micros() as u64)
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct Manual {
    boot: AtomicU64,
    wall: AtomicU64,
}

impl Manual {
    /// Starts both clocks at these values, milliseconds.
    pub fn new(boottime_ms: u64, wall_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            boot: boottime_ms.into(),
            wall: wall_ms.into(),
        })
    }

    /// Moves both clocks forward.
    pub fn advance(&self, ms: u64) {
        self.boot.fetch_add(ms, Ordering::SeqCst);
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, backwards too.
    pub fn set_wall_ms(&self, ms: u64) {
        self.wall.store(ms, Ordering::SeqCst);
    }
}

impl Source for Manual {
    fn boottime_us(&self) -> u64 {
        self.boot.load(Ordering::SeqCst) * 1000
    }

    fn wall_us(&self) -> u64 {
        self.wall.load(Ordering::SeqCst) * 1000
    }
}

/// What tells this boot of the machine from others (random(4)); boot time goes on within one.
pub fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_moves_forward() {
        let clock = Clock::system();
        let (boot, wall) = (clock.boottime_ms(), clock.wall_ms());
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(clock.boottime_ms() > boot);
        assert!(wall > 1_600_000_000_000, "the machine's clock is set");
    }

    #[test]
    fn a_manual_clock_moves_when_told() {
        let source = Manual::new(10, 100);
        let clock = Clock::new(source.clone());
        source.advance(5);
        assert_eq!((clock.boottime_ms(), clock.wall_ms()), (15, 105));
        source.set_wall_ms(1);
        assert_eq!((clock.boottime_ms(), clock.wall_ms()), (15, 1));
    }
}
