//! What all pages share: their frame, forms' tokens, times and problems.

use std::collections::HashMap;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::problem::kind;
use super::user::Person;
use crate::console::Error;
use crate::console::model::{Event, Health};

/// A page, or another one in its place.
pub type Answer = Result<Response, Response>;
/// What a form sent.
pub type Fields = HashMap<String, String>;

/// A field of a form; empty where it was not sent.
pub fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

/// A file that a page loads.
pub async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "max-age=300"),
        ],
        text,
    )
}

/// A page around its content.
pub fn page(title: &str, person: Option<&Person>, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Pontoon" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/style.css";
                script src="/live.js" defer {}
            }
            body {
                header {
                    a.brand href="/" { "Pontoon" }
                    @if let Some(person) = person {
                        nav aria-label="Main" {
                            a href="/" { "Services" }
                            a href="/events" { "Events" }
                            a href="/members" { "Members" }
                            form method="post" action="/sign-out" {
                                (token(person))
                                button.plain title={ "You are " (person.desk.who.name) } { "Sign out" }
                            }
                        }
                    }
                }
                main { (body) }
            }
        }
    };
    Html(page.into_string())
}

/// What a form of a session carries.
pub fn token(person: &Person) -> Markup {
    html! { input type="hidden" name="csrf" value=(person.csrf); }
}

/// An error as a page.
pub fn failed(person: Option<&Person>, error: &Error) -> Response {
    if let Error::Failed(why) = error {
        tracing::error!("a page failed: {why:#}");
    }
    let body = html! {
        h1 { "That did not work" }
        p.problem role="alert" { (error.to_string()) }
        p { a href="/" { "Back to the services" } }
    };
    (kind(error).0, page("Problem", person, &body)).into_response()
}

/// How a service is, in a word.
pub fn badge(health: Health) -> Markup {
    html! { span.badge.(health.name()) { (health.name()) } }
}

/// Unix milliseconds for people.
pub fn stamp(ms: i64) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp(ms / 1000)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_default()
}

/// What happened.
pub fn event_list(events: &[Event]) -> Markup {
    html! {
        ol.events {
            @for event in events {
                li {
                    time datetime=(stamp(event.at_ms)) { (stamp(event.at_ms)) }
                    span.kind { (event.kind) }
                    span {
                        (event.text)
                        @if !event.by.is_empty() { " " span.hint { "(" (event.by) ")" } }
                    }
                }
            }
        }
    }
}
