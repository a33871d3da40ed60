//! Answers at a service's address while the service is restored: every request gets LOADING, which drivers take for "try again".
//!
//! Always: no password is looked at and nothing is kept. Dropping it frees the address.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::base::limits::{HANDSHAKE_SECONDS_MAX, STAND_IN_CONNECTIONS_MAX};
use crate::resp::Parser;
use crate::tls::client::Certificate;
use crate::tls::files::Pair;

/// What every request is answered.
const LOADING: &[u8] =
    b"-LOADING this service is being restored from a backup: try again in a moment\r\n";
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// A listener that runs.
pub struct StandIn(tokio::task::JoinHandle<()>);

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl StandIn {
    /// Listens with a service's own certificate.
    ///
    /// # Errors
    /// When the certificate cannot be read, or the address not be listened on.
    pub async fn start(addr: SocketAddr, pair: Pair) -> anyhow::Result<StandIn> {
        let tls = TlsAcceptor::from(Certificate::open(pair)?.server_config()?);
        let listener = TcpListener::bind(addr).await?;
        Ok(StandIn(tokio::spawn(async move {
            let mut all = JoinSet::new();
            loop {
                tokio::select! {
                    Some(_) = all.join_next(), if !all.is_empty() => {}
                    accepted = listener.accept(), if all.len() < STAND_IN_CONNECTIONS_MAX => match accepted {
                        Ok((tcp, _)) => drop(all.spawn(answer(tcp, tls.clone()))),
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    },
                }
            }
        })))
    }
}

/// One connection.
async fn answer(tcp: TcpStream, tls: TlsAcceptor) {
    let patience = Duration::from_secs(HANDSHAKE_SECONDS_MAX);
    let Ok(Ok(mut stream)) = tokio::time::timeout(patience, tls.accept(tcp)).await else {
        return;
    };
    let (mut parser, mut input) = (Parser::new(), BytesMut::new());
    loop {
        let asked = match parser.next(&input, false) {
            Ok(Some(request)) => {
                let (consumed, empty) = (request.consumed, request.args.is_empty());
                input.advance(consumed);
                Ok(!empty)
            }
            Ok(None) => {
                let read = tokio::time::timeout(IDLE, stream.read_buf(&mut input)).await;
                match read {
                    Ok(Ok(len)) if len > 0 => Ok(false),
                    _ => return,
                }
            }
            // What a client that has not logged in may not send: it has been told enough.
            Err(_) => Err(()),
        };
        if asked != Ok(false)
            && (stream.write_all(LOADING).await.is_err() || stream.flush().await.is_err())
            || asked.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tls::ca::Authority;

    #[tokio::test]
    async fn every_request_is_answered_and_the_address_is_free_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::create(dir.path(), "test").unwrap();
        let issued = ca.issue_server(&["localhost".to_string()]).unwrap();
        let (cert, key) = issued.write(dir.path(), "server").unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let stand_in = StandIn::start(addr, Pair { cert, key }).await.unwrap();
        let mut roots = rustls::RootCertStore::empty();
        for cert in crate::tls::files::certificates(&ca.cert_path()).unwrap() {
            roots.add(cert).unwrap();
        }
        let config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(addr).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        stream
            .write_all(b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\nPING\r\n")
            .await
            .unwrap();
        let mut both = vec![0; LOADING.len() * 2];
        stream.read_exact(&mut both).await.unwrap();
        assert_eq!(both, [LOADING, LOADING].concat());
        drop(stand_in);
        let ended = stream.read(&mut both).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        let free = async {
            while TcpListener::bind(addr).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), free)
            .await
            .unwrap();
    }
}
