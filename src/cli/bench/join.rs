//! A node joins three that hold a million keys, by snapshot, while writes go on at half of what they can take.
//!
//! The latency of writes while it joins is held against that of the same load before. At the end the node votes and all
//! four hold the same data.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value as Json, json};

use super::fill;
use super::load::{Load, Measured, Shape};
use super::mix::Mix;
use super::place::Scratch;
use super::pontoon::{self, Pontoon};
use super::process::Process;
use crate::cli::admin::table;
use crate::cli::dev::{self, Plan};
use crate::cli::{Answer, Output, print};

/// Measures how much writes are slowed down while a fourth node joins three by snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon bench join
  pontoon bench join --keys 100000 --before 5 --output json")]
pub struct Args {
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    /// Keys, of 16 bytes
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=fill::KEYS_MAX))]
    keys: u64,
    /// Bytes of a value, random
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    value_size: u32,
    /// Connections that write
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How long the peak, and the load before, are measured, seconds
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    before: u64,
    /// The folder in which the nodes keep their data for as long as it takes; not tmpfs
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How long joining may take.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_secs(3);
/// Of the peak.
const SHARE: f64 = 0.5;
/// How many times as long as before a write may take at the 99th percentile.
const SLOWER_MAX: f64 = 3.0;
const NEW: u64 = 4;

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let scratch = Scratch::on_disk(&args.dir)?;
    let dir = scratch.path.join("pontoon");
    let pontoon = Pontoon::start(&dir, Plan::Premium, &args.pontoon).await?;
    let (leader, target) = pontoon.leader()?;
    fill::fill(&target, "pontoon", args.keys, args.value_size as usize).await?;
    pontoon.settled().await?;
    let shape = Shape {
        mix: Mix::Set,
        connections: args.connections as usize,
        pipeline: 1,
        value_size: args.value_size as usize,
        keys: args.keys,
        warm_up: WARM_UP,
        duration: Duration::from_secs(args.before),
        rate: None,
    };
    let peak = Load::begin(target.clone(), shape, 1)?.done().await?;
    progress!("peak: {:.0} writes/s", peak.rate());
    let shape = Shape {
        rate: Some(peak.rate() * SHARE),
        ..shape
    };
    let before = Load::begin(target.clone(), shape, 2)?.done().await?;
    progress!("before: {}", told(&before));

    // The log begins behind what the new node needs.
    admin(&dir, &["snapshot", "--node", &leader.to_string()]).await?;
    let purged = until("a purge of the log", || async {
        let log = admin(&dir, &["log"]).await?;
        let of = |n: &&Json| n["id"] == json!(leader);
        let node = log["nodes"].as_array().and_then(|n| n.iter().find(of));
        Ok(node.and_then(|n| n["purged"].as_u64()).filter(|p| *p > 0))
    })
    .await?;
    let shape = Shape {
        duration: PATIENCE,
        ..shape
    };
    let mut load = Load::begin(target.clone(), shape, 3)?;
    load.began().await?;
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    let node = Node::begin(&dir, &pontoon.service()?.cluster_id).await?;
    admin(&dir, &node.as_member("add")).await?;
    // Refused until it has caught up.
    until("the promotion", || async {
        Ok(admin(&dir, &["promote", "--id", &NEW.to_string()])
            .await
            .ok())
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    load.finish();
    let during = load.done().await?;
    progress!("while it joined, {seconds:.1} s: {}", told(&during));
    ensure!(
        std::fs::read_to_string(&node.log)?.contains("installing a snapshot"),
        "the node did not join by snapshot"
    );
    let digest = admin(&dir, &["digest"]).await?;
    let same = digest["same"] == json!(true);
    let nodes = digest["nodes"].as_array().map_or(0, Vec::len);
    let leads = pontoon.leader()?.0;
    let slower = during.percentile(99.0) / before.percentile(99.0);
    print(
        args.output,
        || {
            let row = |name: &str, m: &Measured| {
                let ms = |p| format!("{:.2}", m.percentile(p) / 1000.0);
                vec![
                    name.to_string(),
                    format!("{:.0}", m.rate()),
                    ms(50.0),
                    ms(99.0),
                    ms(100.0),
                ]
            };
            let head = ["", "writes/s", "p50 ms", "p99 ms", "most ms"];
            let rows = vec![
                head.map(String::from).to_vec(),
                row("peak", &peak),
                row("before", &before),
                row("while it joins", &during),
            ];
            format!(
                "A fourth node joins three of {} keys by snapshot, the log purged up to {purged}, under half of their peak\n\n{}\njoined and promoted in {seconds:.1} s, p99 {slower:.2} times as before; {nodes} digests, the same: {same}; the primary was {leader} and is {leads}",
                args.keys,
                table(&rows)
            )
        },
        || {
            json!({
                "keys": args.keys, "value_size": args.value_size, "peak_rate": peak.rate(), "purged": purged,
                "before": json_of(&before), "during": json_of(&during), "joined_s": seconds, "p99_ratio": slower,
                "digests": nodes, "same": same, "primary_before": leader, "primary_after": leads,
            })
        },
    );
    let good = same && nodes == 4 && slower <= SLOWER_MAX;
    Ok(if good { Answer::Yes } else { Answer::No })
}

fn told(m: &Measured) -> String {
    format!(
        "{:.0} writes/s, p50 {:.2} ms, p99 {:.2} ms",
        m.rate(),
        m.percentile(50.0) / 1000.0,
        m.percentile(99.0) / 1000.0
    )
}

fn json_of(m: &Measured) -> Json {
    json!({
        "rate": m.rate(), "seconds": m.seconds, "p50_ms": m.percentile(50.0) / 1000.0,
        "p99_ms": m.percentile(99.0) / 1000.0, "max_ms": m.percentile(100.0) / 1000.0,
    })
}

/// The node that joins.
struct Node {
    peer: String,
    client: String,
    log: PathBuf,
    _process: Process,
}

impl Node {
    async fn begin(dir: &Path, cluster: &str) -> anyhow::Result<Node> {
        let id = NEW.to_string();
        let certs = tokio::process::Command::new(std::env::current_exe()?)
            .args(["certs", "--cluster-id", cluster, "--node", &id, "--dir"])
            .arg(dir)
            .output()
            .await?;
        ensure!(
            certs.status.success(),
            "no certificate: {}",
            String::from_utf8_lossy(&certs.stderr)
        );
        let ports = dev::free_ports(2)?;
        let [peer, client] = [ports[0], ports[1]].map(|port| format!("127.0.0.1:{port}"));
        let at = |name: String| dir.join(name).display().to_string();
        let log = dir.join(format!("node-{id}.log"));
        let args = [
            "node".into(),
            format!("--config={}", at("node-1/node.toml".into())),
            format!("--node-id={id}"),
            format!("--data-dir={}", at(format!("joined-{id}"))),
            format!("--client-addr={client}"),
            format!("--announced={client}"),
            format!("--peer-addr={peer}"),
            format!("--peer-cert={}", at(format!("node-{id}.pem"))),
            format!("--peer-key={}", at(format!("node-{id}.key"))),
            "--bootstrap=false".into(),
            "--members=[]".into(),
            format!("--log-file={}", log.display()),
        ];
        let program = std::env::current_exe()?;
        let printed = dir.join(format!("node-{id}.printed"));
        let process = Process::begin("the node that joins", &program, &args, &printed)?;
        Ok(Node {
            peer,
            client,
            log,
            _process: process,
        })
    }

    fn as_member<'a>(&'a self, verb: &'a str) -> [&'a str; 7] {
        [
            verb,
            "--id",
            "4",
            "--peer-addr",
            &self.peer,
            "--client-addr",
            &self.client,
        ]
    }
}

/// What `pontoon admin` answers.
async fn admin(dir: &Path, args: &[&str]) -> anyhow::Result<Json> {
    let answer = tokio::process::Command::new(std::env::current_exe()?)
        .arg("admin")
        .args(args)
        .args(["--output", "json", "--dir"])
        .arg(dir)
        .output()
        .await?;
    if !answer.status.success() {
        bail!(
            "admin {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    serde_json::from_slice(&answer.stdout).with_context(|| format!("admin {}", args.join(" ")))
}

/// Asks until there is an answer.
async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{what}: not within {} s",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
