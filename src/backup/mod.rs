//! Backups: a service's data set and log in an archive that only the operator's master key opens, and nodes made from it.
//!
//! `key` and `part` encrypt, `manifest` chains what there is, `vault` keeps objects in a store of the operator's choice, `plain` is
//! what a part holds, `take` fills an archive from a node, `restore` makes a node's disk from it.
//!
//! Always: nothing in an archive is readable without the master key, and nothing of it is believed before it was
//! authenticated and found in the chain of manifests. Only committed entries get into it.

mod error;
pub mod key;
pub mod manifest;
mod part;
mod plain;
mod restore;
mod take;
mod vault;

pub use error::Error;
pub use restore::{Restored, Target, restore};
pub use take::{Client, archive, base};
pub use vault::Vault;
