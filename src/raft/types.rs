//! The types that openraft is instantiated with.
//!
//! An entry's payload is opaque to Raft: bytes that were encoded once by the proposer and are
//! shared, not copied, between the log, the network and the state machine.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A node's number within its cluster. Never reused.
pub type NodeId = u64;

/// What a member's peers and clients need in order to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` of the gRPC and relay listener (mTLS).
    pub peer_addr: String,
    /// `host:port` of the RESP listener, as bound.
    pub client_addr: String,
    /// `host:port` that clients are told in `-MOVED`.
    pub announced: String,
    /// False for a witness, which keeps the log and no data.
    pub data: bool,
}

/// The application's part of a log entry: an encoded `mutation::Entry`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Payload(pub Bytes);

impl std::fmt::Display for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What applying an entry answers: nothing, since the engine answers clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied;

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("applied")
    }
}

openraft::declare_raft_types!(
    /// The instantiation of openraft. `leader_id_std`: one leader a term, so that a log id is (term, index).
    pub Config:
        D = Payload,
        R = Applied,
        NodeId = NodeId,
        Node = Member,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

pub type Entry = openraft::alias::EntryOf<Config>;
pub type LogId = openraft::alias::LogIdOf<Config>;
pub type Vote = openraft::alias::VoteOf<Config>;
pub type Membership = openraft::Membership<NodeId, Member>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<Config>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<Config>;
