//! How much room the log's disk has, shared with those that must act on it.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether the disk has room for data to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// It has.
    Ok,
    /// Commands that grow must be refused; deletes, votes and compaction still have room.
    Low,
    /// The ballast is gone too: nothing that can be refused may be written.
    Full,
}

/// The space as of the last look.
#[derive(Debug, Default)]
pub struct SpaceNow(AtomicU8);

impl SpaceNow {
    /// What the last look found. One load: for those that look at each command.
    pub fn get(&self) -> Space {
        match self.0.load(Ordering::Relaxed) {
            0 => Space::Ok,
            1 => Space::Low,
            _ => Space::Full,
        }
    }

    /// Writes down what was found.
    pub fn set(&self, space: Space) {
        self.0.store(space as u8, Ordering::Relaxed);
    }
}
