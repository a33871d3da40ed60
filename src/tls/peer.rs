//! TLS between nodes, and from an operator to a node: mutual, 1.3 only, signed by the cluster's CA.
//!
//! Always: a handshake ends without error only if the other side holds a certificate of this cluster,
//! and, when connecting, of the very node that was meant. So nothing of another cluster is ever
//! parsed. There is no resumption: each connection proves its identity anew, and a renewed CA takes
//! effect with the next one.

use super::files::{Pair, Reload, Stamps, certificates};
use super::identity::{Identity, check_cluster_id};
use super::{Error, provider};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;

/// ALPN of gRPC (RFC 9113).
pub const ALPN_GRPC: &[u8] = b"h2";
/// ALPN of a client's session that a standby relays to the leader.
pub const ALPN_RELAY: &[u8] = b"pontoon-relay/1";

/// Where a node's or operator's credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The cluster's CA, PEM; several certificates while a CA is being replaced.
    pub ca: PathBuf,
    /// The own certificate and key.
    pub pair: Pair,
}

/// The two configurations that come from one reading of the files.
struct Loaded {
    own: Identity,
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

/// Own credentials in the cluster, replaceable while connections run.
pub struct Credentials {
    cluster: Arc<str>,
    files: Files,
    loaded: ArcSwap<Loaded>,
    seen: Mutex<Stamps>,
}

/// An accepted connection: the stream, who is there, and what was agreed to be spoken.
pub struct Accepted {
    /// The stream, handshake done.
    pub stream: tokio_rustls::server::TlsStream<TcpStream>,
    /// The client's identity.
    pub identity: Identity,
    /// True: `ALPN_RELAY`; false: `ALPN_GRPC`. Nothing else is accepted.
    pub relay: bool,
}

impl Credentials {
    /// Reads the files. Fails if they cannot be used or are not of `cluster`.
    pub fn open(cluster: &str, files: Files) -> Result<Arc<Self>, Error> {
        check_cluster_id(cluster)?;
        let cluster: Arc<str> = cluster.into();
        let stamps = Self::stamps(&files);
        let loaded = Self::load(&cluster, &files)?;
        Ok(Arc::new(Self {
            cluster,
            files,
            loaded: ArcSwap::from_pointee(loaded),
            seen: Mutex::new(stamps),
        }))
    }

    /// The cluster's id.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Where the own certificate and key are.
    pub fn pair(&self) -> &Pair {
        &self.files.pair
    }

    /// Who the own certificate says that we are.
    pub fn own(&self) -> Identity {
        self.loaded.load().own
    }

    /// Takes a TCP connection through the server's side of the handshake. The caller bounds the time.
    pub async fn accept(&self, tcp: TcpStream) -> std::io::Result<Accepted> {
        let server = self.loaded.load().server.clone();
        let stream = tokio_rustls::TlsAcceptor::from(server).accept(tcp).await?;
        let session = stream.get_ref().1;
        let relay = match session.alpn_protocol() {
            Some(p) if p == ALPN_GRPC => false,
            Some(p) if p == ALPN_RELAY => true,
            _ => return Err(refused("ALPN h2 or pontoon-relay/1 is needed".into())),
        };
        let identity = self.identity_of(session.peer_certificates())?;
        Ok(Accepted {
            stream,
            identity,
            relay,
        })
    }

    /// Takes a TCP connection through the client's side of the handshake, to node `target`. The
    /// caller bounds the time.
    pub async fn connect(
        &self,
        target: u64,
        tcp: TcpStream,
        alpn: &'static [u8],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        self.connect_as(&Identity::Node(target).dns_name(&self.cluster), tcp, alpn)
            .await
    }

    /// The same to whichever node of the cluster listens there; answers its id. For operators, who
    /// know an address and not yet the id.
    pub async fn connect_any(
        &self,
        tcp: TcpStream,
        alpn: &'static [u8],
    ) -> std::io::Result<(tokio_rustls::client::TlsStream<TcpStream>, u64)> {
        let stream = self.connect_as(&any_node(&self.cluster), tcp, alpn).await?;
        match self.identity_of(stream.get_ref().1.peer_certificates())? {
            Identity::Node(id) => Ok((stream, id)),
            Identity::Admin => Err(refused("an operator's certificate cannot listen".into())),
        }
    }

