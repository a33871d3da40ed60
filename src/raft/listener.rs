//! The port on which a node meets its peers and its operators: mutual TLS, then gRPC or a relay.
//!
//! Always: nothing is read beyond the handshake from anyone without a certificate of this cluster;
//! the `Peer` service answers nodes alone and the `Admin` service operators alone, which is decided
//! by the certificate before a request's body is looked at. Handshakes, connections and relays are
//! counted and bounded.

use super::link::{Carries, Handshake, Listen, Stream};
use crate::base::limits;
use crate::proto::admin_server::{Admin, AdminServer};
use crate::proto::peer_server::{Peer, PeerServer};
use crate::tls::Identity;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::server::Connected;

/// A handshake takes this long at most.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// After an accept that failed (no file descriptor left), the next is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection that has been silent this long is asked whether it lives.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long it has to answer.
const KEEPALIVE_TIME: Duration = Duration::from_secs(10);
/// HTTP/2 windows: enough that one append in flight never waits for a window's update.
pub(super) const STREAM_WINDOW: u32 = 32 * 1024 * 1024;
/// The same for the whole connection.
pub(super) const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;
/// HTTP/2 frames of entries are large, so that an append is few writes.
pub(super) const HTTP2_FRAME: u32 = 1024 * 1024;

/// Who sent a request: in the extensions of every gRPC request that arrives here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// From the certificate.
    pub identity: Identity,
    /// Where the connection comes from.
    pub addr: SocketAddr,
}

impl Caller {
    /// The caller of a request; an internal error if it did not come through [`serve`].
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get::<Self>();
        caller
            .copied()
            .ok_or_else(|| Status::internal("the request has no caller"))
    }
}

/// A client's session that another node relays to this one, or an operator's own.
pub struct Relayed {
    /// The relay's bytes, after TLS.
    pub stream: Stream,
    /// The node that relays, or an operator.
    pub from: Identity,
    /// Where its connection comes from.
    pub addr: SocketAddr,
    /// Its place among the relays; keep it as long as the stream.
    pub slot: OwnedSemaphorePermit,
}

/// Accepts until `stop` becomes true (or its sender is gone), then ends every gRPC connection. Relays
/// are given to `relays` and end as their holder decides.
pub async fn serve<P: Peer, A: Admin>(
    door: Box<dyn Listen>,
    peer: P,
    admin: A,
    relays: mpsc::Sender<Relayed>,
    stop: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let gate = Gate {
        peer: PeerServer::new(peer)
            .max_decoding_message_size(limits::PEER_MESSAGE_LEN_MAX)
            .max_encoding_message_size(limits::PEER_MESSAGE_LEN_MAX),
        admin: AdminServer::new(admin),
    };
    let (accepted, incoming) = mpsc::channel(1);
    let acceptor = Acceptor {
        grpc: accepted,
        grpc_slots: Arc::new(Semaphore::new(limits::PEER_CONNECTIONS_MAX)),
        relays,
        relay_slots: Arc::new(Semaphore::new(limits::RELAYS_MAX)),
        stop: stop.clone(),
    };
    let accepting = tokio::spawn(acceptor.run(door));
    let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming);
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIME))
        .serve_with_incoming_shutdown(gate, incoming, stopped(stop))
        .await;
    accepting.abort();
    served
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error is a sender that is gone: whoever ran us is.
    let _ = stop.wait_for(|stop| *stop).await;
}

struct Acceptor {
    grpc: mpsc::Sender<Result<Connection, Infallible>>,
    grpc_slots: Arc<Semaphore>,
    relays: mpsc::Sender<Relayed>,
    relay_slots: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(self, door: Box<dyn Listen>) {
        let this = Arc::new(self);
        let handshakes = Arc::new(Semaphore::new(limits::PEER_HANDSHAKES_MAX));
        loop {
            let Ok(slot) = handshakes.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = door.accept() => accepted,
                () = stopped(this.stop.clone()) => return,
            };
            match accepted {
                Ok((handshake, addr)) => {
                    let this = this.clone();
                    tokio::spawn(async move {
                        let _slot = slot;
                        if let Err(error) = this.take(handshake, addr).await {
                            tracing::warn!(%addr, %error, "a peer's connection is refused");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a peer's connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn take(&self, handshake: Handshake, addr: SocketAddr) -> std::io::Result<()> {
        let arrived = tokio::time::timeout(HANDSHAKE_TIME, handshake)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let (identity, stream) = (arrived.identity, arrived.stream);
        let refused =
            |why: &str| std::io::Error::new(std::io::ErrorKind::PermissionDenied, why.to_owned());
        if arrived.carries == Carries::Relay {
            let slot = self.relay_slots.clone().try_acquire_owned();
            let slot = slot.map_err(|_| refused("there are too many relays"))?;
            let relayed = Relayed {
                stream,
                from: identity,
                addr,
                slot,
            };
            return self
                .relays
                .try_send(relayed)
                .map_err(|_| refused("too many relays wait"));
        }
        let slot = self.grpc_slots.clone().try_acquire_owned();
        let slot = slot.map_err(|_| refused("there are too many connections"))?;
        let connection = Connection {
            stream,
            caller: Caller { identity, addr },
            stop: Box::pin(stopped(self.stop.clone())),
            _slot: slot,
        };
        let _ = self.grpc.send(Ok(connection)).await;
        Ok(())
    }
}

/// A connection as tonic serves it. It reads as ended once the listener stops, so that a stream
/// that never ends by itself does not keep a stopped node alive.
struct Connection {
    stream: Stream,
    caller: Caller,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    _slot: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => match self.stop.as_mut().poll(cx) {
                // Not to be polled again: hyper ends the connection on an error.
                Poll::Ready(()) => {
                    self.stop = Box::pin(std::future::pending());
                    Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()))
                }
                Poll::Pending => Poll::Pending,
            },
            read => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Gives a request to the service it is for, if its caller may use that.
struct Gate<P, A> {
    peer: PeerServer<P>,
    admin: AdminServer<A>,
}

impl<P, A> Clone for Gate<P, A> {
    fn clone(&self) -> Self {
        Self {
            peer: self.peer.clone(),
            admin: self.admin.clone(),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<P: Peer, A: Admin> tonic::codegen::Service<Request<Body>> for Gate<P, A> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let service = request
            .uri()
            .path()
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or("");
        let identity = request
            .extensions()
            .get::<Caller>()
            .map(|caller| caller.identity);
        let refused = |status: Status| -> Answer { Box::pin(async { Ok(status.into_http()) }) };
        match (service, identity) {
            ("pontoon.v1.Peer", Some(Identity::Node(_))) => self.peer.call(request),
            ("pontoon.v1.Admin", Some(Identity::Admin)) => self.admin.call(request),
            ("pontoon.v1.Peer", _) => refused(Status::permission_denied(
                "only a node's certificate may call Peer",
            )),
            ("pontoon.v1.Admin", _) => refused(Status::permission_denied(
                "only an admin certificate may call Admin",
            )),
            _ => refused(Status::unimplemented(
                "Peer and Admin are the services here",
            )),
        }
    }
}
