//! The REST API, and the OpenAPI document that is made from it.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::user::Program;
use crate::base::limits;
use crate::console::backups::{Backup, Forked, Wish};
use crate::console::catalog::Catalog;
use crate::console::model::{Create, Event, Overview, Service, Wanted};
use crate::console::{Console, Error};

/// Events that are told at once, at most.
const EVENTS_MAX: usize = 1000;

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
        .routes(routes!(catalog))
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
        .routes(routes!(hand_over))
        .routes(routes!(backups, back_up))
        .routes(routes!(fork))
        .routes(routes!(events))
        .split_for_parts()
}

/// The document itself, which needs a token as well.
pub fn document(document: Document) -> Router<Arc<Console>> {
    Router::new().route(
        "/openapi.json",
        get(move |_: Program| async move { Json(document) }),
    )
}

/// What is wrong with a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct Wrong {
    /// In one word.
    pub code: String,
    /// For people: what was wrong, and what would be right.
    pub message: String,
}

/// A request that was not carried out.
#[derive(Debug)]
pub struct Problem(StatusCode, Wrong);

impl Problem {
    fn new(status: StatusCode, code: &str, message: String) -> Problem {
        let code = code.to_string();
        Problem(status, Wrong { code, message })
    }

    /// With a body beyond the bound.
    pub fn too_long() -> Problem {
        let message = format!("a request has at most {} bytes", limits::CONSOLE_BODY_LEN);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", message)
    }

    /// Without a valid token.
    pub fn unauthorized() -> Problem {
        let message = "send the header Authorization: Bearer TOKEN with a valid token";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message.into())
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Problem {
        Error::Failed(error).into()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let (status, code) = match &error {
            Error::NoService(_) => (StatusCode::NOT_FOUND, "no-service"),
            Error::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Error::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Error::Failed(error) => {
                tracing::error!("a request failed: {error:#}");
                (StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
        };
        Problem::new(status, code, error.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        Problem::new(rejection.status(), "invalid", rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.0, Json(self.1)).into_response();
        if self.0 == StatusCode::UNAUTHORIZED {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// What can be created.
#[utoipa::path(get, path = "/api/v1/catalog", security(("token" = [])), responses(
    (status = 200, body = Catalog), (status = 401, body = Wrong)))]
async fn catalog(_: Program, State(console): State<Arc<Console>>) -> Json<Catalog> {
    Json(console.catalog().clone())
}

/// All services, oldest first.
#[utoipa::path(get, path = "/api/v1/services", security(("token" = [])), responses(
    (status = 200, body = Vec<Overview>), (status = 401, body = Wrong)))]
async fn list(
    _: Program,
    State(console): State<Arc<Console>>,
) -> Result<Json<Vec<Overview>>, Problem> {
    Ok(Json(console.overviews()?))
}

/// Creates a service. Its nodes come up afterwards: its `health` says when it serves.
#[utoipa::path(post, path = "/api/v1/services", security(("token" = [])), request_body = Create, responses(
    (status = 201, body = Service), (status = 400, body = Wrong), (status = 401, body = Wrong),
    (status = 413, body = Wrong), (status = 415, body = Wrong), (status = 422, body = Wrong)))]
async fn create(
    _: Program,
    State(console): State<Arc<Console>>,
    wish: Result<Json<Create>, JsonRejection>,
) -> Result<(StatusCode, Json<Service>), Problem> {
    let Json(wish) = wish?;
    Ok((StatusCode::CREATED, Json(console.create(&wish)?)))
}

/// A service with its nodes and how to connect.
#[utoipa::path(get, path = "/api/v1/services/{id}", security(("token" = [])), params(("id" = String, Path)), responses(
    (status = 200, body = Overview), (status = 401, body = Wrong), (status = 404, body = Wrong)))]
async fn show(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
) -> Result<Json<Overview>, Problem> {
    Ok(Json(console.overview(&id)?))
}

/// What is to change of a service; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Another name.
    name: Option<String>,
    /// Powered on or off.
    power: Option<Power>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Power {
    On,
    Off,
}

