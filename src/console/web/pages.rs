//! The pages: sign-in, services, a form for a new one, and a service with everything about it.
//!
//! Rendered here; a page without scripts works. Where there are some, the part that changes is sent again whenever it does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use tokio::sync::watch;

use super::snippets;
use super::user::{COOKIE, Person};
use crate::base::limits;
use crate::console::auth::{self, Refused};
use crate::console::backups::{Backup, Wish};
use crate::console::model::{Connection, Create, Event, Health, Node, Overview, Wanted};
use crate::console::{Console, Error, now_ms};

/// Events that a service's page shows.
const EVENTS: usize = 12;

type Shared = State<Arc<Console>>;
type Answer = Result<Response, Response>;

/// All pages.
pub fn router() -> Router<Arc<Console>> {
    Router::new()
        .route("/", get(list))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/new", get(new).post(create))
        .route("/services/{id}", get(service).post(act))
        .route("/services/{id}/live", get(live))
        .route("/events", get(events))
        .route(
            "/style.css",
            get(|| file("text/css", include_str!("style.css"))),
        )
        .route(
            "/live.js",
            get(|| file("text/javascript", include_str!("live.js"))),
        )
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "max-age=300"),
        ],
        text,
    )
}

fn page(title: &str, person: Option<&Person>, body: &Markup) -> Html<String> {
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
                            form method="post" action="/sign-out" {
                                (token(person))
                                button.plain { "Sign out" }
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

fn token(person: &Person) -> Markup {
    html! { input type="hidden" name="csrf" value=(person.csrf); }
}

/// An error as a page.
fn failed(person: Option<&Person>, error: &Error) -> Response {
    let status = match error {
        Error::NoService(_) => StatusCode::NOT_FOUND,
        Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Failed(why) => {
            tracing::error!("a page failed: {why:#}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let body = html! {
        h1 { "That did not work" }
        p.problem role="alert" { (error.to_string()) }
        p { a href="/" { "Back to the services" } }
    };
    (status, page("Problem", person, &body)).into_response()
}

async fn sign_in_page(person: Option<Person>) -> Response {
    match person {
        Some(_) => Redirect::to("/").into_response(),
        None => sign_in_form(None).into_response(),
    }
}

fn sign_in_form(problem: Option<&str>) -> Html<String> {
    let body = html! {
        form.card.narrow method="post" action="/sign-in" {
            h1 { "Sign in" }
            @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
            label for="password" { "Operator's password" }
            input #password type="password" name="password" required autofocus autocomplete="current-password";
            p.hint { "It is in the file operator-password in the console's folder." }
            button { "Sign in" }
        }
    };
    page("Sign in", None, &body)
}

#[derive(Deserialize)]
struct SignIn {
    password: String,
}

async fn sign_in(State(console): Shared, Form(form): Form<SignIn>) -> Answer {
    let fail = |error: anyhow::Error| failed(None, &Error::Failed(error));
    let work = console.clone();
    // Hashing a password takes a core for a while.
    let entered = tokio::task::spawn_blocking(move || {
        auth::sign_in(&work.store, &work.guard, &form.password, now_ms())
    });
    let entered = entered.await.map_err(|e| fail(e.into()))?.map_err(fail)?;
    match entered {
        Ok(cookie) => {
            console.note(None, "sign-in", "the operator signed in");
            let cookie = format!("{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict");
            Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
        }
        Err(refused) => {
            let (status, text) = match refused {
                Refused::Wrong => (
                    StatusCode::FORBIDDEN,
                    "That is not the password.".to_string(),
                ),
                Refused::TooMany(seconds) => (
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("Too many were wrong. Try again in {seconds} seconds."),
                ),
            };
            console.note(None, "sign-in", &format!("a sign-in was refused: {text}"));
            Ok((status, sign_in_form(Some(&text))).into_response())
        }
    }
}

type Fields = HashMap<String, String>;

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

async fn sign_out(person: Person, State(console): Shared, Form(fields): Form<Fields>) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let ended = console.store.end_session(&person.session);
    ended.map_err(|e| failed(Some(&person), &Error::Failed(e)))?;
    let cookie = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response())
}

async fn list(person: Person, State(console): Shared) -> Answer {
    let all = console.overviews().map_err(|e| failed(Some(&person), &e))?;
    let plan = |id: &str| {
        console
            .catalog()
            .plan(id)
            .map_or(id.to_string(), |p| p.name.clone())
    };
    let body = html! {
        div.head {
            h1 { "Services" }
            a.button href="/new" { "Create a service" }
        }
        @if all.is_empty() {
            div.card.empty {
                p { "There is no service yet." }
                p.hint { "A service is a Redis 7.2 of its own, on one, two or three nodes." }
            }
        }
        ul.services {
            @for seen in &all {
                li.card {
                    a href={ "/services/" (seen.service.id) } { (seen.service.name) }
                    (badge(seen.health))
                    p.hint {
                        (plan(&seen.service.plan)) " · " (place(&console, seen)) " · port " (seen.service.port)
                    }
                }
            }
        }
    };
    Ok(page("Services", Some(&person), &body).into_response())
}

fn place(console: &Console, seen: &Overview) -> String {
    let service = &seen.service;
    match console.catalog().region(&service.cloud, &service.region) {
        Some((cloud, region)) => format!("{}, {}", cloud.name, region.name),
        None => format!("{}, {}", service.cloud, service.region),
    }
}

fn badge(health: Health) -> Markup {
    html! { span.badge.(health.name()) { (health.name()) } }
}

async fn new(person: Person, State(console): Shared) -> Html<String> {
    let catalog = console.catalog();
    let body = html! {
        h1 { "Create a service" }
        form method="post" action="/new" {
            (token(&person))
            div.card {
                label for="name" { "Name" }
                input #name name="name" required maxlength="60" placeholder="sessions" autocomplete="off";
                label for="place" { "Cloud and region" }
                select #place name="place" {
                    @for cloud in &catalog.clouds {
                        optgroup label=(cloud.name) {
                            @for region in &cloud.regions {
                                option value={ (cloud.id) "/" (region.id) } { (cloud.name) ", " (region.name) }
                            }
                        }
                    }
                }
                p.hint { "Services run as processes of this machine; cloud and region are labels here." }
            }
            fieldset {
                legend { "Plan" }
                div.plans {
                    @for (i, plan) in catalog.plans.iter().enumerate() {
                        label.card.plan {
                            input type="radio" name="plan" value=(plan.id) checked[i + 1 == catalog.plans.len()];
                            strong { (plan.name) }
                            span { (plan.nodes) }
                            span { (plan.memory_mib) " MiB a node" }
                            span { "backups: " (plan.history) }
                            span.price { (plan.price) }
                        }
                    }
                }
            }
            button { "Create" }
        }
    };
    page("Create a service", Some(&person), &body)
}

async fn create(person: Person, State(console): Shared, Form(fields): Form<Fields>) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let (cloud, region) = field(&fields, "place").split_once('/').unwrap_or_default();
    let wish = Create {
        name: field(&fields, "name").into(),
        cloud: cloud.into(),
        region: region.into(),
        plan: field(&fields, "plan").into(),
    };
    let made = console
        .create(&wish)
        .map_err(|e| failed(Some(&person), &e))?;
    Ok(Redirect::to(&format!("/services/{}", made.id)).into_response())
}

