//! What ends the script that runs: its time, or whoever kills it.
//!
//! **Invariant.** No native function goes on for long without looking here: those whose work follows what a script
//! made say with [`spend`] how much they have done, and the interpreter looks between instructions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use mlua::Lua;
use parking_lot::Mutex;

use crate::base::limits::SCRIPT_STRING_MAX;

use super::error;

/// What a script that was killed is told.
const KILLED: &str = "Script killed by user with SCRIPT KILL...";
/// Bytes or items that native functions work on between two looks.
const STEPS: usize = 16 * 1024;

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
            ending: None,
        };
    }

    /// The run has ended; with which error it was made to, if it was.
    pub fn finish(&self) -> Option<&'static str> {
        std::mem::take(&mut *self.state.lock()).ending
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
