//! The REST API, and the OpenAPI document that is made from it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Body, Path, Problem, Query, Wrong};
use super::user::Program;
use crate::console::Console;
use crate::console::backups::{Aim, Backup, Forked, Moment, Wish};
use crate::console::catalog::Catalog;
use crate::console::model::{Create, Event, Overview, Service, Wanted, Who, Window};

/// Events that are told at once, at most.
const EVENTS_MAX: u16 = 1000;

#[derive(OpenApi)]
#[openapi(
    info(title = "Pontoon console", description = "Creates and keeps services."),
    modifiers(&Bearer)
)]
struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// All routes of the API, with their description.
pub fn router() -> (Router<Arc<Console>>, Document) {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(me))
        .routes(routes!(catalog))
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
        .routes(routes!(hand_over))
        .routes(routes!(backups, back_up))
        .routes(routes!(fork))
        .routes(routes!(restore))
        .routes(routes!(restart_node))
        .routes(routes!(events))
        .merge(super::inside::api())
        .merge(super::members::api())
        .merge(super::metrics::api())
        .split_for_parts()
}

/// The document itself, which needs a token as well.
pub fn document(document: Document) -> Router<Arc<Console>> {
    Router::new().route(
        "/openapi.json",
        get(move |_: Program| async move { Json(document) }),
    )
}

/// What any request may be answered, besides what it asks for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is a description")]
pub enum Reads {
    /// It is not well-formed.
    #[response(status = 400)]
    Malformed(Wrong),
    /// It has no valid token.
    #[response(status = 401)]
    Unauthorized(Wrong),
    /// The token's role may not do that.
    #[response(status = 403)]
    Forbidden(Wrong),
    /// What it names is not there.
    #[response(status = 404)]
    Missing(Wrong),
    /// It is not possible now.
    #[response(status = 409)]
    Conflict(Wrong),
}

/// What a request with a body may be answered besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is a description")]
pub enum Bodies {
    /// Its body is too long.
    #[response(status = 413)]
    TooLong(Wrong),
    /// Its body is no JSON.
    #[response(status = 415)]
    NoJson(Wrong),
    /// What it asks for is not valid.
    #[response(status = 422)]
    Invalid(Wrong),
}

type Shared = State<Arc<Console>>;

/// Who the token stands for.
#[utoipa::path(get, path = "/api/v1/me", security(("token" = [])), responses((status = 200, body = Who), Reads))]
async fn me(Program(desk): Program) -> Json<Who> {
    Json(desk.who)
}

/// What can be created.
#[utoipa::path(get, path = "/api/v1/catalog", security(("token" = [])), responses((status = 200, body = Catalog), Reads))]
async fn catalog(_: Program, State(console): Shared) -> Json<Catalog> {
    Json(console.catalog().clone())
}

/// All services of the token's organization, oldest first.
#[utoipa::path(get, path = "/api/v1/services", security(("token" = [])),
    responses((status = 200, body = Vec<Overview>), Reads))]
async fn list(Program(desk): Program) -> Result<Json<Vec<Overview>>, Problem> {
    Ok(Json(desk.overviews()?))
}

/// Creates a service. Its nodes come up afterwards: its `health` says when it serves.
#[utoipa::path(post, path = "/api/v1/services", security(("token" = [])), request_body = Create,
    responses((status = 201, body = Service), Reads, Bodies))]
async fn create(
    Program(desk): Program,
    Body(wish): Body<Create>,
) -> Result<(StatusCode, Json<Service>), Problem> {
    Ok((StatusCode::CREATED, Json(desk.create(&wish)?)))
}

/// A service with its nodes and how to connect. A viewer is not told how to connect.
#[utoipa::path(get, path = "/api/v1/services/{id}", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Overview), Reads))]
async fn show(Program(desk): Program, Path(id): Path<String>) -> Result<Json<Overview>, Problem> {
    Ok(Json(desk.overview(&id)?))
}

