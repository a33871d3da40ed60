//! Work that would hold up a task, and who does it.
//!
//! A node's runtime has threads of its own for it. A simulation has one thread and time that stands still while it
//! works: there it is done at once, in its place. Which of the two it is follows from the runtime.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinError;

/// Where there are no threads: what log and store do on theirs is done by tasks, and this says how long each turn
/// takes on the simulated disk.
pub type Pace = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Whether the runtime that this is called in has one thread for everything.
pub fn one_thread() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

/// Runs `f` where it may block, and returns what it returned. `f` must not wait for another task.
///
/// # Errors
/// It panicked.
pub async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if one_thread() {
        return Ok(f());
    }
    tokio::task::spawn_blocking(f).await
}

/// Runs `f`, which may block, on this thread, whose other tasks go elsewhere if they can.
pub fn in_place<T>(f: impl FnOnce() -> T) -> T {
    match one_thread() {
        true => f(),
        false => tokio::task::block_in_place(f),
    }
}
