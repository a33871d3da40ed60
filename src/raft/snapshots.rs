//! The snapshots of a node: checkpoints of its store.
//!
//! Always: a snapshot is on disk before Raft hears of it, and the newest alone is kept. Its files are read and checked by
//! who sends it, since entries are not applied while Raft asks for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use parking_lot::Mutex;

use super::snapshot_stream::SnapshotDir;
use super::types::{Config, LogId, SnapshotMeta, StoredMembership};
use crate::base::{remains, work};
use crate::store::{Error, Position, Store};

/// One of them, as Raft takes it.
pub type Snapshot = openraft::alias::SnapshotOf<Config, SnapshotDir>;

/// Where they are. Each is a directory named by its log index.
#[derive(Clone)]
pub struct Snapshots {
    dir: PathBuf,
    store: Arc<Store>,
    /// The one that was built last, by this process.
    built: Arc<Mutex<Option<(PathBuf, SnapshotMeta)>>>,
}

impl Snapshots {
    /// Those of `dir`, which is made where it is missing.
    pub fn open(dir: &Path, store: Arc<Store>) -> io::Result<Snapshots> {
        std::fs::create_dir_all(dir)?;
        Ok(Snapshots {
            dir: dir.to_path_buf(),
            store,
            built: Arc::default(),
        })
    }

    /// What builds the next.
    pub fn builder(&self) -> Builder {
        Builder(self.clone())
    }

    /// The newest; none where there is none that can be used.
    pub async fn current(&self) -> io::Result<Option<Snapshot>> {
        let Some(dir) = self.newest()? else {
            return Ok(None);
        };
        let base = self.store.base();
        let built = self.built.lock().clone().filter(|(at, _)| *at == dir);
        let meta = match built {
            Some((_, meta)) => meta,
            None => {
                let (base, at) = (base.clone(), dir.clone());
                match work::blocking(move || base.position(&at)).await? {
                    Ok(position) => meta_of(&position)?,
                    Err(e) => {
                        discard(&dir, &e);
                        return Ok(None);
                    }
                }
            }
        };
        let check = move |dir: &Path| base.verify(dir).map(drop).map_err(|e| discard(dir, &e));
        Ok(Some(Snapshot {
            meta,
            snapshot: SnapshotDir::checked(dir, check),
        }))
    }

    fn newest(&self) -> io::Result<Option<PathBuf>> {
        let mut best: Option<(u64, PathBuf)> = None;
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let index = path
                .file_name()
                .and_then(|n| n.to_str())
                .and_then(|n| n.parse::<u64>().ok());
            if let Some(index) = index.filter(|i| best.as_ref().is_none_or(|(b, _)| i > b)) {
                best = Some((index, path));
            }
        }
        Ok(best.map(|(_, path)| path))
    }
}

/// Removes a snapshot that cannot be used; what is wrong with it.
fn discard(dir: &Path, why: &Error) -> String {
    let removed = match remains::remove_dir_all(dir) {
        Ok(()) => "was removed".to_owned(),
        Err(e) => format!("could not be removed ({e})"),
    };
    let said = format!(
        "the snapshot {} is damaged and {removed}: {why}",
        dir.display()
    );
    tracing::error!("{said}");
    said
}

fn meta_of(position: &Position) -> io::Result<SnapshotMeta> {
    let last_membership = if position.membership.is_empty() {
        StoredMembership::default()
    } else {
        serde_json::from_slice(&position.membership)?
    };
    Ok(SnapshotMeta {
        last_log_id: Some(LogId::new_term_index(position.term, position.index)),
        last_membership,
    })
}

/// Builds snapshots as checkpoints of the store.
pub struct Builder(Snapshots);

impl Builder {
    /// Builds one, and removes those before it.
    pub async fn build(&mut self) -> io::Result<Snapshot> {
        let Snapshots {
            dir: all,
            store,
            built,
        } = &self.0;
        let temp = all.join("building");
        if temp.exists() {
            remains::remove_dir_all(&temp)?;
        }
        let position = store.checkpoint(&temp).await.map_err(io::Error::other)?;
        let dir = all.join(position.index.to_string());
        if dir.exists() {
            remains::remove_dir_all(&temp)?;
        } else {
            std::fs::rename(&temp, &dir)?;
            std::fs::File::open(all)?.sync_all()?;
        }
        // A transfer that still reads the older one holds its files open or fails and begins anew.
        for entry in std::fs::read_dir(all)? {
            let path = entry?.path();
            if path != dir {
                remains::remove_dir_all(&path)?;
            }
        }
        let meta = meta_of(&position)?;
        *built.lock() = Some((dir.clone(), meta.clone()));
        Ok(Snapshot {
            meta,
            snapshot: SnapshotDir::at(dir),
        })
    }
}

impl RaftSnapshotBuilder<Config> for Builder {
    type SnapshotData = SnapshotDir;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.build().await
    }
}