/// What is to change of a service; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Another name.
    name: Option<String>,
    /// Powered on or off.
    power: Option<Power>,
    /// Another plan's id: its nodes follow one by one, while it serves.
    plan: Option<String>,
    /// Another release: its nodes follow one by one, while it serves.
    upgrade: Option<Upgrade>,
    /// Another maintenance window.
    window: Option<Window>,
    /// The hour of the day, UTC, in which its bases are taken.
    #[schema(minimum = 0, maximum = 23)]
    backup_hour: Option<u8>,
}

/// Which release, and when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Upgrade {
    /// Its id in the catalog.
    release: String,
    /// Now, and not in the maintenance window.
    #[serde(default)]
    now: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Power {
    On,
    Off,
}

/// Renames a service, gives it another plan, release or maintenance window, or powers it on or off.
#[utoipa::path(patch, path = "/api/v1/services/{id}", security(("token" = [])), params(("id" = String, Path)),
    request_body = Change, responses((status = 200, body = Overview), Reads, Bodies))]
async fn change(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(change): Body<Change>,
) -> Result<Json<Overview>, Problem> {
    if let Some(name) = change.name {
        desk.rename(&id, &name)?;
    }
    if let Some(plan) = change.plan {
        desk.change_plan(&id, &plan)?;
    }
    if let Some(window) = change.window {
        desk.set_window(&id, window)?;
    }
    if let Some(hour) = change.backup_hour {
        desk.set_backup_hour(&id, hour)?;
    }
    if let Some(upgrade) = change.upgrade {
        desk.upgrade(&id, &upgrade.release, upgrade.now)?;
    }
    match change.power {
        Some(Power::On) => desk.want(&id, Wanted::On)?,
        Some(Power::Off) => desk.want(&id, Wanted::Off)?,
        None => {}
    }
    Ok(Json(desk.overview(&id)?))
}

/// Deletes a service with its data.
#[utoipa::path(delete, path = "/api/v1/services/{id}", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 202, body = Overview), Reads))]
async fn delete(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Overview>), Problem> {
    desk.want(&id, Wanted::Gone)?;
    Ok((StatusCode::ACCEPTED, Json(desk.overview(&id)?)))
}

/// To whom the primary hands over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct To {
    /// The standby's id; where it is left out, the one that lags least.
    node: Option<u64>,
}

/// Who leads.
#[derive(Debug, Serialize, ToSchema)]
struct Leads {
    /// The new primary's id.
    node: u64,
}

/// Hands the primary's place to a standby.
#[utoipa::path(post, path = "/api/v1/services/{id}/hand-over", security(("token" = [])), params(("id" = String, Path)),
    request_body = To, responses((status = 200, body = Leads), Reads, Bodies))]
async fn hand_over(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(to): Body<To>,
) -> Result<Json<Leads>, Problem> {
    let node = desk.hand_over(&id, to.node).await?;
    Ok(Json(Leads { node }))
}

/// What a service's backups hold, the oldest first. The chain is checked.
#[utoipa::path(get, path = "/api/v1/services/{id}/backups", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Vec<Backup>), Reads))]
async fn backups(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<Json<Vec<Backup>>, Problem> {
    Ok(Json(desk.backups(&id).await?))
}

/// What is to be backed up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Now {
    /// A base, and not only the log since the last part.
    #[serde(default)]
    base: bool,
}

/// Backs a service up now; what was taken.
#[utoipa::path(post, path = "/api/v1/services/{id}/backups", security(("token" = [])), params(("id" = String, Path)),
    request_body = Now, responses((status = 200, body = Vec<Backup>), Reads, Bodies))]
async fn back_up(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(now): Body<Now>,
) -> Result<Json<Vec<Backup>>, Problem> {
    Ok(Json(desk.back_up(&id, now.base).await?))
}

