//! Chaos: a cluster of real processes under load and faults, and what must hold afterwards. `tests/chaos/run` builds and starts it.
//!
//! Without a command (as `cargo test` runs it) it does nothing and says so: a run takes minutes and the machine. The
//! checker's own tests are `tests/checker.rs`. A run fails when anything is wrong, and when a fault did not strike.

mod checks;
mod client;
mod cluster;
mod disk;
mod faults;
mod history;
mod load;
mod model;
mod net;
mod order;
mod planted;
mod storm;
mod together;
mod wgl;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use checks::Findings;
use cluster::{Cluster, Setup};
use disk::Disks;
use faults::{Stage, Strike, Victims};
use load::Load;

#[derive(Parser)]
#[command(
    about = "Three real processes under load and faults; histories checked for linearizability",
    version
)]
struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Repeats the choices of an earlier run [default: chosen and printed]
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Keeps the cluster's folder
    #[arg(long, global = true)]
    keep: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Every fault once
    Short,
    /// Rounds of faults in random order, each on fresh keys
    Long {
        /// For how long new rounds are begun
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// Kills of the leader under load: writes lost, and how long until writes are acknowledged again
    Kills {
        /// How many
        #[arg(long, default_value_t = 100)]
        count: usize,
    },
    /// Pauses of the leader with reads in its sockets, while others overwrite what they ask for
    Pauses {
        /// How many
        #[arg(long, default_value_t = 30)]
        count: usize,
    },
    /// Power cuts at one, two or all nodes, at random moments: what was not synced is lost
    Cuts {
        /// How many
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
    /// Partitions, kills, pauses, changes of members, bad disks, wrong clocks and floods at once, for some minutes (needs root)
    Storm {
        /// For how long
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// Two data nodes and a witness, instead of three data nodes
        #[arg(long)]
        business: bool,
        /// Standbys answer linearizably, instead of at most a second stale
        #[arg(long)]
        linearizable: bool,
        /// How many, one after another
        #[arg(long, default_value_t = 1)]
        count: usize,
    },
    /// Each planted bug is caught, and the same run without it is clean (needs the feature planted-bugs)
    Planted {
        /// Only these
        bugs: Vec<String>,
    },
}

/// A fault by name, so that each must strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillLeader,
    KillStandby,
    KillAll,
    PauseShort,
    PauseLong,
    PauseLease,
    HoldAndKill,
    HoldAndDepose,
    Transfer,
    CutLeader,
    CutAll,
    CutAny,
}

const FAULTS: [Fault; 10] = [
    Fault::KillLeader,
    Fault::PauseShort,
    Fault::PauseLong,
    Fault::KillStandby,
    Fault::HoldAndKill,
    Fault::Transfer,
    Fault::HoldAndDepose,
    Fault::CutLeader,
    Fault::CutAll,
    Fault::KillAll,
];

impl Fault {
    fn bring(self, stage: &mut Stage<'_>) -> anyhow::Result<Strike> {
        let mut ms =
            |range: std::ops::Range<u64>| Duration::from_millis(stage.rng.random_range(range));
        match self {
            Fault::KillLeader => stage.kill_leader(),
            Fault::KillStandby => stage.kill_standby(),
            Fault::KillAll => stage.kill_all(),
            Fault::PauseShort => {
                let length = ms(500..900);
                stage.pause_leader(length)
            }
            Fault::PauseLong => {
                let length = ms(2000..10_000);
                stage.pause_leader(length)
            }
            Fault::PauseLease => {
                // Mostly somewhat longer than a lease and an election take; some shorter, some far longer.
                let length = match stage.rng.random_range(0..20) {
                    0 => 8000..30_000,
                    1..4 => 4000..8000,
                    4 => 500..1500,
                    _ => 1500..4000,
                };
                let length = Duration::from_millis(stage.rng.random_range(length));
                stage.pause_leader(length)
            }
            Fault::HoldAndKill => stage.hold_uncommitted(true),
            Fault::HoldAndDepose => stage.hold_uncommitted(false),
            Fault::Transfer => stage.transfer(),
            Fault::CutLeader => stage.cut_power(Victims::Leader),
            Fault::CutAll => stage.cut_power(Victims::All),
            Fault::CutAny => stage.cut_power(Victims::Any),
        }
    }

