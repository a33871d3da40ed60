//! State equality: nodes that have applied the same entries hold the same data, by the digest of memory.

use std::collections::BTreeMap;

use super::Seen;
use crate::world::Coverage;

/// The digest after each entry, by whom it was first seen.
#[derive(Default)]
pub struct Equal {
    digests: BTreeMap<u64, (u128, u64)>,
    applied: BTreeMap<u64, u64>,
}

impl Equal {
    pub fn look(&mut self, nodes: &[Seen], coverage: &mut Coverage, wrong: &mut Vec<String>) {
        for node in Seen::with_data(nodes) {
            let (index, digest, differed) = {
                let mut core = node.inside.server.engine.lock();
                let (index, digest) = core.committed_digest();
                (index, digest, std::mem::take(&mut core.differed))
            };
            if differed > 0 {
                wrong.push(format!(
                    "state equality: up to entry {index} node {} held something else than the leader after {differed} batches",
                    node.id
                ));
            }
            if index == 0 {
                continue;
            }
            let before = self.applied.insert(node.id, index).unwrap_or(0);
            // The log is purged far behind what is applied: where it begins beyond what was applied a moment ago, what is in
            // between came as a snapshot.
            let purged = node.inside.group.log.purged().map_or(0, |p| p.index);
            coverage.snapshots += u64::from(before > 0 && index > before && purged > before);
            let (known, by) = *self.digests.entry(index).or_insert((digest, node.id));
            if known != digest {
                wrong.push(format!(
                    "state equality: after entry {index} nodes {by} and {} hold different data",
                    node.id
                ));
            }
        }
        while self.digests.len() > 20_000 {
            self.digests.pop_first();
        }
    }
}
