//! What to do next: a pure function of what is wanted and what is observed.
//!
//! Always: one action at a time, each can be done again; "unknown" is an observation, and nothing is concluded from
//! silence alone. A node is replaced only where its disk is seen to be gone and a primary serves, so that no replacement
//! ever takes a majority apart.

use super::model::Wanted;

/// What is seen of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// There is something of it on the host.
    pub exists: bool,
    /// What keeps its processes running runs.
    pub supervised: bool,
    /// The node that serves as primary.
    pub primary: Option<u64>,
    /// Its nodes.
    pub nodes: Vec<Seen>,
}

/// What is seen of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: u64,
    /// Whether the primary counts it as a member: as voter or learner.
    pub member: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it keeps the log alone.
    pub witness: bool,
    /// Whether it answers.
    pub answers: bool,
    /// Its disk is gone.
    pub lost: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start what keeps its processes running.
    Start,
    /// Stop all its processes.
    Stop,
    /// Remove all that it has on the host, and then the service itself.
    Delete,
    /// Hand the primary's place to that node.
    HandOver(u64),
    /// Begin an empty node that will take that one's place.
    AddNode(u64),
    /// Put the node `new` in the place of `old`, once it has caught up.
    Replace {
        /// Whose disk is gone.
        old: u64,
        /// Which takes its place.
        new: u64,
    },
    /// Remove a node that is no member.
    RemoveNode(u64),
    /// Nothing can be done: someone has to know why.
    Alarm(String),
}

/// The next step; none where all is as wanted, or has to be waited for.
pub fn next(wanted: Wanted, seen: &Observed) -> Option<Action> {
    match wanted {
        Wanted::Gone if seen.supervised => Some(Action::Stop),
        Wanted::Gone => Some(Action::Delete),
        Wanted::Off => seen.supervised.then_some(Action::Stop),
        Wanted::On if !seen.supervised => Some(Action::Start),
        Wanted::On => mend(seen),
    }
}

/// What to do about nodes whose disk is gone.
fn mend(seen: &Observed) -> Option<Action> {
    let lost = |n: &&Seen| n.lost && n.member;
    let Some(primary) = seen.primary else {
        // Without a primary nobody knows who is a member.
        let gone: Vec<String> = seen
            .nodes
            .iter()
            .filter(|n| n.lost)
            .map(|n| n.id.to_string())
            .collect();
        if gone.len() * 2 < seen.nodes.len() {
            // The others elect one of themselves.
            return None;
        }
        return (!gone.is_empty()).then(|| {
            Action::Alarm(format!(
                "no primary serves, and the disk of node {} is gone: what is left is to bring a node with its disk back, or \
                 `pontoon admin recover`",
                gone.join(" and ")
            ))
        });
    };
    let spare = seen
        .nodes
        .iter()
        .find(|n| !n.lost && (!n.member || !n.voter));
    if let Some(old) = seen.nodes.iter().find(lost) {
        if old.witness {
            return Some(Action::Alarm(format!(
                "the witness, node {}, has lost its disk: put another in its place with `pontoon admin replace --role witness`",
                old.id
            )));
        }
        if old.id == primary {
            let heir = seen
                .nodes
                .iter()
                .find(|n| n.voter && n.answers && !n.lost && !n.witness);
            return heir.map(|n| Action::HandOver(n.id));
        }
        return Some(match spare {
            Some(new) => Action::Replace {
                old: old.id,
                new: new.id,
            },
            None => Action::AddNode(old.id),
        });
    }
    // What was replaced, or was to replace a node that came back.
    let left = seen.nodes.iter().find(|n| !n.member);
    left.map(|n| Action::RemoveNode(n.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> Seen {
        Seen {
            id,
            member: true,
            voter: true,
            answers: true,
            ..Seen::default()
        }
    }

    fn three() -> Observed {
        Observed {
            exists: true,
            supervised: true,
            primary: Some(1),
            nodes: vec![node(1), node(2), node(3)],
        }
    }

    #[test]
    fn a_service_is_started_stopped_and_deleted() {
        let none = Observed::default();
        assert_eq!(next(Wanted::On, &none), Some(Action::Start));
        assert_eq!(next(Wanted::Off, &none), None);
        assert_eq!(next(Wanted::On, &three()), None);
        assert_eq!(next(Wanted::Off, &three()), Some(Action::Stop));
        assert_eq!(next(Wanted::Gone, &three()), Some(Action::Stop));
        assert_eq!(next(Wanted::Gone, &none), Some(Action::Delete));
    }

    #[test]
    fn a_node_without_its_disk_is_replaced_step_by_step() {
        let mut seen = three();
        (seen.nodes[1].lost, seen.nodes[1].answers) = (true, false);
        assert_eq!(next(Wanted::On, &seen), Some(Action::AddNode(2)));
        seen.nodes.push(Seen {
            id: 4,
            answers: true,
            ..Seen::default()
        });
        let replace = Some(Action::Replace { old: 2, new: 4 });
        assert_eq!(next(Wanted::On, &seen), replace);
        // A console that was killed in the middle finds a learner.
        seen.nodes[3].member = true;
        assert_eq!(next(Wanted::On, &seen), replace);
        seen.nodes[3].voter = true;
        (seen.nodes[1].member, seen.nodes[1].voter) = (false, false);
        assert_eq!(next(Wanted::On, &seen), Some(Action::RemoveNode(2)));
        seen.nodes.remove(1);
        assert_eq!(next(Wanted::On, &seen), None);
    }

    #[test]
    fn silence_alone_replaces_nobody() {
        let mut seen = three();
        seen.nodes[2].answers = false;
        assert_eq!(next(Wanted::On, &seen), None);
        seen.primary = None;
        assert_eq!(next(Wanted::On, &seen), None);
    }

    #[test]
    fn a_primary_without_its_disk_hands_over_first() {
        let mut seen = three();
        seen.nodes[0].lost = true;
        assert_eq!(next(Wanted::On, &seen), Some(Action::HandOver(2)));
        seen.nodes[1].answers = false;
        assert_eq!(next(Wanted::On, &seen), Some(Action::HandOver(3)));
    }

    #[test]
    fn without_a_primary_someone_is_told() {
        let mut seen = three();
        seen.primary = None;
        (seen.nodes[0].lost, seen.nodes[1].lost) = (true, true);
        let Some(Action::Alarm(text)) = next(Wanted::On, &seen) else {
            panic!("no alarm");
        };
        assert!(text.contains("node 1 and 2"), "{text}");
        seen.nodes[1].lost = false;
        assert_eq!(
            next(Wanted::On, &seen),
            None,
            "two of three elect a primary"
        );
    }

    #[test]
    fn a_witness_is_not_replaced_by_a_data_node() {
        let mut seen = three();
        (seen.nodes[2].witness, seen.nodes[2].lost) = (true, true);
        assert!(matches!(next(Wanted::On, &seen), Some(Action::Alarm(_))));
    }
}