async fn service(person: Person, State(console): Shared, Path(id): Path<String>) -> Answer {
    let fail = |e: Error| failed(Some(&person), &e);
    let seen = console.overview(&id).map_err(fail)?;
    let events = console.events(Some(&id), EVENTS).map_err(fail)?;
    let backups = console.backups(&id).await;
    let path = format!("/services/{id}");
    let button = |what: &str, text: &str| {
        html! { button name="action" value=(what) { (text) } }
    };
    let body = html! {
        p { a href="/" { "← Services" } }
        div #now data-live={ (path) "/live?shape=" (shape(&seen)) } { (now(&console, &seen)) }
        @if let Some(connection) = &seen.connection { (connecting(connection)) }
        section.card {
            h2 { "Events" }
            div #events { (event_list(&events)) }
        }
        section.card {
            h2 { "Backups" }
            (backup_list(&backups))
            form.actions method="post" action=(path) {
                (token(&person))
                (button("back-up", "Archive the log now"))
                (button("base", "Take a base now"))
            }
            @if let (Ok(all), true) = (&backups, seen.connection.is_some()) {
                details {
                    summary { "Fork: a new service with the data as it was" }
                    (fork_form(&person, &path, all))
                }
            }
        }
        section.card {
            h2 { "Change it" }
            form.actions method="post" action=(path) {
                (token(&person))
                @if seen.nodes.iter().any(|n| n.role == "standby") {
                    (button("hand-over", "Hand the primary over"))
                }
                @if seen.service.wanted == Wanted::On { (button("off", "Power off")) }
                @if seen.service.wanted == Wanted::Off { (button("on", "Power on")) }
            }
            form.actions method="post" action=(path) {
                (token(&person))
                label for="rename" { "Name" }
                input #rename name="name" value=(seen.service.name) required maxlength="60";
                (button("rename", "Rename"))
            }
            details {
                summary { "Delete this service" }
                form.actions method="post" action=(path) {
                    (token(&person))
                    label for="confirm" { "Its data goes with it. Type its name to delete it:" }
                    input #confirm name="name" required autocomplete="off";
                    button.danger name="action" value="delete" { "Delete" }
                }
            }
        }
    };
    Ok(page(&seen.service.name, Some(&person), &body).into_response())
}

