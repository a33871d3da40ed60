//! DEBUG RELOAD: the data in memory is dropped and loaded again from store and log.
//!
//! Sessions are held up from before the first byte is dropped until the node serves as it did. At a leader what was
//! executed commits first; then its epoch ends, and it opens another: nothing acknowledged is lost, and no outcome is
//! unknown but of what could not commit in time.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use openraft::rt::WatchReceiver as _;

use super::group::Group;

/// How long what was executed may take to commit before its outcome is said to be unknown.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(5);
/// How long the next epoch may take to open before sessions go on without it.
const REOPEN_MAX: Duration = Duration::from_secs(5);

impl Group {
    /// Begins to load the data again. May be called under the engine's lock: nothing is executed after it, no reply
    /// leaves, and both go on once the data is there.
    ///
    /// # Errors
    /// None at present; a node that cannot load its data stops.
    pub fn reload(self: &Arc<Self>) -> Result<(), String> {
        if self.engine.pause.begin() {
            let group = self.clone();
            self.runtime.spawn(async move {
                match group.reload_now().await {
                    Ok(()) => group.engine.pause.end(),
                    Err(e) => {
                        tracing::error!("the data could not be loaded again: {e:#}");
                        let _ = group.raft.shutdown().await;
                    }
                }
            });
        }
        Ok(())
    }

    async fn reload_now(&self) -> anyhow::Result<()> {
        let led = self.engine.leading();
        self.settle().await;
        let log = self.log.clone();
        self.raft
            .with_state_machine(|sm| Box::pin(async move { sm.reload(&log).await }))
            .await??;
        if led {
            self.reopen.notify_one();
            let mut metrics = self.raft.server_metrics();
            let serves = async {
                while !self.engine.leading() && self.leads() {
                    // The engine's role follows Raft's within milliseconds and has no signal of its own.
                    let _ = tokio::time::timeout(Duration::from_millis(5), metrics.changed()).await;
                }
            };
            let _ = tokio::time::timeout(REOPEN_MAX, serves).await;
        }
        Ok(())
    }

    /// Waits, up to a bound, until all that was executed is committed. Says whether it is.
    pub(super) async fn settle(&self) -> bool {
        let settled = poll_fn(|cx| {
            // While a script has the engine: asked again when it ends.
            let Some(mut core) = self.engine.try_lock() else {
                if !self.engine.long.holds(cx.waker()) {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            };
            match core.unsettled() {
                Some(batch) if core.leading_role() => {
                    core.wait(batch, cx.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        });
        tokio::time::timeout(SETTLE_MAX, settled).await.is_ok()
    }
}
