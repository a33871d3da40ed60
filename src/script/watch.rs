//! What ends the script that runs: its time, or whoever kills it.
//!
//! **Invariant.** No native function goes on for long without looking here: those whose work follows what a script
//! made say with [`spend`] how much they have done, and the interpreter looks between instructions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mlua::Lua;
use parking_lot::Mutex;

use crate::base::limits::SCRIPT_STRING_MAX;

use super::error;

/// What a script that was killed is told.
const KILLED: &str = "Script killed by user with SCRIPT KILL...";
/// Bytes or items that native functions work on between two looks.
const STEPS: usize = 16 * 1024;
/// Items that are spent together by [`spend_each`].
pub const LOOK_AFTER: usize = 4096;
/// Values that a function returns to Lua at most, as C's stack has room for.
pub const RESULTS_MAX: usize = 7999;
/// Spent by what may take long and cannot say how long: each time is looked at.
pub const LOOK_NOW: usize = STEPS;

/// What ends the script that runs.
#[derive(Debug)]
pub struct Watch {
    state: Mutex<State>,
    spent: AtomicUsize,
    kill: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// What a script that is out of time is told.
    late: &'static str,
    /// It is being ended, with this error.
    ending: Option<&'static str>,
    /// When the interpreter last looked, and whether it looks more often since its instructions took long.
    looked: Option<Instant>,
    slow: bool,
}

impl Watch {
    /// Watches over one machine's scripts, which end soon after `kill` is raised.
    pub fn new(kill: Arc<AtomicBool>) -> Arc<Watch> {
        Arc::new(Watch {
            state: Mutex::default(),
            spent: AtomicUsize::new(0),
            kill,
        })
    }

    /// A run begins, which is ended at a time with that error.
    pub fn begin(&self, until: Instant, late: &'static str) {
        *self.state.lock() = State {
            until: Some(until),
            late,
            looked: Some(Instant::now()),
            ..State::default()
        };
    }

    /// The run has ended; with which error it was made to, if it was, and whether it was a slow one.
    pub fn finish(&self) -> (Option<&'static str>, bool) {
        let state = std::mem::take(&mut *self.state.lock());
        (state.ending, state.slow)
    }

    /// The interpreter looks. True: now for the first time more than `long` has gone by since it last did.
    pub fn slows(&self, long: Duration) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        let before = state.looked.replace(now);
        let slow = !state.slow && before.is_some_and(|b| now.duration_since(b) > long);
        state.slow |= slow;
        slow
    }

    /// The error with which what runs now is to end.
    pub fn ending(&self) -> Option<&'static str> {
        let mut state = self.state.lock();
        if state.ending.is_none() {
            if self.kill.load(Relaxed) {
                state.ending = Some(KILLED);
            } else if state.until.is_some_and(|until| Instant::now() >= until) {
                state.ending = Some(state.late);
            }
        }
        state.ending
    }
}

/// A native function has worked on so many bytes or items.
///
/// # Errors
/// The script is to end.
pub fn spend(lua: &Lua, steps: usize) -> mlua::Result<()> {
    let Some(watch) = lua.app_data_ref::<Arc<Watch>>() else {
        return Ok(());
    };
    if watch.spent.fetch_add(steps, Relaxed).saturating_add(steps) < STEPS {
        return Ok(());
    }
    watch.spent.store(0, Relaxed);
    match watch.ending() {
        Some(text) => Err(error::table(text)),
        None => Ok(()),
    }
}

/// As [`spend`], once for many items: to be called for each, with its number.
///
/// # Errors
/// The same.
pub fn spend_each(lua: &Lua, number: usize) -> mlua::Result<()> {
    match number.is_multiple_of(LOOK_AFTER) {
        true => spend(lua, LOOK_AFTER),
        false => Ok(()),
    }
}

/// Whether a library may make a string of that many bytes.
///
/// # Errors
/// It is longer than any may be: what Lua says where memory ends.
pub fn may_hold(bytes: usize) -> mlua::Result<()> {
    if bytes > SCRIPT_STRING_MAX {
        return Err(mlua::Error::MemoryError("not enough memory".into()));
    }
    Ok(())
}
