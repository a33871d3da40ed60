//! What an operator should know of a node: that it is silent, or what it says of its disk, its syncs, its clock, its memory, and
//! how far it is behind.
//!
//! Always: a trouble is told once when it has lasted for a while, and once when it is over for as long; what comes and goes
//! in between is shown while it is there and told to nobody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::proto::StatusReply;

/// How long a trouble lasts before it is told, and how long it is gone before it is over.
const LASTING: Duration = Duration::from_secs(5);
/// As long for silence: a node that is begun anew is silent while it loads.
const SILENCE: Duration = Duration::from_secs(30);
/// The share of the memory at which writes are refused, %.
const MEMORY_MAX: u64 = 90;
/// A node's clock may differ by so much from the console's: expiry and restores by time follow it.
const CLOCK_MAX_MS: i64 = 1000;
/// A sync of the log may take as long, microseconds. Writes wait for it.
const SYNC_MAX_US: u64 = 1_000_000;
/// Log entries that a node may lack of what is committed.
const LAG_MAX: u64 = 10_000;

/// What may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Disk,
    Sync,
    Clock,
    Lag,
    Memory,
    Silent,
}

impl Kind {
    fn lasting(self) -> Duration {
        match self {
            Kind::Silent => SILENCE,
            _ => LASTING,
        }
    }
}

/// What is wrong with a node that does not answer.
pub fn silent() -> BTreeMap<Kind, String> {
    BTreeMap::from([(Kind::Silent, "it does not answer".to_string())])
}

/// What is wrong with a node by what it said, heard when the console's clock showed `heard_ms`.
pub fn troubles(said: &StatusReply, heard_ms: i64, lag: u64) -> BTreeMap<Kind, String> {
    let mut found = BTreeMap::new();
    match said.state.as_str() {
        "" | "running" | "loading" => {}
        // The Raft group's, which the nodes' health shows.
        "alarm: no standby" => {}
        state => drop(found.insert(Kind::Disk, format!("it says: {state}"))),
    }
    if said.sync_worst_us > SYNC_MAX_US {
        let seconds = said.sync_worst_us / 1_000_000;
        found.insert(
            Kind::Sync,
            format!("a sync of its disk took {seconds} s or more"),
        );
    }
    // A node before these fields says nothing of its clock.
    let offset = said.wall_ms.cast_signed() - heard_ms;
    if said.wall_ms != 0 && offset.abs() > CLOCK_MAX_MS {
        let (seconds, where_) = (
            offset.abs() / 1000,
            if offset > 0 { "ahead of" } else { "behind" },
        );
        found.insert(
            Kind::Clock,
            format!("its clock is {seconds} s {where_} the console's"),
        );
    }
    if lag > LAG_MAX {
        found.insert(
            Kind::Lag,
            format!("it is more than {LAG_MAX} log entries behind"),
        );
    }
    if said.refuses_at > 0 && said.used_memory > said.refuses_at / 100 * MEMORY_MAX {
        found.insert(
            Kind::Memory,
            format!("more than {MEMORY_MAX} % of its memory is used, and nothing is evicted"),
        );
    }
    found
}

/// The troubles of a service's nodes, and which were told.
#[derive(Debug, Default)]
pub struct Record(BTreeMap<(u64, Kind), Trouble>);

#[derive(Debug)]
struct Trouble {
    text: String,
    /// Since when it is there, or, where it was told, gone.
    since: Instant,
    there: bool,
    told: bool,
}

impl Record {
    /// What is to be told now that the nodes have these troubles. Of a node that is not in `now` nothing is known any more.
    pub fn update(
        &mut self,
        at: Instant,
        now: &BTreeMap<u64, BTreeMap<Kind, String>>,
    ) -> Vec<String> {
        let mut told = Vec::new();
        self.0.retain(|(node, _), _| now.contains_key(node));
        for (node, troubles) in now {
            for (kind, text) in troubles {
                let trouble = self.0.entry((*node, *kind)).or_insert(Trouble {
                    text: String::new(),
                    since: at,
                    there: true,
                    told: false,
                });
                if !trouble.there {
                    (trouble.there, trouble.since) = (true, at);
                }
                trouble.text.clone_from(text);
                if !trouble.told && at.saturating_duration_since(trouble.since) >= kind.lasting() {
                    trouble.told = true;
                    told.push(format!("node {node}: {text}"));
                }
            }
        }
        self.0.retain(|(node, kind), trouble| {
            if now[node].contains_key(kind) {
                return true;
            }
            if trouble.there {
                (trouble.there, trouble.since) = (false, at);
            }
            let over = at.saturating_duration_since(trouble.since) >= LASTING;
            if over && trouble.told {
                told.push(format!("node {node}: it is over that {}", trouble.text));
            }
            trouble.told && !over
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(state: &str, wall_ms: u64, sync_worst_us: u64) -> StatusReply {
        StatusReply {
            state: state.into(),
            wall_ms,
            sync_worst_us,
            ..StatusReply::default()
        }
    }

    #[test]
    fn a_sound_node_has_none() {
        assert!(troubles(&said("running", 5_000, 900_000), 5_900, 10_000).is_empty());
        assert!(troubles(&said("loading", 0, 0), 1_700_000_000_000, 0).is_empty());
        let full = |used_memory, refuses_at| StatusReply {
            used_memory,
            refuses_at,
            ..said("running", 0, 0)
        };
        assert!(troubles(&full(90_000, 100_000), 0, 0).is_empty());
        assert_eq!(troubles(&full(90_001, 100_000), 0, 0).len(), 1);
        assert!(troubles(&full(100_000, 0), 0, 0).is_empty(), "it evicts");
    }

    #[test]
    fn each_is_found() {
        let found = troubles(&said("disk low", 10_000, 2_500_000), 4_000, 10_001);
        let text: Vec<_> = found.values().map(String::as_str).collect();
        assert_eq!(
            text,
            [
                "it says: disk low",
                "a sync of its disk took 2 s or more",
                "its clock is 6 s ahead of the console's",
                "it is more than 10000 log entries behind",
            ]
        );
        let behind = troubles(&said("running", 1_000, 0), 3_001, 0);
        assert_eq!(
            behind[&Kind::Clock],
            "its clock is 2 s behind the console's"
        );
    }

    #[test]
    fn what_lasts_is_told_once_and_once_when_it_is_over() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let sick = BTreeMap::from([(2, troubles(&said("disk low", 0, 0), 0, 0))]);
        let well = BTreeMap::from([(2, BTreeMap::new())]);
        let mut record = Record::default();
        assert!(record.update(at(0), &sick).is_empty());
        assert!(record.update(at(4), &well).is_empty(), "it was short");
        assert!(record.update(at(10), &sick).is_empty());
        assert_eq!(record.update(at(15), &sick), ["node 2: it says: disk low"]);
        assert!(record.update(at(30), &sick).is_empty(), "told already");
        assert!(record.update(at(31), &well).is_empty());
        assert!(record.update(at(33), &sick).is_empty(), "still the same");
        assert!(record.update(at(40), &well).is_empty());
        assert_eq!(
            record.update(at(45), &well),
            ["node 2: it is over that it says: disk low"]
        );
        assert!(record.update(at(50), &well).is_empty());
    }
}