    fn needs_disks(self) -> bool {
        matches!(self, Fault::CutLeader | Fault::CutAll | Fault::CutAny)
    }
}

/// A cluster in a folder of its own. Fields are dropped in this order: processes, mounts, files.
pub struct Place {
    pub cluster: Cluster,
    pub disks: Option<Disks>,
    round: u64,
    dir: Option<tempfile::TempDir>,
}

impl Place {
    pub fn open(bin: &Path, setup: &Setup, with_disks: bool) -> anyhow::Result<Place> {
        let dir = tempfile::Builder::new()
            .prefix("pontoon-chaos-")
            .tempdir()?;
        let home = dir.path().join("cluster");
        std::fs::create_dir_all(&home)?;
        let disks = match with_disks {
            true => Some(Disks::make(&home, dir.path(), 3)?),
            false => None,
        };
        let cluster = Cluster::start(bin, &home, setup)?;
        Ok(Place {
            cluster,
            disks,
            round: 0,
            dir: Some(dir),
        })
    }

    /// One round: load, these faults, the checks.
    pub fn round(
        &mut self,
        faults: &[Fault],
        rng: &mut StdRng,
    ) -> anyhow::Result<(Vec<(Fault, Strike)>, Findings)> {
        self.round += 1;
        let prefix = format!("r{}", self.round);
        let mut load = Load::start(&self.cluster.dir, &prefix, together::STALE, rng.random())?;
        let mut strikes = Vec::new();
        {
            let mut stage = Stage {
                cluster: &self.cluster,
                load: &load.shared,
                disks: self.disks.as_ref(),
                rng: StdRng::seed_from_u64(rng.random()),
            };
            for fault in faults {
                // Some load between two faults, so that each meets live keys and transactions.
                let enough = load.shared.acknowledged() + 300;
                cluster::wait_for("load", Duration::from_secs(30), || {
                    (load.shared.acknowledged() >= enough).then_some(())
                })
                .with_context(|| format!("before {fault:?}"))?;
                let strike = fault
                    .bring(&mut stage)
                    .with_context(|| format!("{fault:?}"))?;
                println!("  {}", line(&strike));
                strikes.push((*fault, strike));
            }
        }
        load.stop();
        let found = checks::all(&self.cluster, &load.shared)?;
        checks::took_place(&load.shared)?;
        Ok((strikes, found))
    }

    /// Keeps its files and says where they are.
    fn keep(&mut self) {
        if let Some(dir) = self.dir.take() {
            println!("  kept: {}", dir.keep().display());
        }
    }
}

fn line(s: &Strike) -> String {
    let ms = |t: u64| t / 1_000_000;
    let gap = s.gap.map_or(String::new(), |g| {
        format!("; next acknowledged write after {} ms", ms(g))
    });
    format!(
        "{}{}: {} writes in flight, {}{gap}; longest time without one {} ms",
        if s.struck { "" } else { "DID NOT STRIKE: " },
        s.what,
        s.in_flight,
        if s.other_leads {
            "another node leads"
        } else {
            "the same node leads"
        },
        ms(s.silence)
    )
}

pub fn print(found: &Findings) {
    println!(
        "  {} keys, {} operations, {} acknowledged writes, {} lost; the slowest history took {} ms",
        found.keys,
        found.operations,
        found.acknowledged,
        found.lost,
        found.slowest.as_millis()
    );
    for wrong in found.wrong.iter().take(10) {
        println!("  WRONG: {wrong}");
    }
    if found.wrong.len() > 10 {
        println!("  and {} more", found.wrong.len() - 10);
    }
}

/// The faults that can be brought here.
fn possible() -> anyhow::Result<Vec<Fault>> {
    if disk::possible() {
        return Ok(FAULTS.to_vec());
    }
    ensure!(
        std::env::var("CI").as_deref() != Ok("true"),
        "power cuts need root, and under CI nothing is skipped"
    );
    println!("SKIPPED: power cuts: they need root");
    Ok(FAULTS.into_iter().filter(|f| !f.needs_disks()).collect())
}

