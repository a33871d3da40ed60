//! Accepting clients: TLS handshakes and admission, on the threads that then serve the connections.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::base::limits::{HANDSHAKE_SECONDS_MAX, HANDSHAKES_MAX, THREAD_STACK_LEN};
use crate::raft::link::{Bytes, Stream, rehome};
use crate::raft::listener::Relayed;
use crate::tls::Identity;

use super::conn::Conn;
use super::relay;
use super::{Server, Session};

/// What a client beyond maxclients is told.
pub const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Work for a thread that serves connections.
pub enum Job {
    Client(TcpStream, SocketAddr),
    Plain(TcpStream, SocketAddr),
    Relayed(Box<Relayed>),
    /// A simulated client's.
    Piped(Stream, SocketAddr),
}

/// The threads that serve connections. Each has a runtime of its own; a connection stays on one.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<Vec<mpsc::UnboundedSender<Job>>>,
    next: Arc<std::sync::atomic::AtomicUsize>,
}

impl Pool {
    /// Starts the threads.
    pub fn start(threads: usize, server: Arc<Server>, tls: TlsAcceptor) -> std::io::Result<Pool> {
        let mut senders = Vec::new();
        for i in 0..threads.max(1) {
            // Bounded by the handshake semaphore and by maxclients: a job is a connection.
            let (tx, rx) = mpsc::unbounded_channel();
            let (server, tls) = (server.clone(), tls.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            std::thread::Builder::new()
                .name(format!("clients-{i}"))
                .stack_size(THREAD_STACK_LEN)
                .spawn(move || {
                    let local = tokio::task::LocalSet::new();
                    local.block_on(&runtime, work(rx, server, Some(tls)));
                })?;
            senders.push(tx);
        }
        Ok(Pool {
            threads: Arc::new(senders),
            next: Arc::default(),
        })
    }

    /// Tasks of the caller's local set in place of threads. For a simulation, whose clients speak no TLS.
    pub fn local(server: Arc<Server>) -> Pool {
        let (tx, rx) = mpsc::unbounded_channel();
        tokio::task::spawn_local(work(rx, server, None));
        Pool {
            threads: Arc::new(vec![tx]),
            next: Arc::default(),
        }
    }

    /// Hands a connection to the next thread.
    pub fn hand(&self, job: Job) {
        let i = self.next.fetch_add(1, Relaxed) % self.threads.len();
        let _ = self.threads[i].send(job);
    }

    /// Accepts clients on a listener until the task is dropped.
    pub async fn accept(self, listener: TcpListener, plain: bool) {
        loop {
            match listener.accept().await {
                Ok((tcp, addr)) => self.hand(if plain {
                    Job::Plain(tcp, addr)
                } else {
                    Job::Client(tcp, addr)
                }),
                Err(e) => {
                    tracing::warn!("accepting a client failed: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Serves what comes, until nobody is left who could hand something over.
async fn work(
    mut jobs: mpsc::UnboundedReceiver<Job>,
    server: Arc<Server>,
    tls: Option<TlsAcceptor>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(job) = jobs.recv().await {
        tokio::task::spawn_local(serve(job, server.clone(), tls.clone(), handshakes.clone()));
    }
}

async fn serve(
    job: Job,
    server: Arc<Server>,
    tls: Option<TlsAcceptor>,
    handshakes: Arc<Semaphore>,
) {
    let mut job = job;
    let moved = match &mut job {
        Job::Client(tcp, _) | Job::Plain(tcp, _) => rehome(tcp),
        Job::Relayed(relayed) => relayed.stream.rehome(),
        Job::Piped(..) => Ok(()),
    };
    if let Err(e) = moved {
        tracing::warn!(
            "a connection was dropped since its socket could not be moved to the thread that serves it: {e}"
        );
        return;
    }
    match job {
        Job::Relayed(relayed) => {
            let Relayed {
                stream,
                slot,
                from,
                addr,
            } = *relayed;
            let slotted = Box::new(Slotted {
                stream,
                _slot: slot,
            });
            match from {
                Identity::Node(_) => relay::accept(server, slotted).await,
                Identity::Admin => relay::operate(server, slotted, addr).await,
            }
        }
        Job::Plain(_, addr) if !server.lets_in(addr.ip()) => {
            tracing::debug!("{addr} is not on the allow-list");
        }
        Job::Plain(tcp, addr) => {
            let laddr = tcp.local_addr().map(|a| a.to_string()).unwrap_or_default();
            let fd = tcp.as_raw_fd();
            let _ = tcp.set_nodelay(true);
            admit(tcp, addr, laddr, fd, server).await;
        }
        Job::Piped(stream, addr) => admit(stream, addr, String::new(), -1, server).await,
        Job::Client(mut tcp, mut addr) => {
            let Some(tls) = tls else {
                return;
            };
            // A gateway says first whose connection it is. Nothing is answered before that.
            if let Some(key) = &server.options.proxy_key {
                let patience = Duration::from_secs(HANDSHAKE_SECONDS_MAX);
                match tokio::time::timeout(patience, key.take(&mut tcp)).await {
                    Ok(Ok(Some(client))) => addr = client,
                    Ok(Ok(None)) => {}
                    Ok(Err(e)) => return tracing::warn!("a connection from {addr} was cut: {e}"),
                    Err(_) => return,
                }
            }
            if !server.lets_in(addr.ip()) {
                return tracing::debug!("{addr} is not on the allow-list");
            }
            let laddr = tcp.local_addr().map(|a| a.to_string()).unwrap_or_default();
            let fd = tcp.as_raw_fd();
            let _ = tcp.set_nodelay(true);
            let Ok(permit) = handshakes.acquire().await else {
                return;
            };
            let shaken =
                tokio::time::timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX), tls.accept(tcp))
                    .await;
            drop(permit);
            match shaken {
                Ok(Ok(stream)) => admit(stream, addr, laddr, fd, server).await,
                Ok(Err(e)) => tracing::debug!("TLS handshake with {addr} failed: {e}"),
                Err(_) => tracing::debug!(
                    "TLS handshake with {addr} was not finished in {HANDSHAKE_SECONDS_MAX} s"
                ),
            }
        }
    }
}

async fn admit<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
    addr: SocketAddr,
    laddr: String,
    fd: i32,
    server: Arc<Server>,
) {
    server.counters.connections.fetch_add(1, Relaxed);
    let max = server.live.maxclients.load(Relaxed);
    let Some(client) = server.clients.add(addr.to_string(), laddr, fd, max) else {
        server.counters.rejected.fetch_add(1, Relaxed);
        let _ = stream.write_all(TOO_MANY).await;
        let _ = stream.shutdown().await;
        return;
    };
    let mut session = Session::new(client);
    // Not the engine's own users: a script may have it, and this thread has other connections.
    session.authenticated = server.users.load().open();
    Conn::new(stream, server, session).run().await;
}

/// A relayed stream with its place among the relays.
struct Slotted {
    stream: Stream,
    _slot: tokio::sync::OwnedSemaphorePermit,
}

impl Bytes for Slotted {}

impl tokio::io::AsyncRead for Slotted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Slotted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
