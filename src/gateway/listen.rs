//! The listener, its threads, and the fate of each connection.
//!
//! One thread accepts and hands connections to as many as there are cores, each with its own single-threaded runtime:
//! a connection's bytes never move between threads. Every connection is in one table under the node it goes to,
//! so that those of a lost node can be ended at once.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::pump;
use super::view::{GRACE, SILENCE, View};
use crate::base::limits;
use crate::tls::proxy::Key;

/// How a gateway behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// How long a new connection waits for a primary. Then it is closed.
    pub wait: Duration,
    /// The most connections at a time. One more is closed at once.
    pub connections_max: usize,
    /// Threads that move bytes. 0: as many as there are cores.
    pub threads: usize,
    /// Lets other gateway processes listen on the same address; the kernel spreads connections over them.
    pub shared: bool,
    /// With it nodes are told who the clients are.
    pub proxy_key: Option<Key>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            wait: Duration::from_secs(5),
            connections_max: limits::GATEWAY_CONNECTIONS_MAX,
            threads: 0,
            shared: false,
            proxy_key: None,
        }
    }
}

/// A listener that runs. Dropping it ends it and all its connections.
pub struct Gateway {
    addr: SocketAddr,
    state: Arc<State>,
    accept: tokio::task::JoinHandle<()>,
    cut: tokio::task::JoinHandle<()>,
}

struct State {
    view: watch::Receiver<View>,
    options: Options,
    /// Connections that exist, waiting ones included.
    count: AtomicUsize,
    table: Mutex<Table>,
}

/// Which connection goes to which node.
#[derive(Default)]
struct Table {
    next: u64,
    by_node: HashMap<u64, HashMap<u64, AbortHandle>>,
}

impl Gateway {
    /// Listens at `options.listen` and follows `view`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(options: Options, view: watch::Receiver<View>) -> io::Result<Gateway> {
        let listener = bind(&options)?;
        let addr = listener.local_addr()?;
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        };
        let state = Arc::new(State {
            view,
            options,
            count: AtomicUsize::new(0),
            table: Mutex::default(),
        });
        let workers = (0..threads)
            .map(|n| worker(n, state.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        let accept = tokio::spawn(accept(listener, workers, state.clone()));
        let cut = tokio::spawn(cut(state.clone()));
        Ok(Gateway {
            addr,
            state,
            accept,
            cut,
        })
    }

    /// The address that is listened on, with its port resolved.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections that exist now, those that wait for a primary included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The workers end when the accepting task has dropped their channels.
        self.accept.abort();
        self.cut.abort();
        let mut table = self.state.table.lock();
        table
            .by_node
            .values()
            .flat_map(HashMap::values)
            .for_each(AbortHandle::abort);
        table.by_node.clear();
    }
}

fn bind(options: &Options) -> io::Result<tokio::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(options.listen),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if options.shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&options.listen.into())?;
    socket.listen(limits::ACCEPT_BACKLOG)?;
    tokio::net::TcpListener::from_std(socket.into())
}

async fn accept(
    listener: tokio::net::TcpListener,
    workers: Vec<mpsc::Sender<std::net::TcpStream>>,
    state: Arc<State>,
) {
    let mut next = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files or memory: the connection stays in the backlog. Others pass at once.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if state.count.load(Ordering::Relaxed) >= state.options.connections_max {
            tracing::warn!(
                max = state.options.connections_max,
                "the gateway is full: a connection was closed"
            );
            continue;
        }
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        state.count.fetch_add(1, Ordering::Relaxed);
        next = (next + 1) % workers.len();
        if workers[next].send(stream).await.is_err() {
            return;
        }
    }
}

/// Starts one thread that moves bytes; it ends when the sender is dropped.
fn worker(number: usize, state: Arc<State>) -> io::Result<mpsc::Sender<std::net::TcpStream>> {
    let (sender, mut inbox) = mpsc::channel::<std::net::TcpStream>(limits::GATEWAY_HANDOVER);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("gateway-{number}"))
        .spawn(move || {
            runtime.block_on(async move {
                while let Some(stream) = inbox.recv().await {
                    let state = state.clone();
                    tokio::spawn(async move {
                        // Counted down also when the task is aborted.
                        let _counted = Counted(state.clone());
                        if let Err(reason) = serve(stream, &state).await {
                            tracing::debug!(%reason, "a connection ended");
                        }
                    });
                }
            });
        })?;
    Ok(sender)
}

