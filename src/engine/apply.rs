//! The apply stream: what Raft committed, in order, at every node.
//!
//! At the leader the next entry is as a rule the batch that it executed first: then its effects
//! are released as they are. Anything else takes back what was executed ahead, and is applied.

use bytes::Bytes;

use crate::base::rows::Rows;
use crate::keyspace::{Diverged, Effects, Garbage, Undos};
use crate::mutation::Mutation;
use crate::mutation::codec::{Error as CodecError, Reader};
use crate::mutation::entry::{Entry, Error as EntryError, Header, decode};

use super::core::{Core, Role};

/// What an applied entry leaves for the store.
#[derive(Default)]
pub struct Applied {
    /// Rows to write.
    pub rows: Rows,
    /// False inside a batch of several parts: no position may be recorded here.
    pub complete: bool,
    /// Digest of the committed data after the entry.
    pub digest: u128,
    /// Large values to drop off the apply path.
    pub garbage: Garbage,
}

/// The node must stop: what is committed cannot be applied here.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error(transparent)]
    Mutation(#[from] CodecError),
    #[error(transparent)]
    Diverged(#[from] Diverged),
    #[error(
        "after batch {batch} of epoch {epoch} this node's digest is {here:032x}, and its leader's was {leader:032x}"
    )]
    Digest {
        epoch: u64,
        batch: u64,
        here: u128,
        leader: u128,
    },
}

impl Core {
    /// Applies a committed entry of ours at a log position.
    pub fn apply(&mut self, index: u64, term: u64, payload: &Bytes) -> Result<Applied, ApplyError> {
        self.applied = (index, term);
        let applied = match decode(payload)? {
            Entry::Open {
                epoch,
                time_ms,
                seed,
            } => {
                self.open(epoch, time_ms, seed);
                self.nothing()
            }
            Entry::Batch(header, mutations) => self.apply_batch(&header, payload, mutations)?,
            Entry::Shift { by_ms, slice, of } => self.apply_shift(by_ms, slice, of)?,
        };
        let boot_us = self.time.boottime_us();
        self.course.saw(self.sequence.time_ms, boot_us);
        self.remember_digest();
        Ok(applied)
    }

    /// An entry of Raft's own (blank or membership) was committed at a log position.
    pub fn apply_other(&mut self, index: u64, term: u64) -> Applied {
        self.applied = (index, term);
        self.remember_digest();
        self.nothing()
    }

    /// Keys expire later, after a restore. What a leader has executed cannot follow it.
    fn apply_shift(&mut self, by_ms: u64, slice: u64, of: u64) -> Result<Applied, ApplyError> {
        if self.leading_role() {
            self.end_epoch();
        }
        self.parts.clear();
        let mut fx = Effects::default();
        self.ks.shift_expiry(by_ms, (slice, of), &mut fx)?;
        self.settle_tracking(true);
        self.committed_digest = self.ks.digest();
        Ok(Applied {
            rows: fx.rows,
            complete: true,
            digest: self.committed_digest,
            garbage: fx.garbage,
        })
    }

    /// An entry that changed nothing.
    fn nothing(&self) -> Applied {
        Applied {
            complete: self.parts.is_empty(),
            digest: self.committed_digest,
            ..Applied::default()
        }
    }

    fn open(&mut self, epoch: u64, time_ms: u64, seed: [u64; 2]) {
        if self.runs_early() && self.role == (Role::Leading { epoch }) {
            self.sequence.open(epoch, time_ms);
            return;
        }
        let mine = self.role == Role::Opening { epoch };
        // A node that is opening has executed nothing: what it applies before its own entry ends nothing.
        if !mine && self.leading_role() {
            self.end_epoch();
        }
        self.parts.clear();
        if self.sequence.epoch == 0 && self.ks.is_empty() {
            self.ks.set_seed(crate::data::Seed::new(seed[0], seed[1]));
        }
        self.sequence.open(epoch, time_ms);
        if mine {
            self.start_leading(epoch);
        }
    }

