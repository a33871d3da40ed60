//! Backups: a service's data set and log in an archive that only the operator's master key opens, and nodes made from it.
//!
//! `key` and `part` encrypt, `manifest` chains what there is, `vault` keeps objects in a store of the operator's choice, `plain` is
//! what a part holds, `take` fills an archive from a node, `restore` makes a node's disk from it, `prove` loads a base to see
//! that it is what it was.
//!
//! Always: nothing in an archive is readable without the master key, and nothing of it is believed before it was
//! authenticated and found in the chain of manifests. Only committed entries get into it.

mod error;
pub mod key;
pub mod manifest;
mod part;
mod plain;
mod prove;
mod restore;
mod take;
mod vault;

pub use error::Error;
pub use prove::prove;
pub use restore::{Restored, Target, restore};
pub use take::{Client, archive, base};
pub use vault::Vault;

/// The name under which a console keeps its own database in its archive; no cluster has it.
pub const CONSOLE: &str = "console";

/// What of seven generations of that database is written on a day, Unix milliseconds.
pub fn generation(now_ms: u64) -> String {
    format!("db-{}", now_ms / 86_400_000 % 7)
}

/// A time as people write it, for example 2026-11-25T14:03:07Z: Unix milliseconds.
///
/// # Errors
/// For people: what would be right.
pub fn millis(text: &str) -> Result<u64, String> {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok())
        .ok_or_else(|| {
            format!("{text:?} is no time: write it like 2026-11-25T14:03:07Z or 2026-11-25T14:03:07.250+01:00")
        })
}

/// Unix milliseconds as people write a time.
pub fn stamp(ms: u64) -> String {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}
