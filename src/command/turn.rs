//! A turn: what was executed since the last entry was proposed, and becomes the next one.

use bytes::Bytes;

use super::propagate::Unit;
use super::tracking::Invalidation;
use crate::keyspace::{Effects, Undos};
use crate::mutation::codec::Writer;

/// Something to tell clients once everything executed before it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A keyspace notification: class (one bit of `settings::notify`), event, database, key.
    Keyspace {
        class: u32,
        event: &'static str,
        db: u32,
        key: Bytes,
    },
    /// PUBLISH or SPUBLISH.
    Publish {
        channel: Bytes,
        payload: Bytes,
        sharded: bool,
    },
    /// Caches of clients must forget something.
    Invalidate(Invalidation),
    /// What readers of the replication stream are to run.
    Propagate(Unit),
    /// The replication stream breaks off: this node leads no more.
    StreamEnds,
}

/// The mutations of the next batch with everything needed to commit or undo it.
#[derive(Default)]
pub struct Turn {
    pub mutations: Writer,
    pub effects: Effects,
    pub events: Vec<Event>,
    /// Number of the batch that this turn becomes.
    pub batch: u64,
    /// How many mutations it has.
    pub count: u64,
}

/// A place in a turn to go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub mutations: usize,
    pub rows: usize,
    pub undo: usize,
    pub events: usize,
    /// Commands recorded for the replication stream.
    pub said: usize,
    pub count: u64,
    pub next_gen: u64,
}

impl Turn {
    /// An empty turn for a batch number, undoable.
    pub fn new(batch: u64) -> Self {
        Turn {
            effects: Effects::undoable(),
            batch,
            ..Turn::default()
        }
    }

    /// Nothing was executed that needs the log.
    pub fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }

    /// Where the turn stands now.
    pub fn mark(&self, next_gen: u64, said: usize) -> Mark {
        Mark {
            mutations: self.mutations.len(),
            rows: self.effects.rows.len(),
            undo: self.effects.undo.as_ref().map_or(0, Undos::len),
            events: self.events.len(),
            said,
            count: self.count,
            next_gen,
        }
    }
}
