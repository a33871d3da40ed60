//! Gate and undo: a node that does not execute holds exactly what is committed, whatever it had executed ahead.

use pontoon::engine::Role;

use super::Seen;
use crate::world::Coverage;

pub fn look(nodes: &[Seen], coverage: &mut Coverage, wrong: &mut Vec<String>) {
    for node in Seen::with_data(nodes) {
        let mut core = node.inside.server.engine.lock();
        coverage.undos += std::mem::take(&mut core.undone);
        if core.role == Role::Standby && core.ks.digest() != core.committed_digest().1 {
            wrong.push(format!(
                "undo: node {} does not lead, and holds something else than what is committed up to entry {}",
                node.id, core.applied.0
            ));
        }
    }
}
