//! The comparison: every row in pairs, Redis and Pontoon in turns, the first of a pair changing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::client::{CIPHER, Target};
use super::load::{Load, Shape};
use super::mix::Mix;
use super::place::{Place, Scratch};
use super::pontoon::{self, Pontoon};
use super::redis::{self, Redis};
use super::stats::{Spread, ms, rate, rounded};
use super::syncs::Counting;
use super::{fill, null, process};
use crate::base::limits::STORE_WINDOW_BYTES;
use crate::cli::admin::table;
use crate::cli::dev::Plan;
use crate::cli::{Answer, Output, print};

/// What the generator must be able to drive, as a multiple of the fastest rate of a row.
const HEADROOM: f64 = 1.3;
/// Bytes of one batch.
const BATCH_LEN_MAX: u64 = 16 * 1024 * 1024;

/// What is compared, and how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pontoon's plan: one node or three
    #[arg(long, value_enum, default_value = "hobbyist")]
    plan: Plan,
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    /// What is asked
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["set", "get"])]
    mix: Vec<Mix>,
    /// Requests that a connection sends before it waits
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["1", "16"], value_parser = clap::value_parser!(u64).range(1..=1024))]
    pipeline: Vec<u64>,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    #[command(flatten)]
    data: fill::Wanted,
    /// What counts of each run, seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration: u64,
    /// What does not count at its beginning, seconds
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// Pairs of each row
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=101))]
    pairs: u32,
    /// The other side
    #[arg(long, value_enum, default_value = "redis")]
    peer: Peer,
    /// Where Pontoon is asked
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["leader", "gateway"])]
    via: Vec<Via>,
    #[command(flatten)]
    place: Place,
    /// Redis's program
    #[arg(long, value_name = "PATH", default_value = redis::PROGRAM)]
    redis_server: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// The other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// One redis-server that syncs before it answers
    Redis,
    /// The same with two asynchronous replicas
    RedisReplicas,
}

/// Where Pontoon is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// The leader's own address
    Leader,
    /// The stable address
    Gateway,
}

/// One run.
struct Run {
    rate: f64,
    p50: f64,
    p99: f64,
    kernel_syncs: Result<u64, String>,
    log_syncs: Option<(u64, u64)>,
    backlog: Option<(u64, u64)>,
    cpu_us: f64,
    generator_cpu: f64,
    replies: u64,
}

/// All that runs.
struct Sides {
    pontoon: Pontoon,
    redis: Redis,
    replicas: Vec<Redis>,
    scratch: Scratch,
}

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let widest = args.pipeline.iter().max().copied().unwrap_or(1) * u64::from(args.data.value_size);
    ensure!(
        widest <= BATCH_LEN_MAX,
        "--pipeline times --value-size is {widest} bytes; at most {BATCH_LEN_MAX} are sent at once"
    );
    let scratch = args.place.scratch()?;
    let runs = args.mix.len() * args.pipeline.len() * (1 + args.via.len());
    let seconds = runs as u64 * u64::from(args.pairs) * (args.duration + args.warm_up);
    progress!("about {} min, without filling", seconds.div_ceil(60));

    let redis = Redis::start(&args.redis_server, &scratch.folder("redis")?, None).await?;
    let mut replicas = Vec::new();
    if args.peer == Peer::RedisReplicas {
        for name in ["replica-1", "replica-2"] {
            let dir = scratch.folder(name)?;
            replicas.push(Redis::start(&args.redis_server, &dir, Some(&redis)).await?);
        }
    }
    let pontoon = Pontoon::start(&scratch.path.join("pontoon"), args.plan, &args.pontoon).await?;
    let mut sides = Sides {
        pontoon,
        redis,
        replicas,
        scratch,
    };
    let size = args.data.value_size as usize;
    fill::fill(sides.redis.target(), "redis", args.data).await?;
    let leader = sides.pontoon.leader()?.1;
    fill::fill(&leader, "pontoon", args.data).await?;

    let version = sides.redis.version().await?;
    let (mut text, mut rows, mut sound) = (Vec::new(), Vec::new(), true);
    for mix in &args.mix {
        for pipeline in &args.pipeline {
            let shape = Shape {
                mix: *mix,
                connections: args.connections as usize,
                pipeline: *pipeline,
                value_size: size,
                keys: args.data.keys,
                warm_up: Duration::from_secs(args.warm_up),
                duration: Duration::from_secs(args.duration),
                rate: None,
            };
            let (lines, doc, row_sound) = row(args, &mut sides, shape).await?;
            text.push(lines);
            rows.push(doc);
            sound &= row_sound;
        }
    }
    print(
        args.output,
        || {
            format!(
                "Pontoon {} against redis-server {version} ({}), {CIPHER}, {} connections, values of {} bytes, {} keys\n\n{}",
                args.plan.name(),
                peer_text(args.peer),
                args.connections,
                args.data.value_size,
                args.data.keys,
                text.join("\n\n"),
            )
        },
        || {
            json!({
                "plan": args.plan.name(), "unrestricted": args.pontoon.unrestricted,
                "redis_version": version, "peer": peer_text(args.peer), "cipher": CIPHER,
                "connections": args.connections, "value_size": args.data.value_size, "keys": args.data.keys,
                "duration_s": args.duration, "warm_up_s": args.warm_up, "rows": rows, "sound": sound,
            })
        },
    );
    Ok(if sound { Answer::Yes } else { Answer::No })
}

