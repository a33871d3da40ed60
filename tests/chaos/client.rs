//! A client as a driver is: TLS with the CA and the name verified, RESP, one request or pipeline at a time.
//!
//! Always: nothing is sent twice. A failure says whether the request may have reached a server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use pontoon::resp::{Value, parse_value};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Where a service is and how to be let in.
#[derive(Clone)]
pub struct Access {
    pub addr: SocketAddr,
    pub password: String,
    pub tls: Arc<ClientConfig>,
}

/// How long connecting with its handshake may take.
const CONNECT: Duration = Duration::from_secs(3);

/// The client side's TLS, which trusts this CA alone.
pub fn trust(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for cert in rustls::pki_types::CertificateDer::pem_file_iter(ca)? {
        roots.add(cert?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection that is let in.
pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
    /// How long one reply may take.
    patience: Duration,
}

/// A request: a command and its arguments.
pub type Request = Vec<Vec<u8>>;

/// A request of these words.
pub fn request<const N: usize>(words: [&[u8]; N]) -> Request {
    words.iter().map(|w| w.to_vec()).collect()
}

impl Client {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// When that fails; no command was sent.
    pub fn connect(access: &Access, patience: Duration) -> anyhow::Result<Client> {
        let tcp = TcpStream::connect_timeout(&access.addr, CONNECT)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(CONNECT))?;
        tcp.set_write_timeout(Some(patience))?;
        let name = ServerName::try_from("localhost").context("the server's name")?;
        let tls = ClientConnection::new(access.tls.clone(), name)?;
        let mut client = Client {
            stream: StreamOwned::new(tls, tcp),
            input: Vec::new(),
            patience: CONNECT,
        };
        let auth = request([b"AUTH", access.password.as_bytes()]);
        let reply = client.call(&[auth])?;
        ensure!(
            reply == [Value::Simple("OK".into())],
            "not let in: {reply:?}"
        );
        client.patience = patience;
        Ok(client)
    }

    /// The certificate that the server showed.
    pub fn shown(&self) -> Option<Vec<u8>> {
        let chain = self.stream.conn.peer_certificates()?;
        Some(chain.first()?.to_vec())
    }

    /// Sends requests without waiting.
    ///
    /// # Errors
    /// When the connection is gone. They may have been received.
    pub fn send(&mut self, requests: &[Request]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for request in requests {
            bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for word in request {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        self.stream.write_all(&bytes)?;
        self.stream.flush()?;
        Ok(())
    }

    /// The next reply.
    ///
    /// # Errors
    /// When the connection is gone, is silent for too long, or sends what is no reply. It is of no use then.
    pub fn receive(&mut self) -> anyhow::Result<Value> {
        let until = Instant::now() + self.patience;
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some((value, used)) = parse_value(&self.input)? {
                self.input.drain(..used);
                return Ok(value);
            }
            let left = until.saturating_duration_since(Instant::now());
            ensure!(left > Duration::ZERO, "no reply in time");
            self.stream.sock.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(anyhow!("the connection was closed")),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sends requests as one pipeline and waits for their replies.
    ///
    /// # Errors
    /// As [`Client::receive`]: the outcome of every request is unknown then.
    pub fn call(&mut self, requests: &[Request]) -> anyhow::Result<Vec<Value>> {
        self.send(requests)?;
        requests.iter().map(|_| self.receive()).collect()
    }
}

/// What an error reply says of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It was not executed.
    NotDone,
    /// It may have been, or may yet be.
    Unknown,
    /// Nothing that a server in order says here.
    Unexpected,
}

/// Reads an error reply.
pub fn meaning(error: &str) -> Meaning {
    match error.split(' ').next().unwrap_or_default() {
        "UNKNOWNOUTCOME" => Meaning::Unknown,
        "CLUSTERDOWN" | "LOADING" | "EXECABORT" | "STALE" | "UNBLOCKED" => Meaning::NotDone,
        _ => Meaning::Unexpected,
    }
}
