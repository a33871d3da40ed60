//! What goes wrong, when, and for how long: chosen by chance, several at a time.
//!
//! Always: what is done to a node is within what a group survives with all acknowledged writes; only a lost or rotten disk
//! counts against the majority, so there is one at a time, and the node is replaced under a new id before the next.

use std::path::Path;
use std::time::{Duration, Instant};

use openraft::rt::WatchReceiver as _;
use pontoon::proto::admin_server::Admin as _;
use pontoon::proto::{AddRequest, NodeRequest, PromoteRequest, ReplaceRequest};
use pontoon::raft::admin::Service;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tonic::Request;

use crate::node::Inside;
use crate::world::World;

/// How long a change of the membership may be under way.
const CHANGE_MAX: Duration = Duration::from_secs(12);
/// How long a leader is waited for to have an entry that no other node has.
const ARMED_MAX: Duration = Duration::from_millis(500);
/// How long a node stays down at most, so that the others purge what it would need.
const BEHIND_MAX: Duration = Duration::from_secs(16);
/// Some of the kinds of faults.
const KILL: u32 = 0;
const CUT: u32 = 18;
const DEPOSE: u32 = 85;
/// How often a lost node's replacement is asked for.
const MEND_EVERY: Duration = Duration::from_secs(3);

/// What goes on now.
pub struct Faults {
    rng: SmallRng,
    next: Instant,
    /// When the membership was last changed, and what may still be under way.
    changed: Option<Instant>,
    mended: Instant,
    /// The leader that was cut off last, while no other leads.
    deposed: Option<u64>,
    heal_at: Option<Instant>,
    quick_at: Option<Instant>,
    /// A leader that is to be cut off once it alone has an entry, or at that time.
    armed: Option<(u64, Instant)>,
    /// A node that stays down until the others have purged what it would need, its last index, or until that time.
    behind: Option<(u64, u64, Instant)>,
    /// What comes first, each by itself, the last one first: a seed in which it never came about says nothing of it.
    first: Vec<u32>,
}

impl Faults {
    /// None yet: the nodes have a moment to elect a leader.
    pub fn new(seed: u64) -> Faults {
        let mut rng = SmallRng::seed_from_u64(seed);
        let first = match rng.random() {
            true => vec![KILL, CUT, DEPOSE, CUT],
            false => vec![CUT, DEPOSE, CUT, KILL],
        };
        Faults {
            rng,
            first,
            next: Instant::now() + Duration::from_millis(1500),
            changed: None,
            mended: Instant::now(),
            deposed: None,
            heal_at: None,
            quick_at: None,
            armed: None,
            behind: None,
        }
    }

    /// Ends what has lasted long enough, and begins something where it is time.
    pub fn strike(&mut self, world: &mut World) {
        let now = Instant::now();
        if self.heal_at.is_some_and(|at| at <= now) {
            self.heal_at = None;
            world.trace.note(|| "the network is whole".into());
            world.net.heal();
        }
        if self.quick_at.is_some_and(|at| at <= now) {
            self.quick_at = None;
            world.nodes.iter().for_each(|n| n.disk.slow(false));
        }
        if now > self.mended + MEND_EVERY {
            self.mended = now;
            if world.nodes.iter().any(|n| n.gone) {
                mend_members(world);
            }
        }
        self.roll(world);
        self.cut_off(world);
        self.catch_up(world);
        if now < self.next {
            return;
        }
        // What comes by itself finds all nodes up.
        let whole = self.leader(world).is_some() && world.nodes.iter().all(|n| n.gone || n.up());
        if !self.first.is_empty() && !whole {
            return;
        }
        // Now and then there is peace: long enough that the log is purged behind who is down, and clients get on.
        let pause = match self.rng.random_range(0..12) {
            0 => 4000..7000,
            1..7 => 20..300,
            _ => 200..900,
        };
        self.next = now + Duration::from_millis(self.rng.random_range(pause));
        self.one(world);
    }

