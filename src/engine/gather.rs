//! When the next batch is proposed: at once, or when those whom the last one answered are back.
//!
//! Clients that wait for their answers fall into two halves that take turns, one on its way to the disks while the other
//! forms, and each half pays for an entry of its own. So after a commit the turn waits until about as many changes are in
//! it as both halves had. Only where an entry goes to other nodes: on one node a sync is quicker than most clients come back.
//! Always: it waits at most [`HOLD_MAX`] at a time, and one that was in vain, or far longer than the batch before it took
//! to its commit, makes the next ones rare.

use std::time::Duration;

/// The longest that a turn waits for more, while others are not known to come.
pub const HOLD_MAX: Duration = Duration::from_millis(1);
/// Commits after which no turn waits, when one did in vain: at first, and at most.
const AFTER_MISS: u32 = 16;
const AFTER_MISSES: u32 = 4096;
/// A wait that lasted so many times as long as the batch before it was in vain. More than one: what it saves is not its own time but
/// every node's work for an entry.
const WORTH: u64 = 4;

/// What a turn waits for.
#[derive(Debug, Default)]
pub struct Gather {
    /// Entries go to other nodes.
    on: bool,
    hold: Option<Hold>,
    /// Commits that are let pass before the next wait, and how many that were after the last miss.
    skip: u32,
    penalty: u32,
}

#[derive(Debug)]
struct Hold {
    /// Changes.
    wanted: u64,
    /// When it began, and how long it may have lasted to have been worth it, microseconds.
    since_us: u64,
    worth_us: u64,
}

impl Gather {
    /// Whether turns may wait at all: where entries go to other nodes.
    pub fn allow(&mut self, on: bool) {
        self.on = on;
    }

    /// A new era: nothing is waited for.
    pub fn end(&mut self) {
        self.hold = None;
    }

    /// A batch of `batch` changes was committed after `took_us`; the turn has `turn` already. Whether the turn waits.
    pub fn committed(&mut self, now_us: u64, took_us: u64, batch: u64, turn: u64) -> bool {
        self.hold = None;
        if turn == 0 || !self.on {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        // Not all of them: some clients write less often than others.
        let wanted = (batch + turn) * 7 / 8;
        if wanted <= turn {
            return false;
        }
        self.hold = Some(Hold {
            wanted,
            since_us: now_us,
            worth_us: took_us * WORTH,
        });
        true
    }

    /// Whether a turn with so many changes may go.
    pub fn is_over(&self, turn: u64) -> bool {
        self.hold.as_ref().is_none_or(|hold| turn >= hold.wanted)
    }

    /// The turn went, or is let go with what it has.
    pub fn taken(&mut self, now_us: u64, turn: u64) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        if turn >= hold.wanted && now_us.saturating_sub(hold.since_us) <= hold.worth_us {
            self.penalty /= 2;
        } else {
            self.penalty = (self.penalty * 2).clamp(AFTER_MISS, AFTER_MISSES);
            self.skip = self.penalty;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_go_together() {
        let mut gather = Gather {
            on: true,
            ..Gather::default()
        };
        assert!(gather.committed(1000, 500, 25, 25));
        assert!(!gather.is_over(42));
        assert!(gather.is_over(43));
        gather.taken(1400, 43);
        assert!(gather.is_over(1), "the wait is over");
        assert!(gather.committed(2000, 500, 50, 1));
    }

    #[test]
    fn who_is_alone_never_waits() {
        let mut gather = Gather {
            on: true,
            ..Gather::default()
        };
        assert!(!gather.committed(0, 500, 1, 0));
        assert!(!Gather::default().committed(0, 500, 25, 25), "one node");
        assert!(
            !gather.committed(0, 500, 1, 1),
            "one more than it has is not waited for"
        );
        assert!(gather.is_over(1));
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut gather = Gather {
            on: true,
            ..Gather::default()
        };
        let mut waits = 0;
        for commit in 0..20_000u64 {
            if gather.committed(commit * 10_000, 500, 10, 10) {
                waits += 1;
                // Enough came, and too late.
                gather.taken(commit * 10_000 + 2001, 20);
            }
        }
        assert!((9..=14).contains(&waits), "{waits} waits");
    }
}
