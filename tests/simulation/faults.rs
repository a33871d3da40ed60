//! What goes wrong, when, and for how long: chosen by chance, several at a time.
//!
//! Always: what is done to a node is within what a group survives with all acknowledged writes; only a lost or rotten disk
//! counts against the majority, so there is one at a time, and the node is replaced under a new id before the next.

use std::time::{Duration, Instant};

use openraft::rt::WatchReceiver as _;
use pontoon::proto::admin_server::Admin as _;
use pontoon::proto::{AddRequest, NodeRequest, PromoteRequest};
use pontoon::raft::admin::Service;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tonic::Request;

use crate::node::Inside;
use crate::world::World;

/// What goes on now.
pub struct Faults {
    rng: SmallRng,
    next: Instant,
    heal_at: Option<Instant>,
    quick_at: Option<Instant>,
}

impl Faults {
    /// None yet: the nodes have a moment to elect a leader.
    pub fn new(seed: u64) -> Faults {
        Faults {
            rng: SmallRng::seed_from_u64(seed),
            next: Instant::now() + Duration::from_millis(1500),
            heal_at: None,
            quick_at: None,
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
        if now < self.next {
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
        match self.rng.random_range(0..100) {
            0..10 => {
                say(world, "killed");
                world.coverage.kills += 1;
                world.nodes[at].crash(false);
                self.back(world, at);
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
            42..64 => self.partition(world, at),
            64..70 => {
                say(world, "connections break");
                world.coverage.resets += 1;
                let others: Vec<u64> = world.nodes.iter().map(|n| n.id).collect();
                for other in others {
                    world.net.reset(id, other);
                }
                world.net.reset(id, crate::net::CLIENTS);
            }
            70..75 => {
                say(world, "the network is slow");
                world.coverage.resets += 1;
                let high = self.rng.random_range(2_000..150_000);
                world.net.slow((500, high), self.rng.random_range(0..300));
                self.heal_in(200..4000);
            }
            75..82 => {
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
            82..85 => {
                let us = self.rng.random_range(-3_600_000_000i64..3_600_000_000);
                say(world, &format!("its wall clock is off by {us} us"));
                world.coverage.jumps += 1;
                world.nodes[at].clocks.set_off(us);
            }
            85..95 => self.transfer(world),
            _ => self.change(world),
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
        let ms = match self.rng.random_range(0..5) {
            0 => self.rng.random_range(5000..12_000),
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
        world.coverage.changes += 1;
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

/// Makes a node a voter, whatever it is now; gives up after some seconds.
async fn join(admin: &Service, id: u64) {
    let member = crate::node::member(id);
    let add = AddRequest {
        id,
        peer_addr: member.peer_addr.clone(),
        client_addr: member.client_addr.clone(),
        announced: member.client_addr,
        ..Default::default()
    };
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
    let voters: Vec<u64> = {
        let metrics = inside.group.raft.server_metrics();
        let m = metrics.borrow_watched();
        m.membership_config.voter_ids().collect()
    };
    let lacking = world
        .nodes
        .iter()
        .find(|n| !n.gone && !voters.contains(&n.id));
    if let Some(id) = lacking.map(|n| n.id) {
        world.nodes[at].spawn(async move { join(&Service(inside.group), id).await });
    }
}

/// Whether a node leads, as it sees it.
pub fn leads(world: &World, at: usize) -> bool {
    world.nodes[at]
        .inside()
        .is_some_and(|inside| inside.group.leads())
}
