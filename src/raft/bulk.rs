//! A runtime for what moves much and is not urgent: a snapshot on its way to another node.
//!
//! Always: it has threads of its own, of a lower rank, so that neither entries nor clients wait for it.

use std::io;

use crate::base::work;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower than others' its threads rank: they yield where a core is wanted.
const NICENESS: i32 = 10;
/// Files read at once: a leader sends to few.
const READERS_MAX: usize = 4;

/// The runtime; its tasks end when it is dropped.
pub struct Bulk {
    /// None where the caller's has one thread for everything.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Bulk {
    /// Starts it.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start() -> io::Result<Bulk> {
        if work::one_thread() {
            return Ok(Bulk {
                runtime: None,
                handle: Handle::current(),
            });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(READERS_MAX)
            .thread_name("bulk")
            .on_thread_start(|| {
                // Without it all works, less politely.
                let _ = rustix::process::nice(NICENESS);
            })
            .enable_all()
            .build()?;
        Ok(Bulk {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// To spawn on it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        // Dropped within a task as a rule, where it must not be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