    fn one(&mut self, world: &mut World) {
        let at = self.victim(world);
        let id = world.nodes[at].id;
        let say = |world: &World, what: &str| {
            let text = format!("fault: node {id}: {what}");
            world.trace.note(|| text);
        };
        let what = match self.first.pop() {
            Some(what) => {
                // Until it has come about.
                let last = match what {
                    DEPOSE => Duration::from_millis(3400),
                    CUT => Duration::from_millis(1500),
                    _ => BEHIND_MAX,
                };
                self.next = Instant::now() + last;
                what
            }
            None => self.rng.random_range(0..100),
        };
        match what {
            0..10 => {
                say(world, "killed");
                world.coverage.kills += 1;
                let last = world.nodes[at]
                    .inside()
                    .and_then(|i| i.group.log.last())
                    .map_or(0, |id| id.index);
                world.nodes[at].crash(false);
                // One at a time, while the others are whole.
                let all = world
                    .nodes
                    .iter()
                    .enumerate()
                    .all(|(i, n)| i == at || n.up());
                if self.behind.is_none() && last > 0 && all && !world.nodes[at].gone {
                    say(world, "stays down until the others have purged");
                    world.nodes[at].back_at = None;
                    self.behind = Some((id, last, Instant::now() + BEHIND_MAX));
                } else {
                    self.back(world, at);
                }
            }
            10..18 => {
                say(world, "its power is cut");
                world.coverage.cuts += 1;
                world.nodes[at].crash(true);
                self.back(world, at);
            }
            18..32 => {
                say(world, "its power goes at the next write");
                world.coverage.cuts += 1;
                world.nodes[at].disk.die_soon();
            }
            32..42 => {
                let ms = self.rng.random_range(50..3000);
                say(world, &format!("held for {ms} ms"));
                world.coverage.pauses += 1;
                world.nodes[at].held_until = Some(Instant::now() + Duration::from_millis(ms));
            }
            42..54 => self.partition(world, at),
            54..59 => {
                say(world, "connections break");
                world.coverage.resets += 1;
                let others: Vec<u64> = world.nodes.iter().map(|n| n.id).collect();
                for other in others {
                    world.net.reset(id, other);
                }
                world.net.reset(id, crate::net::CLIENTS);
            }
            59..64 => {
                say(world, "the network is slow");
                world.coverage.resets += 1;
                let high = self.rng.random_range(2_000..150_000);
                world.net.slow((500, high), self.rng.random_range(0..300));
                self.heal_in(200..4000);
            }
            64..70 => {
                let fails = self.rng.random_range(0..3) == 0;
                say(
                    world,
                    if fails {
                        "a sync fails"
                    } else {
                        "its disk is slow"
                    },
                );
                world.coverage.disks += 1;
                match fails {
                    true => world.nodes[at].disk.fail_next(),
                    false => world.nodes[at].disk.slow(true),
                }
                self.quick_at =
                    Some(Instant::now() + Duration::from_millis(self.rng.random_range(200..4000)));
            }
            70..73 => {
                let us = self.rng.random_range(-3_600_000_000i64..3_600_000_000);
                say(world, &format!("its wall clock is off by {us} us"));
                world.coverage.jumps += 1;
                world.nodes[at].clocks.set_off(us);
            }
            73..79 => self.transfer(world),
            79..82 => self.change(world),
            82..85 => self.rot(world),
            DEPOSE.. => self.depose(world),
        }
    }

    /// The leader as often as not.
    fn victim(&mut self, world: &World) -> usize {
        let alive: Vec<usize> = (0..world.nodes.len())
            .filter(|at| world.nodes[*at].up())
            .collect();
        let leader = alive.iter().copied().find(|at| leads(world, *at));
        match leader {
            Some(at) if self.rng.random() => at,
            _ if alive.is_empty() => self.rng.random_range(0..world.nodes.len()),
            _ => alive[self.rng.random_range(0..alive.len())],
        }
    }

