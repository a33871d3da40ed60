//! Handshakes as they happen: versions, renewal, and who is refused.

use super::ca::{Authority, Issued};
use super::client::Certificate;
use super::files::{Pair, Reload, watch};
use super::peer::{ALPN_GRPC, ALPN_RELAY, Accepted, Credentials, Files};
use super::{Error, Identity, provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{HandshakeKind, ProtocolVersion, SupportedProtocolVersion};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn pair(dir: &Path, name: &str, issued: &Issued) -> Pair {
    let (cert, key) = issued.write(dir, name).unwrap();
    Pair { cert, key }
}

fn roots(authority: &Authority) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.cert_pem().as_bytes()).unwrap())
        .unwrap();
    roots
}

/// A listener that echoes, and its certificate.
struct Echo {
    _dir: TempDir,
    authority: Authority,
    pair: Pair,
    certificate: Arc<Certificate>,
    addr: std::net::SocketAddr,
}

impl Echo {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "test CA").unwrap();
        let pair = pair(dir.path(), "server", &authority.issue_server(&[]).unwrap());
        let certificate = Certificate::open(pair.clone()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(certificate.server_config().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let (mut read, mut write) = tokio::io::split(tls);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Self {
            _dir: dir,
            authority,
            pair,
            certificate,
            addr,
        }
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> tokio_rustls::TlsConnector {
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots(&self.authority))
            .with_no_client_auth();
        Arc::new(config).into()
    }

    async fn connect(
        &self,
        client: &tokio_rustls::TlsConnector,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        client
            .connect(ServerName::try_from(name.to_owned()).unwrap(), tcp)
            .await
    }

    fn renew(&self) {
        pair(
            self._dir.path(),
            "server",
            &self.authority.issue_server(&[]).unwrap(),
        );
    }
}

async fn echoes(tls: &mut TlsStream<TcpStream>) -> bool {
    let mut answer = [0; 4];
    tls.write_all(b"ping").await.is_ok()
        && tls.read_exact(&mut answer).await.is_ok()
        && &answer == b"ping"
}

fn leaf(tls: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    tls.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[tokio::test]
async fn clients_of_both_versions_verify_names_and_resume() {
    let echo = Echo::start().await;
    for (versions, wanted) in [
        (TLS12, ProtocolVersion::TLSv1_2),
        (TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = echo.client(versions);
        for name in ["localhost", "127.0.0.1", "::1"] {
            let mut tls = echo.connect(&client, name).await.unwrap();
            assert_eq!(tls.get_ref().1.protocol_version(), Some(wanted));
            assert_eq!(tls.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            assert!(echoes(&mut tls).await);
        }
        assert!(
            echo.connect(&client, "elsewhere").await.is_err(),
            "a name it does not bear"
        );
        // The echo above has brought the tickets.
        let mut again = echo.connect(&client, "localhost").await.unwrap();
        assert!(echoes(&mut again).await);
        assert_eq!(
            again.get_ref().1.handshake_kind(),
            Some(HandshakeKind::Resumed),
            "{wanted:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_under_live_connections() {
    let echo = Echo::start().await;
    for versions in [TLS12, TLS13] {
        let mut live = echo
            .connect(&echo.client(versions), "localhost")
            .await
            .unwrap();
        let before = leaf(&live);
        assert!(!echo.certificate.reload().unwrap(), "nothing has changed");
        echo.renew();
        assert!(echo.certificate.reload().unwrap());
        assert!(!echo.certificate.reload().unwrap(), "once is enough");
        assert!(echoes(&mut live).await, "the connection lives on");
        let mut new = echo
            .connect(&echo.client(versions), "localhost")
            .await
            .unwrap();
        assert!(echoes(&mut new).await);
        assert_ne!(leaf(&new), before);
    }
}

#[tokio::test]
async fn what_cannot_be_used_leaves_what_there_was() {
    let echo = Echo::start().await;
    let client = echo.client(TLS13);
    let before = leaf(&echo.connect(&client, "localhost").await.unwrap());
    let other = echo.authority.issue_server(&[]).unwrap();

    std::fs::write(&echo.pair.cert, "no certificate").unwrap();
    assert!(matches!(echo.certificate.reload(), Err(Error::Pem { .. })));
    // As between the two writes of a renewal: a new certificate, the old key.
    std::fs::write(&echo.pair.cert, &other.cert_pem).unwrap();
    assert!(matches!(
        echo.certificate.reload(),
        Err(Error::Unusable { .. })
    ));
    let mut tls = echo
        .connect(&echo.client(TLS13), "localhost")
        .await
        .unwrap();
    assert!(echoes(&mut tls).await);
    assert_eq!(leaf(&tls), before);

    std::fs::write(&echo.pair.key, &other.key_pem).unwrap();
    assert!(echo.certificate.reload().unwrap(), "complete, it is taken");
}

/// As a copy by tar or rsync leaves it: nothing but the content differs.
#[test]
fn a_copy_that_keeps_length_and_time_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), "test CA").unwrap();
    let issue = |name| pair(dir.path(), name, &authority.issue_server(&[]).unwrap());
    let ours = issue("server");
    let certificate = Certificate::open(ours.clone()).unwrap();
    let len = |pair: &Pair| [&pair.cert, &pair.key].map(|f| std::fs::metadata(f).unwrap().len());
    let new = std::iter::repeat_with(|| issue("new"))
        .find(|new| len(new) == len(&ours))
        .unwrap();
    for (from, to) in [(&new.cert, &ours.cert), (&new.key, &ours.key)] {
        let time = std::fs::metadata(to).unwrap().modified().unwrap();
        std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
        let file = std::fs::File::options().write(true).open(to).unwrap();
        file.set_modified(time).unwrap();
    }
    assert!(certificate.reload().unwrap(), "it is not noticed");
}

#[tokio::test]
async fn the_watch_renews_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), "test CA").unwrap();
    let issue = || pair(dir.path(), "server", &authority.issue_server(&[]).unwrap());
    let certificate = Certificate::open(issue()).unwrap();
    let before = certificate.current();
    let watch = watch(&certificate, Duration::from_millis(5));
    issue();
    let renewed = async {
        while Arc::ptr_eq(&before, &certificate.current()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed)
        .await
        .expect("it is never renewed");
    drop(certificate);
    tokio::time::timeout(Duration::from_secs(10), watch)
        .await
        .expect("it never ends")
        .unwrap();
}

