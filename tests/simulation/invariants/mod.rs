//! What must hold, each in a file of its own. Looked at from outside, between two steps, through what the nodes say of
//! themselves and what is in their logs and memory.

mod acknowledged;
mod committed;
mod election;
mod equal;
mod linearizable;
mod matching;
mod undo;

use std::time::{Duration, Instant};

use crate::node::Inside;
use crate::world::World;

/// How often logs and memories are compared: it takes longer than a step.
const COMPARE_EVERY: Duration = Duration::from_millis(40);

/// What was seen so far.
#[derive(Default)]
pub struct Invariants {
    election: election::Election,
    committed: committed::Committed,
    equal: equal::Equal,
    matching: matching::Matching,
    compared: Option<Instant>,
}

/// A node that serves.
pub struct Seen {
    pub id: u64,
    /// Which of its lives it is.
    pub life: u64,
    pub inside: Inside,
    /// It keeps the log alone.
    pub witness: bool,
}

impl Seen {
    /// Of those, the ones with data.
    fn with_data(nodes: &[Seen]) -> impl Iterator<Item = &Seen> {
        nodes.iter().filter(|n| !n.witness)
    }
}

impl Invariants {
    /// Looks at all nodes. What is wrong is told to the world.
    pub fn look(&mut self, world: &mut World) {
        let nodes: Vec<Seen> = world
            .nodes
            .iter()
            .filter_map(|n| {
                Some(Seen {
                    id: n.id,
                    life: n.lives,
                    witness: n.witness,
                    inside: n.inside()?,
                })
            })
            .collect();
        let mut wrong = Vec::new();
        self.election
            .look(&nodes, &mut world.coverage, &world.trace, &mut wrong);
        let due = self.compared.is_none_or(|at| at.elapsed() >= COMPARE_EVERY);
        if due {
            self.compared = Some(Instant::now());
            self.committed.look(&nodes, &self.election, &mut wrong);
            self.matching.look(&nodes, &mut world.coverage, &mut wrong);
            self.equal.look(&nodes, &mut world.coverage, &mut wrong);
            undo::look(&nodes, &mut world.coverage, &mut wrong);
        }
        let unexpected = std::mem::take(&mut world.clients.seen.lock().wrong);
        wrong.extend(unexpected);
        world.wrong.extend(wrong);
    }

    /// Whether all nodes have applied all there is, and hold the same.
    pub fn agree(&self, world: &World) -> bool {
        let mut found = Vec::new();
        for node in world.nodes.iter().filter(|n| !n.gone && !n.witness) {
            let Some(inside) = node.inside() else {
                return false;
            };
            found.push(inside.server.engine.lock().committed_digest());
        }
        found.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// What all that the clients saw comes to.
    pub fn verdict(&self, world: &mut World) {
        let histories = world.clients.seen.lock().histories.clone();
        acknowledged::look(&histories, &mut world.wrong);
        if world.wrong.is_empty() {
            linearizable::look(&histories, &mut world.wrong);
        }
    }
}
