//! Consensus: the only module that names openraft.
//!
//! The log, the network and the state machine meet openraft's traits here; everything above sees
//! `raft::Group` and the types re-exported below.

pub mod codec;
pub mod log_storage;
pub mod types;