    async fn connect_as(
        &self,
        name: &str,
        tcp: TcpStream,
        alpn: &'static [u8],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(|e| refused(e.to_string()))?;
        let mut config = rustls::ClientConfig::clone(&self.loaded.load().client);
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await?;
        if stream.get_ref().1.alpn_protocol() != Some(alpn) {
            return Err(refused(format!(
                "the peer does not speak {}",
                String::from_utf8_lossy(alpn)
            )));
        }
        Ok(stream)
    }

    fn identity_of(
        &self,
        certificates: Option<&[CertificateDer<'_>]>,
    ) -> std::io::Result<Identity> {
        let leaf = certificates
            .and_then(<[_]>::first)
            .ok_or_else(|| refused("no certificate".into()))?;
        Identity::of(leaf, &self.cluster).map_err(|e| refused(e.to_string()))
    }

    fn stamps(files: &Files) -> Stamps {
        Stamps::of(&[&files.ca, &files.pair.cert, &files.pair.key])
    }

    fn load(cluster: &Arc<str>, files: &Files) -> Result<Loaded, Error> {
        let mut roots = rustls::RootCertStore::empty();
        for root in certificates(&files.ca)? {
            roots.add(root)?;
        }
        let roots = Arc::new(roots);
        let key = Arc::new(files.pair.load()?);
        let own = Identity::of(key.end_entity_cert()?, cluster)?;

        let inner = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|e| Error::Roots(e.to_string()))?;
        let mut server = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(FromCluster {
                inner,
                cluster: cluster.clone(),
            }))
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key.clone())));
        server.alpn_protocols = vec![ALPN_GRPC.to_vec(), ALPN_RELAY.to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});

        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|e| Error::Roots(e.to_string()))?;
        let mut client = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ToNode {
                inner,
                cluster: cluster.clone(),
            }))
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
        client.resumption = rustls::client::Resumption::disabled();
        Ok(Loaded {
            own,
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

impl Reload for Credentials {
    fn reload(&self) -> Result<bool, Error> {
        let mut seen = self.seen.lock();
        let now = Self::stamps(&self.files);
        if now == *seen {
            return Ok(false);
        }
        let loaded = Self::load(&self.cluster, &self.files)?;
        let own = self.own();
        if loaded.own != own {
            return Err(Error::Identity {
                cluster: self.cluster.to_string(),
                reason: format!("it is of {}, and this process is {own}", loaded.own),
            });
        }
        self.loaded.store(Arc::new(loaded));
        *seen = now;
        Ok(true)
    }

    fn what(&self) -> String {
        format!("peers {}", self.files.pair.cert.display())
    }
}

/// The server name that `ToNode` takes for "any node". Not a name that a certificate can bear, since
/// `Identity` does not read it.
fn any_node(cluster: &str) -> String {
    format!("any-node.{cluster}.pontoon")
}

fn refused(reason: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason)
}

/// Verifies a server as a node of this cluster: the chain, its use as a server, and the name.
#[derive(Debug)]
struct ToNode {
    inner: Arc<WebPkiServerVerifier>,
    cluster: Arc<str>,
}

impl ServerCertVerifier for ToNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let identity = Identity::of(end_entity, &self.cluster).map_err(application)?;
        let wanted = if server_name.to_str() == any_node(&self.cluster) {
            // The chain and the use are still webpki's to check, under the name that it does bear.
            ServerName::try_from(identity.dns_name(&self.cluster)).map_err(application)?
        } else {
            server_name.to_owned()
        };
        self.inner
            .verify_server_cert(end_entity, intermediates, &wanted, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies a client as one of this cluster: the chain, its use as a client, and an identity.
#[derive(Debug)]
struct FromCluster {
    inner: Arc<dyn ClientCertVerifier>,
    cluster: Arc<str>,
}

impl ClientCertVerifier for FromCluster {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        Identity::of(end_entity, &self.cluster).map_err(application)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn application<E: std::fmt::Display>(error: E) -> rustls::Error {
    tracing::warn!(%error, "a peer's certificate is refused");
    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}
