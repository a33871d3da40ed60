//! What was removed from the data set and is large: freed away from requests, and counted as Redis counts what it frees so.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::value::Entry;

/// A value of more elements than that counts as one that was freed elsewhere (Redis: LAZYFREE_THRESHOLD).
const ELEMENTS: usize = 64;

/// What is to be freed.
#[derive(Default)]
pub struct Garbage {
    heap: Vec<Box<dyn Any + Send>>,
    /// The large values in it.
    objects: u64,
}

impl Garbage {
    /// Takes something in which there are that many large values.
    pub fn push(&mut self, what: Box<dyn Any + Send>, objects: u64) {
        self.heap.push(what);
        self.objects += objects;
    }

    /// Takes all of another one.
    pub fn append(&mut self, mut other: Garbage) {
        self.heap.append(&mut other.heap);
        self.objects += other.objects;
    }

    /// How much there is, in pieces that were taken at once.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// How many large values there are.
    pub fn objects(&self) -> u64 {
        self.objects
    }
}

/// Whether a value counts, as a number.
pub(super) fn objects_of(entry: &Entry) -> u64 {
    u64::from(entry.value.elements() > ELEMENTS)
}

/// Large values on their way to be freed, and those that were: lazyfree_pending_objects and lazyfreed_objects of INFO.
#[derive(Debug, Default)]
pub struct Freed {
    pending: AtomicU64,
    freed: AtomicU64,
}

impl Freed {
    /// So many are on their way.
    pub fn add(&self, objects: u64) {
        self.pending.fetch_add(objects, Relaxed);
    }

    /// So many of them were freed.
    pub fn done(&self, objects: u64) {
        self.freed.fetch_add(objects, Relaxed);
        self.pending.fetch_sub(objects, Relaxed);
    }

    /// Those that wait.
    pub fn pending(&self) -> u64 {
        self.pending.load(Relaxed)
    }

    /// Those that were freed since the last reset.
    pub fn freed(&self) -> u64 {
        self.freed.load(Relaxed)
    }

    /// Counts anew; what waits is counted once it is freed.
    pub fn reset(&self) {
        self.freed.store(0, Relaxed);
    }
}
