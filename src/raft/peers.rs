//! Connections to the other nodes: mutual TLS, made when first needed and again when broken.
//!
//! Nothing here blocks or connects in the caller's turn. What must not wait behind something else
//! has a connection of its own: heartbeats do not queue behind entries, nor either behind a
//! snapshot. A connection whose peer is silent is given up within seconds, so that a healed network
//! is used at once and not when TCP next retransmits.

use super::bulk::Bulk;
use super::listener::{CONNECTION_WINDOW, HTTP2_FRAME, STREAM_WINDOW};
use super::types::NodeId;
use crate::base::limits;
use crate::proto::peer_client::PeerClient;
use crate::tls::peer::{ALPN_GRPC, ALPN_RELAY, Credentials};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Entries, votes, transfers.
    Log,
    /// Heartbeats and read indexes.
    Heartbeat,
    /// Snapshots.
    Snapshot,
}

/// The connections of one node to its peers.
pub struct Peers {
    credentials: Arc<Credentials>,
    connect_time: Duration,
    channels: Mutex<HashMap<(NodeId, Lane), (String, Channel)>>,
    bulk: Bulk,
}

impl Peers {
    /// `connect_time` bounds TCP and TLS together; `election_timeout_max` is a good choice.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new(credentials: Arc<Credentials>, connect_time: Duration) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            credentials,
            connect_time,
            channels: Mutex::default(),
            bulk: Bulk::start()?,
        }))
    }

    /// Where snapshots are read and sent.
    pub fn bulk(&self) -> &Handle {
        self.bulk.handle()
    }

    /// A client of the `Peer` service of `target` at `addr` (host:port). Does not connect. Must be
    /// called within a Tokio runtime.
    pub fn client(&self, target: NodeId, addr: &str, lane: Lane) -> PeerClient<Channel> {
        PeerClient::new(self.channel(target, addr, lane))
            .max_decoding_message_size(limits::PEER_MESSAGE_LEN_MAX)
            .max_encoding_message_size(limits::PEER_MESSAGE_LEN_MAX)
    }

    fn channel(&self, target: NodeId, addr: &str, lane: Lane) -> Channel {
        let mut channels = self.channels.lock();
        if let Some((known, channel)) = channels.get(&(target, lane))
            && known == addr
        {
            return channel.clone();
        }
        let channel = self.open(target, addr.to_owned(), lane);
        channels.insert((target, lane), (addr.to_owned(), channel.clone()));
        channel
    }

    /// Drops the connections to a node that is no member any more.
    pub fn forget(&self, target: NodeId) {
        self.channels.lock().retain(|(node, _), _| *node != target);
    }

    /// A connection to `target` at `addr` for a relayed session.
    pub async fn open_relay(&self, target: NodeId, addr: &str) -> io::Result<TlsStream<TcpStream>> {
        connect(
            &self.credentials,
            target,
            addr,
            ALPN_RELAY,
            self.connect_time,
        )
        .await
    }

    fn open(&self, target: NodeId, addr: String, lane: Lane) -> Channel {
        // A snapshot's receiver may be busy with its disk; the others answer or are dead.
        let (every, within) = match lane {
            Lane::Log | Lane::Heartbeat => (Duration::from_secs(1), Duration::from_secs(2)),
            Lane::Snapshot => (Duration::from_secs(5), Duration::from_secs(20)),
        };
        let (credentials, connect_time) = (self.credentials.clone(), self.connect_time);
        let connector = tower::service_fn(move |_uri| {
            let (credentials, addr) = (credentials.clone(), addr.clone());
            // A task of its own: whoever asked may give up (a heartbeat does within its interval),
            // and the next to ask shall find the handshake further on and not at its beginning.
            let connecting = tokio::spawn(async move {
                connect(&credentials, target, &addr, ALPN_GRPC, connect_time).await
            });
            async move {
                match connecting.await {
                    Ok(connected) => connected.map(TokioIo::new),
                    Err(lost) => Err(io::Error::other(lost)),
                }
            }
        });
        // The tasks of a connection are spawned where it is made.
        let _within = (lane == Lane::Snapshot).then(|| self.bulk().enter());
        // The connector knows where to connect; the name serves as :authority alone.
        Endpoint::from_static("http://peer.pontoon")
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(HTTP2_FRAME)
            .http2_keep_alive_interval(every)
            .keep_alive_timeout(within)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector)
    }
}

async fn connect(
    credentials: &Credentials,
    target: NodeId,
    addr: &str,
    alpn: &'static [u8],
    time: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let connected = tokio::time::timeout(time, async {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        credentials.connect(target, tcp, alpn).await
    });
    match connected.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(io::Error::new(
            e.kind(),
            format!("node {target} at {addr}: {e}"),
        )),
        Err(_) => {
            let text = format!(
                "node {target} at {addr}: no connection within {} ms",
                time.as_millis()
            );
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}
