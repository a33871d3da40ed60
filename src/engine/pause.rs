//! Holds up all sessions for a moment: nothing is executed and no reply leaves, and nobody notices but by the time.
//!
//! **Invariant**: whoever asked while it was held is woken when it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// Whether sessions are held up now, and which wait.
#[derive(Default)]
pub struct Pause {
    active: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Pause {
    /// Holds sessions up until [`Pause::end`]. Begun under the engine's lock, nothing executes after it. False where
    /// they are held up already.
    pub fn begin(&self) -> bool {
        !self.active.swap(true, Ordering::AcqRel)
    }

    /// Lets them go on.
    pub fn end(&self) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            self.active.store(false, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether sessions are held up.
    pub fn active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Whether sessions are held up; then the task is woken at the end.
    pub fn holds(&self, waker: &Waker) -> bool {
        if !self.active() {
            return false;
        }
        let mut waiting = self.waiting.lock();
        if !self.active() {
            return false;
        }
        if !waiting.iter().any(|w| w.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        true
    }
}
