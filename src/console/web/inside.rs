//! What is inside a service: the part of the API and the pages for its settings, users, slow commands, clients, data and logs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Form};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::{Bodies, Reads};
use super::layout::{Answer, Fields, failed, field, page, stamp, token};
use super::problem::{Body, Path, Problem, Query};
use super::user::{Peer, Person, Program};
use crate::console::imports::Import;
use crate::console::inside::{Keys, Preset, SETTINGS, Set, Slow, User};
use crate::console::model::{Overview, Role};
use crate::console::samples::Sample;
use crate::console::{Console, Error};

/// How long an old password is valid beside a new one, where nothing else is said.
const OVERLAP_S: u64 = 86400;

/// The part of the API.
pub fn api() -> OpenApiRouter<Arc<Console>> {
    OpenApiRouter::new()
        .routes(routes!(settings, set))
        .routes(routes!(rotate))
        .routes(routes!(users, add_user))
        .routes(routes!(remove_user))
        .routes(routes!(slow))
        .routes(routes!(clients))
        .routes(routes!(keys))
        .routes(routes!(log))
        .routes(routes!(samples))
        .routes(routes!(importing, import, stop_import))
        .routes(routes!(cut_over))
}

/// The settings of a service.
#[utoipa::path(get, path = "/api/v1/services/{id}/settings", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Vec<Set>), (status = 422, body = super::problem::Wrong), Reads))]
async fn settings(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<Json<Vec<Set>>, Problem> {
    Ok(Json(desk.settings(&id).await?))
}

/// What is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Values by name.
    settings: BTreeMap<String, String>,
    /// That an allow-list without the address that asks is meant.
    #[serde(default)]
    confirm: bool,
}

/// Sets all of them or none; every node takes them while it serves.
#[utoipa::path(patch, path = "/api/v1/services/{id}/settings", security(("token" = [])), params(("id" = String, Path)),
    request_body = Wanted, responses((status = 200, body = Vec<Set>), Reads, Bodies))]
async fn set(
    Program(desk): Program,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    Path(id): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Vec<Set>>, Problem> {
    let settings: Vec<(String, String)> = wanted.settings.into_iter().collect();
    desk.set(&id, &settings, from, wanted.confirm).await?;
    Ok(Json(desk.settings(&id).await?))
}

/// How long the old password stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Overlap {
    /// Seconds for which the old one is valid beside the new one; a day where it is left out.
    #[schema(minimum = 0, maximum = 2592000)]
    overlap_s: Option<u64>,
}

/// Makes a new password of the service, which its connection has from then on.
#[utoipa::path(post, path = "/api/v1/services/{id}/password", security(("token" = [])), params(("id" = String, Path)),
    request_body = Overlap, responses((status = 200, body = Overview), Reads, Bodies))]
async fn rotate(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(overlap): Body<Overlap>,
) -> Result<Json<Overview>, Problem> {
    let overlap = Duration::from_secs(overlap.overlap_s.unwrap_or(OVERLAP_S));
    desk.rotate(&id, overlap).await?;
    let mut seen = desk.overview(&id)?;
    // The board has it a moment later.
    seen.connection = desk.connection(&id)?;
    Ok(Json(seen))
}

/// The users of a service.
#[utoipa::path(get, path = "/api/v1/services/{id}/users", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Vec<User>), (status = 422, body = super::problem::Wrong), Reads))]
async fn users(Program(desk): Program, Path(id): Path<String>) -> Result<Json<Vec<User>>, Problem> {
    Ok(Json(desk.users(&id).await?))
}

/// A new user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// 1 to 64 letters, digits and @ . _ + -
    name: String,
    /// What it may do.
    preset: Preset,
}

/// A password that is told once.
#[derive(Debug, Serialize, ToSchema)]
struct UserPassword {
    /// It.
    password: String,
}

/// Makes a user of a service.
#[utoipa::path(post, path = "/api/v1/services/{id}/users", security(("token" = [])), params(("id" = String, Path)),
    request_body = NewUser, responses((status = 201, body = UserPassword), Reads, Bodies))]
async fn add_user(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserPassword>), Problem> {
    let password = desk.add_user(&id, &new.name, new.preset).await?;
    Ok((StatusCode::CREATED, Json(UserPassword { password })))
}

