//! A server that does nothing but TLS: what the generator drives against it is more than any real server lets it.
//!
//! It has the certificate of the kind that the real ones have, in a thread of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::client::{Target, tls_config};
use super::load::{Load, Measured, Shape};
use super::mix::Mix;
use super::pipe::Pipe;
use super::replies::Counter;
use crate::cli::certs;
use crate::tls::client::Certificate;
use crate::tls::files::Pair;

/// The server. Dropped, it ends.
pub struct Null {
    /// How to reach it.
    pub target: Target,
    _stop: oneshot::Sender<()>,
}

impl Null {
    /// Begins to answer every request with what suits `mix`.
    ///
    /// # Errors
    /// When it cannot listen, or certificates cannot be made.
    pub fn start(mix: Mix, value_size: usize) -> anyhow::Result<Null> {
        let dir = super::place::Scratch::temporary()?;
        certs::complete(&dir.path, "bench", &[], &[], certs::Renew::Ending)?;
        let certificate = Certificate::open(Pair {
            cert: dir.path.join("server.pem"),
            key: dir.path.join("server.key"),
        })?;
        let acceptor = TlsAcceptor::from(certificate.server_config()?);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr: SocketAddr = listener.local_addr()?;
        let target = Target {
            addr,
            tls: tls_config(&dir.path.join("ca.pem"))?,
            password: String::new(),
        };
        let (stop, stopped) = oneshot::channel();
        let reply: Arc<[u8]> = mix.reply(value_size).into();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("null server".into())
            .spawn(move || {
                runtime.block_on(tokio::task::LocalSet::new().run_until(async {
                    tokio::select! {
                        ended = serve(listener, acceptor, reply) => {
                            if let Err(error) = ended {
                                tracing::warn!("the server without data ended: {error:#}");
                            }
                        }
                        _ = stopped => {}
                    }
                }));
            })?;
        Ok(Null {
            target,
            _stop: stop,
        })
    }
}

async fn serve(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    reply: Arc<[u8]>,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let reply = Rc::new(reply);
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, reply) = (acceptor.clone(), reply.clone());
        tokio::task::spawn_local(async move {
            // A client that leaves is no event here.
            let _ = answer(tcp, acceptor, &reply).await;
        });
    }
}

async fn answer(tcp: TcpStream, acceptor: TlsAcceptor, reply: &[u8]) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let (tcp, tls) = acceptor.accept(tcp).await?.into_inner();
    let (mut pipe, mut counter, mut out) = (Pipe::new(tcp, tls), Counter::default(), Vec::new());
    loop {
        let came = pipe.receive(&mut counter).await?;
        if came > 0 {
            out.clear();
            (0..came).for_each(|_| out.extend_from_slice(reply));
            pipe.send(&out).await?;
        }
    }
}

/// How long the generator is measured for each shape.
const WARM_UP: Duration = Duration::from_millis(500);
const DURATION: Duration = Duration::from_secs(2);

/// What the generator can drive in `shape`, with nothing on the other side but TLS.
///
/// # Errors
/// When it cannot be measured.
pub async fn generator_limit(shape: Shape) -> anyhow::Result<Measured> {
    let null = Null::start(shape.mix, shape.value_size)?;
    let shape = Shape {
        warm_up: WARM_UP,
        duration: DURATION.min(shape.duration),
        rate: None,
        ..shape
    };
    let mut load = Load::begin(null.target.clone(), shape, 1)?;
    load.began().await.context("the generator against itself")?;
    load.done().await.context("the generator against itself")
}
