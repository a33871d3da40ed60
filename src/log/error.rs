//! What can go wrong with the log, told so that an operator knows what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the log cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was once on disk is not what was written. The node must not start on it: it could have
    /// forgotten a vote or an acknowledged write.
    #[error(
        "{} is damaged at byte {offset}: {what}. Replace this node under a new id; \
         a log that lost part of itself must not vote", file.display()
    )]
    Damage {
        /// The segment.
        file: PathBuf,
        /// Where in it, bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Written by another version.
    #[error("{} has format {found}; this version reads format {known}", file.display())]
    Version {
        /// The segment.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The format that can be read.
        known: u32,
    },
    /// Another process has the log open.
    #[error("the log in {} is open in another process; end that one first", .0.display())]
    Locked(PathBuf),
    /// The options contradict themselves.
    #[error("log options: {0}")]
    Options(String),
    /// The operating system refused.
    #[error("cannot {verb} {}: {source}", file.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        file: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// An entry or vote that cannot be stored.
    #[error("{what} of {len} bytes does not fit the log; at most {max} do")]
    TooLarge {
        /// Entry or vote.
        what: &'static str,
        /// Its length, bytes.
        len: usize,
        /// The longest possible, bytes.
        max: usize,
    },
    /// An append that leaves a hole or overlaps.
    #[error("entry {index} does not follow the log's last; the next must be {want}")]
    NotNext {
        /// The index given.
        index: u64,
        /// The index that would have followed.
        want: u64,
    },
    /// A write or sync failed earlier, and nothing is known of what the disk holds since.
    #[error("the log stopped when a write failed: {0}")]
    Stopped(String),
}

impl Error {
    pub(super) fn damage(file: &Path, offset: impl Into<u64>, what: impl Into<String>) -> Error {
        Error::Damage {
            file: file.into(),
            offset: offset.into(),
            what: what.into(),
        }
    }

    pub(super) fn io(verb: &'static str, file: &Path, source: io::Error) -> Error {
        Error::Io {
            verb,
            file: file.into(),
            source,
        }
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        let kind = match &e {
            Error::Damage { .. } | Error::Version { .. } => io::ErrorKind::InvalidData,
            Error::Io { source, .. } => source.kind(),
            Error::TooLarge { .. } | Error::NotNext { .. } | Error::Options(_) => {
                io::ErrorKind::InvalidInput
            }
            Error::Locked(_) | Error::Stopped(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, e)
    }
}
