//! The pages: services, a form for a new one, and what happened.
//!
//! Rendered here; a page without scripts works. Where there are some, the part that changes is sent again whenever it does.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, State};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use maud::html;

use super::layout::{Answer, Fields, badge, event_list, failed, field, file, page, token};
use super::user::Person;
use super::{inside, members, service, sign_in};
use crate::console::Console;
use crate::console::model::{Create, Overview};

type Shared = State<Arc<Console>>;

/// All pages.
pub fn router() -> Router<Arc<Console>> {
    Router::new()
        .route("/", get(list))
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/new", get(new).post(create))
        .route("/services/{id}", get(service::show).post(service::act))
        .route("/services/{id}/live", get(service::live))
        .route(
            "/services/{id}/settings",
            get(inside::settings_page).post(inside::set_one),
        )
        .route(
            "/services/{id}/users",
            get(inside::users_page).post(inside::change_users),
        )
        .route("/services/{id}/slow", get(inside::slow_page))
        .route("/services/{id}/clients", get(inside::clients_page))
        .route(
            "/services/{id}/data",
            get(inside::data_page).post(inside::act_on_data),
        )
        .route("/services/{id}/logs", get(inside::logs_page))
        .route("/events", get(events))
        .route("/members", get(members::show).post(members::act))
        .route(
            "/style.css",
            get(|| file("text/css", include_str!("style.css"))),
        )
        .route(
            "/live.js",
            get(|| file("text/javascript", include_str!("live.js"))),
        )
}

async fn list(person: Person, State(console): Shared) -> Answer {
    let all = person
        .desk
        .overviews()
        .map_err(|e| failed(Some(&person), &e))?;
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

/// Where a service is, for people.
pub fn place(console: &Console, seen: &Overview) -> String {
    let service = &seen.service;
    match console.catalog().region(&service.cloud, &service.region) {
        Some((cloud, region)) => format!("{}, {}", cloud.name, region.name),
        None if service.region.is_empty() => "this machine".into(),
        None => format!("{}, {}", service.cloud, service.region),
    }
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
                @if catalog.clouds.iter().flat_map(|c| &c.regions).all(|r| r.engines.is_none()) {
                    p.hint { "Services run as processes of this machine; cloud and region are labels here." }
                }
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

async fn create(person: Person, Form(fields): Form<Fields>) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let (cloud, region) = field(&fields, "place").split_once('/').unwrap_or_default();
    let wish = Create {
        name: field(&fields, "name").into(),
        cloud: cloud.into(),
        region: region.into(),
        plan: field(&fields, "plan").into(),
    };
    let made = person
        .desk
        .create(&wish)
        .map_err(|e| failed(Some(&person), &e))?;
    Ok(Redirect::to(&format!("/services/{}", made.id)).into_response())
}

async fn events(person: Person) -> Answer {
    let all = person
        .desk
        .events(None, 200)
        .map_err(|e| failed(Some(&person), &e))?;
    let body = html! {
        h1 { "Events" }
        section.card { (event_list(&all)) }
    };
    Ok(page("Events", Some(&person), &body).into_response())
}
