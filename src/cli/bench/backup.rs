//! A full backup of a million keys is taken while writes go on at half of what the cluster can take.
//!
//! The latency of writes meanwhile is held against that of the same load before. Afterwards the backup is brought back, and its
//! digest held against the one that was recorded.

use anyhow::{Context, bail};
use serde_json::Value as Json;

use super::fill;
use super::half::{self, Half};
use super::place::Place;
use super::pontoon::{self, Pontoon};
use crate::base::secret;
use crate::cli::dev::Plan;
use crate::cli::{Answer, Output, print};

/// Measures how much writes are slowed down while a full backup is taken, and proves that backup
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon bench backup
  pontoon bench backup --plan hobbyist --before 5 --output json")]
pub struct Args {
    /// The cluster's plan
    #[arg(long, value_enum, default_value_t = Plan::Premium)]
    plan: Plan,
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    #[command(flatten)]
    data: fill::Wanted,
    #[command(flatten)]
    load: half::Args,
    #[command(flatten)]
    place: Place,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How many times as long as before a write may take at the 99th percentile.
const SLOWER_MAX: f64 = 1.5;

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let scratch = args.place.scratch()?;
    let dir = scratch.path.join("pontoon");
    let pontoon = Pontoon::start(&dir, args.plan, &args.pontoon).await?;
    let (leader, target) = pontoon.leader()?;
    fill::fill(&target, "pontoon", args.data).await?;
    pontoon.settled().await?;
    let key = scratch.path.join("master.key");
    secret::write(&key, &hex::encode(rand::random::<[u8; 32]>()))?;
    let half = Half::measure(target, args.data, &args.load).await?;
    let path = |name: &str| scratch.path.join(name).display().to_string();
    let store = [
        format!("--store={}", path("archive")),
        format!("--master-key={}", key.display()),
        "--output=json".to_string(),
    ];
    let of = [format!("--dir={}", dir.display())];
    let taken = backup("take", &store, &of);
    let (during, _) = half.during("while it was taken", taken).await?;
    let service = pontoon.service()?.cluster_id;
    let leads = pontoon.leader()?.0;
    drop(pontoon);
    let proof = [
        format!("--service={service}"),
        format!("--scratch={}", path("scratch")),
    ];
    std::fs::create_dir_all(scratch.path.join("scratch"))?;
    let proven = backup("prove", &store, &proof).await?;
    print(
        args.output,
        || {
            format!(
                "A full backup of {} keys, {}, under half of their peak\n\n{}\ntaken in {:.1} s, p99 {:.2} times as before; brought back: {proven}; the primary was {leader} and is {leads}",
                args.data.keys,
                args.plan.name(),
                half.table("while it is taken", &during),
                during.seconds,
                during.slower
            )
        },
        || {
            let mut all = half.json(&during);
            all["keys"] = args.data.keys.into();
            all["plan"] = args.plan.name().into();
            all["proven"] = proven.clone();
            all
        },
    );
    let good = during.slower <= SLOWER_MAX && leader == leads;
    Ok(if good { Answer::Yes } else { Answer::No })
}

/// What `pontoon backup` answers.
async fn backup(verb: &str, store: &[String], args: &[String]) -> anyhow::Result<Json> {
    let answer = tokio::process::Command::new(std::env::current_exe()?)
        .args(["backup", verb])
        .args(store)
        .args(args)
        .kill_on_drop(true)
        .output()
        .await?;
    if !answer.status.success() {
        bail!(
            "backup {verb}: {}",
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    serde_json::from_slice(&answer.stdout).with_context(|| format!("backup {verb}"))
}
