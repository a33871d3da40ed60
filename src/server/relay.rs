//! Relaying: a standby passes a client's session on to the primary.
//!
//! The standby authenticated the client; the connection between the nodes is mutual TLS and
//! carries, ahead of the client's bytes, who the client is and what its session had set. From then
//! on both nodes pass bytes. Nothing that may have reached a primary is ever sent a second time:
//! when the primary is lost, or has a successor and answers no more, the client's connection ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::base::limits::RELAY_WAIT_SECONDS_MAX;
use crate::command::tracking::Options;
use crate::raft::link::Stream;
use crate::resp::Proto;

use super::conn::Conn;
use super::session::Multi;
use super::{Server, Session};

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

/// How long a node that leads no more has to answer what was passed on to it.
const GRACE: Duration = Duration::from_millis(300);

/// A connection to a primary, which knows since when something passed on to it is not answered.
pub struct Upstream {
    stream: Stream,
    unanswered: Unanswered,
}

/// Since when nothing has come back for what was passed on.
#[derive(Clone, Default)]
pub struct Unanswered(Arc<Mutex<Option<Instant>>>);

impl Upstream {
    pub fn new(stream: Stream) -> (Upstream, Unanswered) {
        let unanswered = Unanswered::default();
        let upstream = Upstream {
            stream,
            unanswered: unanswered.clone(),
        };
        (upstream, unanswered)
    }
}

impl AsyncRead for Upstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            *self.unanswered.0.lock() = None;
        }
        read
    }
}

impl AsyncWrite for Upstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.unanswered.0.lock().get_or_insert_with(Instant::now);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Resolves when `node`, which led, has a successor and owes an answer for too long: it may be paused or cut off, and its
/// connection may stay open for ever.
pub async fn overtaken(server: &Server, node: u64, unanswered: Unanswered) {
    let mut view = server.view.clone();
    loop {
        let led_by = view.borrow_and_update().leader.as_ref().map(|l| l.id);
        if led_by.is_none_or(|id| id == node) {
            if view.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        }
        let since = *unanswered.0.lock();
        if since.is_some_and(|at| at.elapsed() >= GRACE) {
            return;
        }
        tokio::time::sleep(GRACE / 4).await;
    }
}

/// What the primary is told of a relayed client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A preamble longer than this is refused, bytes.
const PREAMBLE_MAX: u32 = 512 * 1024;

impl Preamble {
    /// What a session had set.
    pub fn of(session: &Session, proto: Proto, tracking: Option<Options>) -> Preamble {
        let about = session.client.about.lock();
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
            tracking,
        }
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
    let (addr, laddr) = (preamble.addr, preamble.laddr);
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
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, super::listener::TOO_MANY).await;
        return;
    };
    client
        .proto
        .store(if preamble.resp3 { 3 } else { 2 }, Relaxed);
    {
        let mut about = client.about.lock();
        about.name = preamble.name;
        about.lib_name = preamble.lib_name;
        about.lib_ver = preamble.lib_ver;
    }
    let mut session = Session::new(client);
    session.authenticated = preamble.authenticated;
    session.speak_for(preamble.user.into());
    session.db = preamble.db;
    session.readonly = preamble.readonly;
    session.no_touch = preamble.no_touch;
    if preamble.tracking.is_some() {
        session.track(&mut *server.engine.locked().await, preamble.tracking);
    }
    // The next EXEC is refused: for the watch by a null reply, for the lost queue by EXECABORT.
    session.watch.dirty.store(preamble.watching, Relaxed);
    session.multi = preamble.multi.then(|| Multi {
        aborted: true,
        ..Multi::default()
    });
    Conn::new(stream, server, session).run().await;
}
