//! What something costs those who write at half of what a cluster can take: their latency while it goes on, held against that of
//! the same load before.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::client::Target;
use super::fill;
use super::load::{Load, Measured, Shape};
use super::mix::Mix;
use super::place::{Place, Scratch};
use super::pontoon::{self, Pontoon};
use crate::cli::Output;
use crate::cli::admin::table;
use crate::cli::dev::Plan;

/// Of the peak.
const SHARE: f64 = 0.5;
const WARM_UP: Duration = Duration::from_secs(3);
/// How long what is measured may take.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The cluster, its data and the load.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pontoon: pontoon::Wanted,
    #[command(flatten)]
    pub data: fill::Wanted,
    /// Connections that write
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How long the peak, and the load before, are measured, seconds
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    before: u64,
    #[command(flatten)]
    place: Place,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// A cluster's peak, and its latency at half of it.
pub struct Half {
    /// The cluster.
    pub pontoon: Pontoon,
    /// The node that was its primary when it was filled.
    pub leader: u64,
    /// Its folder.
    pub dir: PathBuf,
    /// Where all of that is.
    pub scratch: Scratch,
    target: Target,
    shape: Shape,
    peak: Measured,
    before: Measured,
}

/// What was measured while something went on.
pub struct During {
    /// The load.
    pub load: Measured,
    /// How long it went on, seconds.
    pub seconds: f64,
    /// How many times as long as before a write takes at the 99th percentile.
    pub slower: f64,
}

impl Half {
    /// Begins a cluster, fills it, and measures both.
    ///
    /// # Errors
    /// When it does not begin, or does not take the load.
    pub async fn measure(plan: Plan, args: &Args) -> anyhow::Result<Half> {
        let scratch = args.place.scratch()?;
        let dir = scratch.path.join("pontoon");
        let pontoon = Pontoon::start(&dir, plan, &args.pontoon).await?;
        let (leader, target) = pontoon.leader()?;
        let data = args.data;
        fill::fill(&target, "pontoon", data).await?;
        pontoon.settled().await?;
        let shape = Shape {
            mix: Mix::Set,
            connections: args.connections as usize,
            pipeline: 1,
            value_size: data.value_size as usize,
            keys: data.keys,
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
        Ok(Half {
            pontoon,
            leader,
            dir,
            scratch,
            target,
            shape,
            peak,
            before,
        })
    }

    /// Measures the same load while `work` goes on; what that answers.
    ///
    /// # Errors
    /// When either fails.
    pub async fn during<T>(
        &self,
        what: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(During, T)> {
        let shape = Shape {
            duration: PATIENCE,
            ..self.shape
        };
        let mut load = Load::begin(self.target.clone(), shape, 3)?;
        load.began().await?;
        tokio::time::sleep(WARM_UP).await;
        let began = Instant::now();
        let answer = work.await?;
        let seconds = began.elapsed().as_secs_f64();
        load.finish();
        let load = load.done().await?;
        progress!("{what}, {seconds:.1} s: {}", told(&load));
        let slower = load.percentile(99.0) / self.before.percentile(99.0);
        let during = During {
            load,
            seconds,
            slower,
        };
        Ok((during, answer))
    }

    /// For people.
    pub fn table(&self, what: &str, during: &During) -> String {
        let row = |name: &str, m: &Measured| {
            let ms = |p| format!("{:.2}", m.percentile(p) / 1000.0);
            let rate = format!("{:.0}", m.rate());
            vec![name.to_string(), rate, ms(50.0), ms(99.0), ms(100.0)]
        };
        let head = ["", "writes/s", "p50 ms", "p99 ms", "most ms"];
        table(&[
            head.map(String::from).to_vec(),
            row("peak", &self.peak),
            row("before", &self.before),
            row(what, &during.load),
        ])
    }

    /// For programs.
    pub fn json(&self, during: &During) -> Json {
        json!({
            "peak_rate": self.peak.rate(), "before": json_of(&self.before), "during": json_of(&during.load),
            "seconds": during.seconds, "p99_ratio": during.slower,
        })
    }
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
