//! Read indexes: how far a node must be for a read at it to be linearizable.
//!
//! The leader confirms that it still leads and names what is committed by then; a node that has applied it has
//! everything that was acknowledged before the question. **Invariant**: a question is answered by a round that began
//! after it. Questions that come while a round runs share the next one, so that any number of readers costs the leader
//! one round at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use openraft::rt::WatchReceiver as _;
use parking_lot::Mutex;

use crate::base::limits::READ_INDEX_WAIT_MAX;

use super::group::Group;
use super::peer_service::RaftHandle as _;

type Round = Shared<BoxFuture<'static, Result<u64, String>>>;

/// Questions of one node to its leader.
#[derive(Default)]
pub struct Reads {
    /// The round that has not begun yet.
    next: Mutex<Option<Round>>,
    /// Held by the round that runs.
    running: tokio::sync::Mutex<()>,
}

/// How long to wait after a leader did not answer.
const PAUSE: Duration = Duration::from_millis(20);

impl Group {
    /// An index that was committed after this call began, and is applied here when it returns.
    ///
    /// # Errors
    /// Why there was none in time.
    pub async fn read_index(self: &Arc<Self>) -> Result<u64, String> {
        let round = self
            .reads
            .next
            .lock()
            .get_or_insert_with(|| {
                let group = self.clone();
                async move { group.round().await }.boxed().shared()
            })
            .clone();
        let wait = async {
            let index = round.await?;
            self.raft
                .wait(Some(READ_INDEX_WAIT_MAX))
                .applied_index_at_least(Some(index), "a read")
                .await
                .map_err(|e| e.to_string())?;
            Ok(index)
        };
        match tokio::time::timeout(READ_INDEX_WAIT_MAX, wait).await {
            Ok(result) => result,
            Err(_) => Err(format!(
                "no answer within {} s",
                READ_INDEX_WAIT_MAX.as_secs()
            )),
        }
    }

    async fn round(self: Arc<Self>) -> Result<u64, String> {
        let _running = self.reads.running.lock().await;
        // Whoever asks from here on waits for the round after this one.
        *self.reads.next.lock() = None;
        let deadline = tokio::time::Instant::now() + READ_INDEX_WAIT_MAX;
        loop {
            let why = match self.ask_leader().await {
                Ok(index) => return Ok(index),
                Err(why) => why,
            };
            if tokio::time::Instant::now() + PAUSE >= deadline {
                return Err(why);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_leader(&self) -> Result<u64, String> {
        let (leader, node) = {
            let metrics = self.raft.server_metrics();
            let m = metrics.borrow_watched();
            let leader = m.current_leader.ok_or("no primary is known")?;
            let node = m.membership_config.membership().get_node(&leader).cloned();
            (leader, node.ok_or("the primary is no member")?)
        };
        if leader == self.id {
            return self.raft.read_index().await.map(|id| id.index);
        }
        self.factory
            .read_index(leader, &node, READ_INDEX_WAIT_MAX)
            .await
            .map(|id| id.index)
            .map_err(|status| status.message().to_string())
    }
}
