//! The harness is believed because it catches these: each planted bug under its fault, and nothing without it.
//!
//! Always: both runs have the same faults and the same staged mishap; a bug that is not caught fails, and so does a clean run
//! in which anything is found.

use std::path::Path;

use anyhow::ensure;
use rand::rngs::StdRng;

use crate::cluster::Setup;
use crate::{Fault, Place, disk, print};

/// A bug, and what brings it to light.
struct Case {
    bug: &'static str,
    mishap: Option<&'static str>,
    faults: &'static [Fault],
    /// What the finding must say.
    finding: &'static str,
    /// Rounds within which it must be caught.
    rounds: usize,
}

const CASES: [Case; 6] = [
    Case {
        bug: "reply-before-sync",
        mishap: None,
        faults: &[Fault::CutAll],
        finding: "acknowledged writes are lost",
        rounds: 2,
    },
    Case {
        bug: "stale-read-after-pause",
        mishap: None,
        faults: &[Fault::PauseLong],
        finding: "is not linearizable",
        rounds: 3,
    },
    Case {
        bug: "apply-twice",
        mishap: None,
        faults: &[Fault::Transfer],
        finding: "is not linearizable",
        rounds: 1,
    },
    Case {
        bug: "apply-over-gap",
        mishap: Some("refused-proposal"),
        faults: &[Fault::KillLeader, Fault::KillLeader],
        // Of two transfers that share an account the second alone took effect.
        finding: "together instead of",
        rounds: 3,
    },
    Case {
        bug: "skip-undo",
        mishap: None,
        faults: &[Fault::HoldAndDepose],
        finding: "digests differ",
        rounds: 3,
    },
    Case {
        bug: "early-execution",
        mishap: Some("slow-apply"),
        faults: &[Fault::KillLeader, Fault::KillLeader],
        finding: "is not linearizable",
        rounds: 3,
    },
];

/// Runs all, or those named.
///
/// # Errors
/// When one is not caught, or found where it is not.
pub fn run(bin: &Path, only: &[String], rng: &mut StdRng) -> anyhow::Result<()> {
    ensure!(
        cfg!(feature = "planted-bugs"),
        "built without the feature planted-bugs: there is nothing to catch"
    );
    for name in only {
        ensure!(
            CASES.iter().any(|c| c.bug == name),
            "no bug is called {name}"
        );
    }
    let mut failed = Vec::new();
    for case in CASES
        .iter()
        .filter(|c| only.is_empty() || only.iter().any(|o| o == c.bug))
    {
        let disks = case
            .faults
            .iter()
            .any(|f| matches!(f, Fault::CutAll | Fault::CutLeader));
        if disks && !disk::possible() {
            ensure!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{} needs root",
                case.bug
            );
            println!("SKIPPED: {}: power cuts need root", case.bug);
            continue;
        }
        println!("{}: planted", case.bug);
        let rounds = match rounds(bin, case, Some(case.bug), disks, case.rounds, rng) {
            Ok((true, rounds)) => rounds,
            Ok((false, rounds)) => {
                failed.push(format!("{} was not caught", case.bug));
                rounds
            }
            Err(e) => {
                failed.push(format!("{} was not caught: {e:#}", case.bug));
                1
            }
        };
        println!("{}: not planted", case.bug);
        let (found, _) = self::rounds(bin, case, None, disks, rounds, rng)?;
        if found {
            failed.push(format!("something was found without {}", case.bug));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// Rounds until something is found. Says whether something was, and in how many rounds.
fn rounds(
    bin: &Path,
    case: &Case,
    bug: Option<&'static str>,
    disks: bool,
    most: usize,
    rng: &mut StdRng,
) -> anyhow::Result<(bool, usize)> {
    let setup = Setup {
        bug,
        mishap: case.mishap,
        ..Setup::default()
    };
    let mut place = Place::open(bin, &setup, disks)?;
    for round in 1..=most {
        // A cluster that does not come back is an error, not a finding: what is caught must be named.
        let (strikes, found) = place.round(case.faults, rng)?;
        print(&found);
        ensure!(
            strikes.iter().all(|s| s.1.struck),
            "the fault did not strike"
        );
        if found
            .wrong
            .iter()
            .any(|w| bug.is_none() || w.contains(case.finding))
        {
            return Ok((true, round));
        }
    }
    place.cluster.stop()?;
    Ok((false, most))
}
