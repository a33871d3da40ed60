//! A service's page, and what changes of it while someone looks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect};
use futures_util::stream::{self, Stream};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::watch;

use super::layout::{Answer, Fields, badge, event_list, failed, field, page, stamp, token};
use super::pages::place;
use super::pictures;
use super::snippets;
use super::user::Person;
use crate::base::limits;
use crate::console::backups::{Aim, Backup, Moment, Wish};
use crate::console::model::{Connection, Day, Node, Overview, Role, Service, Wanted, Window};
use crate::console::{Console, Error, now_ms};

/// Events that a service's page shows.
const EVENTS: usize = 12;
/// How often a page that follows a service is held against its session, and gets new figures, when nothing else changes.
const SESSION_LOOK: Duration = Duration::from_secs(5);

type Shared = State<Arc<Console>>;

/// The page.
pub async fn show(person: Person, State(console): Shared, Path(id): Path<String>) -> Answer {
    let desk = &person.desk;
    let fail = |e: Error| failed(Some(&person), &e);
    let seen = desk.overview(&id).map_err(fail)?;
    let events = desk.events(Some(&id), EVENTS).map_err(fail)?;
    let backups = desk.backups(&id).await;
    let samples = desk.samples(&id).map_err(fail)?;
    let may = desk.may(Role::Operator).is_ok();
    let path = format!("/services/{id}");
    let button = |what: &str, text: &str| {
        html! { button name="action" value=(what) { (text) } }
    };
    let body = html! {
        p { a href="/" { "← Services" } }
        (super::inside::links(&path))
        div #now data-live={ (path) "/live?shape=" (shape(&seen)) } { (now(&console, &person, &seen)) }
        section.card {
            h2 { "Figures of the last half hour" }
            div #charts { (pictures::charts(&samples)) }
        }
        @if let Some(connection) = &seen.connection { (connecting(connection)) }
        section.card {
            h2 { "Events" }
            div #events { (event_list(&events)) }
        }
        section.card {
            h2 { "Backups" }
            (backup_list(&backups))
            @if may {
                form.actions method="post" action=(path) {
                    (token(&person))
                    (button("back-up", "Archive the log now"))
                    (button("base", "Take a base now"))
                }
            }
            @if may {
                form.actions method="post" action=(path) {
                    (token(&person))
                    label for="backup-hour" { "Take bases at, UTC" }
                    select #backup-hour name="hour" {
                        @if seen.service.backup_hour.is_none() { option value="" { "a day after the last" } }
                        @for hour in 0..24 { option value=(hour) selected[seen.service.backup_hour == Some(hour)] { (format!("{hour:02}:00")) } }
                    }
                    (button("backup-hour", "Set the hour"))
                }
            }
            @if let (Ok(all), true) = (&backups, seen.connection.is_some()) {
                details {
                    summary { "Fork: a new service with the data as it was" }
                    (fork_form(&person, &console, &path, all))
                }
                details {
                    summary { "Restore this service as it was" }
                    (restore_form(&person, &path, &seen.service.name, all))
                }
            }
        }
        @if may {
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
                    label for="plan" { "Plan" }
                    (plan_choice(&console, "plan", &seen.service.plan))
                    (button("plan", "Change the plan"))
                }
                details open[!seen.service.next_release.is_empty()] {
                    summary { "Upgrade it" }
                    (release_form(&person, &console, &path, &seen.service))
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
fn now(console: &Console, person: &Person, seen: &Overview) -> Markup {
    let may = person.desk.may(Role::Operator).is_ok();
    let path = format!("/services/{}", seen.service.id);
    let plan = console.catalog().plan(&seen.service.plan);
    html! {
        div.head {
            h1 { (seen.service.name) " " (badge(seen.health)) }
        }
        p.hint {
            @if let Some(plan) = plan { (plan.name) ": " (plan.nodes) ", " (plan.memory_mib) " MiB a node · " }
            (place(console, seen))
        }
        @if !seen.limits.is_empty() {
            p.hint { (seen.limits.join(" ")) }
        }
        @if !seen.doing.is_empty() { p.doing role="status" { (seen.doing) } }
        section.card {
            h2 { "Nodes" }
            (pictures::cluster(&seen.nodes))
            @if seen.nodes.is_empty() { p.hint { "None yet." } }
            div.nodes { @for node in &seen.nodes { (node_card(node, may.then_some((person, &path)))) } }
        }
    }
}

/// A node; with forms for whoever may change it.
fn node_card(node: &Node, form: Option<(&Person, &String)>) -> Markup {
    let state = match (node.lost, node.answers, node.running) {
        (true, _, _) => "its disk is gone or damaged",
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
                @if !node.host.is_empty() { dt { "Host" } dd { (node.host) } }
            }
            @for trouble in &node.troubles { p.error { (trouble) } }
            @if let (Some((person, path)), true) = (form, node.answers) {
                form.actions method="post" action=(path) {
                    (token(person))
                    input type="hidden" name="node" value=(node.id);
                    @if node.role == "standby" { button.plain name="action" value="hand-over" { "Make it primary" } }
                    button.plain name="action" value="restart" { "Restart" }
                }
            }
        }
    }
}

