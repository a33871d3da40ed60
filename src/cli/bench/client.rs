//! A connection to one of the servers that are compared: TLS 1.3, one cipher suite, RESP2.
//!
//! Both sides meet the very same client, so the suite is the same for both: TLS_AES_128_GCM_SHA256.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::replies::Counter;
use crate::resp::{Value, parse_value, put_request};
use crate::tls;

/// What is printed as the cipher of both sides.
pub const CIPHER: &str = "TLS 1.3, TLS_AES_128_GCM_SHA256";
/// How long connecting, or one answer to a question, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a server is and how it is entered.
#[derive(Clone)]
pub struct Target {
    /// On this machine.
    pub addr: SocketAddr,
    /// Trusts the server's CA.
    pub tls: Arc<ClientConfig>,
    /// The password of the default user; empty where none is asked for.
    pub password: String,
}

/// The client's side of TLS, with the CA of `ca`.
///
/// # Errors
/// When the file cannot be read.
pub fn tls_config(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    for root in tls::files::certificates(ca)? {
        roots.add(root)?;
    }
    let mut provider = tls::provider().as_ref().clone();
    provider
        .cipher_suites
        .retain(|s| s.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A request's bytes.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_request(&mut bytes, words);
    bytes
}

/// A connection that asks and waits.
pub struct Client {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// When either fails or takes too long.
    pub async fn connect(target: &Target) -> anyhow::Result<Client> {
        let connect = async {
            let tcp = TcpStream::connect(target.addr).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::from(target.addr.ip());
            let stream = TlsConnector::from(target.tls.clone())
                .connect(name, tcp)
                .await?;
            let buffer = Vec::new();
            let mut client = Client { stream, buffer };
            if !target.password.is_empty() {
                client
                    .ask(&[b"AUTH", b"default", target.password.as_bytes()])
                    .await
                    .context("AUTH")?;
            }
            anyhow::Ok(client)
        };
        match tokio::time::timeout(PATIENCE, connect).await {
            Ok(done) => done.with_context(|| format!("{} cannot be entered", target.addr)),
            Err(_) => bail!("{} did not answer within {PATIENCE:?}", target.addr),
        }
    }

    /// The parts, for a connection driven by hand.
    pub fn into_parts(self) -> (TcpStream, rustls::ClientConnection) {
        self.stream.into_inner()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When it is an error, or does not come.
    pub async fn ask(&mut self, words: &[&[u8]]) -> anyhow::Result<Value> {
        self.stream.write_all(&request(words)).await?;
        self.stream.flush().await?;
        match tokio::time::timeout(PATIENCE, self.answer()).await {
            Ok(Ok(Value::Error(text))) => bail!(text),
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {PATIENCE:?}"),
        }
    }

    /// Sends `requests` at once and waits for their `count` answers, errors among them.
    ///
    /// # Errors
    /// When one does not come.
    pub async fn answers(&mut self, requests: &[u8], count: usize) -> anyhow::Result<Vec<Value>> {
        self.stream.write_all(requests).await?;
        self.stream.flush().await?;
        let mut values = Vec::new();
        while values.len() < count {
            let next = tokio::time::timeout(PATIENCE, self.answer()).await;
            values.push(next.with_context(|| format!("no answer within {PATIENCE:?}"))??);
        }
        Ok(values)
    }

    async fn answer(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Some((value, taken)) = parse_value(&self.buffer)? {
                self.buffer.drain(..taken);
                return Ok(value);
            }
            let n = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(n > 0, "the server closed the connection");
        }
    }

    /// Sends `requests` at once and waits until `count` answers came, none of them an error.
    ///
    /// # Errors
    /// When that is not so.
    pub async fn ask_many(&mut self, requests: &[u8], count: u64) -> anyhow::Result<()> {
        self.stream.write_all(requests).await?;
        self.stream.flush().await?;
        let (mut counter, mut came, mut piece) = (Counter::default(), 0, vec![0; 16 * 1024]);
        while came < count {
            let n = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece))
                .await
                .with_context(|| format!("no answer within {PATIENCE:?}"))??;
            ensure!(n > 0, "the server closed the connection");
            came += counter.feed(&piece[..n])?;
        }
        if let Some(error) = counter.first_error() {
            bail!("{} of {count} were refused: {error}", counter.errors());
        }
        Ok(())
    }

    /// A number of INFO; `None` where the server does not give it.
    ///
    /// # Errors
    /// When INFO is not answered.
    pub async fn info(&mut self, field: &str) -> anyhow::Result<Option<String>> {
        let answer = self.ask(&[b"INFO", b"everything"]).await?;
        let text = String::from_utf8_lossy(answer.as_bytes().unwrap_or_default()).into_owned();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.map(|v| v.trim().to_string()))
    }
}
