//! Consensus: the only module that names openraft.
//!
//! The log, the network and the state machine meet openraft's traits here; everything above sees
//! `raft::Group` and the types re-exported below.

pub mod admin;
pub mod bulk;
mod codec;
mod copies;
pub mod group;
pub mod handover;
pub mod lease;
pub mod link;
pub mod listener;
pub mod log_storage;
pub mod network;
pub mod peer_service;
pub mod peers;
pub mod reads;
pub mod recovery;
pub mod reload;
pub mod snapshot_stream;
mod snapshots;
pub mod state_machine;
pub mod types;
pub mod wire;
pub mod witness;
