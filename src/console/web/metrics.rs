//! What the console tells Prometheus, with a token as every program: how its services are, and what it noted.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::Reads;
use super::problem::Problem;
use super::user::Program;
use crate::console::Console;
use crate::console::model::Health;

/// The part of the API.
pub fn api() -> OpenApiRouter<Arc<Console>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// How the services of the token's organization are, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", security(("token" = [])),
    responses((status = 200, body = String, content_type = "text/plain"), Reads))]
async fn metrics(
    Program(desk): Program,
    State(console): State<Arc<Console>>,
) -> Result<impl IntoResponse, Problem> {
    let mut text = String::new();
    let head = |text: &mut String, name: &str, kind: &str, help: &str| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    let seen = desk.overviews()?;
    head(
        &mut text,
        "pontoon_service_health",
        "gauge",
        "1 for how a service is.",
    );
    for one in &seen {
        let (id, name) = (&one.service.id, label(&one.service.name));
        for health in Health::ALL {
            let is = u8::from(health == one.health);
            let health = health.name();
            let _ = writeln!(
                text,
                "pontoon_service_health{{service=\"{id}\",name=\"{name}\",health=\"{health}\"}} {is}"
            );
        }
    }
    head(
        &mut text,
        "pontoon_service_nodes",
        "gauge",
        "Nodes of a service that answer, and that do not.",
    );
    for one in &seen {
        for answers in [true, false] {
            let count = one.nodes.iter().filter(|n| n.answers == answers).count();
            let id = &one.service.id;
            let _ = writeln!(
                text,
                "pontoon_service_nodes{{service=\"{id}\",answers=\"{answers}\"}} {count}"
            );
        }
    }
    let name = "pontoon_service_archived_timestamp_seconds";
    head(
        &mut text,
        name,
        "gauge",
        "When a service's log was last archived.",
    );
    for one in &seen {
        if let Some(at_ms) = console.archived_ms(&one.service.id)? {
            let _ = writeln!(
                text,
                "{name}{{service=\"{}\"}} {}",
                one.service.id,
                at_ms / 1000
            );
        }
    }
    head(
        &mut text,
        "pontoon_events_total",
        "counter",
        "Events that were noted, by kind.",
    );
    for (kind, count) in console.noted_kinds() {
        let _ = writeln!(text, "pontoon_events_total{{kind=\"{kind}\"}} {count}");
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// A label's value.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', " ")
}