    /// When a node comes back: mostly soon, sometimes after the others have purged their logs.
    fn back(&mut self, world: &mut World, at: usize) {
        let ms = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(6500..12_000),
            _ => self.rng.random_range(20..2500),
        };
        if !world.nodes[at].gone {
            world.nodes[at].back_at = Some(Instant::now() + Duration::from_millis(ms));
        }
    }

    fn heal_in(&mut self, ms: std::ops::Range<u64>) {
        self.heal_at = Some(Instant::now() + Duration::from_millis(self.rng.random_range(ms)));
    }

    fn partition(&mut self, world: &mut World, at: usize) {
        world.coverage.partitions += 1;
        let id = world.nodes[at].id;
        let others: Vec<u64> = world
            .nodes
            .iter()
            .map(|n| n.id)
            .filter(|o| *o != id)
            .collect();
        let kind = self.rng.random_range(0..4);
        world
            .trace
            .note(|| format!("fault: node {id}: cut off, kind {kind}"));
        for (i, other) in others.iter().enumerate() {
            match kind {
                // From all others.
                0 => {
                    world.net.cut(id, *other);
                    world.net.cut(*other, id);
                }
                // It is not heard.
                1 => world.net.cut(id, *other),
                // It does not hear.
                2 => world.net.cut(*other, id),
                // Only from one: a bridge is left.
                _ if i == 0 => {
                    world.net.cut(id, *other);
                    world.net.cut(*other, id);
                }
                _ => {}
            }
        }
        match self.rng.random_range(0..4) {
            0 => self.heal_in(5000..9000),
            _ => self.heal_in(100..3000),
        }
    }

    /// Who stayed down comes back once it needs a snapshot.
    fn catch_up(&mut self, world: &mut World) {
        let Some((id, last, until)) = self.behind else {
            return;
        };
        let purged = self
            .leader(world)
            .and_then(|(_, inside)| inside.group.log.purged())
            .is_some_and(|p| p.index > last);
        if !purged && until > Instant::now() {
            return;
        }
        self.behind = None;
        if self.next > Instant::now() + ARMED_MAX {
            self.next = Instant::now() + Duration::from_millis(3000);
        }
        if let Some(node) = world.nodes.iter_mut().find(|n| n.id == id)
            && !node.up()
            && !node.gone
            && node.back_at.is_none()
        {
            node.back_at = Some(Instant::now());
        }
    }

    /// The leader is cut off while clients write to it, until another leads.
    fn depose(&mut self, world: &mut World) {
        if let Some((at, _)) = self.leader(world) {
            let id = world.nodes[at].id;
            self.armed = Some((id, Instant::now() + ARMED_MAX));
        }
    }

    /// Cuts off the leader that is to be, once it has an entry that no other node has: that one is lost with it.
    fn cut_off(&mut self, world: &mut World) {
        let Some((wanted, until)) = self.armed else {
            return;
        };
        let leader = self.leader(world).filter(|l| world.nodes[l.0].id == wanted);
        let Some((at, inside)) = leader else {
            self.armed = None;
            return;
        };
        let others = world
            .nodes
            .iter()
            .filter(|n| n.id != wanted)
            .filter_map(|n| n.inside()?.group.log.last())
            .map(|id| id.index)
            .max();
        let alone = inside.group.log.last().map(|id| id.index) > others;
        if !alone && until > Instant::now() {
            return;
        }
        self.armed = None;
        world.coverage.partitions += 1;
        let id = world.nodes[at].id;
        world
            .trace
            .note(|| format!("fault: node {id} leads and is cut off"));
        for other in world.nodes.iter().map(|n| n.id).filter(|o| *o != id) {
            world.net.cut(id, other);
            world.net.cut(other, id);
        }
        self.heal_in(1200..3000);
        self.deposed = self.rng.random::<bool>().then_some(id);
    }

    /// Once another leads in place of one that was cut off: that one is back, the new leader is cut off in its turn, and who
    /// elected it loses its power. It must remember its vote.
    fn roll(&mut self, world: &mut World) {
        let Some(old) = self.deposed else {
            return;
        };
        let new = (0..world.nodes.len()).find(|at| world.nodes[*at].id != old && leads(world, *at));
        let Some(new) = new else {
            return;
        };
        self.deposed = None;
        let new_id = world.nodes[new].id;
        world
            .trace
            .note(|| format!("fault: node {new_id} is cut off in its turn"));
        world.net.heal();
        for at in 0..world.nodes.len() {
            let id = world.nodes[at].id;
            if at == new {
                continue;
            }
            world.net.cut(new_id, id);
            world.net.cut(id, new_id);
            if id != old && world.nodes[at].up() {
                world.coverage.cuts += 1;
                world.nodes[at].crash(true);
                if !world.nodes[at].gone {
                    world.nodes[at].back_at = Some(Instant::now() + Duration::from_millis(50));
                }
            }
        }
        self.heal_in(1500..3000);
    }

    /// A bit of a log flips while its node is down. The node must notice, and is replaced under a new id.
    fn rot(&mut self, world: &mut World) {
        let Some((leading, inside)) = self.leader(world) else {
            return;
        };
        let at = self.rng.random_range(0..world.nodes.len());
        let id = world.nodes[at].id;
        // It must not be needed for a majority: all others vote, and nothing is being changed.
        let voters = voters(&inside);
        let others: Vec<u64> = voters.iter().copied().filter(|v| *v != id).collect();
        let quiet = self.changed.is_none_or(|at| at.elapsed() > CHANGE_MAX);
        let witness = world.nodes.iter().any(|n| n.witness);
        if at == leading || others.len() != 2 || voters.len() != 3 || !quiet || witness {
            return;
        }
        world.nodes[at].crash(false);
        let (dir, chance) = (world.nodes[at].dir.join("log"), self.rng.random());
        if !flip(&dir, chance) {
            self.back(world, at);
            return;
        }
        world
            .trace
            .note(|| format!("fault: node {id}: a bit of its log flips"));
        world.coverage.rot += 1;
        self.changed = Some(Instant::now());
        world.nodes[at].gone = true;
        world.nodes[at].back_at = Some(Instant::now() + Duration::from_millis(500));
        world.add_node();
    }

    fn leader(&self, world: &World) -> Option<(usize, Inside)> {
        let at = (0..world.nodes.len()).find(|at| leads(world, *at))?;
        Some((at, world.nodes[at].inside()?))
    }

    fn transfer(&mut self, world: &mut World) {
        let Some((at, inside)) = self.leader(world) else {
            return;
        };
        let others: Vec<u64> = (0..world.nodes.len())
            .filter(|other| *other != at && world.nodes[*other].up())
            .map(|other| world.nodes[other].id)
            .collect();
        if others.is_empty() {
            return;
        }
        let to = others[self.rng.random_range(0..others.len())];
        world.coverage.transfers += 1;
        world
            .trace
            .note(|| format!("fault: leadership goes to node {to}"));
        world.nodes[at].spawn(async move {
            let request = Request::new(NodeRequest { id: to });
            let _ = Service(inside.group).transfer(request).await;
        });
    }

    /// A member leaves, or one that left comes back as a learner and then as a voter.
    fn change(&mut self, world: &mut World) {
        if world.nodes.iter().any(|n| n.witness) {
            return;
        }
        let Some((at, inside)) = self.leader(world) else {
            return;
        };
        let id = {
            let others: Vec<u64> = (0..world.nodes.len())
                .filter(|other| *other != at && !world.nodes[*other].gone)
                .map(|other| world.nodes[other].id)
                .collect();
            others[self.rng.random_range(0..others.len())]
        };
        if world
            .nodes
            .iter()
            .any(|n| n.gone && voters(&inside).contains(&n.id))
        {
            return;
        }
        world.coverage.changes += 1;
        self.changed = Some(Instant::now());
        world
            .trace
            .note(|| format!("fault: node {id} is removed, and added again"));
        world.nodes[at].spawn(async move {
            let admin = Service(inside.group);
            if admin.remove(Request::new(NodeRequest { id })).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                join(&admin, id).await;
            }
        });
    }
}

