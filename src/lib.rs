//! Pontoon: Redis 7.2 over TLS, on a Raft log, with RocksDB behind memory.
//!
//! The modules in the order in which to read them. A module uses only modules of lower floors;
//! `tests/floors.rs` holds that.

// Floor 0: what everything stands on.
pub mod base;
pub mod config;
pub mod proto;
pub mod telemetry;
pub mod tls;
// Floor 1: bytes, values, and the vocabulary of change.
pub mod data;
pub mod mutation;
pub mod resp;
pub mod script;
// Floor 2: the data set in memory.
pub mod keyspace;
pub mod rdb;
// Floor 3: what clients can ask.
pub mod command;
// Floor 4: execution, the log, the store.
pub mod engine;
pub mod log;
pub mod store;
// Floor 5: consensus.
pub mod raft;
// Floor 6: clients; backups.
pub mod backup;
pub mod server;
// Floor 7: one node, wired.
pub mod node;
// Apart: the stable address, and the tools.
pub mod cli;
pub mod console;
pub mod gateway;