struct Counted(Arc<State>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection, from its acceptance to its end.
async fn serve(client: std::net::TcpStream, state: &Arc<State>) -> io::Result<()> {
    let client = TcpStream::from_std(client)?;
    tune(&client)?;
    let waited = tokio::time::timeout(state.options.wait, reach(state));
    let (node, upstream) = tokio::select! {
        reached = waited => reached.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no primary in time"))?,
        // A client that gave up waiting does not hold a place.
        () = gone(&client) => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    tune(&upstream)?;
    let mut upstream = upstream;
    if let Some(key) = &state.options.proxy_key {
        let header = key.header(client.peer_addr()?, upstream.peer_addr()?);
        upstream.write_all(&header).await?;
    }
    let (handle, registration) = AbortHandle::new_pair();
    let _entry = Entry::new(state, node, handle);
    // The view may have changed while the connection was made.
    if !state
        .view
        .borrow()
        .lost(std::iter::once(node), Instant::now())
        .is_empty()
    {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut client = client;
    Abortable::new(pump::both(&mut client, &mut upstream), registration)
        .await
        .unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "its node is lost",
            ))
        })
}

/// Connects to the primary, waiting for one and trying again for as long as the caller lets it.
async fn reach(state: &State) -> (u64, TcpStream) {
    let mut view = state.view.clone();
    loop {
        let target = view
            .borrow_and_update()
            .target()
            .map(|(id, addr)| (id, addr.to_string()));
        if let Some((id, addr)) = target {
            match tokio::time::timeout(limits::GATEWAY_CONNECT_MAX, TcpStream::connect(&addr)).await
            {
                Ok(Ok(stream)) => return (id, stream),
                Ok(Err(error)) => {
                    tracing::debug!(node = id, addr, %error, "the primary refuses connections")
                }
                Err(_) => {
                    tracing::debug!(node = id, addr, "the primary does not accept connections")
                }
            }
        }
        // Either the view changes, or what failed is tried again soon.
        let pause = Duration::from_millis(50);
        if let Ok(Err(_)) = tokio::time::timeout(pause, view.changed()).await {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Ready when the client closed its side before a primary was reached.
async fn gone(client: &TcpStream) {
    let mut byte = [0; 1];
    loop {
        match client.peek(&mut byte).await {
            Ok(0) | Err(_) => return,
            // It has begun its handshake. That it also went away is then seen by the pump.
            Ok(_) => std::future::pending().await,
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A peer that vanished without a word is noticed within about two minutes.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// A connection's place in the table.
struct Entry<'a> {
    state: &'a State,
    node: u64,
    number: u64,
}

impl<'a> Entry<'a> {
    fn new(state: &'a State, node: u64, handle: AbortHandle) -> Entry<'a> {
        let mut table = state.table.lock();
        table.next += 1;
        let number = table.next;
        table
            .by_node
            .entry(node)
            .or_default()
            .insert(number, handle);
        Entry {
            state,
            node,
            number,
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut table = self.state.table.lock();
        if let Some(of_node) = table.by_node.get_mut(&self.node) {
            of_node.remove(&self.number);
            if of_node.is_empty() {
                table.by_node.remove(&self.node);
            }
        }
    }
}

/// Ends the connections of lost nodes, whenever the view changes and when a grace has passed.
async fn cut(state: Arc<State>) {
    let mut view = state.view.clone();
    loop {
        let now = Instant::now();
        let look_again = {
            let view = view.borrow_and_update();
            let mut table = state.table.lock();
            let lost = view.lost(table.by_node.keys().copied(), now);
            for node in &lost {
                if let Some(of_node) = table.by_node.remove(node) {
                    tracing::warn!(
                        node,
                        connections = of_node.len(),
                        "connections to a lost node are cut"
                    );
                    of_node.values().for_each(AbortHandle::abort);
                }
            }
            // Anyone connected elsewhere than to the primary may yet turn out to be lost.
            let primary = view.primary.map(|(id, _)| id);
            table.by_node.keys().any(|id| Some(*id) != primary)
        };
        let pause = if look_again { GRACE / 4 } else { SILENCE };
        if let Ok(Err(_)) = tokio::time::timeout(pause, view.changed()).await {
            return;
        }
    }
}
