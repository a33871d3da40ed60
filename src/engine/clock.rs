//! Service time: the clock that expiry and restores follow.
//!
//! It never goes back, and while a node leads it follows the wall clock at between half and one
//! and a half times the rate of the boot clock, so a wall clock that jumps moves it gently. A new
//! leader goes on from what it saw of the leaders before, at those rates too; only one that saw none at work
//! starts it at its wall clock, or where the log left it if that is later.

use serde::{Deserialize, Serialize};

/// How far a wall clock may move service time in a while, microseconds: at least, and at most.
fn bounds(elapsed_us: u64) -> (u64, u64) {
    (elapsed_us / 2, elapsed_us + elapsed_us / 2)
}

/// The service clock of a leader.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceClock {
    time_us: u64,
    boot_us: u64,
}

impl ServiceClock {
    /// Starts the clock at a time, milliseconds since 1970.
    pub fn start(time_ms: u64, boot_us: u64) -> Self {
        ServiceClock {
            time_us: time_ms.saturating_mul(1000),
            boot_us,
        }
    }

    /// The time now, milliseconds since 1970.
    pub fn now_ms(&mut self, wall_us: u64, boot_us: u64) -> u64 {
        let (least, most) = bounds(boot_us.saturating_sub(self.boot_us));
        self.time_us += wall_us.saturating_sub(self.time_us).clamp(least, most);
        self.boot_us = self.boot_us.max(boot_us);
        self.time_us / 1000
    }
}

/// What a node saw of service time as leaders at work wrote it, by its own boot clock.
///
/// What is read from a disk comes faster than any leader's clock runs, and what is left over from a leader of yesterday is
/// behind where that clock must be by now: neither counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// The first service time of those that came at a leader's rate, and when it was seen. 0: none.
    since: (u64, u64),
    /// The latest, and when it was seen.
    last: (u64, u64),
}

/// A service time may come this much later than others led to expect, microseconds.
const LATE_US: u64 = 1_000_000;
/// What a node that fell behind catches up with may be this much ahead of what its boot clock allows, microseconds.
const AHEAD_US: u64 = 10_000_000;
/// For how long leaders must have been seen at work before they are believed more than this node's wall clock, microseconds.
pub const SEEN_FOR_US: u64 = 3_000_000;

impl Course {
    /// An entry of this service time was applied.
    pub fn saw(&mut self, time_ms: u64, boot_us: u64) {
        let time_us = time_ms.saturating_mul(1000);
        let since = |(time, seen): (u64, u64)| {
            let (least, most) = bounds(boot_us.saturating_sub(seen));
            (time_us.saturating_sub(time), least, most)
        };
        // Held against the first, so that many small steps are no way around it.
        let (moved, _, most) = since(self.since);
        if self.since.0 == 0 || moved > most + AHEAD_US {
            (self.since, self.last) = ((time_us, boot_us), (time_us, boot_us));
            return;
        }
        let (moved, least, _) = since(self.last);
        if moved + LATE_US >= least {
            self.last = (self.last.0.max(time_us), boot_us);
        }
    }

    /// For how long leaders were seen at work, microseconds.
    fn seen_for_us(&self) -> u64 {
        self.last.1.saturating_sub(self.since.1)
    }

    /// Where service time is to go on now: never before `last_ms`, the latest that was applied.
    pub fn resume_ms(&self, last_ms: u64, wall_us: u64, boot_us: u64) -> u64 {
        let mut time_us = wall_us;
        if self.seen_for_us() >= SEEN_FOR_US {
            let (least, most) = bounds(boot_us.saturating_sub(self.last.1));
            time_us = self.last.0 + wall_us.saturating_sub(self.last.0).clamp(least, most);
        }
        last_ms.max(time_us / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_wall_clock_and_never_jumps() {
        let mut clock = ServiceClock::start(1_000, 0);
        assert_eq!(clock.now_ms(1_100_000, 100_000), 1_100);
        assert_eq!(
            clock.now_ms(3_700_000_000, 200_000),
            1_250,
            "an hour ahead: one and a half times the rate"
        );
        assert_eq!(clock.now_ms(0, 300_000), 1_300, "far behind: half the rate");
        assert_eq!(clock.now_ms(0, 300_000), 1_300);
    }

    const S: u64 = 1_000_000;
    const DAY: u64 = 86_400 * S;

    /// A node that saw a leader write every second for a minute, up to service time 1,000 s at its own 500 s.
    fn seen() -> Course {
        let mut course = Course::default();
        for i in 0..=60 {
            course.saw((940 + i) * 1000, (440 + i) * S);
        }
        course
    }

    #[test]
    fn a_new_leader_goes_on_at_the_pace_it_saw() {
        let at = |wall_s: u64| seen().resume_ms(1_000_000, wall_s * S, 502 * S);
        assert_eq!(at(1_002), 1_002_000, "its wall clock agrees");
        assert_eq!(
            at(1_002 + 3600),
            1_003_000,
            "its wall clock is an hour ahead"
        );
        assert_eq!(at(0), 1_001_000, "its wall clock is behind");
        // After a day without a leader its wall clock is believed again, within bounds.
        let later = seen().resume_ms(1_000_000, 1_000 * S + DAY, 500 * S + DAY);
        assert_eq!(later, 1_000_000 + DAY / 1000);
    }

    #[test]
    fn only_leaders_at_work_are_believed() {
        let wall = 1_000 * S + DAY;
        let none = Course::default();
        assert_eq!(none.resume_ms(5, wall, 0), wall / 1000);
        assert_eq!(
            none.resume_ms(wall, wall, 0),
            wall,
            "not before what was applied"
        );
        // Yesterday's log, read within ten seconds: an hour in small steps.
        let mut replayed = Course::default();
        for i in 0..=360_000 {
            replayed.saw(900_000 + i * 10, i * 10 * S / 360_000);
        }
        assert_eq!(replayed.resume_ms(5, wall, 60 * S), wall / 1000);
        // A node that was cut off for some seconds, and catches up with what two leaders wrote meanwhile.
        let mut behind = seen();
        for time_ms in [1_000_100, 1_003_000, 1_005_900, 1_006_000] {
            behind.saw(time_ms, 506 * S);
        }
        let ahead = behind.resume_ms(1_006_000, wall, 506 * S + S / 2);
        assert!((1_006_000..1_010_000).contains(&ahead), "{ahead}");
        // An entry of yesterday that is committed only now says nothing of how late it is.
        let mut waited = seen();
        waited.saw(1_000_500, 500 * S + DAY);
        assert_eq!(
            waited.resume_ms(1_000_500, wall, 500 * S + DAY),
            wall / 1000
        );
        // A leader that started its clock anew is followed from there.
        let mut jumped = seen();
        jumped.saw(5_000_000, 501 * S);
        assert_eq!(jumped.resume_ms(5_000_000, wall, 502 * S), wall / 1000);
    }
}
