//! One world: nodes, clients and faults from one seed, step by step, and what must hold in it.
//!
//! A step is one host's turn: it works until it has nothing to do or has had its share, while time stands still. Between two
//! rounds of all hosts, in an order of chance, time moves by one to three milliseconds.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::clients::Clients;
use crate::faults::{self, Faults};
use crate::invariants::Invariants;
use crate::net::Net;
use crate::node::{self, Node};
use crate::trace::Trace;

/// How a world is run.
pub struct Plan {
    pub seed: u64,
    pub steps: u64,
    pub print: bool,
}

/// What came about in a world: a seed in which something never did shows nothing of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Coverage {
    pub leaders: u64,
    pub truncations: u64,
    pub snapshots: u64,
    pub undos: u64,
    pub losses: u64,
    pub kills: u64,
    pub cuts: u64,
    pub pauses: u64,
    pub partitions: u64,
    pub resets: u64,
    pub disks: u64,
    pub jumps: u64,
    pub transfers: u64,
    pub changes: u64,
    pub rot: u64,
    /// A witness led, to hand over what it alone had.
    pub witness: u64,
    pub acknowledged: u64,
    pub unknown: u64,
}

impl Coverage {
    /// The counters by name.
    pub fn list(&self) -> [(&'static str, u64); 18] {
        [
            ("witness", self.witness),
            ("leaders", self.leaders),
            ("truncations", self.truncations),
            ("snapshots", self.snapshots),
            ("undos", self.undos),
            ("losses", self.losses),
            ("kills", self.kills),
            ("cuts", self.cuts),
            ("pauses", self.pauses),
            ("partitions", self.partitions),
            ("resets", self.resets),
            ("disks", self.disks),
            ("jumps", self.jumps),
            ("transfers", self.transfers),
            ("changes", self.changes),
            ("rot", self.rot),
            ("acknowledged", self.acknowledged),
            ("unknown", self.unknown),
        ]
    }
}

/// Everything there is.
pub struct World {
    pub rng: SmallRng,
    pub net: Net,
    pub trace: Trace,
    pub nodes: Vec<Node>,
    pub clients: Clients,
    pub coverage: Coverage,
    /// What was found wrong.
    pub wrong: Vec<String>,
    seed: u64,
    dir: std::path::PathBuf,
}

/// How long a node may run on a rotten log before it has noticed: it reads all of it when it starts.
const ROT_FOUND_MAX: Duration = Duration::from_millis(50);
/// How long the world may take to come to rest once all faults have ended.
const CONVERGE_MAX: Duration = Duration::from_secs(60);

impl World {
    /// Three nodes that have not run yet.
    pub fn new(plan: &Plan, dir: &Path) -> World {
        let mut rng = SmallRng::seed_from_u64(plan.seed);
        let trace = Trace::new(plan.print);
        let net = Net::new(rng.random(), trace.clone());
        // Every third world is of two nodes with data and a witness.
        let business = plan.seed.is_multiple_of(3);
        let members: Vec<_> = (1..=3)
            .map(|id| node::member_of(id, business && id == 3))
            .collect();
        let nodes = (1..=3)
            .map(|id| {
                let dir = dir.join(id.to_string());
                Node::new(id, dir, rng.random(), net.clone(), members.clone())
            })
            .collect();
        let data = members.iter().filter(|m| m.data).map(|m| m.id).collect();
        let clients = Clients::start(rng.random(), &net, data, &trace);
        World {
            rng,
            net,
            trace,
            nodes,
            clients,
            coverage: Coverage::default(),
            wrong: Vec::new(),
            seed: plan.seed,
            dir: dir.to_path_buf(),
        }
    }

    /// Runs it: faults for so many steps, then rest, then the verdict.
    pub fn run(&mut self, plan: &Plan) {
        let mut invariants = Invariants::default();
        let mut faults = Faults::new(self.rng.random());
        for node in &mut self.nodes {
            node.start();
        }
        let mut steps = 0;
        while steps < plan.steps && self.wrong.is_empty() {
            steps += self.round();
            faults.strike(self);
            invariants.look(self);
        }
        if self.wrong.is_empty() {
            self.rest(&mut invariants);
        }
        if self.wrong.is_empty() {
            invariants.verdict(self);
        }
        let seen = self.clients.seen.lock();
        (self.coverage.acknowledged, self.coverage.unknown) = (seen.acknowledged, seen.unknown);
        self.coverage.losses = self.nodes.iter().map(|n| n.disk.losses().0).sum();
    }

