//! The simulation: the production node in one process, on simulated time, network and disks, from a seed.
//! `tests/simulation/run` builds and starts it.
//!
//! Each seed is a process of its own, below which `world.c` stands in for the C library's time and chance; so two runs
//! of a seed are the same run, event by event. Started otherwise, as `cargo test` does, it does nothing and says so.

// Not every kind of operation is asked here.
#[allow(dead_code)]
#[path = "../chaos/model.rs"]
mod model;
#[path = "../chaos/wgl.rs"]
mod wgl;

mod clients;
mod disk;
mod faults;
mod invariants;
mod net;
mod node;
mod planted;
mod rows;
mod trace;
mod world;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Parser;

use world::{Plan, World};

#[derive(Parser)]
#[command(
    about = "The production node on simulated time, network and disks, from a seed",
    version
)]
struct Args {
    /// Runs this seed twice, and compares the traces
    #[arg(long)]
    seed: Option<u64>,
    /// Runs so many seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Turns of hosts with faults, in each seed
    #[arg(long, default_value_t = 50_000)]
    steps: u64,
    /// Prints what happens
    #[arg(long)]
    trace: bool,
    /// A few seeds, for CI
    #[arg(long)]
    short: bool,
    /// Seeds that run at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// One world, in this process
    #[arg(long, hide = true)]
    world: Option<u64>,
    /// `planted`: every planted bug is caught, or those named
    words: Vec<String>,
}

