//! Gate and undo: a node that does not execute holds exactly what is committed, whatever it had executed ahead.

use pontoon::engine::Role;

use super::Seen;

pub fn look(nodes: &[Seen], wrong: &mut Vec<String>) {
    for node in nodes {
        let core = node.inside.server.engine.lock();
        if core.role == Role::Standby && core.ks.digest() != core.committed_digest().1 {
            wrong.push(format!(
                "undo: node {} does not lead, and holds something else than what is committed up to entry {}",
                node.id, core.applied.0
            ));
        }
    }
}
