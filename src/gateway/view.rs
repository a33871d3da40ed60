//! What is known of the nodes, and what follows from it: the primary to connect to, and the nodes whose
//! connections must end. Pure: no clock, no network.
//!
//! "Unknown" is a value: a node that does not answer keeps its last status, and nothing is concluded from its silence
//! alone. Connections are cut only where another node serves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::proto::StatusReply;

/// A node that never says anything for this long, although it sends its status each second, does not answer.
pub const SILENCE: Duration = Duration::from_millis(2500);
/// How long a deposed primary has to say that it knows, before it counts as not answering.
pub const GRACE: Duration = Duration::from_millis(300);

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// `host:port` of its listener for clients.
    pub client: String,
    /// `host:port` of its listener for peers and operators.
    pub peer: String,
}

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Where it is.
    pub address: Address,
    /// Whether a stream of its status is open.
    pub connected: bool,
    /// When it was last heard.
    pub heard: Option<Instant>,
    /// What it last said.
    pub status: Option<StatusReply>,
}

impl Observed {
    /// A node of which nothing is known yet.
    #[must_use]
    pub fn new(address: Address) -> Observed {
        Observed {
            address,
            connected: false,
            heard: None,
            status: None,
        }
    }

    /// Whether it was heard recently on a stream that is open.
    #[must_use]
    pub fn answers(&self, now: Instant) -> bool {
        self.connected
            && self
                .heard
                .is_some_and(|h| now.saturating_duration_since(h) < SILENCE)
    }

    /// Its role as it last said, or `unknown` where it does not answer.
    #[must_use]
    pub fn role(&self, now: Instant) -> &str {
        match &self.status {
            Some(s) if self.answers(now) && !s.role.is_empty() => &s.role,
            _ => "unknown",
        }
    }

    /// The term in which it says that it is the primary and serves.
    fn serves(&self) -> Option<u64> {
        self.status
            .as_ref()
            .filter(|s| s.role == "primary" && s.serving)
            .map(|s| s.term)
    }
}

/// All nodes, and since when which one is the primary.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By id.
    pub nodes: BTreeMap<u64, Observed>,
    /// The primary, and when it was first seen to be.
    pub primary: Option<(u64, Instant)>,
}

impl View {
    /// Works out the primary again: of the nodes that answer and say that they serve, the one with the highest term.
    /// A paused primary of an older term loses to it. True when it changed.
    pub fn settle(&mut self, now: Instant) -> bool {
        let best = self
            .nodes
            .iter()
            .filter(|(_, o)| o.answers(now))
            .filter_map(|(id, o)| Some((o.serves()?, *id)))
            .max()
            .map(|(_, id)| id);
        let was = self.primary.map(|(id, _)| id);
        if was != best {
            self.primary = best.map(|id| (id, now));
        }
        was != best
    }

    /// Where new connections go: the primary's id and client address.
    #[must_use]
    pub fn target(&self) -> Option<(u64, &str)> {
        let (id, _) = self.primary?;
        Some((id, self.nodes.get(&id)?.address.client.as_str()))
    }

    /// The nodes whose connections must end now: they do not answer, or still believe in an older term, while another
    /// node serves. A node that is no longer known counts as one that does not answer.
    #[must_use]
    pub fn lost(&self, connected: impl Iterator<Item = u64>, now: Instant) -> Vec<u64> {
        let Some((primary, since)) = self.primary else {
            return Vec::new();
        };
        let term = self.nodes.get(&primary).and_then(Observed::serves);
        let waited = now.saturating_duration_since(since) >= GRACE;
        let silent = |o: &Observed| {
            o.heard
                .is_none_or(|h| now.saturating_duration_since(h) >= GRACE)
        };
        connected
            .filter(|id| *id != primary)
            .filter(|id| match self.nodes.get(id) {
                None => true,
                Some(o) if !o.answers(now) => waited && silent(o),
                Some(o) => waited && o.serves().is_some() && o.serves() < term,
            })
            .collect()
    }

    /// The members as the primary knows them, for nodes that joined or left since the gateway began.
    #[must_use]
    pub fn members(&self) -> Option<BTreeMap<u64, Address>> {
        let (id, _) = self.primary?;
        let status = self.nodes.get(&id)?.status.as_ref()?;
        let members: BTreeMap<u64, Address> = status
            .members
            .iter()
            .filter(|m| m.id != 0 && !m.peer_addr.is_empty() && !m.client_addr.is_empty())
            .map(|m| {
                (
                    m.id,
                    Address {
                        client: m.client_addr.clone(),
                        peer: m.peer_addr.clone(),
                    },
                )
            })
            .collect();
        members.contains_key(&id).then_some(members)
    }
}