fn main() -> ExitCode {
    if std::env::args().count() == 1 || std::env::var_os("PONTOON_WORLD").is_none() {
        println!("simulation: nothing is run here: start tests/simulation/run");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let ran = match args.world {
        Some(seed) => world_here(seed, &args),
        None => many(&args),
    };
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("simulation: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One world in this process; whether nothing was wrong in it.
fn world_here(seed: u64, args: &Args) -> anyhow::Result<bool> {
    if let Ok(filter) = std::env::var("RUST_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .init();
    }
    // Files in memory where there are such.
    let memory = std::path::PathBuf::from("/dev/shm");
    let base = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    let dir = tempfile::Builder::new()
        .prefix(&format!("pontoon-sim-{}-", std::process::id()))
        .tempdir_in(base)?;
    let plan = Plan {
        seed,
        steps: args.steps,
        print: args.trace,
    };
    let mut world = World::new(&plan, dir.path());
    world.run(&plan);
    for wrong in &world.wrong {
        println!("WRONG: seed {}: {wrong}", world.seed());
    }
    let (hash, events) = world.trace.sum();
    println!("trace {hash:016x} {events}");
    let list = world.coverage.list().map(|(name, n)| format!("{name}={n}"));
    println!("coverage {}", list.join(" "));
    let sound = world.wrong.is_empty();
    // Its parts hold each other; the process ends here.
    drop(dir);
    std::process::exit(if sound { 0 } else { 3 });
}

/// What a world's process said.
pub struct Told {
    wrong: Vec<String>,
    trace: String,
    coverage: BTreeMap<String, u64>,
}

/// Runs a world in a process of its own.
pub fn run_world(
    seed: u64,
    steps: u64,
    trace: bool,
    planted: &[(&str, &str)],
) -> anyhow::Result<Told> {
    let shim =
        std::env::var("PONTOON_WORLD").context("PONTOON_WORLD: start tests/simulation/run")?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--world", &seed.to_string(), "--steps", &steps.to_string()])
        .args(trace.then_some("--trace"))
        .env("LD_PRELOAD", shim)
        .env("SIMULATION_SEED", seed.to_string());
    command.envs(planted.iter().copied());
    let Output {
        status,
        stdout,
        stderr,
    } = command.output()?;
    let out = String::from_utf8_lossy(&stdout).into_owned();
    if trace {
        print!("{out}");
    }
    let err = String::from_utf8_lossy(&stderr).into_owned();
    if std::env::var_os("RUST_LOG").is_some() {
        eprint!("{err}");
    }
    let line = |name: &str| {
        out.lines()
            .rev()
            .find_map(|l| l.strip_prefix(name))
            .map(str::to_owned)
    };
    let mut wrong: Vec<String> = Vec::new();
    for l in out.lines() {
        if let Some(what) = l.strip_prefix("WRONG: ") {
            wrong.push(what.into());
        } else if l.starts_with("    ") && !wrong.is_empty() {
            wrong.push(l.into());
        }
    }
    if wrong.is_empty() && !matches!(status.code(), Some(0 | 3)) {
        let tail: Vec<_> = err.lines().rev().take(12).collect();
        wrong.push(format!(
            "seed {seed}: the process ended with {status}: {}",
            tail.join(" | ")
        ));
    }
    let coverage = line("coverage ").unwrap_or_default();
    let coverage = coverage
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(name, n)| Some((name.to_owned(), n.parse().ok()?)))
        .collect();
    Ok(Told {
        wrong,
        trace: line("trace ").unwrap_or_default(),
        coverage,
    })
}

/// Whether nothing was wrong in any.
fn many(args: &Args) -> anyhow::Result<bool> {
    if args.words.first().is_some_and(|w| w == "planted") {
        return planted::run(&args.words[1..], args.from, args.steps);
    }
    ensure!(args.words.is_empty(), "unknown: {:?}", args.words);
    if let Some(seed) = args.seed {
        return one(seed, args);
    }
    let (count, steps) = match (args.seeds, args.short) {
        (Some(count), _) => (count, args.steps),
        (None, true) => (8, args.steps.min(12_000)),
        (None, false) => bail!("--seed, --seeds, --short or planted is needed"),
    };
    let begun = Instant::now();
    let next = Mutex::new(args.from);
    let told: Mutex<Vec<(u64, Told)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = {
                        let Ok(mut next) = next.lock() else { return };
                        *next += 1;
                        *next - 1
                    };
                    if seed >= args.from + count {
                        return;
                    }
                    let ran = run_world(seed, steps, false, &[]).unwrap_or_else(|e| Told {
                        wrong: vec![format!("seed {seed}: {e:#}")],
                        trace: String::new(),
                        coverage: BTreeMap::new(),
                    });
                    for wrong in &ran.wrong {
                        println!("WRONG: {wrong}");
                    }
                    if let Ok(mut told) = told.lock() {
                        told.push((seed, ran));
                    }
                }
            });
        }
    });
    let told = told.into_inner().unwrap_or_default();
    let failed: Vec<u64> = told
        .iter()
        .filter(|(_, t)| !t.wrong.is_empty())
        .map(|(s, _)| *s)
        .collect();
    // In how many seeds each came about, and how often in all.
    let mut totals: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for (_, t) in &told {
        for (name, n) in &t.coverage {
            let total = totals.entry(name).or_default();
            total.0 += usize::from(*n > 0);
            total.1 += n;
        }
    }
    for (name, (seeds, n)) in totals {
        println!(
            "  {name:<13} {n:>9} in {:>5.1} % of the seeds",
            seeds as f64 * 100.0 / told.len() as f64
        );
    }
    println!(
        "simulation: {} seeds of {steps} steps in {:.0} s: {} with violations{}",
        told.len(),
        begun.elapsed().as_secs_f64(),
        failed.len(),
        if failed.is_empty() {
            String::new()
        } else {
            format!(": {failed:?}")
        }
    );
    // The same seed once more must be the same run.
    let again = one(
        args.from,
        &Args {
            trace: false,
            steps,
            ..Args::parse_from(["simulation"])
        },
    )?;
    Ok(failed.is_empty() && again)
}

/// One seed twice.
fn one(seed: u64, args: &Args) -> anyhow::Result<bool> {
    let first = run_world(seed, args.steps, args.trace, &[])?;
    for wrong in &first.wrong {
        println!("WRONG: {wrong}");
    }
    let second = run_world(seed, args.steps, false, &[])?;
    println!("seed {seed}: trace {}; again {}", first.trace, second.trace);
    let list: Vec<_> = first
        .coverage
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    println!("seed {seed}: {}", list.join(", "));
    if first.trace != second.trace {
        println!("WRONG: seed {seed}: two runs of it differ");
    }
    Ok(first.wrong.is_empty() && first.trace == second.trace)
}
