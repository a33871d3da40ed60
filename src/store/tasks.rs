//! The writer as a task, where there are no threads: in a simulation.
//!
//! It does the same turns, each at one moment of the simulated time. Dropped with its runtime it writes nothing more,
//! as in a crash.

use std::sync::Arc;
use std::time::Duration;

use super::writer::Shared;
use crate::base::work::Pace;

/// How often is looked whether rows have waited long enough.
const LOOK: Duration = Duration::from_millis(100);

/// The writer's task, until it is told to close or has failed.
pub(super) async fn write(shared: Arc<Shared>, pace: Pace) {
    loop {
        let _ = tokio::time::timeout(LOOK, shared.bell.notified()).await;
        if !shared.due() {
            continue;
        }
        tokio::time::sleep(pace()).await;
        while shared.due() {
            let ended = match shared.turn() {
                Ok(true) => continue,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            return shared.end(ended);
        }
    }
}