/// Renames a service, or powers it on or off.
#[utoipa::path(patch, path = "/api/v1/services/{id}", security(("token" = [])), params(("id" = String, Path)),
    request_body = Change, responses(
    (status = 200, body = Overview), (status = 400, body = Wrong), (status = 401, body = Wrong),
    (status = 404, body = Wrong), (status = 409, body = Wrong), (status = 413, body = Wrong),
    (status = 415, body = Wrong), (status = 422, body = Wrong)))]
async fn change(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    change: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Overview>, Problem> {
    let Json(change) = change?;
    if let Some(name) = change.name {
        console.rename(&id, &name)?;
    }
    match change.power {
        Some(Power::On) => console.want(&id, Wanted::On)?,
        Some(Power::Off) => console.want(&id, Wanted::Off)?,
        None => {}
    }
    Ok(Json(console.overview(&id)?))
}

/// Deletes a service with its data.
#[utoipa::path(delete, path = "/api/v1/services/{id}", security(("token" = [])), params(("id" = String, Path)), responses(
    (status = 202, body = Overview), (status = 401, body = Wrong), (status = 404, body = Wrong)))]
async fn delete(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Overview>), Problem> {
    console.want(&id, Wanted::Gone)?;
    Ok((StatusCode::ACCEPTED, Json(console.overview(&id)?)))
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
    request_body = To, responses(
    (status = 200, body = Leads), (status = 400, body = Wrong), (status = 401, body = Wrong),
    (status = 404, body = Wrong), (status = 409, body = Wrong), (status = 413, body = Wrong),
    (status = 415, body = Wrong), (status = 422, body = Wrong)))]
async fn hand_over(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    to: Result<Json<To>, JsonRejection>,
) -> Result<Json<Leads>, Problem> {
    let Json(to) = to?;
    let node = console.hand_over(&id, to.node).await?;
    Ok(Json(Leads { node }))
}

/// What a service's backups hold, the oldest first. The chain is checked.
#[utoipa::path(get, path = "/api/v1/services/{id}/backups", security(("token" = [])), params(("id" = String, Path)), responses(
    (status = 200, body = Vec<Backup>), (status = 401, body = Wrong), (status = 404, body = Wrong), (status = 409, body = Wrong)))]
async fn backups(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
) -> Result<Json<Vec<Backup>>, Problem> {
    Ok(Json(console.backups(&id).await?))
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
    request_body = Now, responses(
    (status = 200, body = Vec<Backup>), (status = 400, body = Wrong), (status = 401, body = Wrong),
    (status = 404, body = Wrong), (status = 409, body = Wrong), (status = 413, body = Wrong),
    (status = 415, body = Wrong), (status = 422, body = Wrong)))]
async fn back_up(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    now: Result<Json<Now>, JsonRejection>,
) -> Result<Json<Vec<Backup>>, Problem> {
    let Json(now) = now?;
    Ok(Json(console.back_up(&id, now.base).await?))
}

/// Makes a new service of what this one held at a log index or time.
#[utoipa::path(post, path = "/api/v1/services/{id}/fork", security(("token" = [])), params(("id" = String, Path)),
    request_body = Wish, responses(
    (status = 201, body = Forked), (status = 400, body = Wrong), (status = 401, body = Wrong),
    (status = 404, body = Wrong), (status = 409, body = Wrong), (status = 413, body = Wrong),
    (status = 415, body = Wrong), (status = 422, body = Wrong)))]
async fn fork(
    _: Program,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Forked>), Problem> {
    let Json(wish) = wish?;
    Ok((StatusCode::CREATED, Json(console.fork(&id, wish).await?)))
}

/// Which events are told.
#[derive(Debug, Deserialize, IntoParams)]
struct Which {
    /// Those of this service alone.
    service: Option<String>,
    /// How many, at most 1000.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u16>,
}

/// The newest events first.
#[utoipa::path(get, path = "/api/v1/events", security(("token" = [])), params(Which), responses(
    (status = 200, body = Vec<Event>), (status = 400), (status = 401, body = Wrong)))]
async fn events(
    _: Program,
    State(console): State<Arc<Console>>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Event>>, Problem> {
    let count = usize::from(which.count.unwrap_or(100)).clamp(1, EVENTS_MAX);
    Ok(Json(console.events(which.service.as_deref(), count)?))
}