fn peer_text(peer: Peer) -> &'static str {
    match peer {
        Peer::Redis => "appendfsync always, save \"\"",
        Peer::RedisReplicas => {
            "appendfsync always, save \"\", two asynchronous replicas that keep no log"
        }
    }
}

/// Measures one row: its lines, its document, and whether it counts.
async fn row(
    args: &Args,
    sides: &mut Sides,
    shape: Shape,
) -> anyhow::Result<(String, Value, bool)> {
    let title = format!("{} pipeline {}", shape.mix.name(), shape.pipeline);
    let limit = null::generator_limit(shape).await?;
    progress!(
        "{title}: the generator drives {} against TLS alone",
        rate(limit.rate())
    );
    let mut series: Vec<(Option<Via>, Vec<Run>)> = vec![(None, Vec::new())];
    series.extend(args.via.iter().map(|v| (Some(*v), Vec::new())));
    for pair in 0..args.pairs {
        let mut order: Vec<usize> = (0..series.len()).collect();
        if pair % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let (via, runs) = &mut series[at];
            let run = measure(sides, *via, shape, u64::from(pair) + 1)
                .await
                .with_context(|| format!("{title}, {}", side_name(*via)))?;
            progress!(
                "{title}: pair {} of {}: {} {}/s, p99 {} ms",
                pair + 1,
                args.pairs,
                side_name(*via),
                rate(run.rate),
                ms(run.p99)
            );
            runs.push(run);
        }
    }
    let fastest = series
        .iter()
        .flat_map(|(_, runs)| runs)
        .map(|r| r.rate)
        .fold(0.0, f64::max);
    let headroom = limit.rate() / fastest.max(1.0);
    let mut wrong = Vec::new();
    if headroom < HEADROOM {
        wrong.push(format!(
            "the generator's headroom is {headroom:.2}, below {HEADROOM}"
        ));
    }
    let grew = series
        .iter()
        .flat_map(|(_, runs)| runs)
        .filter_map(|r| r.backlog);
    if grew.clone().any(|(a, b)| b > a + STORE_WINDOW_BYTES as u64) {
        wrong.push("the store's backlog grew by more than one window".to_string());
    }
    let mut cells = vec![
        [
            "",
            "rate/s",
            "ratio",
            "p50 ms",
            "p99 ms",
            "p99 ratio",
            "syncs/1000",
            "CPU us",
        ]
        .map(String::from)
        .to_vec(),
    ];
    let mut docs = Vec::new();
    let redis = &series[0].1;
    for (via, runs) in &series {
        let ratio =
            |of: fn(&Run) -> f64| Spread::of_ratios(runs.iter().map(of).zip(redis.iter().map(of)));
        let median =
            |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of)).map_or(0.0, |s| s.median);
        let (ratios, tail) = (ratio(|r| r.rate), ratio(|r| r.p99));
        let syncs = Spread::of(
            runs.iter()
                .filter_map(|r| Some(per_thousand(*r.kernel_syncs.as_ref().ok()?, r.replies))),
        );
        let shown = |s: Option<Spread>| s.map_or("-".to_string(), |s| s.text());
        cells.push(vec![
            side_name(*via).to_string(),
            rate(median(|r| r.rate)),
            shown(ratios.filter(|_| via.is_some())),
            ms(median(|r| r.p50)),
            ms(median(|r| r.p99)),
            shown(tail.filter(|_| via.is_some())),
            syncs.map_or("-".to_string(), |s| format!("{:.1}", s.median)),
            format!("{:.1}", median(|r| r.cpu_us)),
        ]);
        docs.push(json!({
            "side": side_name(*via), "rate": rounded(median(|r| r.rate)), "ratio": ratios.map(|s| s.json()),
            "p50_us": median(|r| r.p50), "p99_us": median(|r| r.p99), "p99_ratio": tail.map(|s| s.json()),
            "runs": runs.iter().map(run_json).collect::<Vec<_>>(),
        }));
    }
    let not_counted = series
        .iter()
        .flat_map(|(_, runs)| runs)
        .find_map(|r| r.kernel_syncs.as_ref().err());
    let mut lines = format!(
        "{title}\n{}\n  generator: {} against TLS alone, headroom {headroom:.2}",
        table(&cells),
        rate(limit.rate())
    );
    if let Some(why) = not_counted {
        lines.push_str(&format!("\n  syncs were not counted: {why}"));
    }
    for why in &wrong {
        lines.push_str(&format!("\n  DOES NOT COUNT: {why}"));
    }
    let doc = json!({
        "mix": shape.mix.name(), "pipeline": shape.pipeline, "sides": docs, "generator_rate": rounded(limit.rate()),
        "headroom": rounded(headroom), "wrong": wrong,
    });
    Ok((lines, doc, wrong.is_empty()))
}

