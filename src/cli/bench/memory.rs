//! Resident memory: the same keys at Redis, at the primary and at the standbys, in one run.
//!
//! Settled is what a process holds once its stores have written everything and some time has passed; peak is the greatest
//! that the system ever saw of it, the filling included.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::place::Place;
use super::pontoon::{self, Pontoon};
use super::process::resident;
use super::redis::{self, Redis};
use super::stats::rounded;
use super::{client::Client, fill};
use crate::cli::admin::table;
use crate::cli::dev::Plan;
use crate::cli::{Answer, Output, print};

/// Compares the resident memory of a million keys with Redis's
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon bench memory
  pontoon bench memory --keys 100000 --plan premium --output json")]
pub struct Args {
    /// Pontoon's plan: with three nodes standbys are measured, too
    #[arg(long, value_enum, default_value = "premium")]
    plan: Plan,
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    #[command(flatten)]
    data: fill::Wanted,
    /// How long nothing is asked before memory counts as settled, seconds
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=600))]
    settle: u64,
    #[command(flatten)]
    place: Place,
    /// Redis's program
    #[arg(long, value_name = "PATH", default_value = redis::PROGRAM)]
    redis_server: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// One process.
struct Side {
    name: String,
    empty: u64,
    settled: u64,
    peak: u64,
}

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let scratch = args.place.scratch()?;
    let mut redis = Redis::start(&args.redis_server, &scratch.folder("redis")?, None).await?;
    let dir = scratch.path.join("pontoon");
    let pontoon = Pontoon::start(&dir, args.plan, &args.pontoon).await?;
    let mut processes = vec![("redis".to_string(), redis.pid())];
    for node in pontoon.service()?.nodes {
        let name = format!("pontoon, {} (node {})", node.role, node.id);
        processes.extend(node.pid.map(|pid| (name, pid)));
    }
    let empty = processes.iter().map(|(_, pid)| resident(*pid));
    let empty = empty.collect::<anyhow::Result<Vec<_>>>()?;
    fill::fill(redis.target(), "redis", args.data).await?;
    fill::fill(&pontoon.leader()?.1, "pontoon", args.data).await?;
    redis.settled().await?;
    pontoon.settled().await?;
    progress!("nothing is asked for {} s", args.settle);
    tokio::time::sleep(Duration::from_secs(args.settle)).await;

    let mut sides = Vec::new();
    for ((name, pid), (empty, _)) in processes.into_iter().zip(empty) {
        let (settled, peak) = resident(pid)?;
        sides.push(Side {
            name,
            empty,
            settled,
            peak,
        });
    }
    let keys = Client::connect(&pontoon.gateway()?)
        .await?
        .ask(&[b"DBSIZE"])
        .await?;
    anyhow::ensure!(
        keys == crate::resp::Value::Int(args.data.keys.cast_signed()),
        "Pontoon holds {keys:?} instead of {} keys",
        args.data.keys
    );
    let version = redis.version().await?;
    let reference = (sides[0].settled, sides[0].peak);
    let ratio = |a: u64, b: u64| a as f64 / b as f64;
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / 1_048_576.0);
    let mut cells = vec![
        [
            "",
            "empty MiB",
            "settled MiB",
            "ratio",
            "peak MiB",
            "ratio",
            "bytes/key",
        ]
        .map(String::from)
        .to_vec(),
    ];
    let mut docs = Vec::new();
    for side in &sides {
        let (settled, peak) = (
            ratio(side.settled, reference.0),
            ratio(side.peak, reference.1),
        );
        let per_key = side.settled.saturating_sub(side.empty) / args.data.keys;
        cells.push(vec![
            side.name.clone(),
            mib(side.empty),
            mib(side.settled),
            format!("{settled:.2}"),
            mib(side.peak),
            format!("{peak:.2}"),
            per_key.to_string(),
        ]);
        docs.push(json!({
            "side": side.name, "empty_bytes": side.empty, "settled_bytes": side.settled, "peak_bytes": side.peak,
            "settled_ratio": rounded(settled), "peak_ratio": rounded(peak), "bytes_per_key": per_key,
        }));
    }
    print(
        args.output,
        || {
            format!(
                "Resident memory, Pontoon {} and redis-server {version}, {} keys of 16 bytes, values of {} random bytes\n\n{}",
                args.plan.name(),
                args.data.keys,
                args.data.value_size,
                table(&cells)
            )
        },
        || {
            json!({
                "plan": args.plan.name(), "redis_version": version, "keys": args.data.keys, "value_size": args.data.value_size,
                "settle_s": args.settle, "sides": docs,
            })
        },
    );
    Ok(Answer::Yes)
}