    /// Every host's turn once; how many that were.
    pub fn round(&mut self) -> u64 {
        // The one place where time moves.
        std::thread::sleep(Duration::from_millis(self.rng.random_range(1..=3)));
        let mut order: Vec<usize> = (0..=self.nodes.len()).collect();
        order.shuffle(&mut self.rng);
        let mut steps = 0;
        for at in order {
            let Some(node) = self.nodes.get_mut(at) else {
                node::slice(&self.clients.runtime, &self.clients.local);
                steps += 1;
                continue;
            };
            let now = Instant::now();
            if node.back_at.is_some_and(|at| at <= now) {
                let id = node.id;
                self.trace.note(|| format!("node {id} starts"));
                node.start();
                node.rotten_at = node.gone.then_some(now);
            }
            if node.held_until.is_some_and(|until| until > now) || !node.up() {
                continue;
            }
            steps += 1;
            let ended = node.slice();
            if node
                .rotten_at
                .is_some_and(|at| at.elapsed() > ROT_FOUND_MAX)
            {
                self.wrong.push(format!(
                    "node {} started on a log with a flipped bit",
                    node.id
                ));
                node.rotten_at = None;
            }
            if ended.is_some() || node.disk.dead() {
                let why = ended.unwrap_or_else(|| "its power went".into());
                // The folder's name is another in each run.
                let (id, why) = (node.id, why.replace(&*self.dir.to_string_lossy(), "…"));
                self.trace.note(|| format!("node {id} is down: {why}"));
                node.crash(true);
                node.back_at = Some(now + Duration::from_millis(self.rng.random_range(100..2500)));
                self.ended(at, &why);
            }
        }
        steps
    }

    /// What it means that a node ended by itself.
    fn ended(&mut self, at: usize, why: &str) {
        let lawful = [
            "its power went",
            "the log stopped",
            "the power is off",
            "Raft stopped",
        ];
        let damaged =
            why.contains("damage") || why.contains("checksum") || why.contains("incomplete");
        if self.nodes[at].gone && damaged {
            // It is replaced.
            self.nodes[at].back_at = None;
            self.nodes[at].rotten_at = None;
            let id = self.nodes[at].id;
            self.clients.seen.lock().nodes.retain(|n| *n != id);
        } else if !lawful.iter().any(|l| why.contains(l)) || why.contains("digest") {
            self.wrong
                .push(format!("node {} ended: {why}", self.nodes[at].id));
        }
    }

    /// No more faults: all nodes run, and must agree within a bound.
    fn rest(&mut self, invariants: &mut Invariants) {
        self.trace.note(|| "no more faults".into());
        self.net.heal();
        let now = Instant::now();
        for node in self.nodes.iter_mut().filter(|n| !n.gone) {
            node.held_until = None;
            node.disk.slow(false);
            node.clocks.set_off(0);
            if !node.up() {
                node.back_at = Some(now);
            }
        }
        // Clients go on for a while: writes must be acknowledged again.
        let acknowledged = self.clients.seen.lock().acknowledged;
        let again = |world: &mut World, _: &Invariants| {
            world.clients.seen.lock().acknowledged >= acknowledged + 50
        };
        if !self.comes_about(invariants, "nothing is acknowledged", again) {
            return;
        }
        self.clients.seen.lock().stop = true;
        let done = Arc::new(Mutex::new(false));
        let (net, trace) = (self.net.clone(), self.trace.clone());
        self.clients.read_all(&net, &trace, done.clone());
        let mut mended = Instant::now();
        self.comes_about(
            invariants,
            "the nodes do not agree",
            |world: &mut World, invariants: &Invariants| {
                if *done.lock() && invariants.agree(world) {
                    return true;
                }
                if mended.elapsed() > Duration::from_secs(2) {
                    mended = Instant::now();
                    faults::mend_members(world);
                }
                false
            },
        );
    }

    /// Goes on until `done`, which must come about in time, with nothing wrong meanwhile. Says whether it did.
    fn comes_about(
        &mut self,
        invariants: &mut Invariants,
        otherwise: &str,
        mut done: impl FnMut(&mut World, &Invariants) -> bool,
    ) -> bool {
        let begun = Instant::now();
        while !done(self, invariants) {
            self.round();
            invariants.look(self);
            if begun.elapsed() > CONVERGE_MAX {
                self.wrong.push(format!(
                    "{otherwise} {} s after the last fault: {}",
                    CONVERGE_MAX.as_secs(),
                    self.describe()
                ));
            }
            if !self.wrong.is_empty() {
                return false;
            }
        }
        true
    }

    /// The nodes in a few words.
    pub fn describe(&self) -> String {
        let one = |n: &Node| match n.inside() {
            None => format!(
                "node {} is {}",
                n.id,
                if n.up() { "starting" } else { "down" }
            ),
            Some(inside) => {
                let core = inside.server.engine.lock();
                format!(
                    "node {}: {:?}, applied {:?}, last {:?}",
                    n.id,
                    core.role,
                    core.applied,
                    inside.group.log.last()
                )
            }
        };
        let all: Vec<_> = self.nodes.iter().map(one).collect();
        all.join("; ")
    }

    /// Adds a node that was never there.
    pub fn add_node(&mut self) {
        let id = self.nodes.iter().map(|n| n.id).max().unwrap_or(0) + 1;
        let dir = self.dir.join(id.to_string());
        let seed = self.rng.random();
        let mut node = Node::new(id, dir, seed, self.net.clone(), Vec::new());
        node.start();
        self.nodes.push(node);
        self.clients.seen.lock().nodes.push(id);
    }

    /// The seed, for whoever reports.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
