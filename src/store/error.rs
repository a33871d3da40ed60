//! What can go wrong in the store, told apart by what one does about it.

use std::path::{Path, PathBuf};

/// An error of the store. Damage calls for another copy of the data; the rest for an operator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Files are missing, cut or changed: the store must be fetched anew from a peer or a backup.
    #[error(
        "the store in {} is damaged: {what}; fetch a new copy from a peer or a backup",
        dir.display()
    )]
    Damage {
        /// The directory that holds the damaged files.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by another version of the program.
    #[error(
        "the store in {} has format {found}, this program reads format {expected}: start the version that wrote it",
        dir.display()
    )]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The version byte found.
        found: u8,
        /// The version byte that this program writes.
        expected: u8,
    },
    /// Another process, or another `Store` of this one, has the directory open.
    #[error("the store in {} is open elsewhere: stop the other process first ({what})", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// RocksDB's own text.
        what: String,
    },
    /// The system refused: disk full, no permission, an input or output error.
    #[error("the store in {} failed: {what}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What was tried and what the system said.
        what: String,
    },
    /// The store has stopped after an earlier error, which this repeats, or was closed.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    /// The caller's own function refused a row while loading.
    #[error("a row could not be loaded: {0}")]
    Row(String),
}

impl Error {
    /// Sorts an error that RocksDB reported on `dir`.
    pub(super) fn rocks(dir: &Path, error: &rocksdb::Error) -> Self {
        let what = error.to_string();
        let dir = dir.to_path_buf();
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Damage { dir, what },
            rocksdb::ErrorKind::IOError if what.contains("lock ") || what.contains("LOCK") => {
                Self::InUse { dir, what }
            }
            // A file that the manifest names is not there, or ends early.
            rocksdb::ErrorKind::IOError
                if what.contains("No such file") || what.contains("truncated") =>
            {
                Self::Damage { dir, what }
            }
            _ => Self::Io { dir, what },
        }
    }

    /// An error of the file system: `doing` names what was tried.
    pub(super) fn io(dir: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::Io {
            dir: dir.to_path_buf(),
            what: format!("could not {doing}: {error}"),
        }
    }

    /// Damage found on `dir`.
    pub(super) fn damage(dir: &Path, what: impl Into<String>) -> Self {
        Self::Damage {
            dir: dir.to_path_buf(),
            what: what.into(),
        }
    }

    /// Whether the files themselves are bad, so that a new copy of them would help.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damage { .. })
    }
}