/// Rounds until the time is over, at least one. With `shuffle` in random order.
fn rounds(
    bin: &Path,
    minutes: u64,
    shuffle: bool,
    rng: &mut StdRng,
    keep: bool,
) -> anyhow::Result<()> {
    use rand::seq::SliceRandom;
    let faults = possible()?;
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let mut place = Place::open(bin, &Setup::default(), disk::possible())?;
    let mut missed: BTreeMap<Fault, bool> = faults.iter().map(|f| (*f, true)).collect();
    loop {
        let mut order = faults.clone();
        if shuffle {
            order.shuffle(rng);
        }
        println!("round {}", place.round + 1);
        let round = place.round(&order, rng);
        let wrong = match &round {
            Ok((strikes, found)) => {
                print(found);
                for (fault, strike) in strikes.iter().filter(|s| s.1.struck) {
                    let _ = strike;
                    missed.insert(*fault, false);
                }
                !found.wrong.is_empty()
            }
            Err(_) => true,
        };
        if wrong && keep {
            place.keep();
        }
        round?;
        ensure!(!wrong, "the run is not clean");
        if Instant::now() >= until {
            break;
        }
    }
    let missed: Vec<Fault> = missed.into_iter().filter(|m| m.1).map(|m| m.0).collect();
    ensure!(missed.is_empty(), "these faults never struck: {missed:?}");
    place.cluster.stop()
}

/// Kills of the leader, in rounds of ten on fresh keys.
fn kills(bin: &Path, count: usize, rng: &mut StdRng) -> anyhow::Result<()> {
    let mut place = Place::open(bin, &Setup::default(), false)?;
    let (mut gaps, mut others, mut lost, mut wrong, mut acknowledged) = (Vec::new(), 0, 0, 0, 0);
    let mut quiet = 0;
    while gaps.len() < count {
        let n = (count - gaps.len()).min(10);
        let (strikes, found) = place.round(&vec![Fault::KillLeader; n], rng)?;
        print(&found);
        gaps.extend(
            strikes
                .iter()
                .filter_map(|s| s.1.gap)
                .map(|g| g / 1_000_000),
        );
        others += strikes.iter().filter(|s| s.1.other_leads).count();
        quiet += strikes.iter().filter(|s| !s.1.struck).count();
        lost += found.lost;
        acknowledged += found.acknowledged;
        wrong += found.wrong.len();
    }
    gaps.sort_unstable();
    let config = pontoon::config::Node::default();
    println!(
        "{count} kills of the leader: another node led afterwards in {others}; {lost} of {acknowledged} acknowledged writes lost; \
         from the kill to the next acknowledged write sent after it: median {} ms, worst {} ms \
         (heartbeat {} ms, election timeout {} to {} ms, {} cores)",
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1],
        config.heartbeat_ms,
        config.election_timeout_min_ms,
        config.election_timeout_max_ms,
        std::thread::available_parallelism()?
    );
    ensure!(wrong == 0, "{wrong} findings");
    ensure!(quiet == 0, "{quiet} kills met no write in flight");
    ensure!(
        others * 10 >= count * 9,
        "another node led after only {others} of {count} kills"
    );
    place.cluster.stop()
}

/// Pauses of the leader about as long as its lease and longer, in rounds of ten on fresh keys.
fn pauses(bin: &Path, count: usize, rng: &mut StdRng) -> anyhow::Result<()> {
    let mut place = Place::open(bin, &Setup::default(), false)?;
    let (mut done, mut overtaken, mut wrong) = (0, 0, 0);
    while done < count {
        let n = (count - done).min(10);
        let (strikes, found) = place.round(&vec![Fault::PauseLease; n], rng)?;
        print(&found);
        done += n;
        overtaken += strikes.iter().filter(|s| s.1.other_leads).count();
        wrong += found.wrong.len();
    }
    println!(
        "{count} pauses of the leader with reads in its sockets; in {overtaken} another node acknowledged writes meanwhile; {wrong} findings"
    );
    ensure!(wrong == 0, "{wrong} findings");
    ensure!(
        overtaken * 10 >= count * 9,
        "in only {overtaken} of {count} pauses another node led"
    );
    place.cluster.stop()
}

