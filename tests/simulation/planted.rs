//! The simulation is believed because it catches these: each planted bug, within so many seeds.

use anyhow::ensure;

use crate::run_world;

/// Seeds within which each must be caught.
const SEEDS_MAX: u64 = 40;

const BUGS: [&str; 7] = [
    "reply-before-sync",
    "vote-not-synced",
    "stale-read-after-pause",
    "apply-twice",
    "apply-over-gap",
    "skip-undo",
    "early-execution",
];

/// Runs all, or those named; whether each was caught.
pub fn run(only: &[String], from: u64, steps: u64) -> anyhow::Result<bool> {
    ensure!(
        cfg!(feature = "planted-bugs"),
        "built without the feature planted-bugs: there is nothing to catch"
    );
    let mut all = true;
    for bug in BUGS {
        if !only.is_empty() && !only.iter().any(|o| o == bug) {
            continue;
        }
        let mut caught = None;
        for seed in from..from + SEEDS_MAX {
            let told = run_world(seed, steps, false, Some(bug))?;
            if let Some(wrong) = told.wrong.into_iter().next() {
                caught = Some((seed, wrong));
                break;
            }
        }
        match caught {
            Some((seed, wrong)) => {
                println!("{bug}: caught by the {}. seed: {wrong}", seed - from + 1);
            }
            None => {
                println!("{bug}: NOT caught by {SEEDS_MAX} seeds");
                all = false;
            }
        }
    }
    Ok(all)
}
