//! The network between hosts: connections whose bytes arrive late, in order, or never.
//!
//! Always: as with TCP, a byte arrives once, after those before it, or its connection breaks. What is sent into a link
//! that is cut is held until the link is whole again, and arrives then, however old: the other end may have given up. A host
//! whose power was cut sends nothing more, not even the end of its connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pontoon::raft::link::{Arrived, Bytes, Carries, Dial, Handshake, Later, Listen, Stream};
use pontoon::server::listener::{Job, Pool};
use pontoon::tls::Identity;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use crate::trace::Trace;

/// The host of the clients.
pub const CLIENTS: u64 = 0;
/// Bytes on their way in one direction of a connection.
const IN_FLIGHT_MAX: usize = 256 * 1024;
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_millis(400);

/// The network. Clones share it.
#[derive(Clone)]
pub struct Net(Arc<Mutex<Inner>>);

struct Inner {
    rng: SmallRng,
    trace: Trace,
    /// Links that carry nothing, from and to.
    cut: BTreeSet<(u64, u64)>,
    /// Delay of a chunk, microseconds.
    delay_us: (u64, u64),
    /// Chunks in ten thousand that are lost and sent again later.
    loss: u32,
    doors: BTreeMap<u64, mpsc::UnboundedSender<Arrived>>,
    pools: BTreeMap<u64, Pool>,
    pipes: Vec<Weak<Mutex<Pipe>>>,
    /// Connections that broke.
    pub broken: u64,
}

/// One direction of a connection.
struct Pipe {
    from: u64,
    to: u64,
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    last: Instant,
    /// The writer has closed it.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    /// Ends with an error, at once.
    broken: bool,
    /// The host that wrote is without power: nothing more arrives.
    silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

/// One end of a connection.
pub struct End {
    net: Net,
    inward: Arc<Mutex<Pipe>>,
    outward: Arc<Mutex<Pipe>>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Bytes for End {}

impl Net {
    /// A network without faults.
    pub fn new(seed: u64, trace: Trace) -> Net {
        Net(Arc::new(Mutex::new(Inner {
            rng: SmallRng::seed_from_u64(seed),
            trace,
            cut: BTreeSet::new(),
            delay_us: (200, 1500),
            loss: 0,
            doors: BTreeMap::new(),
            pools: BTreeMap::new(),
            pipes: Vec::new(),
            broken: 0,
        })))
    }

    /// Cuts a link in one direction.
    pub fn cut(&self, from: u64, to: u64) {
        self.0.lock().cut.insert((from, to));
    }

    /// Makes all links whole and quick.
    pub fn heal(&self) {
        let pipes = {
            let mut inner = self.0.lock();
            inner.cut.clear();
            inner.delay_us = (200, 1500);
            inner.loss = 0;
            inner.pipes.clone()
        };
        for pipe in pipes.iter().filter_map(Weak::upgrade) {
            pipe.lock().wake();
        }
    }

    /// Makes chunks late, and loses some.
    pub fn slow(&self, delay_us: (u64, u64), loss: u32) {
        let mut inner = self.0.lock();
        (inner.delay_us, inner.loss) = (delay_us, loss);
    }

    /// Breaks each connection between two hosts with a chance of one half.
    pub fn reset(&self, a: u64, b: u64) {
        let pipes = self.pipes();
        for pipe in pipes {
            let mut pipe = pipe.lock();
            if (pipe.from == a && pipe.to == b || pipe.from == b && pipe.to == a)
                && self.0.lock().rng.random()
            {
                pipe.broken = true;
                pipe.wake();
                self.0.lock().broken += 1;
            }
        }
    }

    /// A host is gone. With `power` lost nobody is told.
    pub fn gone(&self, host: u64, power: bool) {
        {
            let mut inner = self.0.lock();
            inner.doors.remove(&host);
            inner.pools.remove(&host);
        }
        for pipe in self.pipes() {
            let mut pipe = pipe.lock();
            if pipe.from == host {
                pipe.silent |= power;
            }
        }
    }

    /// The machine of a host whose power was cut is back: it knows nothing of its old connections.
    pub fn back(&self, host: u64) {
        for pipe in self.pipes() {
            let mut pipe = pipe.lock();
            if pipe.silent && (pipe.from == host || pipe.to == host) {
                pipe.broken = true;
                pipe.wake();
            }
        }
    }

    fn pipes(&self) -> Vec<Arc<Mutex<Pipe>>> {
        let mut inner = self.0.lock();
        inner.pipes.retain(|pipe| pipe.strong_count() > 0);
        inner.pipes.iter().filter_map(Weak::upgrade).collect()
    }

    fn whole(&self, a: u64, b: u64) -> bool {
        let inner = self.0.lock();
        !inner.cut.contains(&(a, b)) && !inner.cut.contains(&(b, a))
    }

    fn pair(&self, a: u64, b: u64) -> (End, End) {
        let pipe = |from, to| {
            Arc::new(Mutex::new(Pipe {
                from,
                to,
                chunks: VecDeque::new(),
                bytes: 0,
                last: Instant::now(),
                ended: false,
                abandoned: false,
                broken: false,
                silent: false,
                reader: None,
                writer: None,
            }))
        };
        let (there, back) = (pipe(a, b), pipe(b, a));
        {
            let mut inner = self.0.lock();
            inner.pipes.push(Arc::downgrade(&there));
            inner.pipes.push(Arc::downgrade(&back));
        }
        let end = |inward: &Arc<Mutex<Pipe>>, outward: &Arc<Mutex<Pipe>>| End {
            net: self.clone(),
            inward: inward.clone(),
            outward: outward.clone(),
            timer: None,
        };
        (end(&back, &there), end(&there, &back))
    }

