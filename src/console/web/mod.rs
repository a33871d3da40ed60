//! The console's HTTP side: pages for people, a REST API for programs, over TLS.
//!
//! Always: without a session or token nothing is shown but the sign-in page, its style and its script; a page changes
//! something only by a form that carries its session's token; what a browser may load comes from here alone.

mod api;
mod inside;
mod layout;
mod members;
mod metrics;
mod pages;
mod pictures;
mod problem;
mod service;
mod sign_in;
mod snippets;
mod user;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Console;
use crate::base::limits;
use problem::Problem;
use user::Peer;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);
/// How long the body of a request that says that it is too long is read.
const TOO_LONG: std::time::Duration = std::time::Duration::from_secs(2);

/// Serves the console until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    console: Arc<Console>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = router(console);
    let listener = Tls::begin(listener, tls)?;
    axum::serve(listener, app.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(stop)
        .await
}

fn router(console: Arc<Console>) -> Router {
    let (api, document) = api::router();
    Router::new()
        .merge(pages::router())
        .merge(api)
        .merge(api::document(document))
        .fallback(nowhere)
        .method_not_allowed_fallback(otherwise)
        .layer(DefaultBodyLimit::max(limits::CONSOLE_BODY_LEN))
        .layer(from_fn(bounded))
        .layer(from_fn(secured))
        .with_state(console)
}

/// There is nothing at that path.
async fn nowhere(uri: Uri) -> Response {
    if Problem::concerns(&uri) {
        return Problem::no_path(&uri).into_response();
    }
    let body = maud::html! {
        h1 { "There is nothing here" }
        p { a href="/" { "To the services" } }
    };
    (
        StatusCode::NOT_FOUND,
        layout::page("Not found", None, &body),
    )
        .into_response()
}

/// The path has other methods.
async fn otherwise(uri: Uri) -> Response {
    match Problem::concerns(&uri) {
        true => Problem::no_method().into_response(),
        false => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// Reads a request's body before anyone answers: a connection that ends while its client still sends loses the answer, be it that
/// the body is too long, of a wrong type, or from somebody who may not.
async fn bounded(request: Request, next: Next) -> Response {
    let said = request.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
    let too_long = said.is_some_and(|len| len > limits::CONSOLE_BODY_LEN);
    // One that waits to be allowed to send what it says is too long is not waited for.
    let patience = if too_long { TOO_LONG } else { HANDSHAKE };
    let (parts, body) = request.into_parts();
    // Of one that is too long so much is read as clients mostly send at once.
    let read = axum::body::to_bytes(body, limits::CONSOLE_BODY_LEN * 4);
    match tokio::time::timeout(patience, read).await {
        Ok(Ok(body)) if body.len() <= limits::CONSOLE_BODY_LEN => {
            next.run(Request::from_parts(parts, body.into())).await
        }
        Ok(_) => Problem::too_long().into_response(),
        Err(_) if too_long => Problem::too_long().into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// What every answer says to a browser.
async fn secured(request: Request, next: Next) -> Response {
    // A browser would hold every other server on this machine to TLS.
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    let local = host.is_none_or(|h| h.split(':').next() == Some("localhost"));
    let mut response = next.run(request).await;
    const ALWAYS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !local {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A listener whose handshakes hold up no one else's.
pub struct Tls {
    addr: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Tls {
    fn begin(listener: TcpListener, config: Arc<rustls::ServerConfig>) -> io::Result<Tls> {
        let addr = listener.local_addr()?;
        let (out, ready) = mpsc::channel(limits::CONSOLE_HANDSHAKES_MAX);
        let acceptor = TlsAcceptor::from(config);
        let places = Arc::new(Semaphore::new(limits::CONSOLE_HANDSHAKES_MAX));
        tokio::spawn(async move {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                let (tcp, peer) = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be accepted");
                            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                            continue;
                        }
                    },
                    () = out.closed() => return,
                };
                let (acceptor, out) = (acceptor.clone(), out.clone());
                tokio::spawn(async move {
                    let _place = place;
                    if let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await
                    {
                        let _ = out.send((tls, peer)).await;
                    }
                });
            }
        });
        Ok(Tls { addr, ready })
    }
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}
