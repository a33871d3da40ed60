//! Log matching: where two logs have an entry of the same index and term, they are the same up to there.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::Seen;
use crate::world::Coverage;

/// How far back logs are compared.
const BACK: u64 = 40;

/// What each entry was that was ever seen in a log, by index and term.
#[derive(Default)]
pub struct Matching {
    bodies: BTreeMap<(u64, u64), u64>,
    /// What each node's log ended with, in this life of it: what it loses with its power is no truncation.
    last: BTreeMap<(u64, u64), (u64, u64)>,
}

impl Matching {
    pub fn look(&mut self, nodes: &[Seen], coverage: &mut Coverage, wrong: &mut Vec<String>) {
        let mut tails = Vec::new();
        for node in nodes {
            let log = &node.inside.group.log;
            let Some(last) = log.last() else {
                continue;
            };
            let now = (last.index, last.term);
            if let Some((index, term)) = self.last.insert((node.id, node.life), now) {
                let still = log
                    .last_of_terms(index..index + 1)
                    .first()
                    .map(|id| id.term);
                let purged = log.purged().is_some_and(|p| p.index >= index);
                if !purged && still != Some(term) {
                    coverage.truncations += 1;
                }
            }
            let from = last
                .index
                .saturating_sub(BACK)
                .max(log.first_index().unwrap_or(u64::MAX));
            let entries = log
                .read_memory(from..last.index + 1, usize::MAX)
                .unwrap_or_default();
            let mut tail = BTreeMap::new();
            for entry in entries {
                let place = (entry.id.index, entry.id.term);
                let sum = xxh3_64(&entry.body);
                tail.insert(entry.id.index, entry.id.term);
                let known = *self.bodies.entry(place).or_insert(sum);
                if known != sum {
                    wrong.push(format!(
                        "log matching: two entries of index {} and term {}; one at node {}",
                        place.0, place.1, node.id
                    ));
                }
            }
            tails.push((node.id, tail));
        }
        for (i, (a, one)) in tails.iter().enumerate() {
            for (b, other) in &tails[i + 1..] {
                let same = |(index, term): (&u64, &u64)| other.get(index).map(|t| t == term);
                let fits: Vec<_> = one.iter().filter_map(same).collect();
                // Once the same, the same before.
                if fits.windows(2).any(|pair| !pair[0] && pair[1]) {
                    wrong.push(format!(
                        "log matching: nodes {a} and {b} agree at an entry and differ before it"
                    ));
                }
            }
        }
        while self.bodies.len() > 50_000 {
            self.bodies.pop_first();
        }
    }
}
