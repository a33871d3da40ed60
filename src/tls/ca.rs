//! The cluster's own certificate authority, for clusters that `pontoon dev` or an operator sets up.
//!
//! One CA signs for nodes, operators and client listeners. They cannot stand in for each other: a
//! listener's certificate is for serving only and never has a name under `.pontoon`, an operator's is
//! for connecting only, and what a node is comes from its one identity name. Keys are ECDSA P-256,
//! which every TLS library in use verifies; key files have mode 0600 and are replaced whole.

use super::Error;
use super::identity::{Identity, check_cluster_id, is_reserved};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a CA is valid.
const CA_VALID: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// How long a leaf is valid. Below the 825 days beyond which Apple's TLS refuses a server's certificate.
pub const LEAF_VALID: Duration = Duration::from_secs(820 * 24 * 60 * 60);

/// The CA's certificate within its directory; clients and peers are given this file.
pub const CA_CERT: &str = "ca.pem";
/// The CA's key within its directory.
pub const CA_KEY: &str = "ca.key";

/// A certificate authority with its files.
pub struct Authority {
    dir: PathBuf,
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// The private key, PKCS #8. Write it with [`write_key`] or [`Issued::write`].
    pub key_pem: String,
}

impl Issued {
    /// Writes `<name>.pem` and `<name>.key` (mode 0600) into `dir`; answers both paths. The key goes
    /// first: a reader that sees the new certificate finds its key.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), Error> {
        let (cert, key) = (
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        );
        write_key(&key, &self.key_pem)?;
        write_file(&cert, self.cert_pem.as_bytes(), 0o644)?;
        Ok((cert, key))
    }
}

impl Authority {
    /// Makes a CA whose common name is `name` and writes its files into `dir`, which is made if
    /// needed. Fails if there is one already: everything it signed would become worthless.
    pub fn create(dir: &Path, name: &str) -> Result<Self, Error> {
        let (cert_path, key_path) = (dir.join(CA_CERT), dir.join(CA_KEY));
        std::fs::create_dir_all(dir).map_err(|source| Error::Io {
            path: dir.to_owned(),
            source,
        })?;
        if cert_path.exists() {
            let source = std::io::Error::new(
                std::io::ErrorKind::AlreadyExists,
                "there is a CA already; open it instead",
            );
            return Err(Error::Io {
                path: cert_path,
                source,
            });
        }
        let mut params = CertificateParams::default();
        valid_for(&mut params, CA_VALID);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let cert_pem = params.self_signed(&key)?.pem();
        write_key(&key_path, &key.serialize_pem())?;
        write_file(&cert_path, cert_pem.as_bytes(), 0o644)?;
        Ok(Self {
            dir: dir.to_owned(),
            cert_pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// Opens the CA that [`Authority::create`] wrote into `dir`.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let text = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| Error::Io {
                path: path.to_owned(),
                source,
            })
        };
        let cert_pem = text(&dir.join(CA_CERT))?;
        let key = KeyPair::from_pem(&text(&dir.join(CA_KEY))?)?;
        let issuer = Issuer::from_ca_cert_pem(&cert_pem, key)?;
        Ok(Self {
            dir: dir.to_owned(),
            cert_pem,
            issuer,
        })
    }

    /// The CA's certificate, PEM: what clients verify with.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The file of the CA's certificate.
    pub fn cert_path(&self) -> PathBuf {
        self.dir.join(CA_CERT)
    }

    /// A certificate for the listener that clients meet. `localhost`, 127.0.0.1 and ::1 are always
    /// in it; `names` adds host names and IP addresses (as text).
    pub fn issue_server(&self, names: &[String]) -> Result<Issued, Error> {
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        for name in names {
            if is_reserved(name) {
                let reason = "names under .pontoon are kept for nodes and operators".into();
                return Err(Error::Name {
                    name: name.clone(),
                    reason,
                });
            }
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        self.issue(
            &all,
            "pontoon server",
            &[ExtendedKeyUsagePurpose::ServerAuth],
        )
    }

    /// A node's certificate: it serves and connects under `node-<id>.<cluster>.pontoon`.
    pub fn issue_node(&self, cluster: &str, id: u64) -> Result<Issued, Error> {
        self.issue_identity(
            cluster,
            Identity::Node(id),
            &[
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        )
    }

    /// An operator's certificate: it only connects, as `admin.<cluster>.pontoon`.
    pub fn issue_admin(&self, cluster: &str) -> Result<Issued, Error> {
        self.issue_identity(
            cluster,
            Identity::Admin,
            &[ExtendedKeyUsagePurpose::ClientAuth],
        )
    }

    fn issue_identity(
        &self,
        cluster: &str,
        identity: Identity,
        usage: &[ExtendedKeyUsagePurpose],
    ) -> Result<Issued, Error> {
        check_cluster_id(cluster)?;
        if identity == Identity::Node(0) {
            return Err(Error::Name {
                name: identity.dns_name(cluster),
                reason: "node ids begin at 1".into(),
            });
        }
        self.issue(&[identity.dns_name(cluster)], &identity.to_string(), usage)
    }

    fn issue(
        &self,
        names: &[String],
        common_name: &str,
        usage: &[ExtendedKeyUsagePurpose],
    ) -> Result<Issued, Error> {
        let mut params = CertificateParams::new(names.to_vec())?;
        valid_for(&mut params, LEAF_VALID);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usage.to_vec();
        // Python 3.13 and OpenSSL's strict mode refuse a leaf that does not name its issuer's key.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// Valid from a day ago, so that a host whose clock is behind accepts it.
fn valid_for(params: &mut CertificateParams, time: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + time).into();
}

/// Writes a key file with mode 0600, whole or not at all.
pub fn write_key(path: &Path, pem: &str) -> Result<(), Error> {
    write_file(path, pem.as_bytes(), 0o600)
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let wrong = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // One left by a crash would keep its mode.
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(wrong(e)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(wrong)?;
    file.write_all(bytes).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    std::fs::rename(&temporary, path).map_err(wrong)
}