/// What the rest of a service's page depends on: where it differs, the page is loaded anew.
fn shape(seen: &Overview) -> String {
    let standby = seen.nodes.iter().any(|n| n.role == "standby");
    let connection = seen.connection.is_some();
    format!("{}-{connection}-{standby}", seen.service.wanted.name())
}

/// How a service is: the part of its page that changes most.
fn now(console: &Console, seen: &Overview) -> Markup {
    let plan = console.catalog().plan(&seen.service.plan);
    html! {
        div.head {
            h1 { (seen.service.name) " " (badge(seen.health)) }
        }
        p.hint {
            @if let Some(plan) = plan { (plan.name) ": " (plan.nodes) ", " (plan.memory_mib) " MiB a node · " }
            (place(console, seen))
        }
        @if !seen.doing.is_empty() { p.doing role="status" { (seen.doing) } }
        section.card {
            h2 { "Nodes" }
            @if seen.nodes.is_empty() { p.hint { "None yet." } }
            div.nodes { @for node in &seen.nodes { (node_card(node)) } }
        }
    }
}

fn node_card(node: &Node) -> Markup {
    let state = match (node.lost, node.answers, node.running) {
        (true, _, _) => "its disk is gone",
        (_, true, _) => "answers",
        (_, _, true) => "runs, does not answer",
        _ => "does not run",
    };
    let class = match (node.lost || !node.answers, node.role.as_str()) {
        (true, _) => "bad",
        (_, "primary") => "primary",
        _ => "standby",
    };
    html! {
        div.node.(class) {
            strong { "Node " (node.id) }
            span.role { (node.role) }
            dl {
                dt { "State" } dd { (state) }
                dt { "Lag" } dd { (node.lag) " entries" }
                dt { "Keys" } dd { (node.keys) }
                dt { "Memory" } dd { (format!("{:.1}", node.used_memory as f64 / 1_048_576.0)) " MiB" }
                dt { "Address" } dd { (node.client_addr) }
            }
        }
    }
}

fn connecting(connection: &Connection) -> Markup {
    let rows = [
        ("URI", &connection.uri),
        ("Host", &connection.host),
        ("Port", &connection.port.to_string()),
        ("User", &connection.user),
        ("Password", &connection.password),
    ];
    html! {
        section.card {
            h2 { "Connect" }
            dl.connection {
                @for (name, value) in rows {
                    dt { (name) }
                    dd {
                        code { (value) }
                        button.plain.copy type="button" data-copy=(value) { "Copy" }
                    }
                }
            }
            details {
                summary { "CA certificate" }
                p.hint { "Save it as ca.pem." }
                pre { (connection.ca) }
                button.plain.copy type="button" data-copy=(connection.ca) { "Copy" }
            }
            @for (name, text) in snippets::all(connection) {
                details {
                    summary { (name) }
                    pre { (text) }
                    button.plain.copy type="button" data-copy=(text) { "Copy" }
                }
            }
        }
    }
}

fn event_list(events: &[Event]) -> Markup {
    html! {
        ol.events {
            @for event in events {
                li {
                    time datetime=(stamp(event.at_ms)) { (stamp(event.at_ms)) }
                    span.kind { (event.kind) }
                    span { (event.text) }
                }
            }
        }
    }
}

fn stamp(ms: i64) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp(ms / 1000)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_default()
}

async fn events(person: Person, State(console): Shared) -> Answer {
    let all = console
        .events(None, 200)
        .map_err(|e| failed(Some(&person), &e))?;
    let body = html! {
        h1 { "Events" }
        section.card { (event_list(&all)) }
    };
    Ok(page("Events", Some(&person), &body).into_response())
}

