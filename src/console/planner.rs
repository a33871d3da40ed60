//! What to do next: a pure function of what is wanted and what is observed.
//!
//! Always: one action at a time, each can be done again; "unknown" is an observation, and nothing is concluded from
//! a node's silence alone. A node is replaced only where a primary serves and its disk is seen to be gone, or its whole host has
//! been silent for long; a standby is begun anew or taken out only while all voters answer, so that no step ever takes a majority apart.

use super::model::Wanted;

/// How many entries a voter may lag and still count as one that has all.
const LAG_MAX: u64 = 1000;

/// With that many voters one can begin anew, and the others are a majority.
const VOTERS_TO_RESTART: usize = 3;

/// What is wanted of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// On, off or gone.
    pub wanted: Wanted,
    /// How many nodes with data its plan has.
    pub data: usize,
    /// How many witnesses.
    pub witnesses: usize,
    /// What it holds is to be replaced by what a backup has.
    pub restore: bool,
}

/// How many nodes with data and how many witnesses a plan has.
pub fn shape_of(plan: &str) -> (usize, usize) {
    match plan {
        "business" => (2, 1),
        "premium" => (3, 0),
        _ => (1, 0),
    }
}

/// What is seen of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// There is something of it on the host.
    pub exists: bool,
    /// What keeps its processes running runs.
    pub supervised: bool,
    /// New nodes are begun as its plan has it.
    pub planned: bool,
    /// Something of it is archived.
    pub archived: bool,
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
    /// Its disk is gone, or damaged.
    pub lost: bool,
    /// It is there, and damaged: something of it may be saved.
    pub damaged: bool,
    /// It is silent, and so is its host, for so long that both are given up.
    pub away: bool,
    /// It votes on a host with others, while another host is free.
    pub crowded: bool,
    /// It runs with another memory than the plan has, or another release.
    pub outdated: bool,
    /// Entries that the primary committed and it has not.
    pub lag: u64,
}

impl Observed {
    fn voters_are_up(&self) -> bool {
        self.nodes.iter().filter(|n| n.voter).all(Seen::up)
    }
}

impl Seen {
    /// Another node is to take its place.
    fn is_gone(&self) -> bool {
        self.lost || self.away
    }

    /// It answers and has all.
    fn up(&self) -> bool {
        self.answers && !self.lost && self.lag <= LAG_MAX
    }
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
    /// Stop it, and replace what it holds by what its newest backup has, or by the one that was asked for.
    Restore,
    /// Have new nodes begun as the plan has it.
    SetPlan,
    /// Hand the primary's place to that node.
    HandOver(u64),
    /// Begin an empty node.
    AddNode {
        /// One that keeps the log alone.
        witness: bool,
        /// For the place of that one.
        lost: Option<u64>,
    },
    /// Make that node a member, and a voter once it has caught up.
    Join(u64),
    /// Put the node `new` in the place of `old`, once it has caught up.
    Replace {
        /// Whose disk or host is gone, or which shares its host.
        old: u64,
        /// Which takes its place.
        new: u64,
    },
    /// Begin that standby or witness anew, as the plan and the release have it.
    Restart(u64),
    /// Take that member out, and remove it.
    Leave(u64),
    /// Remove a node that is no member.
    RemoveNode(u64),
    /// Nothing can be done: someone has to know why.
    Alarm(String),
}

/// The next step; none where all is as wanted, or has to be waited for.
pub fn next(wish: &Wish, seen: &Observed) -> Option<Action> {
    match wish.wanted {
        Wanted::Gone if seen.supervised => Some(Action::Stop),
        Wanted::Gone => Some(Action::Delete),
        Wanted::Off => seen.supervised.then_some(Action::Stop),
        Wanted::On if wish.restore => Some(Action::Restore),
        Wanted::On if !seen.supervised => Some(Action::Start),
        Wanted::On => match seen.primary {
            Some(primary) if seen.nodes.iter().any(|n| n.is_gone() && n.member) => {
                replace(primary, seen, |n| n.is_gone() && n.member)
            }
            Some(primary) if seen.nodes.iter().any(|n| n.crowded) && seen.voters_are_up() => {
                replace(primary, seen, |n| n.crowded)
            }
            Some(primary) => shape(wish, primary, seen),
            None => leaderless(seen),
        },
    }
}

