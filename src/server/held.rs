//! Replies that wait for their commit.
//!
//! Replies stand in one buffer in the order of their requests, each stretch marked with the batch
//! that it waits for. A stretch leaves when its batch is committed and everything before it has left.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use crate::command::Fail;
use crate::engine::Outcome;
use crate::resp::{Out, Proto};

/// A stretch of replies of one era and batch.
#[derive(Debug)]
struct Stretch {
    len: usize,
    era: u64,
    batch: u64,
    replies: usize,
}

/// The held replies of one connection.
pub struct Held {
    /// Where commands write their replies.
    pub out: Out,
    stretches: VecDeque<Stretch>,
    marked: usize,
    /// The next reply begins a stretch of its own.
    apart: bool,
    /// Replies that may leave.
    pub ready: BytesMut,
}

impl Held {
    pub fn new(proto: Proto) -> Held {
        Held {
            out: Out::new(proto),
            stretches: VecDeque::new(),
            marked: 0,
            apart: false,
            ready: BytesMut::new(),
        }
    }

    /// What was written to `out` since the last call is one reply that waits for a batch (0: for none).
    pub fn mark(&mut self, era: u64, batch: u64) {
        let len = self.out.len() - self.marked;
        self.marked = self.out.len();
        match self.stretches.back_mut() {
            // A later batch includes the earlier one: replies behind it can only leave after it anyway.
            Some(s) if s.era == era && s.batch >= batch && !self.apart => {
                s.len += len;
                s.replies += 1;
            }
            _ => self.stretches.push_back(Stretch {
                len,
                era,
                batch,
                replies: 1,
            }),
        }
        self.apart = false;
    }

    /// Begins a run of replies that [`Held::unproven`] and [`Held::hold_back`] are asked about; answers its start.
    pub fn begin_run(&mut self) -> usize {
        self.apart = true;
        self.stretches.len()
    }

    /// Replies of the run that began at `from` shall wait for a batch at least: there is no lease.
    pub fn hold_back(&mut self, from: usize, era: u64, batch: u64) {
        for s in self.stretches.iter_mut().skip(from) {
            (s.era, s.batch) = (era, s.batch.max(batch));
        }
    }

    /// Whether a reply of the run that began at `from` waits for no batch as late as `batch`, the one that is forming.
    /// The commit of an earlier batch proves nothing about now: another leader may have committed it, and more.
    pub fn unproven(&self, from: usize, batch: u64) -> bool {
        self.stretches.iter().skip(from).any(|s| s.batch < batch)
    }

    /// Moves what may leave to `ready`.
    pub fn release(&mut self, outcome: impl Fn(u64, u64) -> Outcome) {
        let mut free = 0;
        while let Some(s) = self.stretches.pop_front() {
            match outcome(s.era, s.batch) {
                Outcome::Pending => {
                    self.stretches.push_front(s);
                    break;
                }
                Outcome::Committed => free += s.len,
                Outcome::Unknown => {
                    self.move_ready(free);
                    free = 0;
                    let buffer = self.out.buffer_mut();
                    buffer.advance(s.len);
                    self.marked -= s.len;
                    for _ in 0..s.replies {
                        self.ready.extend_from_slice(b"-");
                        self.ready
                            .extend_from_slice(Fail::UNKNOWN_OUTCOME.as_str().as_bytes());
                        self.ready.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        self.move_ready(free);
    }

    fn move_ready(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        self.marked -= len;
        let buffer = self.out.buffer_mut();
        if self.ready.is_empty() && len == buffer.len() {
            std::mem::swap(&mut self.ready, buffer);
        } else if self.ready.is_empty() {
            self.ready = buffer.split_to(len);
        } else {
            self.ready.extend_from_slice(&buffer[..len]);
            buffer.advance(len);
        }
    }

    /// Bytes held or on their way.
    pub fn len(&self) -> usize {
        self.out.len() + self.ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches of an era that something here waits for.
    pub fn waits_for(&self, era: u64) -> impl Iterator<Item = u64> {
        self.stretches
            .iter()
            .filter(move |s| s.batch != 0 && s.era == era)
            .map(|s| s.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(h: &Held) -> String {
        String::from_utf8_lossy(&h.ready).into_owned()
    }

    #[test]
    fn only_the_run_is_held_back() {
        let mut h = Held::new(Proto::Resp2);
        let from = h.begin_run();
        h.out.int(1);
        h.mark(1, 5);
        assert!(!h.unproven(from, 5) && h.unproven(from, 6));
        let from = h.begin_run();
        for (reply, batch) in [(2, 0), (3, 5), (4, 7)] {
            h.out.int(reply);
            h.mark(1, batch);
        }
        assert!(h.unproven(from, 6));
        h.hold_back(from, 1, 6);
        assert!(!h.unproven(from, 6));
        let upto = |n| {
            move |_, b| match b <= n {
                true => Outcome::Committed,
                false => Outcome::Pending,
            }
        };
        h.release(upto(5));
        assert_eq!(text(&h), ":1\r\n");
        h.release(upto(6));
        assert_eq!(text(&h), ":1\r\n:2\r\n:3\r\n");
    }

    #[test]
    fn leaves_in_order_at_commit() {
        let mut h = Held::new(Proto::Resp2);
        h.out.int(1);
        h.mark(1, 5);
        h.out.int(2);
        h.mark(1, 0);
        h.out.int(3);
        h.mark(1, 6);
        h.release(|_, b| {
            if b <= 4 {
                Outcome::Committed
            } else {
                Outcome::Pending
            }
        });
        assert_eq!(text(&h), "");
        h.release(|_, b| {
            if b <= 5 {
                Outcome::Committed
            } else {
                Outcome::Pending
            }
        });
        assert_eq!(text(&h), ":1\r\n:2\r\n");
        h.release(|_, _| Outcome::Unknown);
        assert!(
            text(&h).starts_with(":1\r\n:2\r\n-UNKNOWNOUTCOME"),
            "{}",
            text(&h)
        );
        assert_eq!(h.out.len(), 0);
    }
}
