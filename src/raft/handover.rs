//! Handing leadership over, on an operator's word or before this node stops.
//!
//! Sessions are held up meanwhile: what was executed commits first, the successor has all of it before it is told, and
//! no client sees an outcome that is unknown. They go on, here or relayed, when the successor leads.

use std::sync::Arc;
use std::time::Duration;

use openraft::rt::WatchReceiver as _;
use tokio::time::Instant;

use super::group::Group;
use super::types::NodeId;

/// How long the successor may take to have the whole log. Beyond: this node goes on leading.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// Lets sessions go on, however the attempt ends.
struct Held<'a>(&'a Group);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.engine.pause.end();
    }
}

impl Group {
    /// Whether this node leads, as Raft sees it.
    pub fn leads(&self) -> bool {
        self.raft.server_metrics().borrow_watched().current_leader == Some(self.id)
    }

    /// The voter with data that answers and has most of the log.
    pub fn successor(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics();
        let m = metrics.borrow_watched().clone();
        let matched = |id: &NodeId| {
            let replication = m.replication.as_ref()?;
            replication.get(id)?.as_ref().map(|l| l.index)
        };
        m.membership_config
            .voter_ids()
            .filter(|id| *id != self.id && self.reachable(*id))
            .filter(|id| {
                let node = m.membership_config.membership().get_node(id);
                node.is_some_and(|n| n.data)
            })
            .max_by_key(matched)
    }

    /// Makes `to` lead, and returns when it does.
    ///
    /// # Errors
    /// Why it does not. Unless it was told already, this node goes on leading.
    pub async fn hand_over(self: &Arc<Self>, to: NodeId, within: Duration) -> Result<(), String> {
        if !self.engine.pause.begin() {
            return Err("the data of this node is being loaded again".into());
        }
        let _held = Held(self);
        if !self.settle().await {
            return Err("what was written does not commit: is there a majority".into());
        }
        let deadline = Instant::now() + CATCH_UP_MAX;
        let mut metrics = self.raft.metrics();
        // A successor that lacks an entry ignores the word, and the group would wait out an election timeout.
        loop {
            let behind = {
                let m = metrics.borrow_watched();
                if m.current_leader != Some(self.id) {
                    return Err(format!("node {} does not lead any more", self.id));
                }
                let matched = m.replication.as_ref().and_then(|r| *r.get(&to)?);
                m.last_log_index > matched.map(|l| l.index)
            };
            if !behind {
                break;
            }
            match tokio::time::timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(format!("node {to} lacks entries and does not catch up")),
            }
        }
        self.lease.revoke();
        let told = self.raft.trigger().transfer_leader(to).await;
        told.map_err(|e| e.to_string())?;
        let mut metrics = self.raft.server_metrics();
        let deadline = Instant::now() + within;
        loop {
            if metrics.borrow_watched().current_leader == Some(to) {
                return Ok(());
            }
            match tokio::time::timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                _ => {
                    let seconds = within.as_secs();
                    return Err(format!("node {to} did not take over within {seconds} s"));
                }
            }
        }
    }

    /// Before this node stops: another leads, if this one does and there is another. Bounded in time.
    pub async fn step_down(self: &Arc<Self>, within: Duration) {
        if !self.leads() {
            return;
        }
        let Some(to) = self.successor() else {
            return;
        };
        match self.hand_over(to, within).await {
            Ok(()) => tracing::info!(to, "leadership was handed over before stopping"),
            Err(why) => tracing::warn!(to, "leadership was not handed over: {why}"),
        }
    }
}