/// Credentials of all kinds, signed by one CA.
struct Cluster {
    dir: TempDir,
    authority: Authority,
}

impl Cluster {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "cluster CA").unwrap();
        Self { dir, authority }
    }

    fn files(&self, name: &str, issued: Issued) -> Files {
        Files {
            ca: self.authority.cert_path(),
            pair: pair(self.dir.path(), name, &issued),
        }
    }

    fn node(&self, cluster: &str, id: u64) -> Arc<Credentials> {
        let issued = self.authority.issue_node(cluster, id).unwrap();
        Credentials::open(cluster, self.files(&format!("{cluster}-{id}"), issued)).unwrap()
    }

    fn admin(&self, cluster: &str) -> Arc<Credentials> {
        let issued = self.authority.issue_admin(cluster).unwrap();
        Credentials::open(cluster, self.files("admin", issued)).unwrap()
    }
}

/// Both ends of a new TCP connection.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (a, b) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (a.unwrap(), b.unwrap().0)
}

type Ends = (io::Result<TlsStream<TcpStream>>, io::Result<Accepted>);

async fn meet(
    client: &Credentials,
    target: u64,
    server: &Credentials,
    alpn: &'static [u8],
) -> Ends {
    let (a, b) = tcp().await;
    tokio::join!(client.connect(target, a, alpn), server.accept(b))
}

#[tokio::test]
async fn peers_know_each_other() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node("c", 1), cluster.node("c", 2));
    assert_eq!(
        (one.own(), two.own()),
        (Identity::Node(1), Identity::Node(2))
    );
    for (alpn, relay) in [(ALPN_GRPC, false), (ALPN_RELAY, true)] {
        let (client, server) = meet(&one, 2, &two, alpn).await;
        let server = server.unwrap();
        assert!(client.is_ok());
        assert_eq!((server.identity, server.relay), (Identity::Node(1), relay));
    }
    let admin = cluster.admin("c");
    let (_, server) = meet(&admin, 2, &two, ALPN_GRPC).await;
    assert_eq!(server.unwrap().identity, Identity::Admin);
    let (a, b) = tcp().await;
    let (found, _server) = tokio::join!(admin.connect_any(a, ALPN_GRPC), two.accept(b));
    assert_eq!(found.unwrap().1, 2, "the operator learns whom it met");
}

#[tokio::test]
async fn strangers_are_refused() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node("c", 1), cluster.node("c", 2));

    let (client, _) = meet(&one, 3, &two, ALPN_GRPC).await;
    assert!(client.is_err(), "another node than was meant");

    // Each side refuses a cluster that is not its own, though one CA signed for both.
    let other = cluster.node("d", 1);
    let (_, server) = meet_any_server(&other, &two).await;
    assert!(server.is_err(), "a node of another cluster");
    let (client, _) = meet(&one, 1, &other, ALPN_GRPC).await;
    assert!(client.is_err(), "to a node of another cluster");

    let foreign = Cluster::new();
    let (client, server) = meet(&foreign.node("c", 1), 2, &two, ALPN_GRPC).await;
    assert!(client.is_err() && server.is_err(), "another CA");
    let (_, server) = meet_any_server(&foreign.node("c", 1), &two).await;
    assert!(
        server.is_err(),
        "another CA, whatever the client thinks of the server"
    );

    // The client listener's certificate is of the same CA; it is for serving, and nobody's.
    let listener = cluster.files("listener", cluster.authority.issue_server(&[]).unwrap());
    assert!(matches!(
        Credentials::open("c", listener),
        Err(Error::Identity { .. })
    ));
    // An operator's certificate is for connecting only.
    let admin = cluster.admin("c");
    let (a, b) = tcp().await;
    let (client, _) = tokio::join!(one.connect_any(a, ALPN_GRPC), admin.accept(b));
    assert!(client.is_err(), "an operator cannot serve");
    let (client, server) = meet(&one, 2, &two, b"http/1.1").await;
    assert!(client.is_err() && server.is_err(), "nothing else is spoken");
    assert!(
        Credentials::open(
            "d",
            cluster.files("x", cluster.authority.issue_node("c", 1).unwrap())
        )
        .is_err()
    );
}