/// Removes a user of a service, and disconnects it.
#[utoipa::path(delete, path = "/api/v1/services/{id}/users/{name}", security(("token" = [])),
    params(("id" = String, Path), ("name" = String, Path)),
    responses((status = 204), (status = 422, body = super::problem::Wrong), Reads))]
async fn remove_user(
    Program(desk): Program,
    Path((id, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    desk.remove_user(&id, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The slowest commands of late, the newest first.
#[utoipa::path(get, path = "/api/v1/services/{id}/slow", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Vec<Slow>), (status = 422, body = super::problem::Wrong), Reads))]
async fn slow(Program(desk): Program, Path(id): Path<String>) -> Result<Json<Vec<Slow>>, Problem> {
    Ok(Json(desk.slow(&id).await?))
}

/// The connected clients, as CLIENT LIST has them.
#[utoipa::path(get, path = "/api/v1/services/{id}/clients", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Vec<String>), (status = 422, body = super::problem::Wrong), Reads))]
async fn clients(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(desk.clients(&id).await?))
}

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Browse {
    /// The database.
    db: Option<u32>,
    /// A pattern, as of KEYS.
    pattern: Option<String>,
    /// Where to go on.
    cursor: Option<String>,
}

/// Keys of a service that match a pattern.
#[utoipa::path(get, path = "/api/v1/services/{id}/keys", security(("token" = [])), params(("id" = String, Path), Browse),
    responses((status = 200, body = Keys), (status = 422, body = super::problem::Wrong), Reads))]
async fn keys(
    Program(desk): Program,
    Path(id): Path<String>,
    Query(browse): Query<Browse>,
) -> Result<Json<Keys>, Problem> {
    let pattern = browse.pattern.unwrap_or_default();
    let cursor = browse.cursor.unwrap_or_else(|| "0".into());
    Ok(Json(
        desk.keys(&id, browse.db.unwrap_or(0), &pattern, &cursor)
            .await?,
    ))
}

/// The end of a node's log.
#[utoipa::path(get, path = "/api/v1/services/{id}/nodes/{node}/log", security(("token" = [])),
    params(("id" = String, Path), ("node" = u64, Path)), responses((status = 200, body = String, content_type = "application/json"), Reads))]
async fn log(
    Program(desk): Program,
    Path((id, node)): Path<(String, u64)>,
) -> Result<Json<String>, Problem> {
    Ok(Json(desk.log(&id, node)?))
}

/// Figures of a service over the last half hour, the oldest first.
#[utoipa::path(get, path = "/api/v1/services/{id}/samples", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Vec<Sample>), Reads))]
async fn samples(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<Json<Vec<Sample>>, Problem> {
    Ok(Json(desk.samples(&id)?))
}

/// Where the data comes from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Source {
    /// redis://[user:password@]host:port of a running Redis, or rediss:// for TLS.
    source: String,
    /// The service is emptied first; otherwise one that holds data is left alone.
    #[serde(default)]
    replace: bool,
}

/// Begins to carry a running Redis into a service, and follows it until the cut-over.
#[utoipa::path(post, path = "/api/v1/services/{id}/import", security(("token" = [])), params(("id" = String, Path)),
    request_body = Source, responses((status = 202, body = Import), Reads, Bodies))]
async fn import(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(from): Body<Source>,
) -> Result<(StatusCode, Json<Import>), Problem> {
    let import = desk.import(&id, &from.source, from.replace)?;
    Ok((StatusCode::ACCEPTED, Json(import)))
}

