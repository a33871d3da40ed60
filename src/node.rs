//! One node, wired as a list that reads in order.

use crate::config;

/// Runs the node that `config` describes until `shutdown` is ready, then stops it in order.
///
/// # Errors
/// What kept it from starting, or what stopped it.
pub async fn run(config: config::Node, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    anyhow::ensure!(config.node_id > 0, "a node needs a number");
    shutdown.await;
    Ok(())
}
