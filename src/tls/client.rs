//! The TLS that clients meet: 1.2 and 1.3, one certificate, session tickets.
//!
//! A renewed certificate is used for the next handshake; connections that exist keep theirs. There is
//! no early data: a replayed write would be executed twice.

use super::Error;
use super::files::{Pair, Reload, Stamps};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The listener's certificate, replaceable while connections run.
pub struct Certificate {
    pair: Pair,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Stamps>,
}

impl Certificate {
    /// Reads the files; fails if they cannot be used.
    pub fn open(pair: Pair) -> Result<Arc<Self>, Error> {
        let stamps = Stamps::of(&[&pair.cert, &pair.key]);
        let key = pair.load()?;
        Ok(Arc::new(Self {
            pair,
            current: ArcSwap::from_pointee(key),
            seen: Mutex::new(stamps),
        }))
    }

    /// The configuration for `tokio_rustls::TlsAcceptor`. Make it once: its tickets are accepted by
    /// this configuration alone.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<rustls::ServerConfig>, Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(self.clone())));
        // Tickets keep resumption state at the client: nothing here grows with the number of clients.
        // They serve both versions (RFC 5077 for 1.2, RFC 8446 §4.6.1 for 1.3).
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    /// The certificate in use, DER, leaf first.
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }
}

impl Reload for Certificate {
    fn reload(&self) -> Result<bool, Error> {
        let mut seen = self.seen.lock();
        let now = Stamps::of(&[&self.pair.cert, &self.pair.key]);
        if now == *seen {
            return Ok(false);
        }
        // `seen` moves on success only, so that a half-replaced pair is tried again.
        let key = self.pair.load()?;
        self.current.store(Arc::new(key));
        *seen = now;
        Ok(true)
    }

    fn what(&self) -> String {
        format!("client listener {}", self.pair.cert.display())
    }
}

/// Gives rustls whatever is current. A type of its own, since the trait wants `Debug` and a key must
/// never be printed.
struct Resolver(Arc<Certificate>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({})", self.0.pair.cert.display())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}