/// Power cuts at one, two or all nodes, in rounds of ten on fresh keys.
fn cuts(bin: &Path, count: usize, rng: &mut StdRng) -> anyhow::Result<()> {
    ensure!(disk::possible(), "power cuts need root");
    let mut place = Place::open(bin, &Setup::default(), true)?;
    let (mut done, mut quiet, mut lost, mut acknowledged, mut wrong) = (0, 0, 0, 0, 0);
    let mut nodes = [0; 3];
    while done < count {
        let n = (count - done).min(10);
        let (strikes, found) = place.round(&vec![Fault::CutAny; n], rng)?;
        print(&found);
        done += n;
        for (_, strike) in &strikes {
            nodes[strike.victims.clamp(1, 3) - 1] += 1;
        }
        quiet += strikes.iter().filter(|s| !s.1.struck).count();
        lost += found.lost;
        acknowledged += found.acknowledged;
        wrong += found.wrong.len();
    }
    println!(
        "{count} power cuts, {} of one node, {} of two, {} of all: {lost} of {acknowledged} acknowledged writes lost; {wrong} findings",
        nodes[0], nodes[1], nodes[2]
    );
    ensure!(wrong == 0 && lost == 0, "{wrong} findings, {lost} lost");
    ensure!(quiet == 0, "{quiet} cuts met no write in flight");
    ensure!(
        nodes.iter().all(|n| *n > 0) || count < 10,
        "not each number of nodes was cut off: {nodes:?}"
    );
    place.cluster.stop()
}

fn run(args: Args) -> anyhow::Result<()> {
    let Some(action) = args.action else {
        println!("chaos: nothing was run; tests/chaos/run --help shows what can be");
        return Ok(());
    };
    // Mounts and processes stay in namespaces of their own: whatever ends this process ends them.
    if disk::possible() && std::env::var_os("PONTOON_CHAOS_INSIDE").is_none() {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private"]);
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        if matches!(action, Action::Storm { .. }) {
            unshare.arg("--net");
        }
        let error = unshare
            .args(
                std::env::current_exe()
                    .into_iter()
                    .map(PathBuf::into_os_string),
            )
            .args(std::env::args_os().skip(1))
            .env("PONTOON_CHAOS_INSIDE", "1")
            .exec();
        bail!("unshare: {error}");
    }
    let built = PathBuf::from(env!("CARGO_BIN_EXE_pontoon"));
    let bin = std::env::var_os("PONTOON_BIN").map_or(built.clone(), PathBuf::from);
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    match action {
        Action::Short => rounds(&bin, 0, false, &mut rng, args.keep),
        Action::Long { minutes } => rounds(&bin, minutes, true, &mut rng, args.keep),
        Action::Kills { count } => kills(&bin, count, &mut rng),
        Action::Pauses { count } => pauses(&bin, count, &mut rng),
        Action::Cuts { count } => cuts(&bin, count, &mut rng),
        Action::Storm {
            minutes,
            business,
            linearizable,
            count,
        } => {
            ensure!(disk::possible(), "storms need root");
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()?;
            ensure!(
                up.success(),
                "the loopback of the run's network cannot be used"
            );
            let plan = storm::Plan {
                business,
                linearizable,
                minutes,
            };
            (0..count).try_for_each(|_| storm::run(&bin, plan, &mut rng, args.keep))
        }
        Action::Planted { bugs } => planted::run(&built, &bugs, &mut rng),
    }
}

fn main() -> ExitCode {
    let begin = Instant::now();
    match run(Args::parse()) {
        Ok(()) => {
            println!("chaos: ok, {} s", begin.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Err(e) => {
            println!("chaos: FAILED after {} s: {e:#}", begin.elapsed().as_secs());
            ExitCode::FAILURE
        }
    }
}