/// Without a primary nobody knows who is a member.
fn leaderless(seen: &Observed) -> Option<Action> {
    let gone: Vec<String> = seen
        .nodes
        .iter()
        .filter(|n| n.lost)
        .map(|n| n.id.to_string())
        .collect();
    if gone.len() * 2 < seen.nodes.len() || gone.is_empty() {
        // The others elect one of themselves.
        return None;
    }
    let damaged = seen.nodes.iter().any(|n| n.damaged);
    if gone.len() == seen.nodes.len() && seen.archived && !damaged {
        return Some(Action::Restore);
    }
    if damaged {
        // What is left may hold more than the archive: a person decides.
        return Some(Action::Alarm(format!(
            "no primary serves, and the disk of node {} is gone or damaged: restore the newest backup, which may hold less than \
             what is left, or have the node start on what is left by removing the file `damaged` in its data folder",
            gone.join(" and ")
        )));
    }
    let what = match gone.len() == seen.nodes.len() {
        true => "nothing of it is archived: its data is lost".to_string(),
        // A disk that is left may hold more than the archive.
        false => "what is left is to bring a node with its disk back, `pontoon admin recover` on one that has its disk, \
                  or to restore the newest backup, which may hold less"
            .to_string(),
    };
    Some(Action::Alarm(format!(
        "no primary serves, and the disk of node {} is gone: {what}",
        gone.join(" and ")
    )))
}

/// What to do about a member that is to give its place to another node.
fn replace(primary: u64, seen: &Observed, which: impl Fn(&Seen) -> bool) -> Option<Action> {
    let old = seen.nodes.iter().find(|n| which(n))?;
    if old.id == primary {
        let heir = seen
            .nodes
            .iter()
            .find(|n| n.voter && n.answers && !n.is_gone() && !n.witness && n.id != primary);
        return heir.map(|n| Action::HandOver(n.id));
    }
    let spare = seen
        .nodes
        .iter()
        .find(|n| !n.is_gone() && !n.voter && n.witness == old.witness);
    Some(match spare {
        Some(new) => Action::Replace {
            old: old.id,
            new: new.id,
        },
        None => Action::AddNode {
            witness: old.witness,
            lost: Some(old.id),
        },
    })
}

