//! What a node stands on: clocks, disk, the files of its store, the network. A machine; or a simulation, which runs
//! everything above this line as it is.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::base::clock::{self, Clock};
use crate::base::work::Pace;
use crate::config;
use crate::log::disk::{self, Disk};
use crate::raft::group::Group;
use crate::raft::link::{Dial, Later, Listen, TlsDial, TlsListen};
use crate::server::Server;
use crate::server::listener::Pool;
use crate::store::{Base, Rocks};
use crate::tls;

/// The ground under one node.
pub trait Ground: Send + Sync {
    /// Its clocks.
    fn clock(&self) -> Clock;
    /// What tells this boot of the machine from others, where a clock goes on across restarts of the node.
    fn boot(&self) -> Option<String> {
        None
    }
    /// The log's disk.
    fn disk(&self) -> Arc<dyn Disk>;
    /// What keeps the store's rows.
    fn base(&self) -> Arc<dyn Base>;
    /// See [`Pace`]; none where there are threads.
    fn pace(&self) -> Option<Pace>;
    /// Reaches the other nodes.
    ///
    /// # Errors
    /// The node's certificate cannot be used.
    fn dial(&self, config: &config::Node) -> anyhow::Result<Arc<dyn Dial>>;
    /// Where the other nodes reach this one.
    fn listen<'a>(&'a self, config: &'a config::Node)
    -> Later<'a, anyhow::Result<Box<dyn Listen>>>;
    /// Begins to listen to clients, and names those who serve them.
    fn clients<'a>(
        &'a self,
        config: &'a config::Node,
        server: &'a Arc<Server>,
    ) -> Later<'a, anyhow::Result<Pool>>;
    /// The node serves: told once, for whoever watches it.
    fn serving(&self, _group: &Arc<Group>, _server: &Arc<Server>) {}
}

/// This machine.
#[derive(Default)]
pub struct Machine {
    credentials: OnceLock<Arc<tls::peer::Credentials>>,
}

impl Machine {
    fn credentials(&self, config: &config::Node) -> anyhow::Result<Arc<tls::peer::Credentials>> {
        if let Some(opened) = self.credentials.get() {
            return Ok(opened.clone());
        }
        let credentials = tls::peer::Credentials::open(
            &config.cluster_id,
            tls::peer::Files {
                ca: config.peer_ca.clone(),
                pair: tls::files::Pair {
                    cert: config.peer_cert.clone(),
                    key: config.peer_key.clone(),
                },
            },
        )?;
        tls::files::watch(&credentials, tls::files::POLL_EVERY);
        Ok(self.credentials.get_or_init(|| credentials).clone())
    }
}

impl Ground for Machine {
    fn clock(&self) -> Clock {
        Clock::system()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(disk::Os)
    }

    fn boot(&self) -> Option<String> {
        clock::boot()
    }

    fn base(&self) -> Arc<dyn Base> {
        Arc::new(Rocks)
    }

    fn pace(&self) -> Option<Pace> {
        None
    }

    fn dial(&self, config: &config::Node) -> anyhow::Result<Arc<dyn Dial>> {
        Ok(Arc::new(TlsDial {
            credentials: self.credentials(config)?,
            time: Duration::from_millis(config.election_timeout_max_ms),
        }))
    }

    fn listen<'a>(
        &'a self,
        config: &'a config::Node,
    ) -> Later<'a, anyhow::Result<Box<dyn Listen>>> {
        Box::pin(async move {
            let credentials = self.credentials(config)?;
            let tcp = TcpListener::bind(config.peer_addr)
                .await
                .with_context(|| format!("listening for peers at {}", config.peer_addr))?;
            Ok(Box::new(TlsListen { tcp, credentials }) as Box<dyn Listen>)
        })
    }

    fn clients<'a>(
        &'a self,
        config: &'a config::Node,
        server: &'a Arc<Server>,
    ) -> Later<'a, anyhow::Result<Pool>> {
        Box::pin(async move {
            let pair = tls::files::Pair {
                cert: config.tls_cert.clone(),
                key: config.tls_key.clone(),
            };
            let certificate = tls::client::Certificate::open(pair)?;
            tls::files::watch(&certificate, tls::files::POLL_EVERY);
            let acceptor = tokio_rustls::TlsAcceptor::from(certificate.server_config()?);
            let pool = Pool::start(config.client_threads(), server.clone(), acceptor)?;
            let tcp = bind(config.client_addr)?;
            tokio::spawn(pool.clone().accept(tcp, false));
            if let Some(addr) = config.insecure_plaintext {
                tokio::spawn(pool.clone().accept(bind(addr)?, true));
            }
            Ok(pool)
        })
    }
}

/// A listener with a backlog that survives a flood of connections.
fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> std::io::Result<TcpListener> {
        let socket = if addr.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(4096)
    };
    bind().with_context(|| format!("listening for clients at {addr}"))
}