fn side_name(via: Option<Via>) -> &'static str {
    match via {
        None => "redis",
        Some(Via::Leader) => "pontoon, leader",
        Some(Via::Gateway) => "pontoon, gateway",
    }
}

fn per_thousand(count: u64, replies: u64) -> f64 {
    count as f64 * 1000.0 / replies.max(1) as f64
}

fn run_json(r: &Run) -> Value {
    json!({
        "rate": rounded(r.rate), "p50_us": r.p50, "p99_us": r.p99, "replies": r.replies,
        "syncs": r.kernel_syncs.as_ref().ok(), "log_syncs_leader": r.log_syncs.map(|s| s.0),
        "log_syncs_all": r.log_syncs.map(|s| s.1), "backlog_start": r.backlog.map(|b| b.0),
        "backlog_end": r.backlog.map(|b| b.1), "server_cpu_us_per_reply": rounded(r.cpu_us),
        "generator_cpu": rounded(r.generator_cpu),
    })
}

/// One run against one side, when neither side has anything left to do.
async fn measure(
    sides: &mut Sides,
    via: Option<Via>,
    shape: Shape,
    seed: u64,
) -> anyhow::Result<Run> {
    sides.redis.settled().await?;
    sides.pontoon.settled().await?;
    let target: Target = match via {
        None => sides.redis.target().clone(),
        Some(Via::Leader) => sides.pontoon.leader()?.1,
        Some(Via::Gateway) => sides.pontoon.gateway()?,
    };
    let pids = match via {
        None => std::iter::once(&sides.redis)
            .chain(&sides.replicas)
            .map(Redis::pid)
            .collect(),
        Some(via) => sides.pontoon.pids(via == Via::Gateway)?,
    };
    let mut load = Load::begin(target, shape, seed)?;
    let from = load.began().await? + shape.warm_up;
    tokio::time::sleep_until(from.into()).await;
    let counting = Counting::begin(&pids, &sides.scratch.path);
    let cpu = process::cpu_seconds(&pids);
    let before = if via.is_some() {
        Some(sides.pontoon.counts().await?)
    } else {
        None
    };
    tokio::time::sleep_until((from + shape.duration).into()).await;
    let cpu = process::cpu_seconds(&pids) - cpu;
    let after = if via.is_some() {
        Some(sides.pontoon.counts().await?)
    } else {
        None
    };
    let kernel_syncs = counting
        .and_then(Counting::end)
        .map_err(|e| format!("{e:#}"));
    let measured = load.done().await?;
    let both = before.zip(after);
    Ok(Run {
        rate: measured.rate(),
        p50: measured.percentile(50.0),
        p99: measured.percentile(99.0),
        kernel_syncs,
        log_syncs: both.map(|(a, b)| {
            (
                b.leader_syncs.saturating_sub(a.leader_syncs),
                b.all_syncs.saturating_sub(a.all_syncs),
            )
        }),
        backlog: both.map(|(a, b)| (a.backlog_bytes, b.backlog_bytes)),
        cpu_us: cpu * 1e6 / measured.replies.max(1) as f64,
        generator_cpu: measured.generator_cpu,
        replies: measured.replies,
    })
}
