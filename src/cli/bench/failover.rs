//! Failover: the primary is killed under writes through the stable address, again and again.
//!
//! Time runs from the kill to the first acknowledgement of a write that was sent after it. Every writer counts upwards in a key
//! of its own, so that at the end its key must hold at least what was acknowledged last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;
use serde_json::json;

use super::client::{Client, Target};
use super::place::Place;
use super::pontoon::{self, Pontoon};
use super::stats::Spread;
use super::{process, until};
use crate::cli::dev::Plan;
use crate::cli::{Answer, Output, print};
use crate::config;

/// Measures how long writes wait when the primary of three nodes is killed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon bench failover
  pontoon bench failover --count 20 --output json")]
pub struct Args {
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    /// Kills of the primary
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Clients that write, each one write at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    writers: u32,
    #[command(flatten)]
    place: Place,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How long writes may be missing.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Writes that must be acknowledged between two kills.
const BETWEEN: u64 = 200;

/// What the writers tell.
#[derive(Default)]
struct Told {
    acknowledged: AtomicU64,
    /// The kill that is waited for, and the first acknowledgement of a write that was sent after it.
    kill: Mutex<(Option<Instant>, Option<Instant>)>,
    over: AtomicBool,
}

impl Told {
    fn note(&self, sent: Instant) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let mut kill = self.kill.lock().expect("no writer panics");
        if kill.1.is_none() && kill.0.is_some_and(|at| sent >= at) {
            kill.1 = Some(Instant::now());
        }
    }

    fn struck(&self, at: Instant) {
        *self.kill.lock().expect("no writer panics") = (Some(at), None);
    }

    fn next(&self) -> Option<Instant> {
        self.kill.lock().expect("no writer panics").1
    }
}

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let timeouts = timeouts(&args.pontoon.settings)?;
    let scratch = args.place.scratch()?;
    let dir = scratch.path.join("pontoon");
    let pontoon = Pontoon::start(&dir, Plan::Premium, &args.pontoon).await?;
    let target = pontoon.gateway()?;
    let told = Arc::new(Told::default());
    let writers: Vec<_> = (0..args.writers)
        .map(|w| tokio::spawn(write(target.clone(), w, told.clone())))
        .collect();

    let (mut gaps, mut others) = (Vec::new(), 0);
    for n in 1..=args.count {
        pontoon.whole().await?;
        let enough = told.acknowledged.load(Ordering::Relaxed) + BETWEEN;
        until("writes between two kills", PATIENCE, || async {
            Ok((told.acknowledged.load(Ordering::Relaxed) >= enough).then_some(()))
        })
        .await?;
        let service = pontoon.service()?;
        let primary = service.nodes.iter().find(|n| n.role == "primary");
        let primary = primary.context("no node is the primary")?;
        let pid = primary.pid.context("the primary does not run")?;
        let at = Instant::now();
        process::signal_pid(pid, Signal::KILL);
        told.struck(at);
        let next = until("a write after the kill", PATIENCE, || async {
            Ok(told.next())
        })
        .await?;
        let gap = (next - at).as_secs_f64() * 1000.0;
        pontoon.whole().await?;
        let now = pontoon.leader()?.0;
        others += u32::from(now != primary.id);
        progress!(
            "kill {n} of {}: node {}, writes again after {gap:.0} ms, node {now} leads",
            args.count,
            primary.id
        );
        gaps.push(gap);
    }
    told.over.store(true, Ordering::Relaxed);
    let mut lost = 0;
    let mut client = Client::connect(&target).await?;
    for (w, writer) in writers.into_iter().enumerate() {
        let last = writer.await?;
        let held = client.ask(&[b"GET", key(w).as_bytes()]).await?;
        let held = held
            .as_bytes()
            .and_then(|b| std::str::from_utf8(b).ok()?.parse::<u64>().ok());
        if held.unwrap_or(0) < last {
            lost += 1;
            progress!("LOST: writer {w} was told {last}, and {held:?} is there");
        }
    }
    let acknowledged = told.acknowledged.load(Ordering::Relaxed);
    let spread = Spread::of(gaps.iter().copied()).context("nothing was measured")?;
    print(
        args.output,
        || {
            format!(
                "{} kills of the primary of three nodes under {} writers: from the kill to the next acknowledged write that was sent after it\nmedian {:.0} ms, worst {:.0} ms, best {:.0} ms; another node led afterwards in {others}\n{acknowledged} writes acknowledged, {lost} writers lost some\ntimeouts in force: heartbeat {} ms, election {} to {} ms; {} cores",
                args.count,
                args.writers,
                spread.median,
                spread.most,
                spread.least,
                timeouts[0],
                timeouts[1],
                timeouts[2],
                cores(),
            )
        },
        || {
            json!({
                "count": args.count, "writers": args.writers, "median_ms": spread.median, "worst_ms": spread.most,
                "best_ms": spread.least, "gaps_ms": gaps, "another_led": others, "acknowledged": acknowledged,
                "writers_with_loss": lost, "heartbeat_ms": timeouts[0], "election_timeout_min_ms": timeouts[1],
                "election_timeout_max_ms": timeouts[2], "cores": cores(),
            })
        },
    );
    Ok(if lost == 0 { Answer::Yes } else { Answer::No })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn key(writer: usize) -> String {
    format!("failover:{writer}")
}

