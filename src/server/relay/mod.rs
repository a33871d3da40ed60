//! Relaying: a standby passes a client's session on to the primary.
//!
//! The standby authenticated the client; the connection between the nodes is mutual TLS and
//! carries, ahead of the client's bytes, who the client is and what its session had set. The primary's
//! replies come back with notes of what the session has become (`frames`), so that it goes on with the
//! next primary when this one is lost (`carry`). Nothing that may have been run is ever sent a second time.

mod carry;
mod frames;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::base::limits::RELAY_WAIT_SECONDS_MAX;
use crate::command::tracking::Options;
use crate::raft::link::Stream;
use crate::resp::Proto;

use super::conn::Conn;
use super::pubsub::Kind;
use super::session::{Multi, ReplyMode};
use super::{Server, Session};

pub use carry::{After, Returned, carry};
pub use frames::{Framed, Teller};

/// Reaches other nodes.
pub trait Dial: Send + Sync {
    /// Connects to a node.
    fn dial(&self, node: u64)
    -> Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send + '_>>;

    /// Asks the primary for an index that makes a read linearizable, and waits until this node has applied it. The
    /// error says why there is none.
    fn read_index(&self) -> Pin<Box<dyn Future<Output = Result<u64, String>> + Send + '_>>;
}

/// Where the primary is.
pub enum Primary {
    /// This node leads now.
    Here,
    /// At this node.
    At(u64, Stream),
    /// None was found in time.
    None,
}

/// Finds the primary, waiting for one to be elected up to a bound.
pub async fn primary(server: &Server) -> Primary {
    let search = async {
        let mut view = server.view.clone();
        loop {
            if server.engine.leading() {
                return Primary::Here;
            }
            let leader = view
                .borrow_and_update()
                .leader
                .clone()
                .filter(|l| l.id != server.view.borrow().node_id);
            if let Some(leader) = leader
                && let Ok(stream) = server.relay.dial(leader.id).await
            {
                return Primary::At(leader.id, stream);
            }
            // Woken by a change of leader; the pause is for a leader that does not answer yet, or for this node's own epoch.
            let _ = tokio::time::timeout(Duration::from_millis(20), view.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(RELAY_WAIT_SECONDS_MAX), search)
        .await
        .unwrap_or(Primary::None)
}

/// Has clients look where they are when this node begins or ceases to lead: a subscriber hears nothing at a standby.
pub async fn wake_on_change(server: Weak<Server>) {
    let Some(mut leads) = server.upgrade().map(|s| s.engine.follow_role()) else {
        return;
    };
    while leads.changed().await.is_ok() {
        let Some(server) = server.upgrade() else {
            return;
        };
        server.clients.wake_all();
    }
}

/// What the primary is told of a relayed client.
/// What a node of an earlier version does not say is as it was then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preamble {
    /// The client keeps its id.
    pub id: u64,
    pub addr: String,
    pub laddr: String,
    pub authenticated: bool,
    /// The user's name; the primary knows what it may do.
    pub user: Vec<u8>,
    pub db: u32,
    pub resp3: bool,
    pub readonly: bool,
    pub name: String,
    pub lib_name: String,
    pub lib_ver: String,
    pub no_touch: bool,
    /// Keys were watched: nobody guarded them on the way here.
    pub watching: bool,
    /// A MULTI was open: what it had queued stays behind.
    pub multi: bool,
    /// How it tracks.
    pub tracking: Option<Options>,
    /// The replies shall come in frames, with notes.
    pub framed: bool,
    /// CLIENT REPLY OFF.
    pub silent: bool,
    /// What it subscribed to: channels, patterns, shard channels.
    pub names: [Vec<Bytes>; 3],
}

/// A preamble longer than this is refused, bytes.
const PREAMBLE_MAX: u32 = 512 * 1024;

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

impl Preamble {
    /// What a session has set.
    pub fn of(session: &Session, proto: Proto) -> Preamble {
        let about = session.client.about.lock();
        let names = |set: &std::collections::BTreeSet<Bytes>| set.iter().cloned().collect();
        Preamble {
            id: session.client.id,
            addr: session.client.addr.clone(),
            laddr: session.client.laddr.clone(),
            authenticated: session.authenticated,
            user: session.identity.user().to_vec(),
            db: session.db,
            resp3: proto == Proto::Resp3,
            readonly: session.readonly,
            name: about.name.clone(),
            lib_name: about.lib_name.clone(),
            lib_ver: about.lib_ver.clone(),
            no_touch: session.no_touch,
            watching: !session.watch.keys.is_empty() || session.watch.dirty(),
            multi: session.multi.is_some(),
            tracking: session.tracked.clone(),
            framed: true,
            silent: session.reply == ReplyMode::Off,
            names: [
                names(&session.channels),
                names(&session.patterns),
                names(&session.shards),
            ],
        }
    }

    /// Whether it is what a session has set, but for its subscriptions.
    fn shows(&self, session: &Session, proto: Proto) -> bool {
        let about = session.client.about.lock();
        self.authenticated == session.authenticated
            && self.user[..] == session.identity.user()[..]
            && self.db == session.db
            && self.resp3 == (proto == Proto::Resp3)
            && self.readonly == session.readonly
            && self.name == about.name
            && self.lib_name == about.lib_name
            && self.lib_ver == about.lib_ver
            && self.no_touch == session.no_touch
            && self.watching == (!session.watch.keys.is_empty() || session.watch.dirty())
            && self.multi == session.multi.is_some()
            && self.silent == (session.reply == ReplyMode::Off)
            && self.tracking == session.tracked
    }

    /// Length and JSON.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = (json.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&json);
        bytes
    }

    async fn read(stream: &mut Stream) -> std::io::Result<Preamble> {
        let len = stream.read_u32().await?;
        if len > PREAMBLE_MAX {
            return Err(std::io::Error::other(format!(
                "a relay preamble of {len} bytes: at most {PREAMBLE_MAX}"
            )));
        }
        let mut json = vec![0; len as usize];
        stream.read_exact(&mut json).await?;
        serde_json::from_slice(&json).map_err(std::io::Error::other)
    }
}