/// Makes a new service of what this one held at a log index or time.
#[utoipa::path(post, path = "/api/v1/services/{id}/fork", security(("token" = [])), params(("id" = String, Path)),
    request_body = Wish, responses((status = 201, body = Forked), Reads, Bodies))]
async fn fork(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(wish): Body<Wish>,
) -> Result<(StatusCode, Json<Forked>), Problem> {
    Ok((StatusCode::CREATED, Json(desk.fork(&id, wish).await?)))
}

/// The moment that is restored; the newest where neither is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreTo {
    /// Up to that log index.
    index: Option<u64>,
    /// Up to that time, such as 2026-11-25T14:03:07Z.
    time: Option<String>,
    /// Keys have as much time left as they had then; otherwise they expire when they did.
    #[serde(default)]
    shift_expiry: bool,
}

/// Replaces what a service holds by what it held at a moment. Its URI stays; it does not serve meanwhile.
#[utoipa::path(post, path = "/api/v1/services/{id}/restore", security(("token" = [])), params(("id" = String, Path)),
    request_body = RestoreTo, responses((status = 202, body = Overview), Reads, Bodies))]
async fn restore(
    Program(desk): Program,
    Path(id): Path<String>,
    Body(to): Body<RestoreTo>,
) -> Result<(StatusCode, Json<Overview>), Problem> {
    let aim = Aim {
        moment: Moment::of(to.index, to.time.as_deref())?,
        shift_expiry: to.shift_expiry,
    };
    desk.restore(&id, &aim).await?;
    Ok((StatusCode::ACCEPTED, Json(desk.overview(&id)?)))
}

/// Begins a node anew; a primary hands over first where it can.
#[utoipa::path(post, path = "/api/v1/services/{id}/nodes/{node}/restart", security(("token" = [])),
    params(("id" = String, Path), ("node" = u64, Path)), responses((status = 204), Reads))]
async fn restart_node(
    Program(desk): Program,
    Path((id, node)): Path<(String, u64)>,
) -> Result<StatusCode, Problem> {
    desk.restart_node(&id, node).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which events are told.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Those of this service alone.
    service: Option<String>,
    /// How many, 1 to 1000; 100 where it is left out.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u16>,
}

/// The newest events first.
#[utoipa::path(get, path = "/api/v1/events", security(("token" = [])), params(Which),
    responses((status = 200, body = Vec<Event>), (status = 422, body = Wrong), Reads))]
async fn events(
    Program(desk): Program,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Event>>, Problem> {
    let count = which.count.unwrap_or(100);
    if !(1..=EVENTS_MAX).contains(&count) {
        let message = format!("count is {count}; it is 1 to {EVENTS_MAX}");
        return Err(crate::console::Error::Invalid(message).into());
    }
    Ok(Json(desk.events(which.service.as_deref(), count.into())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A route that is added beside the document would be reachable and described nowhere.
    #[test]
    fn every_route_is_in_the_document() {
        let sources = [
            include_str!("api.rs"),
            include_str!("members.rs"),
            include_str!("inside.rs"),
            include_str!("metrics.rs"),
        ]
        .concat();
        let (_, document) = router();
        let described: usize = document
            .paths
            .paths
            .values()
            .map(|item| {
                let all = [&item.get, &item.post, &item.patch, &item.delete, &item.put];
                all.into_iter().filter(|o| o.is_some()).count()
            })
            .sum();
        let written = sources.matches("#[utoipa::path(").count() - 1;
        assert_eq!(described, written);
        // One of them has no description: the document, which the pages' router does not have either.
        let plain = sources.matches(".route(").count() - 1;
        assert_eq!(plain, 1, "a route of the API is made by routes!");
        for (path, item) in &document.paths.paths {
            let all = [&item.get, &item.post, &item.patch, &item.delete];
            for operation in all.into_iter().flatten() {
                assert!(operation.security.is_some(), "{path} needs a token");
                assert!(operation.responses.responses.contains_key("401"), "{path}");
            }
        }
    }
}
