//! Bit rot: how it is looked for while a node runs, and what keeps a node from starting on a disk that lost something.
//!
//! Always: a disk that was found damaged once is never started on again, whatever a later look at it says; the file that says
//! so is removed by a person alone. A log that forgot a vote or an acknowledged write must not vote.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::base::work;
use crate::log::{self, Log};
use crate::store::{self, Store};

/// The file in a data folder that says so.
pub const MARK: &str = "damaged";
/// What the copy of the store is called that is read.
const COPY: &str = "scrub";

/// What is wrong, where an error says that a disk lost something.
fn damage_in(error: &anyhow::Error) -> Option<String> {
    let found = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<log::Error>(),
            Some(log::Error::Damage { .. })
        ) || matches!(
            cause.downcast_ref::<store::Error>(),
            Some(store::Error::Damage { .. })
        )
    });
    found.then(|| format!("{error:#}"))
}

/// Notes that a data folder's disk lost something, where that is what an error says. Never replaced.
pub fn note(data_dir: &Path, error: &anyhow::Error) {
    let path = data_dir.join(MARK);
    if let Some(what) = damage_in(error)
        && !path.exists()
        && let Err(e) = std::fs::write(&path, what + "\n")
    {
        tracing::error!("{}: {e}", path.display());
    }
}

/// Refuses a data folder that was found damaged.
///
/// # Errors
/// What was found.
pub fn refuse(data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join(MARK);
    if let Ok(what) = std::fs::read_to_string(&path) {
        bail!(
            "this node's disk was found damaged: {}. Replace it under a new id; {} says so, and removing that file starts the node \
             on what is left",
            what.trim(),
            path.display()
        );
    }
    Ok(())
}

/// Reads everything on the disk again and again, and returns what was found damaged.
pub async fn scrub(
    log: Log,
    store: Arc<Store>,
    data_dir: PathBuf,
    every: Duration,
) -> anyhow::Error {
    loop {
        tokio::time::sleep(every).await;
        let (log, store, dir) = (log.clone(), store.clone(), data_dir.clone());
        let looked = work::blocking(move || look(&log, &store, &dir)).await;
        let looked = looked.map_err(anyhow::Error::from).and_then(|l| l);
        match looked {
            Ok(bytes) => tracing::info!(bytes, "the disk was read: nothing is damaged"),
            Err(error) if damage_in(&error).is_some() => return error,
            // It may be full, or the node is about to stop: the next look says more.
            Err(error) => tracing::warn!("the disk could not be read as a whole: {error:#}"),
        }
    }
}

/// One look at log and store. How many bytes of log were read.
fn look(log: &Log, store: &Store, data_dir: &Path) -> anyhow::Result<u64> {
    let bytes = log.scrub().context("a look at the log")?;
    let copy = data_dir.join(COPY);
    // What a node that was killed left.
    let _ = std::fs::remove_dir_all(&copy);
    let seen = store
        .checkpoint_blocking(&copy)
        .and_then(|_| store.base().verify(&copy).map(drop));
    let removed = std::fs::remove_dir_all(&copy);
    seen.context("a look at the store")?;
    removed.context("the copy that was read")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_was_found_damaged_is_not_started_on() {
        let dir = tempfile::tempdir().unwrap();
        refuse(dir.path()).unwrap();
        note(dir.path(), &anyhow::anyhow!("no room"));
        refuse(dir.path()).unwrap();
        let damage = log::Error::Damage {
            file: "7.log".into(),
            offset: 9,
            what: "a bit".into(),
        };
        note(dir.path(), &anyhow::Error::from(damage).context("the log"));
        let why = refuse(dir.path()).unwrap_err().to_string();
        assert!(why.contains("7.log is damaged at byte 9"), "{why}");
        assert!(why.contains("removing that file"), "{why}");
    }
}
