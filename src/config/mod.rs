//! A node's configuration: one TOML file whose every key can also be given by a flag or by the environment.
//!
//! - `keys.rs` is the only list of keys: the struct, its defaults, its documentation, the flags and the
//!   variables all come from there.
//! - A `Node` that came out of `Node::load` has been checked as a whole; nothing that uses it
//!   checks again. All problems are reported at once, not the first alone.
//! - No password is ever printed: it lives in a `Secret`, and no error quotes a value of its key.

mod check;
mod files;
mod keys;
mod load;
mod print;
mod types;

pub use check::check_cluster_id;
pub(crate) use check::is_host_port;
pub use files::{ensure_open_files, open_files_limit};
pub use keys::{KEYS, MAXMEMORY_PERCENT, Node, RESTRICTED, maxclients, maxmemory};
pub use load::{Error, Problem};
pub use print::documented;
pub use types::{Eviction, Key, Kind, Member, Role, Secret, StandbyReads};

#[cfg(test)]
mod tests;
