//! What happens, in order: hashed, so that two runs of a seed can be compared, and printed where that is wanted.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3Default;

/// The trace of a world. Clones share it.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    hash: Xxh3Default,
    began: Instant,
    events: u64,
    print: bool,
}

impl Trace {
    /// An empty trace; `print` shows every event.
    pub fn new(print: bool) -> Trace {
        Trace(Arc::new(Mutex::new(Inner {
            hash: Xxh3Default::new(),
            began: Instant::now(),
            events: 0,
            print,
        })))
    }

    /// Notes an event.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let mut inner = self.0.lock();
        let text = format!("{:>10} {}\n", inner.began.elapsed().as_micros(), what());
        inner.hash.update(text.as_bytes());
        inner.events += 1;
        if inner.print {
            print!("{text}");
        }
    }

    /// Notes bytes that went over the network, which are too many to print.
    pub fn bytes(&self, from: u64, to: u64, bytes: &[u8]) {
        let mut inner = self.0.lock();
        let at = inner.began.elapsed().as_micros() as u64;
        for number in [at, from, to] {
            inner.hash.update(&number.to_le_bytes());
        }
        inner.hash.update(bytes);
        inner.events += 1;
    }

    /// The hash of all that was noted, and how many events those were.
    pub fn sum(&self) -> (u64, u64) {
        let inner = self.0.lock();
        (inner.hash.digest(), inner.events)
    }
}
