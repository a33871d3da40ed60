//! A full backup of a million keys is taken while writes go on at half of what the cluster can take.
//!
//! The latency of writes meanwhile is held against that of the same load before. Afterwards the backup is brought back, and its
//! digest held against the one that was recorded.

use anyhow::Context;
use serde_json::Value as Json;

use super::half::{self, Half};
use crate::base::program::ours;
use crate::base::secret;
use crate::cli::dev::Plan;
use crate::cli::{Answer, print};

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
    half: half::Args,
}

/// How many times as long as before a write may take at the 99th percentile.
const SLOWER_MAX: f64 = 1.5;

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let half = Half::measure(args.plan, &args.half).await?;
    let (leader, keys) = (half.leader, args.half.data.keys);
    let at = |name: &str| half.scratch.path.join(name);
    let path = |name: &str| at(name).display().to_string();
    let key = at("master.key");
    secret::write(&key, &hex::encode(rand::random::<[u8; 32]>()))?;
    let store = [
        format!("--store={}", path("archive")),
        format!("--master-key={}", key.display()),
        "--output=json".to_string(),
    ];
    let of = [format!("--dir={}", half.dir.display())];
    let taken = backup("take", &store, &of);
    let (during, _) = half.during("while it was taken", taken).await?;
    let service = half.pontoon.service()?.cluster_id;
    let leads = half.pontoon.leader()?.0;
    let proof = [
        format!("--service={service}"),
        format!("--scratch={}", path("scratch")),
    ];
    std::fs::create_dir_all(at("scratch"))?;
    let proven = backup("prove", &store, &proof).await?;
    print(
        args.half.output,
        || {
            format!(
                "A full backup of {} keys, {}, under half of their peak\n\n{}\ntaken in {:.1} s, p99 {:.2} times as before; brought back: {proven}; the primary was {leader} and is {leads}",
                keys,
                args.plan.name(),
                half.table("while it is taken", &during),
                during.seconds,
                during.slower
            )
        },
        || {
            let mut all = half.json(&during);
            all["keys"] = keys.into();
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
    let words = ["backup".to_string(), verb.to_string()];
    let all = [&words, store, args].concat();
    let said = ours(&all, half::PATIENCE).await;
    let said = said.with_context(|| format!("backup {verb}"))?;
    Ok(serde_json::from_slice(&said)?)
}
