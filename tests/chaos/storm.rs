//! Faults of several kinds at once, for minutes: each kind has a thread of its own that strikes and rests, whatever the others do.
//!
//! Always: what a fault took away is given back before its thread goes on (processes are woken, packets let through, clocks set
//! right), and the run fails where a kind of fault struck too seldom or most operations were not acknowledged: nothing was
//! tested then.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use crate::checks;
use crate::client::{Client, request};
use crate::cluster::{Cluster, Node, Setup, ended, signal, wait_for};
use crate::load::{Load, Shared};
use crate::net::{Cut, Net};
use crate::{Place, print, together};

/// Strikes of each kind in a minute are at least this many; in a run of few minutes one is enough.
const STRIKES: usize = 2;
const FEW_MINUTES: usize = 5;
/// Operations whose histories are checked, in a minute, at least.
const CHECKED: usize = 10_000;
/// How long one answer of `pontoon admin` may take in the storm, and a new node to catch up.
const ADMIN_MS: &str = "3000";
const CATCH_UP_S: &str = "15";
/// How long the cluster may take to be as it was once the storm is over.
const CALM: Duration = Duration::from_secs(60);
/// A wall clock is set off by this, s.
const CLOCK_OFF: i64 = 3600;
/// Connections of a flood.
const FLOOD: usize = 200;

/// A storm's plan.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub business: bool,
    pub linearizable: bool,
    pub minutes: u64,
}

/// What all threads act on.
struct Scene<'a> {
    cluster: &'a Cluster,
    net: &'a Net,
    load: &'a Shared,
    until: Instant,
    tally: Mutex<BTreeMap<&'static str, BTreeMap<&'static str, usize>>>,
    /// What did not come about, for people.
    failed: Mutex<BTreeMap<&'static str, (usize, String)>>,
}

/// A kind of fault: one strike, and what struck; `None` where nothing did.
type Track<'a> = fn(&Scene<'a>, &mut StdRng) -> anyhow::Result<Option<&'static str>>;

/// What strikes at the same time: each kind with how long it rests, ms.
fn tracks<'a>() -> [(&'static str, Track<'a>, std::ops::Range<u64>); 8] {
    [
        ("partition", Scene::partition, 2000..6000),
        ("kill", Scene::kill, 7000..14_000),
        ("pause", Scene::pause, 6000..12_000),
        ("membership", Scene::membership, 5000..10_000),
        ("disk", Scene::disk, 8000..14_000),
        ("clock", Scene::clock, 1000..4000),
        ("flood", Scene::flood, 5000..12_000),
        ("certificates", Scene::certificates, 4000..9000),
    ]
}

/// One storm on a new cluster, and the checks.
///
/// # Errors
/// When anything is wrong, or too little was tested.
pub fn run(bin: &Path, plan: Plan, rng: &mut StdRng, keep: bool) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let net = Net::make(bin, dir.path())?;
    let mut setup = Setup {
        program: Some(net.program.clone()),
        ..Setup::default()
    };
    if plan.business {
        setup.plan = Some("business");
    }
    let mut stale = together::STALE;
    if plan.linearizable {
        setup.settings.push("standby_reads=linearizable".into());
        stale = Duration::ZERO;
    }
    println!("{plan:?}");
    let mut place = Place::open(bin, &setup, false)?;
    let result = storm(&place.cluster, &net, plan, stale, rng);
    if result.is_err() && keep {
        place.keep();
    }
    result?;
    place.cluster.stop()
}