fn added(id: u64) -> AddRequest {
    let member = crate::node::member(id);
    AddRequest {
        id,
        peer_addr: member.peer_addr.clone(),
        client_addr: member.client_addr.clone(),
        announced: member.client_addr,
        ..Default::default()
    }
}

/// Makes a node a voter, whatever it is now; gives up after some seconds.
async fn join(admin: &Service, id: u64) {
    let add = added(id);
    for _ in 0..40 {
        let _ = admin.add_learner(Request::new(add.clone())).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let promote = PromoteRequest { id, lag_max: 0 };
        if admin.promote(Request::new(promote)).await.is_ok() {
            return;
        }
    }
}

/// Has the leader make voters of all nodes that are none: who asked before may have been lost with its leader.
pub fn mend_members(world: &World) {
    let Some(at) = (0..world.nodes.len()).find(|at| leads(world, *at)) else {
        return;
    };
    let Some(inside) = world.nodes[at].inside() else {
        return;
    };
    let voters = voters(&inside);
    let lacking = world
        .nodes
        .iter()
        .find(|n| !n.gone && !voters.contains(&n.id))
        .map(|n| n.id);
    let lost = world
        .nodes
        .iter()
        .find(|n| n.gone && voters.contains(&n.id))
        .map(|n| n.id);
    world.nodes[at].spawn(async move {
        let admin = Service(inside.group);
        match (lost, lacking) {
            (Some(old_id), Some(id)) => {
                let replace = ReplaceRequest {
                    old_id,
                    node: Some(added(id)),
                    timeout_ms: 5000,
                };
                // One that is a learner since an earlier attempt is refused here.
                if admin.replace(Request::new(replace)).await.is_err() {
                    join(&admin, id).await;
                }
            }
            (None, Some(id)) => join(&admin, id).await,
            (Some(id), None) => drop(admin.remove(Request::new(NodeRequest { id })).await),
            (None, None) => {}
        }
    });
}

fn voters(inside: &Inside) -> Vec<u64> {
    let metrics = inside.group.raft.server_metrics();
    let m = metrics.borrow_watched();
    m.membership_config.voter_ids().collect()
}

/// Flips one bit of what is written in one of the segments of a log; false where there is none.
fn flip(log: &Path, chance: u64) -> bool {
    let mut segments: Vec<_> = std::fs::read_dir(log)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    segments.sort();
    if segments.is_empty() {
        return false;
    }
    let path = &segments[chance as usize % segments.len()];
    let Ok(mut bytes) = std::fs::read(path) else {
        return false;
    };
    let written = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
    let at = (chance >> 8) as usize % (written + 1);
    bytes[at] ^= 1 << (chance >> 61);
    std::fs::write(path, bytes).is_ok()
}

/// Whether a node leads, as it sees it.
pub fn leads(world: &World, at: usize) -> bool {
    world.nodes[at]
        .inside()
        .is_some_and(|inside| inside.group.leads())
}
