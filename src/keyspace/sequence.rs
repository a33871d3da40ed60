//! Which batches take effect: the rule that every node follows, at the log, at restart and at restore.
//!
//! A batch takes effect only if its epoch is the current one and its number the next. Anything
//! else is skipped by all nodes alike: what a deposed leader still gets into the log, or what
//! follows a gap.

use crate::mutation::Header;

/// The position in the stream of batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The current epoch; 0 before the first.
    pub epoch: u64,
    /// The number of the last batch that took effect in it.
    pub number: u64,
    /// Service time, milliseconds since 1970: never goes back, across leaders too.
    pub time_ms: u64,
}

impl Sequence {
    /// An epoch begins.
    pub fn open(&mut self, epoch: u64, time_ms: u64) {
        self.epoch = epoch;
        self.number = 0;
        self.time_ms = self.time_ms.max(time_ms);
    }

    /// Whether the batch (or the next part of it) takes effect. Says nothing else; see [`Sequence::advance`].
    pub fn accepts(&self, header: &Header) -> bool {
        header.epoch == self.epoch && header.sequence == self.number + 1
    }

    /// The batch took effect.
    pub fn advance(&mut self, header: &Header) {
        self.number = header.sequence;
        self.time_ms = self.time_ms.max(header.time_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(epoch: u64, sequence: u64) -> Header {
        Header {
            epoch,
            sequence,
            time_ms: 100 * sequence,
            part: 0,
            more: false,
            digest: 0,
        }
    }

    #[test]
    fn only_the_next_batch_of_the_current_epoch() {
        let mut at = Sequence::default();
        assert!(!at.accepts(&header(1, 1)), "no epoch is open");
        at.open(7, 50);
        assert!(at.accepts(&header(7, 1)));
        at.advance(&header(7, 1));
        assert!(
            !at.accepts(&header(7, 1)),
            "a batch that was applied already"
        );
        assert!(!at.accepts(&header(7, 3)), "a gap");
        assert!(!at.accepts(&header(6, 2)), "an older epoch");
        at.open(8, 10);
        assert_eq!(at.time_ms, 100, "service time does not go back");
        assert!(!at.accepts(&header(7, 2)), "the epoch that ended");
        assert!(at.accepts(&header(8, 1)));
    }
}
