//! Who asks: a browser with a session, or a program with a token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::serve::IncomingStream;

use super::Tls;
use super::problem::Problem;
use crate::base::secret;
use crate::console::auth::hashed;
use crate::console::desk::Desk;
use crate::console::{Console, now_ms};

/// The name of the session's cookie. The prefix holds it to this host and TLS.
pub const COOKIE: &str = "__Host-pontoon";
/// The name of the cookie that the sign-in form repeats: nobody has a session then.
pub const FORM_COOKIE: &str = "__Host-pontoon-form";

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Connected<IncomingStream<'_, Tls>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Tls>) -> Self {
        let addr: &SocketAddr = stream.remote_addr();
        Peer(addr.ip().to_canonical())
    }
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A cookie that this host's pages alone get back, over TLS alone.
pub fn set_cookie(name: &str, value: &str) -> String {
    let end = if value.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{end}")
}

/// What a form that is sent without a session repeats.
pub fn form_token(headers: &HeaderMap) -> String {
    match cookie(headers, FORM_COOKIE) {
        Some(known) if known.len() == 32 && known.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            known.to_string()
        }
        _ => secret::make(),
    }
}

/// A person who signed in.
pub struct Person {
    /// The session, as it is stored.
    pub session: String,
    /// What each of their forms carries.
    pub csrf: String,
    /// The console for them.
    pub desk: Desk,
}

impl Person {
    /// Whether a form of this session sent `token`.
    pub fn sent(&self, token: &str) -> Result<(), Forged> {
        same(&self.csrf, token)
    }
}

/// Whether a form repeated what it was given.
pub fn same(given: &str, sent: &str) -> Result<(), Forged> {
    use subtle::ConstantTimeEq;
    let same = !given.is_empty() && bool::from(given.as_bytes().ct_eq(sent.as_bytes()));
    if same { Ok(()) } else { Err(Forged) }
}

/// A form that is not one of the session.
#[derive(Debug)]
pub struct Forged;

impl From<Forged> for Response {
    fn from(_: Forged) -> Response {
        let text = "This form is not one of your session: go back, reload the page, and try again.";
        (StatusCode::FORBIDDEN, text).into_response()
    }
}

impl OptionalFromRequestParts<Arc<Console>> for Person {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(cookie(&parts.headers, COOKIE).and_then(|cookie| {
            let session = hashed(cookie);
            let (who, csrf) = console.store.session(&session, now_ms()).ok()??;
            let desk = Desk::new(console.clone(), who);
            Some(Person {
                session,
                csrf,
                desk,
            })
        }))
    }
}

impl FromRequestParts<Arc<Console>> for Person {
    type Rejection = Redirect;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Self::Rejection> {
        let person =
            <Self as OptionalFromRequestParts<_>>::from_request_parts(parts, console).await;
        match person {
            Ok(Some(person)) => Ok(person),
            _ => Err(Redirect::to("/sign-in")),
        }
    }
}

/// A program that showed a valid token: the console for it.
pub struct Program(pub Desk);

impl FromRequestParts<Arc<Console>> for Program {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Self::Rejection> {
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let who = match token {
            Some((_, token)) => console.store.token(&hashed(token.trim()), now_ms())?,
            None => None,
        };
        match who {
            Some(who) => Ok(Program(Desk::new(console.clone(), who))),
            None => Err(Problem::unauthorized()),
        }
    }
}
