//! Why a backup cannot be taken, believed, or restored: what is wrong, and with which object.

/// Why a part, a manifest or a key is refused: what is wrong, and with which object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file has no 32 bytes in hexadecimal.
    #[error(
        "the master key must be 64 hexadecimal digits (32 bytes); make one with `openssl rand -hex 32`"
    )]
    KeyText,
    /// The data key was wrapped by another master key, or the wrapped key was changed.
    #[error(
        "the data key of service {0} does not open: this is not the master key that wrapped it, or the wrapped key was changed"
    )]
    WrongKey(String),
    /// An object that the chain names is not there.
    #[error("{0} is missing from the archive")]
    Missing(String),
    /// An object ends early.
    #[error("{0} is truncated: its end is missing")]
    Truncated(String),
    /// An object was changed, or belongs to another service or place.
    #[error("{0} was changed, or it is of another service: it does not authenticate")]
    Tampered(String),
    /// An object stands where another one belongs.
    #[error("{name} was swapped: it holds what belongs to {found}")]
    Swapped {
        /// Where it stands.
        name: String,
        /// Whose content it has.
        found: String,
    },
    /// The archive is older than what was once seen of it.
    #[error(
        "the archive was rolled back: its newest manifest is {found}, but manifest {seen} was already written"
    )]
    RolledBack {
        /// The newest manifest there.
        found: u64,
        /// The newest manifest known to have been written.
        seen: u64,
    },
    /// A manifest does not continue its predecessor.
    #[error("manifest {number} does not continue its predecessor: {what}")]
    Broken {
        /// The manifest.
        number: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// Nothing in the archive reaches what was asked for.
    #[error("{0}")]
    Reach(String),
    /// A node's answer, or what a part holds, is not what it has to be.
    #[error("{0}")]
    Content(String),
    /// The object store failed.
    #[error("the object store: {0}")]
    Store(#[from] object_store::Error),
    /// A node failed.
    #[error("the node: {0}")]
    Node(String),
    /// Reading or writing failed.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
}
