//! How long a server is gone after kill -9: until it has its data back and random values of it are right.
//!
//! Both have their data on the same disk and are asked in the same way. Pontoon's node is begun again by its supervisor,
//! whose part counts; Redis by this process, at once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::client::{Client, Target, request};
use super::mix::{Random, key, value_of};
use super::place::Place;
use super::pontoon::{self, Pontoon};
use super::redis::{self, Redis};
use super::stats::Spread;
use super::{fill, process};
use crate::cli::admin::table;
use crate::cli::dev::Plan;
use crate::cli::{Answer, Output, print};
use crate::resp::Value;

/// Compares the time from kill -9 until random values are right again with Redis's, one node each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon bench restart
  pontoon bench restart --keys 100000 --output json")]
pub struct Args {
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    #[command(flatten)]
    data: fill::Wanted,
    /// Random keys that must have their values
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    gets: u32,
    /// Kills of each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Between two kills, seconds; the supervisor waits before it begins a node that dies twice within 30 s
    #[arg(long, value_name = "S", default_value_t = 31, value_parser = clap::value_parser!(u64).range(0..=600))]
    pause: u64,
    #[command(flatten)]
    place: Place,
    /// Redis's program
    #[arg(long, value_name = "PATH", default_value = redis::PROGRAM)]
    redis_server: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(600);
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let scratch = args.place.scratch()?;
    let mut redis = Redis::start(&args.redis_server, &scratch.folder("redis")?, None).await?;
    let dir = scratch.path.join("pontoon");
    let pontoon = Pontoon::start(&dir, Plan::Hobbyist, &args.pontoon).await?;
    fill::fill(redis.target(), "redis", args.data).await?;
    let (_, target) = pontoon.leader()?;
    fill::fill(&target, "pontoon", args.data).await?;
    let version = redis.version().await?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        let wanted = Wanted::draw(args, u64::from(run));
        redis.settled().await?;
        pontoon.settled().await?;
        let s = restart_redis(&mut redis, &args.redis_server, &wanted).await?;
        progress!("run {} of {}: redis {s:.2} s", run + 1, args.runs);
        theirs.push(s);
        tokio::time::sleep(Duration::from_secs(args.pause)).await;
        let s = restart_pontoon(&pontoon, &target, &wanted).await?;
        progress!("run {} of {}: pontoon {s:.2} s", run + 1, args.runs);
        ours.push(s);
    }
    let ratio = Spread::of_ratios(ours.iter().copied().zip(theirs.iter().copied()));
    let ratio = ratio.context("nothing was measured")?;
    let rows = [("redis", &theirs), ("pontoon", &ours)].map(|(name, seconds)| {
        let s = Spread::of(seconds.iter().copied()).map_or(String::new(), |s| s.text());
        vec![name.to_string(), s]
    });
    let cells: Vec<Vec<String>> = std::iter::once(vec![String::new(), "seconds".into()])
        .chain(rows)
        .collect();
    print(
        args.output,
        || {
            format!(
                "From kill -9 until {} random GETs are right, Pontoon on one node and redis-server {version} with its append-only file, {} keys, values of {} bytes, {} runs\n\n{}\nratio {}",
                args.gets,
                args.data.keys,
                args.data.value_size,
                args.runs,
                table(&cells),
                ratio.text()
            )
        },
        || {
            json!({
                "redis_version": version, "keys": args.data.keys, "value_size": args.data.value_size, "gets": args.gets,
                "redis_s": theirs, "pontoon_s": ours, "ratio": ratio.json(),
            })
        },
    );
    Ok(Answer::Yes)
}

/// What must be there again.
struct Wanted {
    requests: Vec<u8>,
    values: Vec<Vec<u8>>,
}

impl Wanted {
    fn draw(args: &Args, seed: u64) -> Wanted {
        let mut random = Random::new(seed);
        let (mut requests, mut values) = (Vec::new(), Vec::new());
        for _ in 0..args.gets {
            let number = random.below(args.data.keys);
            requests.extend_from_slice(&request(&[b"GET", &key(number)]));
            values.push(value_of(number, args.data.value_size as usize));
        }
        Wanted { requests, values }
    }

    /// Asks until all are right. An answer that is no error must be right: data that comes back bit by bit would be wrong.
    async fn right(&self, target: &Target, began: Instant) -> anyhow::Result<f64> {
        loop {
            let asked = async {
                let mut client = Client::connect(target).await?;
                client.answers(&self.requests, self.values.len()).await
            };
            if let Ok(answers) = asked.await
                && !answers.iter().any(|a| matches!(a, Value::Error(_)))
            {
                let same = |(a, v): (&Value, &Vec<u8>)| a.as_bytes() == Some(v.as_slice());
                let right = answers
                    .iter()
                    .zip(&self.values)
                    .filter(|p| same(*p))
                    .count();
                ensure!(
                    right == self.values.len(),
                    "only {right} of {} values are right",
                    self.values.len()
                );
                return Ok(began.elapsed().as_secs_f64());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "no values after {} s",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

async fn restart_redis(redis: &mut Redis, program: &Path, wanted: &Wanted) -> anyhow::Result<f64> {
    let began = Instant::now();
    redis.restart(program)?;
    wanted.right(redis.target(), began).await
}

async fn restart_pontoon(
    pontoon: &Pontoon,
    target: &Target,
    wanted: &Wanted,
) -> anyhow::Result<f64> {
    let pids = pontoon.pids(false)?;
    let began = Instant::now();
    for pid in &pids {
        process::signal_pid(*pid, Signal::KILL);
    }
    let seconds = wanted.right(target, began).await?;
    pontoon.whole().await?;
    ensure!(
        pontoon.pids(false)? != pids,
        "the node that was killed answered"
    );
    Ok(seconds)
}