/// Serves an operator, known by certificate: as the user `default`, and policy refuses it nothing.
pub async fn operate(server: Arc<Server>, stream: Stream, addr: std::net::SocketAddr) {
    let Some(client) = server.clients.add_operator(addr.to_string()) else {
        return tracing::warn!("there are too many operators");
    };
    client.about.lock().name = "operator".into();
    let mut session = Session::new(client);
    (session.authenticated, session.operator) = (true, true);
    Conn::new(stream, server, session).run().await;
}

/// Serves a session that another node relays to this one.
pub async fn accept(server: Arc<Server>, mut stream: Stream) {
    let read = tokio::time::timeout(
        Duration::from_secs(RELAY_WAIT_SECONDS_MAX),
        Preamble::read(&mut stream),
    )
    .await;
    let preamble = match read {
        Ok(Ok(preamble)) => preamble,
        Ok(Err(e)) => return tracing::warn!("a relayed connection was refused: {e}"),
        Err(_) => return tracing::warn!("a relayed connection sent no preamble in time"),
    };
    let max = server.live.maxclients.load(Relaxed);
    let (addr, laddr) = (preamble.addr.clone(), preamble.laddr.clone());
    // The other node may not have heard of the newest list yet.
    if !server.live.allow.load().holds_client(&addr) {
        return tracing::debug!("{addr}, which is relayed, is not on the allow-list");
    }
    let clients = &server.clients;
    // A node that was started anew counts from the beginning: its client may have the id of one that is about to be
    // noticed as gone. Then it gets another, here.
    let known = clients.add_as(preamble.id, addr.clone(), laddr.clone(), -1, max);
    let Some(client) = known.or_else(|| clients.add(addr, laddr, -1, max)) else {
        server.counters.rejected.fetch_add(1, Relaxed);
        let _ = match preamble.framed {
            true => {
                stream
                    .write_all(&frames::refusal(super::listener::TOO_MANY))
                    .await
            }
            false => stream.write_all(super::listener::TOO_MANY).await,
        };
        return;
    };
    let mut session = Session::new(client);
    let framed = preamble.framed;
    session.become_that_of(&server, preamble).await;
    match framed {
        true => Conn::<Framed>::relayed(stream, server, session).run().await,
        false => Conn::new(stream, server, session).run().await,
    }
}

impl Session {
    /// Takes over what another node says of the session of this client.
    pub async fn become_that_of(&mut self, server: &Server, told: Preamble) {
        let proto = if told.resp3 { 3 } else { 2 };
        self.client.proto.store(proto, Relaxed);
        {
            let mut about = self.client.about.lock();
            about.name = told.name;
            about.lib_name = told.lib_name;
            about.lib_ver = told.lib_ver;
        }
        self.authenticated = told.authenticated;
        self.speak_for(told.user.into());
        self.db = told.db;
        self.readonly = told.readonly;
        self.no_touch = told.no_touch;
        self.reply = match told.silent {
            true => ReplyMode::Off,
            false => ReplyMode::On,
        };
        if told.tracking.is_some() || self.tracking.on {
            self.track(&mut *server.engine.locked().await, told.tracking);
        }
        for (kind, names) in KINDS.into_iter().zip(told.names) {
            for name in names {
                server.hub.subscribe(kind, &name, &self.client);
                self.names(kind).insert(name);
            }
        }
        // The next EXEC is refused: for the watch by a null reply, for the lost queue by EXECABORT.
        self.watch.dirty.store(told.watching, Relaxed);
        self.multi = told.multi.then(|| Multi {
            aborted: true,
            ..Multi::default()
        });
    }
}
