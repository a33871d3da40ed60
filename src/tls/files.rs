//! Certificates and keys as files, and noticing that they changed.
//!
//! A change is seen by the time of the inode's change, which nobody can set back, by length and by
//! inode: a rewrite in place, a rename over, and a copy that kept the time of modification (tar,
//! rsync, `cp -p`) are all noticed. Reading never gives half a pair: certificate and key are checked against each other, and
//! a mismatch (one of the two not yet replaced) is an error that the next look retries.

use super::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use x509_parser::extensions::GeneralName;

/// How often the files are looked at.
pub const POLL_EVERY: Duration = Duration::from_secs(2);

/// A certificate chain (leaf first) and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain's file.
    pub cert: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Pair {
    /// Reads both and checks that they belong together.
    pub fn load(&self) -> Result<CertifiedKey, Error> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|e| Error::Pem {
            path: self.key.clone(),
            reason: e.to_string(),
            wanted: "a private key",
        })?;
        CertifiedKey::from_der(chain, key, &super::provider()).map_err(|source| Error::Unusable {
            path: self.cert.clone(),
            source,
        })
    }
}

/// All certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let wrong = |reason: String| Error::Pem {
        path: path.to_owned(),
        reason,
        wanted: "certificates",
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() {
        return Err(wrong("no certificate in it".into()));
    }
    Ok(found)
}

/// When the first certificate of a PEM file ends, Unix seconds; `None` where it cannot be read.
pub fn ends(path: &Path) -> Option<i64> {
    let all = certificates(path).ok()?;
    let end = |der: &CertificateDer<'_>| {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        Some(certificate.validity().not_after.timestamp())
    };
    all.iter().filter_map(end).min()
}

/// The host names and addresses that the first certificate of a PEM file is for.
///
/// # Errors
/// When it cannot be read.
pub fn names(path: &Path) -> Result<Vec<String>, Error> {
    let wrong = |reason: String| Error::Pem {
        path: path.to_owned(),
        reason,
        wanted: "a certificate with names",
    };
    let all = certificates(path)?;
    let (_, leaf) =
        x509_parser::parse_x509_certificate(&all[0]).map_err(|e| wrong(e.to_string()))?;
    let found = leaf
        .subject_alternative_name()
        .map_err(|e| wrong(e.to_string()))?;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_string()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(IpAddr::from(v4).to_string()),
            Err(_) => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    };
    Ok(found.map_or_else(Vec::new, |f| {
        f.value.general_names.iter().filter_map(name).collect()
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

/// What a file looked like: time of the inode's change in ns (ctime), length, inode. `None`: it was not there.
type Stamp = Option<(i128, u64, u64)>;

/// The looks of some files, to be compared later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps(Vec<Stamp>);

impl Stamps {
    /// Takes them now. Take them *before* reading, so that a change during the reading is seen later.
    pub fn of(paths: &[&Path]) -> Self {
        Self(
            paths
                .iter()
                .map(|p| {
                    let m = std::fs::metadata(p).ok()?;
                    let ctime = i128::from(m.ctime()) * 1_000_000_000 + i128::from(m.ctime_nsec());
                    Some((ctime, m.len(), m.ino()))
                })
                .collect(),
        )
    }
}

/// Something made from files that can be made anew.
pub trait Reload: Send + Sync + 'static {
    /// Reads again if a file changed since the last success. True: something new is in use.
    /// An error leaves what was in use.
    fn reload(&self) -> Result<bool, Error>;
    /// The name for log lines.
    fn what(&self) -> String;
}

/// Looks at the files every `every` until the value is dropped. Must be called within a Tokio runtime.
/// One log line per new error, not one per look.
pub fn watch<R: Reload>(value: &Arc<R>, every: Duration) -> tokio::task::JoinHandle<()> {
    let weak: Weak<R> = Arc::downgrade(value);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_error = String::new();
        loop {
            tick.tick().await;
            let Some(value) = weak.upgrade() else { return };
            let what = value.what();
            match tokio::task::spawn_blocking(move || value.reload()).await {
                Ok(Ok(true)) => {
                    tracing::info!(what, "certificate renewed from disk");
                    last_error.clear();
                }
                Ok(Ok(false)) => last_error.clear(),
                Ok(Err(e)) => {
                    let text = e.to_string();
                    if text != last_error {
                        tracing::error!(
                            what,
                            error = text,
                            "the new certificate cannot be used; the one before stays"
                        );
                        last_error = text;
                    }
                }
                Err(_) => return,
            }
        }
    })
}
