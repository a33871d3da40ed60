//! The simulation is believed because it catches these: each planted bug, within so many seeds.

use anyhow::ensure;

use crate::run_world;

/// Seeds within which each must be caught.
const SEEDS_MAX: u64 = 40;

/// The bugs, each with the mishap under which it shows, if it needs one. Without the bug nothing goes wrong under that.
const BUGS: [(&str, Option<&str>); 10] = [
    ("reply-before-sync", None),
    ("vote-not-synced", None),
    ("stale-read-after-pause", None),
    ("apply-twice", None),
    ("apply-over-gap", Some("refused-proposal")),
    ("skip-undo", None),
    ("early-execution", None),
    ("stale-snapshot", None),
    ("purge-too-far", None),
    ("expiry-by-local-clock", None),
];

/// Runs all, or those named; whether each was caught.
pub fn run(only: &[String], from: u64, steps: u64) -> anyhow::Result<bool> {
    ensure!(
        cfg!(feature = "planted-bugs"),
        "built without the feature planted-bugs: there is nothing to catch"
    );
    let mut all = true;
    for (bug, mishap) in BUGS {
        if !only.is_empty() && !only.iter().any(|o| o == bug) {
            continue;
        }
        let staged: Vec<_> = mishap
            .map(|m| ("PONTOON_STAGED_MISHAP", m))
            .into_iter()
            .collect();
        let with_bug = [&staged[..], &[("PONTOON_PLANTED_BUG", bug)]].concat();
        let mut caught = None;
        for seed in from..from + SEEDS_MAX {
            let told = run_world(seed, steps, false, &with_bug)?;
            if let Some(wrong) = told.wrong.into_iter().next() {
                caught = Some((seed, wrong));
                break;
            }
        }
        if mishap.is_some() {
            let told = run_world(from, steps, false, &staged)?;
            for wrong in told.wrong {
                println!("{bug}: not planted, and found: {wrong}");
                all = false;
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
