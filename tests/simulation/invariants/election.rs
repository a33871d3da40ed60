//! Election safety: a term has one leader.

use std::collections::BTreeMap;

use openraft::ServerState;
use openraft::rt::WatchReceiver as _;

use super::Seen;
use crate::trace::Trace;
use crate::world::Coverage;

/// Who led in which term.
#[derive(Default)]
pub struct Election {
    leaders: BTreeMap<u64, u64>,
}

impl Election {
    /// Who leads now, and in which term.
    pub fn leads(&self, id: u64) -> Option<u64> {
        let (term, leader) = self.leaders.last_key_value()?;
        (*leader == id).then_some(*term)
    }

    pub fn look(
        &mut self,
        nodes: &[Seen],
        coverage: &mut Coverage,
        trace: &Trace,
        wrong: &mut Vec<String>,
    ) {
        for node in nodes {
            let metrics = node.inside.group.raft.server_metrics();
            let (leads, term) = {
                let m = metrics.borrow_watched();
                (m.state == ServerState::Leader, m.vote.leader_id.term)
            };
            if !leads {
                continue;
            }
            match self.leaders.get(&term) {
                None => {
                    self.leaders.insert(term, node.id);
                    coverage.leaders += 1;
                    coverage.witness += u64::from(node.witness);
                    trace.note(|| format!("node {} leads in term {term}", node.id));
                }
                Some(other) if *other != node.id => wrong.push(format!(
                    "election safety: nodes {other} and {} lead in term {term}",
                    node.id
                )),
                Some(_) => {}
            }
        }
    }
}