fn storm(
    cluster: &Cluster,
    net: &Net,
    plan: Plan,
    stale: Duration,
    rng: &mut StdRng,
) -> anyhow::Result<()> {
    let mut load = Load::start(&cluster.dir, "storm", stale, rng.random())?;
    let begun = Instant::now();
    let scene = Scene {
        cluster,
        net,
        load: &load.shared,
        until: begun + Duration::from_secs(60 * plan.minutes),
        tally: Mutex::default(),
        failed: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for (kind, track, rest) in tracks() {
            let mut rng = StdRng::seed_from_u64(rng.random());
            let scene = &scene;
            scope.spawn(move || scene.repeat(kind, track, rest, &mut rng));
        }
        scope.spawn(|| scene.tell(begun));
    });
    net.set(&[], &[])?;
    let (tally, failed) = (scene.tally.into_inner(), scene.failed.into_inner());
    for (kind, strikes) in &tally {
        let total: usize = strikes.values().sum();
        println!("  {kind}: {total} strikes: {strikes:?}");
    }
    for (what, (count, last)) in failed {
        println!("  {count} times no {what}, at last: {last}");
    }
    calm(cluster)?;
    let now = load.shared.clock.now();
    load.shared.wait_ack_after(now, CALM)?;
    load.stop();
    let found = checks::all(cluster, &load.shared)?;
    print(&found);
    let (operations, answered) = load.shared.operations();
    let counts = load.shared.counts();
    println!(
        "storm of {} minutes, {}, standby reads {}: {operations} operations, {answered} acknowledged ({} %); {} in histories; \
         {} acknowledged writes, {} lost; {counts:?}; longest time without an acknowledged write {} ms; {} findings",
        plan.minutes,
        if plan.business {
            "two data nodes and a witness"
        } else {
            "three data nodes"
        },
        if plan.linearizable {
            "linearizable"
        } else {
            "at most 1 s stale"
        },
        answered * 100 / operations.max(1),
        found.operations,
        found.acknowledged,
        found.lost,
        load.shared.silence(0) / 1_000_000,
        found.wrong.len()
    );
    ensure!(
        found.wrong.is_empty() && found.lost == 0,
        "the run is not clean"
    );
    checks::took_place(&load.shared)?;
    let minutes = plan.minutes as usize;
    let enough = if minutes < FEW_MINUTES {
        1
    } else {
        STRIKES * minutes
    };
    for (kind, _, _) in tracks() {
        let total: usize = tally.get(kind).map_or(0, |s| s.values().sum());
        ensure!(total >= enough, "{kind} struck only {total} times");
    }
    ensure!(
        answered * 2 >= operations,
        "most operations were not acknowledged"
    );
    ensure!(
        found.operations >= CHECKED * minutes,
        "too few operations to check"
    );
    Ok(())
}

/// All nodes are members and serve, and nothing is left of a replacement that did not come about.
fn calm(cluster: &Cluster) -> anyhow::Result<()> {
    let mut last = None;
    let tidy = wait_for("a calm cluster", CALM, || match tidy(cluster) {
        Ok(()) => Some(()),
        Err(error) => {
            last = Some(error);
            None
        }
    });
    tidy.with_context(|| format!("{last:?}"))?;
    cluster.wait_whole().map(drop)
}

/// Makes three voters of the members again, and takes out nodes that are none.
fn tidy(cluster: &Cluster) -> anyhow::Result<()> {
    let told = cluster.admin(&["members", "--timeout-ms", ADMIN_MS])?;
    let members = told["members"].as_array().context("members")?;
    let id_of = |m: &serde_json::Value| m["id"].as_u64().unwrap_or(0);
    // A change that was cut short leaves a learner: one that was to become a voter, or that was one.
    let learner = members.iter().find(|m| m["voter"] != true);
    let newest = members.iter().max_by_key(|m| id_of(m));
    let (verb, odd) = match (members.len() > 3, learner, newest) {
        (true, Some(odd), _) | (true, None, Some(odd)) => ("remove", Some(odd)),
        (false, Some(odd), _) => ("promote", Some(odd)),
        _ => ("", None),
    };
    if let Some(odd) = odd {
        let id = id_of(odd).to_string();
        cluster.admin(&[verb, "--id", &id, "--timeout-ms", ADMIN_MS])?;
        bail!("there was more to do: {verb} {id}");
    }
    for node in cluster.service()?.nodes {
        if !members.iter().any(|m| id_of(m) == node.id) {
            cluster.dev(&["remove-node", "--node", &node.id.to_string()])?;
        }
    }
    Ok(())
}

impl<'a> Scene<'a> {
    fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn repeat(
        &self,
        kind: &'static str,
        track: Track<'a>,
        rest: std::ops::Range<u64>,
        rng: &mut StdRng,
    ) {
        while !self.over() {
            match track(self, rng) {
                Ok(Some(what)) => {
                    let mut tally = self.tally.lock();
                    *tally.entry(kind).or_default().entry(what).or_default() += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    let mut failed = self.failed.lock();
                    let entry = failed.entry(kind).or_default();
                    *entry = (entry.0 + 1, format!("{error:#}"));
                }
            }
            self.hold(rng.random_range(rest.clone()));
        }
    }

    /// Waits, at most until the storm is over.
    fn hold(&self, ms: u64) {
        let left = self.until.saturating_duration_since(Instant::now());
        std::thread::sleep(Duration::from_millis(ms).min(left));
    }

    /// Says every ten seconds how it goes.
    fn tell(&self, begun: Instant) {
        while !self.over() {
            self.hold(10_000);
            let (operations, answered) = self.load.operations();
            let tally = self.tally.lock();
            let strikes: usize = tally.values().flat_map(BTreeMap::values).sum();
            println!(
                "  {} s: {operations} operations, {answered} acknowledged, {strikes} strikes",
                begun.elapsed().as_secs()
            );
        }
    }

    fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        Ok(self.cluster.service()?.nodes)
    }

    fn primary(&self) -> anyhow::Result<Node> {
        self.cluster.primary().context("no primary now")
    }

    /// The primary twice of three times, else any node that runs.
    fn victim(&self, rng: &mut StdRng) -> anyhow::Result<(Node, u32)> {
        let nodes = self.nodes()?;
        let runs: Vec<&Node> = nodes.iter().filter(|n| n.pid.is_some()).collect();
        let primary = runs.iter().copied().find(|n| n.role == "primary");
        let any = runs.choose(rng).copied();
        let node = match rng.random_bool(0.66) {
            true => primary.or(any),
            false => any,
        };
        let node = node.context("no node runs")?;
        Ok((node.clone(), node.pid.context("its process")?))
    }

    fn partition(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let nodes = self.nodes()?;
        let primary = self.primary()?;
        let mut others: Vec<&Node> = nodes.iter().filter(|n| n.id != primary.id).collect();
        ensure!(!others.is_empty(), "no other node");
        let way = |from: &Node, to: &Node| Cut {
            from: from.id,
            to: to.id,
            percent: 100,
        };
        let both = |a: &Node, b: &Node| [way(a, b), way(b, a)];
        let one = others.remove(rng.random_range(0..others.len()));
        let all = || others.iter().copied().chain([one]);
        let (what, cuts): (_, Vec<Cut>) = match rng.random_range(0..7) {
            0 => (
                "primary apart",
                all().flat_map(|o| both(&primary, o)).collect(),
            ),
            1 => {
                let rest = others.iter().copied().chain([&primary]);
                ("another apart", rest.flat_map(|o| both(one, o)).collect())
            }
            2 => ("primary unheard", all().map(|o| way(&primary, o)).collect()),
            3 => ("primary deaf", all().map(|o| way(o, &primary)).collect()),
            4 => ("bridge", both(&primary, one).to_vec()),
            5 => {
                let apart =
                    all().flat_map(|a| all().filter(|b| b.id > a.id).flat_map(|b| both(a, b)));
                let with_primary = all().flat_map(|o| both(&primary, o));
                ("all apart", apart.chain(with_primary).collect())
            }
            _ => {
                let every = all().flat_map(|o| both(&primary, o));
                let lossy = every.map(|c| Cut { percent: 20, ..c });
                ("a fifth lost", lossy.collect())
            }
        };
        self.net.set(&cuts, &nodes)?;
        self.hold(rng.random_range(700..4000));
        let dropped = self.net.dropped();
        self.net.set(&[], &[])?;
        Ok((dropped? > 0).then_some(what))
    }

    fn kill(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let all = rng.random_bool(0.15);
        let victims: Vec<(String, u32)> = match all {
            true => {
                let nodes = self.nodes()?.into_iter();
                nodes.filter_map(|n| Some((n.role, n.pid?))).collect()
            }
            false => {
                let (node, pid) = self.victim(rng)?;
                vec![(node.role, pid)]
            }
        };
        let in_flight = self.load.in_flight();
        for (_, pid) in &victims {
            signal(*pid, Signal::KILL);
        }
        let dead = || victims.iter().all(|(_, pid)| ended(*pid)).then_some(());
        wait_for("the end of a killed node", Duration::from_secs(10), dead)?;
        let what = match victims.first().map(|v| v.0.as_str()) {
            _ if all => "all",
            Some("primary") => "primary",
            Some("witness") => "witness",
            _ => "another",
        };
        Ok((in_flight > 0).then_some(what))
    }

    fn pause(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let (node, pid) = self.victim(rng)?;
        signal(pid, Signal::STOP);
        let long = rng.random_range(300..4000);
        self.hold(long);
        let lived = !ended(pid);
        signal(pid, Signal::CONT);
        Ok(lived.then_some(match node.role.as_str() {
            "primary" => "primary",
            "witness" => "witness",
            _ => "another",
        }))
    }

    fn membership(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        tidy(self.cluster)?;
        let nodes = self.nodes()?;
        match rng.random_range(0..3) {
            0 => {
                self.cluster
                    .admin(&["transfer", "--timeout-ms", ADMIN_MS])?;
                Ok(Some("transfer"))
            }
            1 => {
                let (node, pid) = self.victim(rng)?;
                self.cluster
                    .dev(&["restart-node", "--node", &node.id.to_string()])?;
                wait_for(
                    "the end of a restarted node",
                    Duration::from_secs(15),
                    || ended(pid).then_some(()),
                )?;
                Ok(Some("restart"))
            }
            _ => {
                let old = nodes.choose(rng).context("a node")?;
                let mut add = vec!["add-node"];
                if old.role == "witness" {
                    add.push("--witness");
                }
                let new = self.cluster.dev(&add)?;
                let text = |name: &str| match &new[name] {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let (id, old_id) = (text("id"), old.id.to_string());
                let (peer, client) = (text("peer_addr"), text("client_addr"));
                let mut replace = vec![
                    "replace",
                    "--old",
                    &old_id,
                    "--id",
                    &id,
                    "--peer-addr",
                    &peer,
                ];
                replace.extend(["--client-addr", &client, "--timeout-s", CATCH_UP_S]);
                if old.role == "witness" {
                    replace.extend(["--role", "witness"]);
                }
                self.cluster.admin(&replace)?;
                self.cluster.dev(&["remove-node", "--node", &old_id])?;
                Ok(Some("replacement"))
            }
        }
    }

    /// A node's syncs take a tenth of a second each for a while, or one fails.
    fn disk(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let (_, pid) = self.victim(rng)?;
        let fails = rng.random_bool(0.3);
        let (inject, what) = match fails {
            true => ("inject=fdatasync:error=EIO:when=1", "a sync fails"),
            false => ("inject=fdatasync,fsync:delay_enter=100000", "slow syncs"),
        };
        let mut strace = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync",
                "-e",
                inject,
            ])
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("strace")?;
        let struck = match fails {
            // A node whose sync failed ends.
            true => wait_for(
                "the end of a node with a broken disk",
                Duration::from_secs(5),
                || ended(pid).then_some(()),
            )
            .is_ok(),
            false => {
                self.hold(rng.random_range(1000..3000));
                !ended(pid)
            }
        };
        // It waits for ever for a thread of a node that was killed meanwhile; then it ends by force, which lets go as well.
        signal(strace.id(), Signal::TERM);
        let detached = wait_for("the end of strace", Duration::from_secs(2), || {
            strace.try_wait().ok()?
        });
        if detached.is_err() {
            strace.kill()?;
            strace.wait()?;
        }
        Ok(struck.then_some(what))
    }

    /// A node's wall clock goes off by an hour, and comes back: mostly at one that may be elected meanwhile.
    fn clock(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let nodes = self.nodes()?;
        let node = nodes.choose(rng).context("a node")?;
        // One that has seen no leader at work for three seconds believes its wall clock.
        if node.role != "witness" && !self.net.knows_time(self.cluster, node.id) {
            return Ok(None);
        }
        let ahead = rng.random_bool(0.5);
        let off = if ahead { CLOCK_OFF } else { -CLOCK_OFF };
        self.net.set_clock(node.id, off)?;
        // The file is looked at once a second.
        self.hold(rng.random_range(3000..9000));
        let told = self.cluster.clock_off(node.id);
        self.net.set_clock(node.id, 0)?;
        let what = if ahead {
            "an hour ahead"
        } else {
            "an hour behind"
        };
        Ok((told? == off).then_some(what))
    }

    /// Connections that say nothing, that begin a handshake and do not go on, and a client that asks for much and does not read.
    fn flood(&self, rng: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let access = self.cluster.stable()?;
        let mut open = Vec::new();
        for i in 0..FLOOD {
            let Ok(mut tcp) = TcpStream::connect_timeout(&access.addr, Duration::from_secs(1))
            else {
                break;
            };
            // The first bytes of a ClientHello of 512 bytes.
            let hello = i % 2 == 0;
            if !hello || tcp.write_all(&[22, 3, 1, 2, 0, 1, 0]).is_ok() {
                open.push(tcp);
            }
        }
        let mut greedy = Client::connect(&access, Duration::from_secs(2))?;
        let tracks = self.load.keys.live();
        let gets: Vec<_> = (0..200)
            .flat_map(|_| tracks.iter().map(|t| t.get()))
            .collect();
        greedy.send(&gets)?;
        greedy.send(&[request([b"PING"])])?;
        self.hold(rng.random_range(500..2000));
        Ok((open.len() > FLOOD / 2).then_some("connections"))
    }

    /// All certificates are issued anew, and clients are shown the new one.
    fn certificates(&self, _: &mut StdRng) -> anyhow::Result<Option<&'static str>> {
        let access = self.cluster.stable()?;
        let shown = || {
            Some(
                Client::connect(&access, Duration::from_secs(2))
                    .ok()?
                    .shown(),
            )
        };
        let before = shown().context("no answer")?;
        self.cluster.renew_certificates()?;
        let renewed = wait_for("the new certificate", Duration::from_secs(10), || {
            (shown()? != before).then_some(())
        });
        Ok(renewed.is_ok().then_some("all renewed"))
    }
}