/// A client that believes any server: what the server does by itself.
async fn meet_any_server(
    client: &Credentials,
    server: &Credentials,
) -> (io::Result<()>, io::Result<Accepted>) {
    let certificate = client.pair().load().unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TLS13)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believes))
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![ALPN_GRPC.to_vec()];
    bare(config, server).await
}

async fn bare(
    config: rustls::ClientConfig,
    server: &Credentials,
) -> (io::Result<()>, io::Result<Accepted>) {
    let (a, b) = tcp().await;
    let name = ServerName::try_from("x").unwrap();
    let client = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, a);
    let (client, server) = tokio::join!(client, server.accept(b));
    (client.map(|_| ()), server)
}

#[tokio::test]
async fn without_a_certificate_nobody_enters() {
    let cluster = Cluster::new();
    let two = cluster.node("c", 2);
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TLS13)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believes))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_GRPC.to_vec()];
    assert!(bare(config.clone(), &two).await.1.is_err());
    // With a certificate it is let in: the refusal is for its lack.
    let key = cluster.authority.issue_node("c", 1).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(key.cert_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.key_pem.as_bytes()).unwrap();
    let certified = rustls::sign::CertifiedKey::from_der(chain, key, &provider()).unwrap();
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    assert!(bare(config.clone(), &two).await.1.is_ok());
    // Nodes speak 1.3 alone.
    let old = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TLS12)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believes))
        .with_client_cert_resolver(config.client_auth_cert_resolver.clone());
    assert!(bare(old, &two).await.1.is_err());
}

#[tokio::test]
async fn a_nodes_certificate_is_renewed_and_stays_its_own() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node("c", 1), cluster.node("c", 2));
    let (live, accepted) = meet(&one, 2, &two, ALPN_RELAY).await;
    let (mut live, mut accepted) = (live.unwrap(), accepted.unwrap().stream);
    let before = leaf(&live);

    cluster.files("c-2", cluster.authority.issue_node("c", 2).unwrap());
    assert!(two.reload().unwrap());
    let (new, accepted_new) = meet(&one, 2, &two, ALPN_GRPC).await;
    assert!(accepted_new.is_ok());
    assert_ne!(leaf(&new.unwrap()), before);
    live.write_all(b"alive").await.unwrap();
    let mut got = [0; 5];
    accepted.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"alive");

    cluster.files("c-2", cluster.authority.issue_node("c", 3).unwrap());
    assert!(
        matches!(two.reload(), Err(Error::Identity { .. })),
        "it is another node's"
    );
    assert_eq!(two.own(), Identity::Node(2));
    assert!(meet(&one, 2, &two, ALPN_GRPC).await.1.is_ok());
}

#[test]
fn the_authority_keeps_its_word() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let made = Authority::create(dir.path(), "CA of a test").unwrap();
    assert!(
        Authority::create(dir.path(), "another").is_err(),
        "it would void what the first signed"
    );
    let opened = Authority::open(dir.path()).unwrap();
    assert_eq!(made.cert_pem(), opened.cert_pem());
    let pair = pair(dir.path(), "n", &opened.issue_node("c", 7).unwrap());
    let files = Files {
        ca: opened.cert_path(),
        pair: pair.clone(),
    };
    assert_eq!(
        Credentials::open("c", files).unwrap().own(),
        Identity::Node(7)
    );
    for key in [&pair.key, &dir.path().join(super::ca::CA_KEY)] {
        let mode = std::fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
    for name in [
        "node-1.c.pontoon",
        "admin.c.pontoon",
        "x.PONTOON",
        "x.pontoon.",
    ] {
        assert!(
            matches!(opened.issue_server(&[name.into()]), Err(Error::Name { .. })),
            "{name}"
        );
    }
    assert!(
        opened
            .issue_server(&["redis.example.org".into(), "10.1.2.3".into()])
            .is_ok()
    );
    assert!(opened.issue_node("c", 0).is_err() && opened.issue_node("Not A Label", 1).is_err());
}

/// Accepts every server certificate: a stranger that does not care whom it talks to.
#[derive(Debug)]
struct Believes;

impl rustls::client::danger::ServerCertVerifier for Believes {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