/// Brings the nodes to what the plan has, a step at a time and never below a majority: what is missing joins first, then
/// standbys begin anew, then the primary's place is handed over, then what is too many leaves.
fn shape(wish: &Wish, primary: u64, seen: &Observed) -> Option<Action> {
    if !seen.planned {
        return Some(Action::SetPlan);
    }
    let voters = |witness: bool| {
        let nodes = seen.nodes.iter();
        nodes.filter(move |n| n.voter && !n.lost && n.witness == witness)
    };
    let (data, witnesses) = (voters(false).count(), voters(true).count());
    let outdated = voters(false).any(|n| n.outdated);
    let fresh = voters(false).filter(|n| !n.outdated).count();
    // A node cannot begin anew without a gap where fewer than three vote: another one takes its place.
    let room = match outdated && wish.data == 1 {
        true if fresh == 0 && data + witnesses < VOTERS_TO_RESTART => data + 1,
        true => 2,
        false => wish.data,
    };
    let missing = |witness: bool| match witness {
        false => data < room,
        // A witness beside one node with data would only be in the way.
        true => witnesses < wish.witnesses && data > 1,
    };
    if let Some(new) = seen.nodes.iter().find(|n| !n.voter && !n.lost) {
        return match (missing(new.witness), new.member) {
            (true, _) => Some(Action::Join(new.id)),
            (false, true) => Some(Action::Leave(new.id)),
            (false, false) => Some(Action::RemoveNode(new.id)),
        };
    }
    // What was replaced.
    if let Some(left) = seen.nodes.iter().find(|n| !n.member) {
        return Some(Action::RemoveNode(left.id));
    }
    for witness in [false, true] {
        if missing(witness) {
            let lost = None;
            return Some(Action::AddNode { witness, lost });
        }
    }
    // From here on something is taken away for a while or for good.
    if !seen.nodes.iter().all(Seen::up) {
        return None;
    }
    let standby = |outdated: bool| {
        let others = voters(false).filter(move |n| n.id != primary && n.outdated == outdated);
        others.max_by_key(|n| n.id).map(|n| n.id)
    };
    if fresh < wish.data {
        return match standby(true) {
            Some(next) => Some(Action::Restart(next)),
            None => standby(false).map(Action::HandOver),
        };
    }
    // A witness that stays: the two with data are a majority meanwhile.
    if witnesses <= wish.witnesses
        && data + witnesses >= VOTERS_TO_RESTART
        && let Some(witness) = voters(true).find(|n| n.outdated)
    {
        return Some(Action::Restart(witness.id));
    }
    // What is too many goes: the witness before the last standby, and the primary not before it has handed over.
    if witnesses > wish.witnesses {
        return voters(true).next().map(|n| Action::Leave(n.id));
    }
    if data <= wish.data {
        return None;
    }
    let primary_outdated = voters(false).any(|n| n.id == primary && n.outdated);
    match standby(true) {
        Some(victim) => Some(Action::Leave(victim)),
        None if primary_outdated => standby(false).map(Action::HandOver),
        None => standby(false).map(Action::Leave),
    }
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
            planned: true,
            archived: false,
            primary: Some(1),
            nodes: vec![node(1), node(2), node(3)],
        }
    }

    fn wish(plan: &str) -> Wish {
        let (data, witnesses) = shape_of(plan);
        Wish {
            wanted: Wanted::On,
            data,
            witnesses,
            restore: false,
        }
    }

    fn premium(seen: &Observed) -> Option<Action> {
        next(&wish("premium"), seen)
    }

    #[test]
    fn a_node_whose_host_is_given_up_or_shared_gives_its_place() {
        for mark in [
            |n: &mut Seen| (n.away, n.answers) = (true, false),
            |n: &mut Seen| n.crowded = true,
        ] {
            let mut seen = three();
            mark(&mut seen.nodes[1]);
            let (witness, lost) = (false, Some(2));
            assert_eq!(premium(&seen), Some(Action::AddNode { witness, lost }));
            seen.nodes.push(Seen {
                id: 4,
                ..Seen::default()
            });
            assert_eq!(premium(&seen), Some(Action::Replace { old: 2, new: 4 }));
            seen.primary = None;
            assert_eq!(
                premium(&seen),
                None,
                "the others elect one, or nobody decides"
            );
        }
        let mut seen = three();
        seen.nodes[0].crowded = true;
        assert_eq!(premium(&seen), Some(Action::HandOver(2)));
        seen.nodes[2].answers = false;
        assert_eq!(
            premium(&seen),
            None,
            "a voter that does not answer is waited for"
        );
        // One node alone that is only cut off from here: it may serve, and is not doubled.
        seen = three();
        seen.nodes.truncate(1);
        (seen.primary, seen.nodes[0].away, seen.nodes[0].answers) = (None, true, false);
        assert_eq!(next(&wish("startup"), &seen), None);
    }

    #[test]
    fn a_service_is_started_stopped_and_deleted() {
        let wanted = |wanted| Wish {
            wanted,
            ..wish("premium")
        };
        let none = Observed::default();
        assert_eq!(premium(&none), Some(Action::Start));
        assert_eq!(next(&wanted(Wanted::Off), &none), None);
        assert_eq!(premium(&three()), None);
        let stop = Some(Action::Stop);
        assert_eq!(next(&wanted(Wanted::Off), &three()), stop);
        assert_eq!(next(&wanted(Wanted::Gone), &three()), stop);
        assert_eq!(next(&wanted(Wanted::Gone), &none), Some(Action::Delete));
    }

    #[test]
    fn a_node_without_its_disk_is_replaced_step_by_step() {
        let mut seen = three();
        (seen.nodes[1].lost, seen.nodes[1].answers) = (true, false);
        let add = Action::AddNode {
            witness: false,
            lost: Some(2),
        };
        assert_eq!(premium(&seen), Some(add));
        seen.nodes.push(Seen {
            id: 4,
            answers: true,
            ..Seen::default()
        });
        let replace = Some(Action::Replace { old: 2, new: 4 });
        assert_eq!(premium(&seen), replace);
        // A console that was killed in the middle finds a learner.
        seen.nodes[3].member = true;
        assert_eq!(premium(&seen), replace);
        seen.nodes[3].voter = true;
        (seen.nodes[1].member, seen.nodes[1].voter) = (false, false);
        assert_eq!(premium(&seen), Some(Action::RemoveNode(2)));
        seen.nodes.remove(1);
        assert_eq!(premium(&seen), None);
    }

    #[test]
    fn silence_alone_replaces_nobody() {
        let mut seen = three();
        seen.nodes[2].answers = false;
        assert_eq!(premium(&seen), None);
        seen.primary = None;
        assert_eq!(premium(&seen), None);
    }

    #[test]
    fn a_primary_without_its_disk_hands_over_first() {
        let mut seen = three();
        seen.nodes[0].lost = true;
        assert_eq!(premium(&seen), Some(Action::HandOver(2)));
        seen.nodes[1].answers = false;
        assert_eq!(premium(&seen), Some(Action::HandOver(3)));
    }

    #[test]
    fn without_a_primary_someone_is_told() {
        let mut seen = three();
        seen.primary = None;
        seen.archived = true;
        (seen.nodes[0].lost, seen.nodes[1].lost) = (true, true);
        let Some(Action::Alarm(text)) = premium(&seen) else {
            panic!("no alarm");
        };
        assert!(text.contains("node 1 and 2"), "{text}");
        seen.nodes[1].lost = false;
        assert_eq!(premium(&seen), None, "two of three elect a primary");
    }

    #[test]
    fn only_where_no_disk_is_left_a_backup_takes_its_place() {
        let mut seen = three();
        seen.primary = None;
        seen.nodes.iter_mut().for_each(|n| n.lost = true);
        assert!(matches!(premium(&seen), Some(Action::Alarm(_))));
        seen.archived = true;
        assert_eq!(premium(&seen), Some(Action::Restore));
        seen.nodes[1].damaged = true;
        assert!(
            matches!(premium(&seen), Some(Action::Alarm(_))),
            "something may be saved"
        );
        seen.nodes[1].damaged = false;
        seen.nodes[2].lost = false;
        assert!(matches!(premium(&seen), Some(Action::Alarm(_))));
        let asked = Wish {
            restore: true,
            ..wish("premium")
        };
        assert_eq!(next(&asked, &three()), Some(Action::Restore));
    }

    #[test]
    fn a_witness_is_replaced_by_a_witness() {
        let mut seen = three();
        (seen.nodes[2].witness, seen.nodes[2].lost) = (true, true);
        let add = Some(Action::AddNode {
            witness: true,
            lost: Some(3),
        });
        assert_eq!(next(&wish("business"), &seen), add);
        seen.nodes.push(Seen {
            id: 4,
            answers: true,
            ..Seen::default()
        });
        assert_eq!(next(&wish("business"), &seen), add, "4 keeps data");
        seen.nodes[3].witness = true;
        let replace = Some(Action::Replace { old: 3, new: 4 });
        assert_eq!(next(&wish("business"), &seen), replace);
    }

    /// A service that does what it is told at once, and checks that no step takes a majority away.
    struct World {
        seen: Observed,
        next_id: u64,
    }

    impl World {
        fn of(plan: &str) -> World {
            let (data, witnesses) = shape_of(plan);
            let mut seen = three();
            let count = u64::try_from(data + witnesses).unwrap();
            seen.nodes = (1..=count).map(node).collect();
            seen.nodes
                .iter_mut()
                .skip(data)
                .for_each(|n| n.witness = true);
            World {
                seen,
                next_id: count + 1,
            }
        }

        fn node(&mut self, id: u64) -> &mut Seen {
            self.seen.nodes.iter_mut().find(|n| n.id == id).unwrap()
        }

        fn act(&mut self, action: &Action) {
            let voters = self.seen.nodes.iter().filter(|n| n.voter).count();
            match *action {
                Action::SetPlan => self.seen.planned = true,
                Action::AddNode { witness, .. } => {
                    let id = self.next_id;
                    self.next_id += 1;
                    self.seen.nodes.push(Seen {
                        id,
                        witness,
                        answers: true,
                        ..Seen::default()
                    });
                }
                Action::Join(id) => {
                    let n = self.node(id);
                    (n.member, n.voter) = (true, true);
                }
                Action::HandOver(id) => {
                    let heir = self.node(id);
                    assert!(heir.voter && !heir.witness);
                    self.seen.primary = Some(id);
                }
                Action::Restart(id) => {
                    assert_ne!(self.seen.primary, Some(id), "the primary hands over first");
                    assert!(voters > 2, "the others are no majority meanwhile");
                    self.node(id).outdated = false;
                }
                Action::Leave(id) => {
                    assert_ne!(self.seen.primary, Some(id), "the primary hands over first");
                    self.seen.nodes.retain(|n| n.id != id);
                }
                ref other => panic!("{other:?} changes no plan"),
            }
        }
    }

    #[test]
    fn each_plan_becomes_each_other_with_and_without_another_memory() {
        let plans = ["hobbyist", "startup", "business", "premium"];
        for from in plans {
            for to in plans {
                for outdated in [false, true] {
                    let mut world = World::of(from);
                    world.seen.planned = false;
                    let all = world.seen.nodes.iter_mut();
                    all.for_each(|n| n.outdated = outdated);
                    let mut steps = Vec::new();
                    while let Some(action) = next(&wish(to), &world.seen) {
                        world.act(&action);
                        steps.push(action);
                        assert!(steps.len() < 20, "{from} to {to} has no end: {steps:?}");
                    }
                    let (data, witnesses) = shape_of(to);
                    let nodes = &world.seen.nodes;
                    let count = |witness| nodes.iter().filter(|n| n.witness == witness).count();
                    assert_eq!(
                        (count(false), count(true)),
                        (data, witnesses),
                        "{from} to {to}"
                    );
                    assert!(
                        nodes.iter().all(|n| !n.outdated && n.voter),
                        "{from} to {to}"
                    );
                    if from == to && !outdated {
                        assert_eq!(steps, [Action::SetPlan]);
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_taken_away_while_a_voter_is_silent_or_behind() {
        for wrong in [
            |n: &mut Seen| n.answers = false,
            |n: &mut Seen| n.lag = LAG_MAX + 1,
        ] {
            let mut seen = three();
            seen.nodes[1].outdated = true;
            assert_eq!(premium(&seen), Some(Action::Restart(2)));
            wrong(&mut seen.nodes[2]);
            assert_eq!(premium(&seen), None);
            assert_eq!(next(&wish("startup"), &seen), None);
        }
    }
}
