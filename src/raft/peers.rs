//! Connections to the other nodes: mutual TLS, made when first needed and again when broken.
//!
//! Nothing here blocks or connects in the caller's turn. What must not wait behind something else
//! has a connection of its own: heartbeats do not queue behind entries, nor either behind a
//! snapshot. A connection whose peer is silent is given up within seconds, so that a healed network
//! is used at once and not when TCP next retransmits.

use super::bulk::Bulk;
use super::link::{Carries, Dial, Stream};
use super::listener::{CONNECTION_WINDOW, HTTP2_FRAME, STREAM_WINDOW};
use super::types::NodeId;
use crate::base::limits;
use crate::proto::peer_client::PeerClient;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
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
    dial: Arc<dyn Dial>,
    channels: Mutex<HashMap<(NodeId, Lane), (String, Channel)>>,
    bulk: Bulk,
}

impl Peers {
    /// Connections that `dial` makes.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new(dial: Arc<dyn Dial>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            dial,
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
    pub async fn open_relay(&self, target: NodeId, addr: &str) -> io::Result<Stream> {
        self.dial
            .dial(target, addr.to_owned(), Carries::Relay)
            .await
    }

    fn open(&self, target: NodeId, addr: String, lane: Lane) -> Channel {
        // A snapshot's receiver may be busy with its disk; the others answer or are dead.
        let (every, within) = match lane {
            Lane::Log | Lane::Heartbeat => (Duration::from_secs(1), Duration::from_secs(2)),
            Lane::Snapshot => (Duration::from_secs(5), Duration::from_secs(20)),
        };
        let dial = self.dial.clone();
        let connector = tower::service_fn(move |_uri| {
            // A task of its own: whoever asked may give up (a heartbeat does within its interval),
            // and the next to ask shall find the handshake further on and not at its beginning.
            let connecting = tokio::spawn(dial.dial(target, addr.clone(), Carries::Grpc));
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
