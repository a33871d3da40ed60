//! Commands about connections, transactions, subscriptions and the server itself.

pub mod acl;
pub mod client;
pub mod cluster;
pub mod commandinfo;
pub mod config;
pub mod connection;
pub mod debug;
pub mod functions;
pub use crate::command::help;
pub mod info;
pub mod latency;
pub mod memory;
pub mod migrate;
pub mod pubsub;
pub mod replication;
pub mod scripting;
pub mod server;
pub mod slowlog;
pub mod tracking;
pub mod transaction;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::command::table;

use super::dispatch::Handler;

static HANDLERS: LazyLock<Vec<Option<Handler>>> = LazyLock::new(|| {
    let mut handlers = vec![None; table::COUNT];
    let families = [
        acl::COMMANDS,
        client::COMMANDS,
        cluster::COMMANDS,
        commandinfo::COMMANDS,
        config::COMMANDS,
        connection::COMMANDS,
        debug::COMMANDS,
        functions::COMMANDS,
        info::COMMANDS,
        latency::COMMANDS,
        memory::COMMANDS,
        migrate::COMMANDS,
        pubsub::COMMANDS,
        replication::COMMANDS,
        scripting::COMMANDS,
        server::COMMANDS,
        slowlog::COMMANDS,
        tracking::COMMANDS,
        transaction::COMMANDS,
    ];
    for &(name, handler) in families.into_iter().flatten() {
        let spec = table::by_full_name(name.as_bytes());
        debug_assert!(spec.is_some(), "{name} has no row in the table");
        if let Some(spec) = spec {
            handlers[spec.id as usize] = Some(handler);
        }
    }
    handlers
});

/// The handler of a command that is not about data.
pub fn handler(id: table::CommandId) -> Option<Handler> {
    HANDLERS[id as usize]
}

/// Whether a node that does not lead answers a command itself: it is about the connection or the node, not data.
pub fn is_local(name: &str) -> bool {
    let top = name.split('|').next().unwrap_or(name);
    // What is set is the service's, and goes through the log.
    name != "config|set"
        && matches!(
            top,
            "auth"
                | "hello"
                | "ping"
                | "echo"
                | "select"
                | "quit"
                | "reset"
                | "client"
                | "readonly"
                | "readwrite"
                | "asking"
                | "command"
                | "cluster"
                | "info"
                | "time"
                | "config"
                | "debug"
                | "slowlog"
                | "latency"
                | "role"
                | "lolwut"
        )
}
