//! `pontoon bench`: Pontoon and Redis side by side, on this machine, over TLS, on one disk.
//!
//! - Only ratios of runs that followed each other count: a machine's speed changes more than a few percent by itself.
//! - Both sides meet the same client, the same cipher suite, the same kind of certificate, and sync before they answer.
//! - Everything that is begun listens on loopback, is stopped by its pid, and its folder is removed.
//!
//! `load` is the generator (`mix` what it sends, `pipe` and `replies` how it reads), `null` measures its own limit;
//! `pontoon` and `redis` are the sides; `versus`, `memory`, `restart` and `failover` are what can be measured.

/// Tells whoever waits what goes on, on standard error.
macro_rules! progress {
    ($($text:tt)*) => { eprintln!("bench: {}", format_args!($($text)*)) };
}
use progress;

mod client;
mod failover;
mod fill;
mod load;
mod memory;
mod mix;
mod null;
mod pipe;
mod place;
mod pontoon;
mod process;
mod redis;
mod replies;
mod restart;
mod stats;
mod syncs;
mod versus;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use super::{Answer, Output, told_to_stop};

/// Measures Pontoon against Redis on this machine: the same load on both in alternation, over TLS, on one disk.
///
/// Each row is a mix with a pipeline. For each pair, Redis and Pontoon are measured one after the other; the ratio is
/// the median over the pairs, with its least and greatest. A row does not count, and the exit code is 3, where the
/// generator could not drive 1.3 times the fastest rate of the row, or the store's backlog grew by more than one window.
///
/// Two cores or more are needed, and a machine that does nothing else.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  pontoon bench                                          SET and GET, pipeline 1 and 16: an hour and a half
  pontoon bench --mix set --pipeline 16 --duration 10 --warm-up 3 --pairs 3
  pontoon bench --plan premium --peer redis-replicas --dir /var/tmp
  pontoon bench memory --plan premium
  pontoon bench failover --times 100 --output json"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    versus: versus::Args,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Resident memory per key, settled and at its highest, of both
    #[command(
        after_help = "Examples:\n  pontoon bench memory\n  pontoon bench memory --plan premium --keys 200000"
    )]
    Memory(memory::Args, CommonAgain),
    /// The time from kill -9 until 1,000 random values are read right, of both
    #[command(after_help = "Example:\n  pontoon bench restart --keys 1000000 --times 5")]
    Restart(restart::Args, CommonAgain),
    /// The time from kill -9 of the leader to the next acknowledged write
    #[command(after_help = "Example:\n  pontoon bench failover --times 100")]
    Failover(failover::Args, CommonAgain),
}
