//! The writer and the keeper as tasks, where there are no threads: in a simulation.
//!
//! They do the same turns, each at one moment of the simulated time; what was given while the disk was busy
//! forms the next. Dropped with their runtime they write nothing more, as in a crash.

use std::sync::Arc;

use super::writer::{Writer, stop, take_now};
use super::{Shared, keeper};
use crate::base::work::Pace;

/// The writer's task, until the log is closed or a write fails.
pub(super) async fn write(mut writer: Writer, shared: Arc<Shared>, pace: Pace) {
    loop {
        shared.bell.notified().await;
        tokio::time::sleep(pace()).await;
        let (batch, closing) = {
            let mut inner = shared.inner.lock();
            (take_now(&mut inner), inner.closing)
        };
        if let Some(batch) = batch
            && let Err(error) = writer.turn(batch)
        {
            stop(&shared, error);
            return;
        }
        if closing {
            return;
        }
    }
}

/// The keeper's task.
pub(super) async fn keep(shared: Arc<Shared>) {
    loop {
        if let Err(error) = keeper::once(&shared) {
            tracing::error!(%error, "the log's keeper failed, and tries again");
        }
        tokio::time::sleep(keeper::LOOK).await;
        if shared.inner.lock().closing {
            return;
        }
    }
}