/// The import of a service that runs. What came of one is in the events.
#[utoipa::path(get, path = "/api/v1/services/{id}/import", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Import), Reads))]
async fn importing(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<Json<Import>, Problem> {
    Ok(Json(desk.importing(&id)?))
}

/// Pauses the source's writers, carries over the rest, compares, and ends the import.
#[utoipa::path(post, path = "/api/v1/services/{id}/import/cut-over", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 204), Reads))]
async fn cut_over(Program(desk): Program, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    desk.cut_over(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends an import where it is.
#[utoipa::path(delete, path = "/api/v1/services/{id}/import", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 204), Reads))]
async fn stop_import(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    desk.stop_import(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The links to these pages.
pub fn links(path: &str) -> Markup {
    html! {
        nav.inside aria-label="Service" {
            a href=(path) { "Overview" }
            a href={ (path) "/settings" } { "Settings" }
            a href={ (path) "/users" } { "Users" }
            a href={ (path) "/data" } { "Data" }
            a href={ (path) "/clients" } { "Clients" }
            a href={ (path) "/slow" } { "Slow commands" }
            a href={ (path) "/logs" } { "Logs" }
        }
    }
}

fn framed(person: &Person, id: &str, title: &str, body: &Markup) -> Result<Response, Error> {
    let seen = person.desk.overview(id)?;
    let path = format!("/services/{id}");
    let body = html! {
        p { a href="/" { "← Services" } }
        (links(&path))
        h1 { (seen.service.name) ": " (title) }
        (body)
    };
    let title = format!("{}: {title}", seen.service.name);
    Ok(page(&title, Some(person), &body).into_response())
}

/// The page of settings.
pub async fn settings_page(person: Person, Path(id): Path<String>) -> Answer {
    settings_shown(&person, &id, None)
        .await
        .map_err(|e| failed(Some(&person), &e))
}

async fn settings_shown(
    person: &Person,
    id: &str,
    problem: Option<&Error>,
) -> Result<Response, Error> {
    let sets = person.desk.settings(id).await?;
    let may = person.desk.may(Role::Operator).is_ok();
    let ask = matches!(problem, Some(Error::Conflict(_)));
    let body = html! {
        section.card {
            @if let Some(problem) = problem { p.problem role="alert" { (problem.to_string()) } }
            @else { p.hint { "What is set is taken by all nodes at once, and stays after a failover." } }
            @for set in &sets {
                @let known = SETTINGS.iter().find(|s| s.name == set.name);
                form method="post" action={ "/services/" (id) "/settings" } {
                    (token(person))
                    input type="hidden" name="name" value=(set.name);
                    label for=(set.name) { (set.name) }
                    p.hint { (set.about) }
                    div.actions {
                        @match known.map(|k| k.choices) {
                            Some(choices) if !choices.is_empty() => {
                                select id=(set.name) name="value" disabled[!may] {
                                    @for choice in choices { option selected[*choice == set.value] { (choice) } }
                                }
                            }
                            _ => input id=(set.name) name="value" value=(set.value) autocomplete="off" disabled[!may];
                        }
                        @if ask && set.name == "allow-list" {
                            label { input type="checkbox" name="confirm" value="yes"; " I mean to lock out my own address" }
                        }
                        @if may { button { "Set" } }
                    }
                }
            }
        }
    };
    framed(person, id, "Settings", &body)
}

/// Sets one.
pub async fn set_one(
    person: Person,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let from: IpAddr = from;
    let wanted = [(
        field(&fields, "name").to_string(),
        field(&fields, "value").to_string(),
    )];
    let meant = field(&fields, "confirm") == "yes";
    match person.desk.set(&id, &wanted, from, meant).await {
        Ok(()) => Ok(Redirect::to(&format!("/services/{id}/settings")).into_response()),
        Err(problem @ (Error::Invalid(_) | Error::Conflict(_))) => {
            let shown = settings_shown(&person, &id, Some(&problem)).await;
            let shown = shown.map_err(|e| failed(Some(&person), &e))?;
            Ok((super::problem::kind(&problem).0, shown).into_response())
        }
        Err(error) => Err(failed(Some(&person), &error)),
    }
}

/// The page of users and the password.
pub async fn users_page(person: Person, Path(id): Path<String>) -> Answer {
    users_shown(&person, &id, None)
        .await
        .map_err(|e| failed(Some(&person), &e))
}

async fn users_shown(
    person: &Person,
    id: &str,
    once: Option<(String, String)>,
) -> Result<Response, Error> {
    let users = person.desk.users(id).await?;
    let may = person.desk.may(Role::Operator).is_ok();
    let action = format!("/services/{id}/users");
    let body = html! {
        @if let Some((whose, secret)) = once {
            section.card role="status" {
                p { (whose) " It is shown once:" }
                p { code { (secret) } " " button.plain.copy type="button" data-copy=(secret) { "Copy" } }
            }
        }
        section.card {
            h2 { "Users" }
            table {
                thead { tr { th { "Name" } th { "May" } @if may { th { "Change" } } } }
                tbody {
                    @for user in &users {
                        tr {
                            td { (user.name) }
                            td { code { (user.rules) } }
                            @if may { td {
                                @if user.name != "default" {
                                    form method="post" action=(action) {
                                        (token(person))
                                        input type="hidden" name="name" value=(user.name);
                                        button.plain.danger name="action" value="remove" { "Remove" }
                                    }
                                }
                            } }
                        }
                    }
                }
            }
            @if may {
                form.actions method="post" action=(action) {
                    (token(person))
                    label for="user-name" { "Name" }
                    input #user-name name="name" required maxlength="64" autocomplete="off";
                    label for="preset" { "May" }
                    select #preset name="preset" { @for preset in Preset::ALL { option { (preset.name()) } } }
                    button name="action" value="add" { "Add a user" }
                }
            }
        }
        @if may {
            section.card {
                h2 { "Password of the URI" }
                form.actions method="post" action=(action) {
                    (token(person))
                    label for="overlap" { "The old one stays valid for" }
                    select #overlap name="overlap" {
                        option value="0" { "no time" }
                        option value="3600" { "an hour" }
                        option value="86400" selected { "a day" }
                        option value="604800" { "a week" }
                    }
                    button name="action" value="rotate" { "Make a new password" }
                }
            }
        }
    };
    framed(person, id, "Users", &body)
}

/// Carries out one of that page's forms.
pub async fn change_users(
    person: Person,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let (desk, name) = (&person.desk, field(&fields, "name"));
    let done = match field(&fields, "action") {
        "add" => {
            let chosen = field(&fields, "preset");
            match Preset::ALL.into_iter().find(|p| p.name() == chosen) {
                Some(preset) => desk
                    .add_user(&id, name, preset)
                    .await
                    .map(|secret| Some((format!("The password of {}.", name.trim()), secret))),
                None => Err(Error::Invalid(format!("there is no preset {chosen:?}"))),
            }
        }
        "remove" => desk.remove_user(&id, name).await.map(|()| None),
        "rotate" => match field(&fields, "overlap").parse() {
            Ok(seconds) => desk
                .rotate(&id, Duration::from_secs(seconds))
                .await
                .map(|()| None),
            Err(_) => Err(Error::Invalid(
                "choose how long the old one stays valid".into(),
            )),
        },
        other => Err(Error::Invalid(format!("there is no action {other:?}"))),
    };
    let fail = |e: Error| failed(Some(&person), &e);
    let once = done.map_err(fail)?;
    users_shown(&person, &id, once).await.map_err(fail)
}

/// The page of slow commands.
pub async fn slow_page(person: Person, Path(id): Path<String>) -> Answer {
    let fail = |e: Error| failed(Some(&person), &e);
    let slow = person.desk.slow(&id).await.map_err(fail)?;
    let body = html! {
        section.card {
            @if slow.is_empty() { p.hint { "None took longer than slowlog-log-slower-than." } }
            @else {
                table {
                    thead { tr { th { "When" } th { "Took" } th { "Command" } th { "Client" } } }
                    tbody {
                        @for s in &slow {
                            tr {
                                td { (stamp(s.at_s * 1000)) }
                                td { (format!("{:.1}", s.micros as f64 / 1000.0)) " ms" }
                                td { code { (s.command) } }
                                td { (s.client) }
                            }
                        }
                    }
                }
            }
        }
    };
    framed(&person, &id, "Slow commands", &body).map_err(fail)
}

/// The page of connected clients.
pub async fn clients_page(person: Person, Path(id): Path<String>) -> Answer {
    let fail = |e: Error| failed(Some(&person), &e);
    let clients = person.desk.clients(&id).await.map_err(fail)?;
    let shown = [
        "addr", "name", "user", "age", "idle", "db", "cmd", "lib-name",
    ];
    let of = |line: &str, what: &str| {
        let found = line
            .split(' ')
            .find_map(|w| w.strip_prefix(what)?.strip_prefix('='));
        found.unwrap_or_default().to_string()
    };
    let body = html! {
        section.card {
            p.hint { (clients.len()) " are connected to the primary." }
            table {
                thead { tr { @for what in shown { th { (what) } } } }
                tbody { @for line in clients.iter().take(500) { tr { @for what in shown { td { (of(line, what)) } } } } }
            }
        }
    };
    framed(&person, &id, "Clients", &body).map_err(fail)
}

/// What is shown of the data.
#[derive(Debug, Default, Deserialize)]
pub struct Shown {
    db: Option<u32>,
    pattern: Option<String>,
    cursor: Option<String>,
    key: Option<String>,
}

/// The page of data.
pub async fn data_page(
    person: Person,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
) -> Answer {
    let fail = |e: Error| failed(Some(&person), &e);
    let (db, desk) = (shown.db.unwrap_or(0), &person.desk);
    let pattern = shown.pattern.clone().unwrap_or_default();
    let path = format!("/services/{id}/data");
    let link = |more: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("db", &db.to_string())
            .append_pair("pattern", &pattern);
        query.extend_pairs(more);
        format!("{path}?{}", query.finish())
    };
    let body = match &shown.key {
        Some(key) => {
            let value = desk.value(&id, db, key).await.map_err(fail)?;
            html! {
                p { a href=(link(&[])) { "← Keys" } }
                section.card {
                    h2 { code { (key) } }
                    table { tbody { @for (name, value) in &value {
                        tr { @if !name.is_empty() { td { code { (name) } } } td { pre { (value) } } }
                    } } }
                    p.hint { "Long values and large collections are shown in part." }
                }
            }
        }
        None => {
            let cursor = shown.cursor.as_deref().unwrap_or("0");
            let found = desk.keys(&id, db, &pattern, cursor).await.map_err(fail)?;
            html! {
                section.card {
                    form.actions method="get" action=(path) {
                        label for="pattern" { "Pattern" }
                        input #pattern name="pattern" value=(pattern) placeholder="*" autocomplete="off";
                        label for="db" { "Database" }
                        input #db name="db" type="number" min="0" max="15" value=(db);
                        button { "Look" }
                    }
                    @if found.keys.is_empty() { p.hint { "No key." } }
                    @else {
                        table {
                            thead { tr { th { "Key" } th { "Type" } th { "Expires" } } }
                            tbody { @for key in &found.keys {
                                tr {
                                    td { a href=(link(&[("key", &key.name)])) { (key.name) } }
                                    td { (key.kind) }
                                    td { @if key.ttl_ms < 0 { "never" } @else { "in " (key.ttl_ms / 1000) " s" } }
                                }
                            } }
                        }
                    }
                    @if found.cursor != "0" { p { a href=(link(&[("cursor", &found.cursor)])) { "More" } } }
                }
                (import_form(&person, &id))
            }
        }
    };
    framed(&person, &id, "Data", &body).map_err(fail)
}

/// The form for an import, or what the one that runs says.
fn import_form(person: &Person, id: &str) -> Markup {
    let running = person.desk.importing(id).ok();
    html! {
        section.card {
            h2 { "Import from a running Redis" }
            form.actions method="post" action={ "/services/" (id) "/data" } {
                (token(person))
                @if let Some(import) = running {
                    p { "From " code { (import.source) } ": " (import.said) }
                    button name="action" value="cut-over" { "Cut over" }
                    button.plain name="action" value="stop" { "Stop" }
                } @else {
                    label for="source" { "Source" }
                    input #source name="source" required placeholder="redis://:password@old:6379" autocomplete="off";
                    button name="action" value="import" { "Import" }
                }
            }
            p.hint { "It is followed as by a replica, while it is written to. The cut-over pauses its writers, carries over the rest and compares." }
        }
    }
}

/// Carries out that form.
pub async fn act_on_data(
    person: Person,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let desk = &person.desk;
    let done = match field(&fields, "action") {
        "import" => desk
            .import(&id, field(&fields, "source").trim(), false)
            .map(drop),
        "cut-over" => desk.cut_over(&id),
        "stop" => desk.stop_import(&id),
        other => Err(Error::Invalid(format!("there is no action {other:?}"))),
    };
    done.map_err(|e| failed(Some(&person), &e))?;
    Ok(Redirect::to(&format!("/services/{id}/data")).into_response())
}

/// The page of logs.
pub async fn logs_page(person: Person, Path(id): Path<String>) -> Answer {
    let fail = |e: Error| failed(Some(&person), &e);
    let nodes = person.desk.overview(&id).map_err(fail)?.nodes;
    let logs: Vec<(u64, Result<String, Error>)> = nodes
        .iter()
        .map(|n| (n.id, person.desk.log(&id, n.id)))
        .collect();
    let body = html! {
        @for (node, log) in &logs {
            section.card {
                h2 { "Node " (node) }
                @match log {
                    Ok(text) => pre.log tabindex="0" { (text) },
                    Err(why) => p.problem { (why.to_string()) },
                }
            }
        }
    };
    framed(&person, &id, "Logs", &body).map_err(fail)
}