/// Counts upwards in its key; the last count that was acknowledged.
async fn write(target: Target, writer: u32, told: Arc<Told>) -> u64 {
    let key = key(writer as usize);
    let (mut client, mut count, mut last) = (None, 0u64, 0);
    while !told.over.load(Ordering::Relaxed) {
        let mut connected = match client.take() {
            Some(client) => client,
            None => match Client::connect(&target).await {
                Ok(client) => client,
                Err(_) => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
            },
        };
        count += 1;
        let sent = Instant::now();
        let text = count.to_string();
        // What fails may have happened: nothing is claimed of it, and the connection is made anew.
        if connected
            .ask(&[b"SET", key.as_bytes(), text.as_bytes()])
            .await
            .is_ok()
        {
            last = count;
            told.note(sent);
            client = Some(connected);
        }
    }
    last
}

/// Heartbeat, and the election timeout's ends, as the nodes have them, milliseconds.
fn timeouts(settings: &[(String, String)]) -> anyhow::Result<[u64; 3]> {
    let default = config::Node::default();
    let of = |name: &str, default: u64| match settings.iter().rev().find(|(key, _)| key == name) {
        None => Ok(default),
        Some((_, value)) => value
            .parse()
            .with_context(|| format!("--set {name}={value}")),
    };
    Ok([
        of("heartbeat_ms", default.heartbeat_ms)?,
        of("election_timeout_min_ms", default.election_timeout_min_ms)?,
        of("election_timeout_max_ms", default.election_timeout_max_ms)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_sent_after_the_kill_ends_the_gap() {
        let (told, before) = (Told::default(), Instant::now());
        told.note(before);
        assert_eq!(told.next(), None);
        let kill = Instant::now().max(before + Duration::from_nanos(1));
        told.struck(kill);
        told.note(before);
        assert_eq!(told.next(), None, "it was in flight at the kill");
        told.note(kill);
        let first = told.next().expect("sent after it");
        told.note(kill + Duration::from_millis(1));
        assert_eq!(told.next(), Some(first));
    }

    #[test]
    fn the_timeouts_are_those_that_were_set() {
        let set = |k: &str, v: &str| (k.to_string(), v.to_string());
        let default = config::Node::default();
        let found = timeouts(&[set("heartbeat_ms", "50")]).unwrap();
        assert_eq!(
            found,
            [
                50,
                default.election_timeout_min_ms,
                default.election_timeout_max_ms
            ]
        );
        assert!(timeouts(&[set("heartbeat_ms", "fast")]).is_err());
    }
}