    fn apply_batch(
        &mut self,
        header: &Header,
        payload: &Bytes,
        mutations: &[u8],
    ) -> Result<Applied, ApplyError> {
        let gap =
            crate::base::planted::is("apply-over-gap") && header.sequence > self.sequence.number;
        let twice = crate::base::planted::is("apply-twice");
        if !self.sequence.accepts(header) && !gap {
            // Skipped by all nodes alike.
            return Ok(self.nothing());
        }
        if header.part != self.parts.len() as u64 {
            // A part was refused while another was accepted: the batch is skipped as a whole, by all
            // alike, and what its leader executed after it cannot follow either.
            self.parts.clear();
            if self.role
                == (Role::Leading {
                    epoch: header.epoch,
                })
            {
                self.end_epoch();
            }
            return Ok(self.nothing());
        }
        let mine = self.role
            == Role::Leading {
                epoch: header.epoch,
            }
            && self
                .in_flight
                .front()
                .is_some_and(|b| b.batch == header.sequence);
        if header.more {
            // Kept at the leader too: should it lose its role between two parts, it applies them like everyone.
            self.parts.push(payload.clone());
            return Ok(Applied::default());
        }
        let early = self.runs_early();
        self.sequence.advance(header);
        if mine && let Some(batch) = self.in_flight.pop_front() {
            self.parts.clear();
            self.committed_digest = header.digest;
            self.committed_gen = self
                .in_flight
                .front()
                .map_or(self.turn_next_gen(), |b| b.next_gen_before);
            self.commit(header.sequence, batch.count, batch.at_us);
            if let Some(sink) = self.sink.as_ref().filter(|_| !batch.events.is_empty()) {
                sink(batch.events);
            }
            // Before-images of large values are freed elsewhere, too.
            let mut garbage = Garbage::default();
            let objects = batch.effects.undo.as_ref().map_or(0, Undos::objects);
            garbage.push(Box::new(batch.effects.undo), objects);
            return Ok(Applied {
                rows: batch.effects.rows,
                complete: true,
                digest: header.digest,
                garbage,
            });
        }
        if self.leading_role() && !early {
            self.end_epoch();
        }
        let mut fx = Effects::default();
        for part in std::mem::take(&mut self.parts) {
            if let Entry::Batch(_, mutations) = decode(&part)? {
                self.apply_mutations(mutations, &mut fx)?;
            }
        }
        self.apply_mutations(mutations, &mut fx)?;
        if twice {
            let _ = self.apply_mutations(mutations, &mut fx);
        }
        let here = self.ks.digest();
        if here != header.digest && crate::base::planted::any() {
            self.differed += 1;
        } else if here != header.digest {
            return Err(ApplyError::Digest {
                epoch: header.epoch,
                batch: header.sequence,
                here,
                leader: header.digest,
            });
        }
        self.settle_tracking(true);
        self.committed_digest = here;
        self.committed_gen = self.ks.next_gen();
        Ok(Applied {
            rows: fx.rows,
            complete: true,
            digest: here,
            garbage: fx.garbage,
        })
    }

    /// Whether it leads and its epoch's open entry was applied.
    pub fn serves(&self) -> bool {
        self.leading_role() && !self.runs_early()
    }

    /// A planted bug: this engine executes, and its epoch's open entry was not applied yet.
    fn runs_early(&self) -> bool {
        crate::base::planted::is("early-execution")
            && matches!(self.role, Role::Leading { epoch } if epoch != self.sequence.epoch)
    }

    fn apply_mutations(&mut self, mutations: &[u8], fx: &mut Effects) -> Result<(), ApplyError> {
        for m in Reader::new(mutations) {
            let m = m?;
            match m {
                Mutation::FlushDb { .. } | Mutation::SwapDb { .. } => self.tracking.touch_all(),
                Mutation::Rename { to, .. } | Mutation::Copy { to, .. } => {
                    self.tracking.touch(to, 0);
                }
                _ => {}
            }
            if let Some((_, key)) = m.key() {
                self.tracking.touch(key, 0);
            }
            let applied = self.ks.apply(&m, fx);
            // A node that stops at a mutation which does not fit hides what the planted bug does to the data.
            if !crate::base::planted::any() {
                applied?;
            }
        }
        Ok(())
    }
}
