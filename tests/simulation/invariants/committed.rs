//! Leader completeness, and that what was committed stays: an entry that any node has applied is the one that every
//! later leader has and every node applies at that place.

use std::collections::BTreeMap;

use super::Seen;
use super::election::Election;

/// How many of the newest committed entries a leader is asked for.
const ASKED: usize = 64;

/// What some node has applied: index and term.
#[derive(Default)]
pub struct Committed {
    terms: BTreeMap<u64, u64>,
}

impl Committed {
    pub fn look(&mut self, nodes: &[Seen], election: &Election, wrong: &mut Vec<String>) {
        for node in Seen::with_data(nodes) {
            let (index, term) = node.inside.server.engine.lock().applied;
            if index == 0 {
                continue;
            }
            let known = *self.terms.entry(index).or_insert(term);
            if known != term {
                wrong.push(format!(
                    "committed: node {} applied entry {index} of term {term}, another that of term {known}",
                    node.id
                ));
            }
        }
        for node in nodes {
            let log = &node.inside.group.log;
            let Some(term) = election.leads(node.id) else {
                continue;
            };
            let newest: Vec<_> = self.terms.iter().rev().take(ASKED).collect();
            for (index, committed) in newest {
                // What was committed in a later term is not this leader's to have.
                if *committed > term || log.purged().is_some_and(|p| p.index >= *index) {
                    continue;
                }
                let has = log
                    .last_of_terms(*index..*index + 1)
                    .first()
                    .map(|id| id.term);
                if has != Some(*committed) && node.inside.group.leads() {
                    wrong.push(format!(
                        "leader completeness: node {} leads in term {term} and has {has:?} for entry {index}, which was \
                         committed in term {committed}",
                        node.id
                    ));
                }
            }
        }
        while self.terms.len() > 20_000 {
            self.terms.pop_first();
        }
    }
}
