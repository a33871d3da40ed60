//! Service time: the clock that expiry and restores follow.
//!
//! It never goes back, and while a node leads it follows the wall clock at between half and one
//! and a half times the rate of the boot clock, so a wall clock that jumps moves it gently. A new
//! leader starts it at its wall clock, or where the log left it if that is later.

/// The service clock of a leader.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceClock {
    time_us: u64,
    boot_us: u64,
}

impl ServiceClock {
    /// Starts the clock: never before `last_ms`, the latest time that was applied.
    pub fn start(last_ms: u64, wall_us: u64, boot_us: u64) -> Self {
        ServiceClock {
            time_us: wall_us.max(last_ms.saturating_mul(1000)),
            boot_us,
        }
    }

    /// The time now, milliseconds since 1970.
    pub fn now_ms(&mut self, wall_us: u64, boot_us: u64) -> u64 {
        let elapsed = boot_us.saturating_sub(self.boot_us);
        let step = wall_us
            .saturating_sub(self.time_us)
            .clamp(elapsed / 2, elapsed + elapsed / 2);
        self.time_us += step;
        self.boot_us = self.boot_us.max(boot_us);
        self.time_us / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_wall_clock_and_never_jumps() {
        let mut clock = ServiceClock::start(5, 1_000_000, 0);
        assert_eq!(clock.now_ms(1_100_000, 100_000), 1_100);
        assert_eq!(
            clock.now_ms(3_700_000_000, 200_000),
            1_250,
            "an hour ahead: one and a half times the rate"
        );
        assert_eq!(clock.now_ms(0, 300_000), 1_300, "far behind: half the rate");
        assert_eq!(clock.now_ms(0, 300_000), 1_300);
        assert_eq!(
            ServiceClock::start(9_000, 1_000_000, 0).now_ms(1_000_000, 0),
            9_000,
            "not before what was applied"
        );
    }
}
