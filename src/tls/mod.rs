//! TLS: what clients meet, what nodes say to each other, and the authority that signs for both.
//!
//! Always: *ring* is the only provider; a certificate is read from disk again when its file changes
//! and no connection is closed for that; a file that cannot be used leaves the one before in place.

pub mod ca;
pub mod client;
pub mod files;
pub mod identity;
pub mod peer;
pub mod proxy;

use std::path::PathBuf;
use std::sync::Arc;

pub use identity::Identity;

/// What can be wrong with certificates, keys and the names in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the PEM that it should be.
    #[error("{path}: {reason}; a PEM file with {wanted} is needed")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser met.
        reason: String,
        /// What the file should hold.
        wanted: &'static str,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("{path}: {source}")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A certificate does not say which node or operator it belongs to.
    #[error("the certificate is not of cluster {cluster}: {reason}")]
    Identity {
        /// The cluster that was expected.
        cluster: String,
        /// What the certificate lacks.
        reason: String,
    },
    /// A cluster id that cannot stand in a DNS name.
    #[error(
        "cluster id {0:?}: 1 to 63 of a-z, 0-9 and '-' are needed, not beginning or ending with '-'"
    )]
    ClusterId(String),
    /// A name that cannot be put into a certificate.
    #[error("name {name:?} cannot be certified: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The authority could not sign.
    #[error("the certificate authority failed: {0}")]
    Authority(#[from] rcgen::Error),
    /// rustls refused the configuration or the other side.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The list of trusted roots cannot be used.
    #[error("the cluster's CA cannot be used: {0}")]
    Roots(String),
}

/// The one provider of primitives. Explicit everywhere, so that no process-wide default is needed.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<rustls::crypto::CryptoProvider>> =
        std::sync::OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
        .clone()
}

#[cfg(test)]
mod tests;
