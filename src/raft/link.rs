//! How nodes reach each other: mutual TLS over TCP, or what a simulation has in its place.
//!
//! Always: whoever is at the other end of a connection was told by its certificate, before a byte of it is read.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::types::NodeId;
use crate::tls::Identity;
use crate::tls::peer::{ALPN_GRPC, ALPN_RELAY, Credentials};

/// A future as the traits here return it.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes both ways between two nodes.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {
    /// Moves it from the runtime that accepted it to the one that calls. Otherwise the thread that accepts would poll
    /// for all of them and wake the others for each request.
    fn rehome(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bytes for tokio_rustls::client::TlsStream<TcpStream> {}

impl Bytes for tokio_rustls::server::TlsStream<TcpStream> {
    fn rehome(&mut self) -> io::Result<()> {
        rehome(self.get_mut().0)
    }
}

/// See [`Bytes::rehome`].
pub fn rehome(tcp: &mut TcpStream) -> io::Result<()> {
    let own = std::net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
    *tcp = TcpStream::from_std(own)?;
    Ok(())
}

/// A connection to another node, or from one.
pub type Stream = Box<dyn Bytes>;

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// gRPC.
    Grpc,
    /// A client's session.
    Relay,
}

/// Connects to other nodes. Bounded in time.
pub trait Dial: Send + Sync + 'static {
    /// A connection to node `target`, and no other, at `addr` (host:port).
    fn dial(
        &self,
        target: NodeId,
        addr: String,
        carries: Carries,
    ) -> Later<'static, io::Result<Stream>>;
}

/// A connection whose other end is known.
pub struct Arrived {
    /// Its bytes.
    pub stream: Stream,
    /// Who is there.
    pub identity: Identity,
    /// What it carries.
    pub carries: Carries,
}

/// Under way; to be awaited in a task of its own.
pub type Handshake = Later<'static, io::Result<Arrived>>;

/// Where others connect to this node.
pub trait Listen: Send + Sync + 'static {
    /// The next connection, and where it comes from.
    fn accept(&self) -> Later<'_, io::Result<(Handshake, SocketAddr)>>;
}

/// Mutual TLS over TCP, outwards.
pub struct TlsDial {
    /// Of this node.
    pub credentials: Arc<Credentials>,
    /// Bounds TCP and TLS together; `election_timeout_max` is a good choice.
    pub time: Duration,
}

impl Dial for TlsDial {
    fn dial(
        &self,
        target: NodeId,
        addr: String,
        carries: Carries,
    ) -> Later<'static, io::Result<Stream>> {
        let (credentials, time) = (self.credentials.clone(), self.time);
        let alpn = match carries {
            Carries::Grpc => ALPN_GRPC,
            Carries::Relay => ALPN_RELAY,
        };
        Box::pin(async move {
            let connected = tokio::time::timeout(time, async {
                let tcp = TcpStream::connect(&addr).await?;
                tcp.set_nodelay(true)?;
                credentials.connect(target, tcp, alpn).await
            });
            match connected.await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Stream),
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
        })
    }
}

/// Mutual TLS over TCP, inwards.
pub struct TlsListen {
    /// Where it listens.
    pub tcp: TcpListener,
    /// Of this node.
    pub credentials: Arc<Credentials>,
}

impl Listen for TlsListen {
    fn accept(&self) -> Later<'_, io::Result<(Handshake, SocketAddr)>> {
        Box::pin(async move {
            let (tcp, addr) = self.tcp.accept().await?;
            let credentials = self.credentials.clone();
            let handshake: Handshake = Box::pin(async move {
                tcp.set_nodelay(true)?;
                let accepted = credentials.accept(tcp).await?;
                if accepted.identity == credentials.own() {
                    let why = "it bears this node's own certificate";
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                Ok(Arrived {
                    stream: Box::new(accepted.stream),
                    identity: accepted.identity,
                    carries: match accepted.relay {
                        true => Carries::Relay,
                        false => Carries::Grpc,
                    },
                })
            });
            Ok((handshake, addr))
        })
    }
}
