//! Who asks: a browser with a session, or a program with a token.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::api::Problem;
use crate::console::auth::hashed;
use crate::console::{Console, now_ms};

/// The name of the session's cookie. The prefix holds it to this host and TLS.
pub const COOKIE: &str = "__Host-pontoon";

/// A person who signed in.
pub struct Person {
    /// The session, as it is stored.
    pub session: String,
    /// What each of their forms carries.
    pub csrf: String,
}

impl Person {
    /// Whether a form of this session sent `token`.
    pub fn sent(&self, token: &str) -> Result<(), Forged> {
        use subtle::ConstantTimeEq;
        let same = self.csrf.as_bytes().ct_eq(token.as_bytes());
        if same.into() { Ok(()) } else { Err(Forged) }
    }
}

/// A form that is not one of the session.
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
        let cookies = parts.headers.get_all(header::COOKIE);
        let cookie = cookies
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        Ok(cookie.and_then(|cookie| {
            let session = hashed(cookie);
            let csrf = console.store.session(&session, now_ms()).ok()??;
            Some(Person { session, csrf })
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

/// A program that showed a valid token.
pub struct Program;

impl FromRequestParts<Arc<Console>> for Program {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Self::Rejection> {
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let role = match token {
            Some(token) => console.store.token(&hashed(token), now_ms())?,
            None => None,
        };
        match role {
            Some(_) => Ok(Program),
            None => Err(Problem::unauthorized()),
        }
    }
}