fn connecting(connection: &Connection) -> Markup {
    let replica = connection.replica_uri.clone();
    let replica = replica.unwrap_or_else(|| "none: it has no standby".into());
    let port = connection.port.to_string();
    let names = [
        ("URI by name", &connection.name_uri),
        ("Replica by name", &connection.replica_name_uri),
    ];
    let names = names
        .into_iter()
        .filter_map(|(what, uri)| Some((what, uri.as_ref()?)));
    let rows = [("URI", &connection.uri), ("Replica URI", &replica)];
    let rows = rows.into_iter().chain(names).chain([
        ("Host", &connection.host),
        ("Port", &port),
        ("User", &connection.user),
        ("Password", &connection.password),
    ]);
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

/// Carries out one of the page's forms.
pub async fn act(person: Person, Path(id): Path<String>, Form(fields): Form<Fields>) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let fail = |e: Error| failed(Some(&person), &e);
    let name = field(&fields, "name");
    let desk = &person.desk;
    match field(&fields, "action") {
        "on" => desk.want(&id, Wanted::On),
        "off" => desk.want(&id, Wanted::Off),
        "rename" => desk.rename(&id, name),
        "back-up" => desk.back_up(&id, false).await.map(drop),
        "base" => desk.back_up(&id, true).await.map(drop),
        "fork" => {
            let time = field(&fields, "time").trim();
            let wish = Wish {
                name: name.into(),
                plan: field(&fields, "plan").into(),
                index: None,
                time: (!time.is_empty()).then(|| time.into()),
                shift_expiry: field(&fields, "shift-expiry") == "yes",
            };
            let made = desk.fork(&id, wish).await.map_err(fail)?;
            return Ok(Redirect::to(&format!("/services/{}", made.service.id)).into_response());
        }
        "hand-over" => desk
            .hand_over(&id, field(&fields, "node").parse().ok())
            .await
            .map(drop),
        "plan" => desk.change_plan(&id, field(&fields, "plan")),
        "upgrade" => desk.upgrade(
            &id,
            field(&fields, "release"),
            field(&fields, "when") == "now",
        ),
        "window" => {
            let hour = field(&fields, "hour").parse();
            match (Day::of(field(&fields, "day")), hour) {
                (Some(day), Ok(hour)) => desk.set_window(&id, Window { day, hour }),
                _ => Err(Error::Invalid("choose a day and an hour".into())),
            }
        }
        "backup-hour" => match field(&fields, "hour").parse() {
            Ok(hour) => desk.set_backup_hour(&id, hour),
            Err(_) => Err(Error::Invalid("choose an hour".into())),
        },
        "restart" => match field(&fields, "node").parse() {
            Ok(node) => desk.restart_node(&id, node).await,
            Err(_) => Err(Error::Invalid("choose a node".into())),
        },
        "restore" => {
            let called = desk.overview(&id).map_err(fail)?.service.name;
            let time = field(&fields, "time").trim();
            match called == name.trim() {
                true => match Moment::of(None, (!time.is_empty()).then_some(time)) {
                    Ok(moment) => {
                        let shift_expiry = field(&fields, "shift-expiry") == "yes";
                        let aim = Aim {
                            moment,
                            shift_expiry,
                        };
                        desk.restore(&id, &aim).await
                    }
                    Err(error) => Err(error),
                },
                false => Err(Error::Invalid(format!(
                    "the service is called {called:?}, and {name:?} was typed: nothing was restored"
                ))),
            }
        }
        "delete" => {
            let called = desk.overview(&id).map_err(fail)?.service.name;
            match called == name.trim() {
                true => desk.want(&id, Wanted::Gone),
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

/// A field for a moment in the history, with a slider over it.
fn moment_field(id: &str, all: &[Backup]) -> Markup {
    let bases = all.iter().filter(|b| b.kind == "base");
    let oldest = bases.map(|b| b.time_ms.cast_signed()).min();
    let newest = all.iter().map(|b| b.time_ms.cast_signed()).max();
    html! {
        label for=(id) { "As it was at" }
        input id=(id) name="time" placeholder="now, or a time such as 2026-11-25T14:03:07Z" autocomplete="off";
        @if let (Some(oldest), Some(newest)) = (oldest, newest) {
            // Whole seconds that lie within.
            @let (from, to) = (oldest / 1000 + 1, (newest / 1000).max(oldest / 1000 + 1));
            input type="range" min=(from) max=(to) value=(to) data-moment=(id) aria-label="The time, from the oldest to the newest backup";
            p.hint { "From " (stamp(oldest)) " on. Times are those of the primary." }
        }
    }
}

fn plan_choice(console: &Console, id: &str, chosen: &str) -> Markup {
    html! {
        select id=(id) name="plan" {
            @for plan in &console.catalog().plans {
                option value=(plan.id) selected[plan.id == chosen] {
                    (plan.name) ": " (plan.nodes) ", " (plan.memory_mib) " MiB, " (plan.price)
                }
            }
        }
    }
}

/// Which release it runs, which it could, and when an upgrade is begun.
fn release_form(person: &Person, console: &Console, path: &str, service: &Service) -> Markup {
    let releases = &console.catalog().releases;
    let name = |id: &str| {
        let release = releases.iter().find(|r| r.id == id);
        release.map_or_else(|| id.to_string(), |r| r.name.clone())
    };
    html! {
        p {
            "It runs " b { (name(&service.release)) } "."
            @if !service.next_release.is_empty() {
                " " b { (name(&service.next_release)) } " waits for " (service.window.text()) "."
            }
        }
        form method="post" action=(path) {
            (token(person))
            label for="release" { "Release" }
            select #release name="release" {
                @for release in releases {
                    option value=(release.id) selected[release.id == service.release] { (release.name) }
                }
            }
            label for="when" { "When" }
            select #when name="when" {
                option value="window" { "In the maintenance window" }
                option value="now" { "Now" }
            }
            p { button name="action" value="upgrade" { "Upgrade" } }
        }
        form method="post" action=(path) {
            (token(person))
            label for="day" { "The maintenance window's day" }
            select #day name="day" {
                @for day in Day::ALL { option value=(day.name()) selected[day == service.window.day] { (day.name()) } }
            }
            label for="hour" { "Its hour, UTC" }
            select #hour name="hour" {
                @for hour in 0..24 { option value=(hour) selected[hour == service.window.hour] { (format!("{hour:02}:00")) } }
            }
            p { button name="action" value="window" { "Set the window" } }
        }
    }
}

