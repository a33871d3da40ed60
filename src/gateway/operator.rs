//! A connection to a node's Admin service, over mutual TLS.
//!
//! It connects at once, bounded in time, and says which address failed and why. It never reconnects by itself: a
//! caller that wants to try again does so visibly.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::base::limits;
use crate::proto::admin_client::AdminClient;
use crate::tls::peer::{ALPN_GRPC, Credentials};

/// The client of a node's Admin service.
pub type Client = AdminClient<Channel>;

/// Why a node could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{addr} cannot be reached: {reason}")]
pub struct Error {
    /// The peer address that was tried.
    pub addr: String,
    /// What failed.
    pub reason: String,
}

/// Connects to the node at `addr` (`host:port` of its peer listener), which must prove that it is node `id` of the
/// cluster, or any node of it where `id` is `None`. All within `timeout`.
///
/// # Errors
/// When it cannot be reached in time or is not the one meant.
pub async fn connect(
    credentials: &Arc<Credentials>,
    addr: &str,
    id: Option<u64>,
    timeout: Duration,
) -> Result<Client, Error> {
    let stream = stream(credentials, addr, id, ALPN_GRPC, timeout).await?;
    // The connector hands out the one stream that exists; when it is gone, requests fail.
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let taken = stream
            .take()
            .ok_or_else(|| std::io::Error::other("the connection has ended"));
        async move { taken }
    });
    let channel = Endpoint::from_static("http://node.pontoon")
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|e| Error {
            addr: addr.to_string(),
            reason: chain(&e),
        })?;
    Ok(AdminClient::new(channel).max_decoding_message_size(limits::ADMIN_MESSAGE_LEN_MAX))
}

/// A connection to the node's port of peers that carries what `alpn` names.
pub(super) async fn stream(
    credentials: &Arc<Credentials>,
    addr: &str,
    id: Option<u64>,
    alpn: &'static [u8],
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, Error> {
    let fail = |reason: String| Error {
        addr: addr.to_string(),
        reason,
    };
    tokio::time::timeout(timeout, async {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        match id {
            Some(id) => credentials.connect(id, tcp, alpn).await,
            None => credentials
                .connect_any(tcp, alpn)
                .await
                .map(|(stream, _)| stream),
        }
    })
    .await
    .map_err(|_| fail(format!("no answer within {} ms", timeout.as_millis())))?
    .map_err(|e| fail(e.to_string()))
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = e.source();
    }
    text
}