async fn act(
    person: Person,
    State(console): Shared,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let fail = |e: Error| failed(Some(&person), &e);
    let name = field(&fields, "name");
    match field(&fields, "action") {
        "on" => console.want(&id, Wanted::On),
        "off" => console.want(&id, Wanted::Off),
        "rename" => console.rename(&id, name),
        "back-up" => console.back_up(&id, false).await.map(drop),
        "base" => console.back_up(&id, true).await.map(drop),
        "fork" => {
            let time = field(&fields, "time").trim();
            let wish = Wish {
                name: name.into(),
                plan: field(&fields, "plan").into(),
                index: None,
                time: (!time.is_empty()).then(|| time.into()),
            };
            let made = console.fork(&id, wish).await.map_err(fail)?;
            return Ok(Redirect::to(&format!("/services/{}", made.service.id)).into_response());
        }
        "hand-over" => console.hand_over(&id, None).await.map(drop),
        "delete" => {
            let called = console.overview(&id).map_err(fail)?.service.name;
            match called == name.trim() {
                true => console.want(&id, Wanted::Gone),
                false => Err(Error::Invalid(format!(
                    "the service is called {called:?}, and {name:?} was typed: nothing was deleted"
                ))),
            }
        }
        other => Err(Error::Invalid(format!("there is no action {other:?}"))),
    }
    .map_err(fail)?;
    let to = match field(&fields, "action") {
        "delete" => "/".to_string(),
        _ => format!("/services/{id}"),
    };
    Ok(Redirect::to(&to).into_response())
}

/// The newest parts, or why they cannot be told.
fn backup_list(backups: &Result<Vec<Backup>, Error>) -> Markup {
    match backups {
        Err(Error::Conflict(why)) => html! { p.hint { (why) } },
        Err(error) => html! { p.problem { (error.to_string()) } },
        Ok(all) if all.is_empty() => html! {
            p.hint { "None yet. A base is taken within a minute of the first start, and the log is archived every five minutes." }
        },
        Ok(all) => html! {
            ol.events {
                @for part in all.iter().rev().take(EVENTS) {
                    li {
                        time datetime=(stamp(part.time_ms.cast_signed())) { (stamp(part.time_ms.cast_signed())) }
                        span.kind { (part.kind) }
                        span { "log index " (part.first) " to " (part.last) ", " (part.bytes / 1024) " KiB" }
                    }
                }
            }
        },
    }
}

fn fork_form(person: &Person, path: &str, all: &[Backup]) -> Markup {
    let bases = all.iter().filter(|b| b.kind == "base");
    let oldest = bases.map(|b| stamp(b.time_ms.cast_signed())).min();
    html! {
        form method="post" action=(path) {
            (token(person))
            label for="fork-name" { "Name" }
            input #fork-name name="name" required maxlength="60" autocomplete="off";
            label for="fork-plan" { "Plan" }
            select #fork-plan name="plan" {
                option value="hobbyist" { "Hobbyist" }
                option value="startup" selected { "Startup" }
            }
            label for="fork-time" { "As it was at" }
            input #fork-time name="time" placeholder="now, or a time such as 2026-11-25T14:03:07Z" autocomplete="off";
            @if let Some(oldest) = oldest { p.hint { "From " (oldest) " on. Times are those of the primary." } }
            p { button name="action" value="fork" { "Fork" } }
        }
    }
}

#[derive(Deserialize)]
struct Has {
    shape: String,
}

/// What changes of a service's page, sent whenever it differs.
async fn live(
    _: Person,
    State(console): Shared,
    Path(id): Path<String>,
    Query(has): Query<Has>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, StatusCode> {
    if console.followers() > limits::FOLLOWERS_MAX {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let follower = Follower {
        changes: console.changes(),
        console,
        id,
        shape: has.shape,
        sent: [String::new(), String::new()],
    };
    let parts = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let (part, goes_on) = follower.next().await?;
        Some((Ok(part), goes_on.then_some(follower)))
    });
    Ok(Sse::new(parts).keep_alive(KeepAlive::default()))
}

/// An event without content. Browsers pass none on whose data is empty.
fn told(name: &str) -> Sent {
    Sent::default().event(name).data("-")
}

/// A browser that follows a service.
struct Follower {
    console: Arc<Console>,
    id: String,
    changes: watch::Receiver<u64>,
    shape: String,
    /// What it has of both parts.
    sent: [String; 2],
}

impl Follower {
    /// What is to be told next, and whether more can follow.
    async fn next(&mut self) -> Option<(Sent, bool)> {
        loop {
            self.changes.mark_unchanged();
            let Ok(seen) = self.console.overview(&self.id) else {
                return Some((told("gone"), false));
            };
            if shape(&seen) != self.shape {
                return Some((told("reload"), false));
            }
            let events = self.console.events(Some(&self.id), EVENTS);
            let texts = [
                now(&self.console, &seen).into_string(),
                event_list(&events.unwrap_or_default()).into_string(),
            ];
            for (name, (text, sent)) in ["now", "events"]
                .iter()
                .zip(texts.into_iter().zip(&mut self.sent))
            {
                if text != *sent {
                    let part = Sent::default().event(name).data(&text);
                    *sent = text;
                    return Some((part, true));
                }
            }
            self.changes.changed().await.ok()?;
        }
    }
}