    /// Waits for as long as connecting takes; an error after [`CONNECT_MAX`].
    async fn connect(&self, from: u64, to: u64) -> io::Result<(End, End)> {
        let begun = Instant::now();
        let pause = {
            let mut inner = self.0.lock();
            let (low, high) = inner.delay_us;
            Duration::from_micros(inner.rng.random_range(2 * low..=2 * high))
        };
        tokio::time::sleep(pause).await;
        while !self.whole(from, to) {
            if begun.elapsed() > CONNECT_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(self.pair(from, to))
    }

    /// A client's connection to a node.
    pub async fn client(&self, to: u64) -> io::Result<End> {
        let (here, there) = self.connect(CLIENTS, to).await?;
        let pool = self.0.lock().pools.get(&to).cloned();
        let pool = pool.ok_or(io::ErrorKind::ConnectionRefused)?;
        pool.hand(Job::Piped(Box::new(there), addr(CLIENTS)));
        Ok(here)
    }

    /// Clients reach this node from now on.
    pub fn open_pool(&self, host: u64, pool: Pool) {
        self.0.lock().pools.insert(host, pool);
    }

    /// Where the other nodes reach this one from now on.
    pub fn listen(&self, host: u64) -> Door {
        let (tx, rx) = mpsc::unbounded_channel();
        self.0.lock().doors.insert(host, tx);
        Door(tokio::sync::Mutex::new(rx))
    }

    /// How this node reaches others.
    pub fn dialer(&self, host: u64) -> Dialer {
        Dialer {
            net: self.clone(),
            host,
        }
    }
}

/// The address of a host.
pub fn addr(host: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host as u8], 7379))
}

/// Of one node.
pub struct Dialer {
    net: Net,
    host: u64,
}

impl Dial for Dialer {
    fn dial(
        &self,
        target: u64,
        _addr: String,
        carries: Carries,
    ) -> Later<'static, io::Result<Stream>> {
        let (net, host) = (self.net.clone(), self.host);
        Box::pin(async move {
            let (here, there) = net.connect(host, target).await?;
            let door = net.0.lock().doors.get(&target).cloned();
            let door = door.ok_or(io::ErrorKind::ConnectionRefused)?;
            let arrived = Arrived {
                stream: Box::new(there),
                identity: Identity::Node(host),
                carries,
            };
            if door.send(arrived).is_err() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(Box::new(here) as Stream)
        })
    }
}

/// Of one node.
pub struct Door(tokio::sync::Mutex<mpsc::UnboundedReceiver<Arrived>>);

impl Listen for Door {
    fn accept(&self) -> Later<'_, io::Result<(Handshake, SocketAddr)>> {
        Box::pin(async move {
            match self.0.lock().await.recv().await {
                Some(arrived) => {
                    let from = match arrived.identity {
                        Identity::Node(id) => id,
                        Identity::Admin => CLIENTS,
                    };
                    let ready: Handshake = Box::pin(async { Ok(arrived) });
                    Ok((ready, addr(from)))
                }
                None => std::future::pending().await,
            }
        })
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let (wait, taken) = {
                let pipe = &mut *this.inward.lock();
                if pipe.broken {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                pipe.reader = Some(cx.waker().clone());
                let cut = this.net.0.lock().cut.contains(&(pipe.from, pipe.to));
                if cut || pipe.silent {
                    return Poll::Pending;
                }
                match pipe.chunks.front_mut() {
                    None if pipe.ended => return Poll::Ready(Ok(())),
                    None => return Poll::Pending,
                    Some((at, _)) if *at > Instant::now() => (Some(*at), None),
                    Some((_, chunk)) => {
                        let n = chunk.len().min(buf.remaining());
                        let taken: Vec<u8> = chunk.drain(..n).collect();
                        if chunk.is_empty() {
                            pipe.chunks.pop_front();
                        }
                        pipe.bytes -= n;
                        pipe.writer.take().into_iter().for_each(Waker::wake);
                        (None, Some((pipe.from, pipe.to, taken)))
                    }
                }
            };
            if let Some((from, to, taken)) = taken {
                this.net.0.lock().trace.bytes(from, to, &taken);
                buf.put_slice(&taken);
                return Poll::Ready(Ok(()));
            }
            let at = tokio::time::Instant::from_std(wait.unwrap_or_else(Instant::now));
            let timer = this
                .timer
                .insert(Box::pin(tokio::time::sleep_until(at)))
                .as_mut();
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The timer counts whole milliseconds: the chunk is due by then.
            if wait.is_some_and(|at| at > Instant::now()) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.outward.lock();
        if pipe.broken || pipe.abandoned || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.bytes >= IN_FLIGHT_MAX {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = buf.len().min(IN_FLIGHT_MAX - pipe.bytes);
        let delay = {
            let mut inner = self.net.0.lock();
            let (low, high) = inner.delay_us;
            let mut us = inner.rng.random_range(low..=high);
            if inner.loss > 0 && inner.rng.random_range(0..10_000) < inner.loss {
                us += inner.rng.random_range(200_000..900_000);
            }
            Duration::from_micros(us)
        };
        let at = (Instant::now() + delay).max(pipe.last);
        pipe.last = at;
        pipe.chunks.push_back((at, buf[..n].to_vec()));
        pipe.bytes += n;
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.outward.lock();
        pipe.ended = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut outward = self.outward.lock();
        outward.ended = true;
        outward.wake();
        drop(outward);
        let mut inward = self.inward.lock();
        inward.abandoned = true;
        inward.wake();
    }
}
