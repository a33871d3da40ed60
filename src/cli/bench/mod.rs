//! `pontoon bench`: Pontoon and Redis side by side, on this machine, over TLS, on one disk.
//!
//! - Only ratios of runs that followed each other count: a machine's speed changes more than a few percent by itself.
//! - Both sides meet the same client, the same cipher suite, the same kind of certificate, and sync before they answer.
//! - Everything that is begun listens on loopback, is stopped by its pid, and its folder is removed.
//!
//! `load` is the generator (`mix` what it sends, `pipe` and `replies` how it reads), `null` measures its own limit;
//! `pontoon` and `redis` are the sides; `versus` compares their rates, `memory` and `restart` what they are called after;
//! `failover`, `join` and `backup` are of Pontoon alone, the last two under `half` of its peak.

/// Tells whoever waits what goes on, on standard error.
macro_rules! progress {
    ($($text:tt)*) => { eprintln!("bench: {}", format_args!($($text)*)) };
}

mod backup;
mod client;
mod failover;
mod fill;
mod half;
mod join;
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

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::{Answer, told_to_stop};

/// Measures Pontoon against Redis on this machine: the same load on both in alternation, over TLS, on one disk.
///
/// Each row is a mix with a pipeline. In each pair Redis and Pontoon are measured one after the other; the ratio is the
/// median over the pairs, with its least and greatest. A row does not count, and the exit code is 3, where the
/// generator could not drive 1.3 times the fastest rate of the row, or the store's backlog grew by more than a window.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  pontoon bench                                          SET and GET, pipeline 1 and 16: an hour and a half
  pontoon bench --mix set --pipeline 16 --duration 10 --warm-up 3 --pairs 3
  pontoon bench --plan premium --peer redis-replicas --dir /var/tmp --output json
  pontoon bench memory                                   resident memory of a million keys against Redis's
  pontoon bench restart                                  kill -9 until values are right again, against Redis's
  pontoon bench failover --count 20                      the primary killed until writes are acknowledged again
  pontoon bench join                                     a node joins by snapshot under writes
  pontoon bench backup                                   a full backup under writes"
)]
pub struct Args {
    #[command(flatten)]
    versus: versus::Args,
    #[command(subcommand)]
    what: Option<What>,
}

/// What else is measured.
#[derive(Debug, clap::Subcommand)]
enum What {
    Memory(memory::Args),
    Restart(restart::Args),
    Failover(failover::Args),
    Join(join::Args),
    Backup(backup::Args),
}

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    super::runtime(1)?.block_on(async {
        let measured = async {
            match &args.what {
                None => versus::run(&args.versus).await,
                Some(What::Memory(args)) => memory::run(args).await,
                Some(What::Restart(args)) => restart::run(args).await,
                Some(What::Failover(args)) => failover::run(args).await,
                Some(What::Join(args)) => join::run(args).await,
                Some(What::Backup(args)) => backup::run(args).await,
            }
        };
        tokio::select! {
            done = measured => done,
            // What was begun is stopped as its values are dropped.
            told = told_to_stop() => { told?; bail!("told to stop") }
        }
    })
}

/// How often `until` asks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Asks until there is an answer.
async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        ensure!(
            began.elapsed() < patience,
            "{what}: not within {} s",
            patience.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
