//! This program itself, run for what takes memory and time of its own: what it does ends with it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};

/// Runs this program with `args`: what it answers.
pub async fn ours(args: &[String], patience: Duration) -> anyhow::Result<Vec<u8>> {
    let command = tokio::process::Command::new(std::env::current_exe()?)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(patience, command).await;
    let output =
        output.with_context(|| format!("it took more than {} s", patience.as_secs()))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.trim().lines().last().unwrap_or_default();
        bail!("{}", why.strip_prefix("pontoon: ").unwrap_or(why));
    }
    Ok(output.stdout)
}