fn fork_form(person: &Person, console: &Console, path: &str, all: &[Backup]) -> Markup {
    html! {
        form method="post" action=(path) {
            (token(person))
            label for="fork-name" { "Name" }
            input #fork-name name="name" required maxlength="60" autocomplete="off";
            label for="fork-plan" { "Plan" }
            (plan_choice(console, "fork-plan", "startup"))
            (moment_field("fork-time", all))
            (shift_field())
            p { button name="action" value="fork" { "Fork" } }
        }
    }
}

/// Whether keys that expire get the time back that has passed.
fn shift_field() -> Markup {
    html! {
        label { input type="checkbox" name="shift-expiry" value="yes"; " Keys that expire have as much time left as they had then" }
    }
}

fn restore_form(person: &Person, path: &str, name: &str, all: &[Backup]) -> Markup {
    html! {
        form method="post" action=(path) {
            (token(person))
            (moment_field("restore-time", all))
            (shift_field())
            label for="restore-name" { "What it holds now goes, and it does not serve meanwhile. Type its name (" (name) ") to restore it:" }
            input #restore-name name="name" required autocomplete="off";
            p { button.danger name="action" value="restore" { "Restore" } }
        }
    }
}

/// What a browser has of the page.
#[derive(Deserialize)]
pub struct Has {
    shape: String,
}

/// What changes of a service's page, sent whenever it differs.
pub async fn live(
    person: Person,
    State(console): Shared,
    Path(id): Path<String>,
    Query(has): Query<Has>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, StatusCode> {
    if console.followers() > limits::FOLLOWERS_MAX {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let follower = Follower {
        changes: console.changes(),
        person,
        console,
        id,
        shape: has.shape,
        sent: Default::default(),
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
    person: Person,
    console: Arc<Console>,
    id: String,
    changes: watch::Receiver<u64>,
    shape: String,
    /// What it has of each part.
    sent: [String; 3],
}

impl Follower {
    /// What is to be told next, and whether more can follow.
    async fn next(&mut self) -> Option<(Sent, bool)> {
        loop {
            self.changes.mark_unchanged();
            let session = self.console.store.session(&self.person.session, now_ms());
            // Whoever was signed in and is not any more, or may other things now, begins anew.
            match session {
                Ok(Some((who, _))) if who == self.person.desk.who => {}
                _ => return Some((told("reload"), false)),
            }
            let desk = &self.person.desk;
            let Ok(seen) = desk.overview(&self.id) else {
                return Some((told("gone"), false));
            };
            if shape(&seen) != self.shape {
                return Some((told("reload"), false));
            }
            let events = desk.events(Some(&self.id), EVENTS);
            let texts = [
                now(&self.console, &self.person, &seen).into_string(),
                event_list(&events.unwrap_or_default()).into_string(),
                pictures::charts(&desk.samples(&self.id).unwrap_or_default()).into_string(),
            ];
            for (name, (text, sent)) in ["now", "events", "charts"]
                .iter()
                .zip(texts.into_iter().zip(&mut self.sent))
            {
                if text != *sent {
                    let part = Sent::default().event(name).data(&text);
                    *sent = text;
                    return Some((part, true));
                }
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep(SESSION_LOOK) => {}
            }
        }
    }
}
