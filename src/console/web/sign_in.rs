//! Signing in and out.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::layout::{Answer, Fields, failed, field, page};
use super::user::{COOKIE, FORM_COOKIE, Peer, Person, cookie, form_token, same, set_cookie};
use crate::console::auth::{self, Refused};
use crate::console::store::Note;
use crate::console::{Console, Error};

/// The form, for whoever has no session.
pub async fn show(person: Option<Person>, headers: HeaderMap) -> Response {
    match person {
        Some(_) => Redirect::to("/").into_response(),
        None => answer(StatusCode::OK, &headers, None),
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, problem: Option<&str>) -> Response {
    let token = form_token(headers);
    let cookie = [(header::SET_COOKIE, set_cookie(FORM_COOKIE, &token))];
    (status, cookie, form(&token, problem)).into_response()
}

fn form(token: &str, problem: Option<&str>) -> Html<String> {
    let body = html! {
        form.card.narrow method="post" action="/sign-in" {
            input type="hidden" name="csrf" value=(token);
            h1 { "Sign in" }
            @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
            label for="name" { "Name" }
            input #name name="name" required maxlength="64" value=(auth::OPERATOR) autocomplete="username";
            label for="password" { "Password" }
            input #password type="password" name="password" required autofocus autocomplete="current-password";
            p.hint { "The operator's first password is in the file operator-password in the console's folder." }
            button { "Sign in" }
        }
    };
    page("Sign in", None, &body)
}

/// What the form sends.
#[derive(Deserialize)]
pub struct SignIn {
    csrf: String,
    name: String,
    password: String,
}

/// Lets a member in.
pub async fn enter(
    State(console): State<Arc<Console>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(sent): Form<SignIn>,
) -> Answer {
    same(cookie(&headers, FORM_COOKIE).unwrap_or(""), &sent.csrf)?;
    let fail = |error: anyhow::Error| failed(None, &Error::Failed(error));
    let checked = auth::check(&console, from, &sent.name, &sent.password).await;
    match checked.map_err(fail)? {
        Ok(who) => {
            let session = auth::begin(&console.store, &who).map_err(fail)?;
            console.noted(Note {
                service: None,
                org: &who.org,
                by: &who.name,
                kind: "sign-in",
                text: &format!("signed in from {from}"),
            });
            let cookies = [
                (header::SET_COOKIE, set_cookie(COOKIE, &session)),
                (header::SET_COOKIE, set_cookie(FORM_COOKIE, "")),
            ];
            Ok((axum::response::AppendHeaders(cookies), Redirect::to("/")).into_response())
        }
        Err(refused) => {
            let (status, text) = match refused {
                Refused::Wrong => (
                    StatusCode::FORBIDDEN,
                    "That is not the name and password of a member.".to_string(),
                ),
                Refused::TooMany(seconds) => (
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("Too many were wrong. Try again in {seconds} seconds."),
                ),
            };
            if refused == Refused::Wrong {
                let text = format!("a sign-in from {from} was refused");
                console.note(None, "sign-in", &text);
            }
            Ok(answer(status, &headers, Some(&text)))
        }
    }
}

/// Ends the session.
pub async fn leave(
    person: Person,
    State(console): State<Arc<Console>>,
    Form(fields): Form<Fields>,
) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let ended = console.store.end_session(&person.session);
    ended.map_err(|e| failed(Some(&person), &Error::Failed(e)))?;
    // Pages that follow a service end with it.
    console.changed.send_modify(|n| *n += 1);
    let cookie = [(header::SET_COOKIE, set_cookie(COOKIE, ""))];
    Ok((cookie, Redirect::to("/sign-in")).into_response())
}
