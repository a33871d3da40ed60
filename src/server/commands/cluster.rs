//! cluster commands.

use crate::server::dispatch::Handler;

pub const COMMANDS: &[(&str, Handler)] = &[];

/// Subcommands that only read, which cluster clients need.
pub fn reads_only(name: &str) -> bool {
    matches!(
        name,
        "cluster|slots"
            | "cluster|shards"
            | "cluster|nodes"
            | "cluster|info"
            | "cluster|keyslot"
            | "cluster|myid"
            | "cluster|countkeysinslot"
            | "cluster|getkeysinslot"
            | "cluster|links"
            | "cluster|myshardid"
            | "cluster|help"
    )
}
