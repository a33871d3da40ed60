//! Organizations, members and tokens: the part of the API and the page for them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::{Bodies, Reads};
use super::layout::{Answer, Fields, failed, field, page, stamp, token};
use super::problem::{Body, Path, Problem};
use super::user::{Person, Program};
use crate::console::model::{Member, Organization, Role, Token};
use crate::console::{Console, Error, auth};

/// The part of the API.
pub fn api() -> OpenApiRouter<Arc<Console>> {
    OpenApiRouter::new()
        .routes(routes!(organizations, add_organization))
        .routes(routes!(members, add_member))
        .routes(routes!(change_member, remove_member))
        .routes(routes!(tokens, add_token))
        .routes(routes!(remove_token))
}

/// The organizations; those of the first one alone see others than theirs.
#[utoipa::path(get, path = "/api/v1/organizations", security(("token" = [])),
    responses((status = 200, body = Vec<Organization>), Reads))]
async fn organizations(Program(desk): Program) -> Result<Json<Vec<Organization>>, Problem> {
    Ok(Json(desk.organizations()?))
}

/// A new organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrganization {
    /// Its name, 1 to 60 characters.
    name: String,
    /// Its first administrator's name.
    admin: String,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
struct MadeOrganization {
    /// The organization.
    organization: Organization,
    /// Its administrator's password, told once.
    password: String,
}

/// Makes an organization and its first administrator.
#[utoipa::path(post, path = "/api/v1/organizations", security(("token" = [])), request_body = NewOrganization,
    responses((status = 201, body = MadeOrganization), Reads, Bodies))]
async fn add_organization(
    Program(desk): Program,
    Body(new): Body<NewOrganization>,
) -> Result<(StatusCode, Json<MadeOrganization>), Problem> {
    let (organization, password) = desk.add_organization(&new.name, &new.admin)?;
    let made = MadeOrganization {
        organization,
        password,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// The members of the token's organization.
#[utoipa::path(get, path = "/api/v1/members", security(("token" = [])),
    responses((status = 200, body = Vec<Member>), Reads))]
async fn members(Program(desk): Program) -> Result<Json<Vec<Member>>, Problem> {
    Ok(Json(desk.members()?))
}

/// A new member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// What they sign in with: 1 to 64 letters, digits and @ . _ + -
    name: String,
    /// What they may do.
    role: Role,
}

/// A password that is told once.
#[derive(Debug, Serialize, ToSchema)]
struct Password {
    /// It.
    password: String,
}

/// Takes a member.
#[utoipa::path(post, path = "/api/v1/members", security(("token" = [])), request_body = NewMember,
    responses((status = 201, body = Password), Reads, Bodies))]
async fn add_member(
    Program(desk): Program,
    Body(new): Body<NewMember>,
) -> Result<(StatusCode, Json<Password>), Problem> {
    let password = desk.add_member(&new.name, new.role)?;
    Ok((StatusCode::CREATED, Json(Password { password })))
}

/// What is to change of a member; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeMember {
    /// Another role.
    role: Option<Role>,
    /// A new password, which is the answer.
    #[serde(default)]
    reset_password: bool,
}

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
struct Changed {
    /// The new password, where one was asked for.
    password: Option<String>,
}

/// Gives a member another role or a new password.
#[utoipa::path(patch, path = "/api/v1/members/{name}", security(("token" = [])), params(("name" = String, Path)),
    request_body = ChangeMember, responses((status = 200, body = Changed), Reads, Bodies))]
async fn change_member(
    Program(desk): Program,
    Path(name): Path<String>,
    Body(change): Body<ChangeMember>,
) -> Result<Json<Changed>, Problem> {
    if let Some(role) = change.role {
        desk.set_role(&name, role)?;
    }
    let password = match change.reset_password {
        true => Some(desk.reset_password(&name)?),
        false => None,
    };
    Ok(Json(Changed { password }))
}

/// Removes a member; their sessions end.
#[utoipa::path(delete, path = "/api/v1/members/{name}", security(("token" = [])), params(("name" = String, Path)),
    responses((status = 204), Reads))]
async fn remove_member(
    Program(desk): Program,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    desk.remove_member(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tokens of the token's organization, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", security(("token" = [])),
    responses((status = 200, body = Vec<Token>), Reads))]
async fn tokens(Program(desk): Program) -> Result<Json<Vec<Token>>, Problem> {
    Ok(Json(desk.tokens()?))
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What it is for, 1 to 60 characters.
    name: String,
    /// What its holder may do.
    role: Role,
    /// How many days it is valid; without an end where it is left out.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
struct MadeToken {
    /// The token.
    token: Token,
    /// What a program sends, told once.
    secret: String,
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", security(("token" = [])), request_body = NewToken,
    responses((status = 201, body = MadeToken), Reads, Bodies))]
async fn add_token(
    Program(desk): Program,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let (token, secret) = desk.add_token(&new.name, new.role, new.days)?;
    Ok((StatusCode::CREATED, Json(MadeToken { token, secret })))
}

/// Removes a token, which is refused from then on.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", security(("token" = [])), params(("id" = String, Path)),
    responses((status = 204), Reads))]
async fn remove_token(
    Program(desk): Program,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    desk.remove_token(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The page of members, tokens and one's own password.
pub async fn show(person: Person) -> Answer {
    people(&person, None).map_err(|e| failed(Some(&person), &e))
}

/// What was made and is told once: for whom, and the secret.
struct Once(String, String);

fn people(person: &Person, once: Option<&Once>) -> Result<Response, Error> {
    let desk = &person.desk;
    let admin = desk.may(Role::Admin).is_ok();
    let (members, orgs) = (desk.members()?, desk.organizations()?);
    let tokens = if admin { desk.tokens()? } else { Vec::new() };
    let own = orgs.iter().find(|o| o.id == desk.who.org);
    let body = html! {
        h1 { "Members of " (own.map_or("", |o| o.name.as_str())) }
        @if let Some(Once(whose, secret)) = once {
            section.card role="status" {
                p { (whose) " It is shown once:" }
                p { code { (secret) } " " button.plain.copy type="button" data-copy=(secret) { "Copy" } }
            }
        }
        section.card {
            h2 { "Members" }
            table {
                thead { tr { th { "Name" } th { "Role" } @if admin { th { "Change" } } } }
                tbody { @for member in &members { (member_row(person, member, admin)) } }
            }
            @if admin { (add_form(person, "add-member", "member", "Add a member")) }
        }
        @if admin {
            section.card {
                h2 { "API tokens" }
                @if tokens.is_empty() { p.hint { "None." } }
                @else { (token_table(person, &tokens)) }
                (add_form(person, "add-token", "token", "Make a token"))
            }
        }
        @if admin && desk.who.org == auth::MAIN {
            section.card {
                h2 { "Organizations" }
                ul { @for org in &orgs { li { (org.name) " " span.hint { (org.id) } } } }
                form.actions method="post" action="/members" {
                    (token(person))
                    label for="org-name" { "Name" }
                    input #org-name name="name" required maxlength="60" autocomplete="off";
                    label for="org-admin" { "Administrator's name" }
                    input #org-admin name="admin" required maxlength="64" autocomplete="off";
                    button name="action" value="add-organization" { "Make an organization" }
                }
            }
        }
        section.card {
            h2 { "Your password" }
            form.actions method="post" action="/members" {
                (token(person))
                input type="hidden" name="username" value=(desk.who.name) autocomplete="username";
                label for="chosen" { "New password, at least " (auth::PASSWORD_MIN) " characters" }
                input #chosen type="password" name="password" required minlength=(auth::PASSWORD_MIN) autocomplete="new-password";
                button name="action" value="choose-password" { "Change it" }
            }
            p.hint { "Your other sessions end with it." }
        }
    };
    Ok(page("Members", Some(person), &body).into_response())
}

fn roles(id: &str, chosen: Role) -> Markup {
    html! {
        select id=(id) name="role" {
            @for role in Role::ALL {
                option value=(role.name()) selected[role == chosen] { (role.name()) }
            }
        }
    }
}

fn member_row(person: &Person, member: &Member, admin: bool) -> Markup {
    let id = format!("role-{}", member.name);
    html! {
        tr {
            td { (member.name) }
            td { (member.role.name()) }
            @if admin {
                td {
                    form.actions method="post" action="/members" {
                        (token(person))
                        input type="hidden" name="name" value=(member.name);
                        label.hidden for=(id) { "Role of " (member.name) }
                        (roles(&id, member.role))
                        button.plain name="action" value="set-role" { "Set" }
                        button.plain name="action" value="reset-password" { "New password" }
                        button.plain.danger name="action" value="remove-member" { "Remove" }
                    }
                }
            }
        }
    }
}

fn token_table(person: &Person, tokens: &[Token]) -> Markup {
    html! {
        table {
            thead { tr { th { "Name" } th { "Role" } th { "Until" } th { "Made by" } th { "Change" } } }
            tbody {
                @for known in tokens {
                    tr {
                        td { (known.name) }
                        td { (known.role.name()) }
                        td { (known.expires_ms.map_or("it is removed".into(), stamp)) }
                        td { (known.by) }
                        td {
                            form.actions method="post" action="/members" {
                                (token(person))
                                input type="hidden" name="id" value=(known.id);
                                button.plain.danger name="action" value="remove-token" { "Remove" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn add_form(person: &Person, action: &str, what: &str, text: &str) -> Markup {
    let (name, role) = (format!("{what}-name"), format!("{what}-role"));
    html! {
        form.actions method="post" action="/members" {
            (token(person))
            label for=(name) { "Name" }
            input id=(name) name="name" required maxlength="60" autocomplete="off";
            label for=(role) { "Role" }
            (roles(&role, Role::Viewer))
            @if what == "token" {
                label for="token-days" { "Days" }
                input #token-days name="days" type="number" min="1" max="3650" value="90";
            }
            button name="action" value=(action) { (text) }
        }
    }
}

/// Carries out one of the page's forms.
pub async fn act(
    person: Person,
    State(_): State<Arc<Console>>,
    Form(fields): Form<Fields>,
) -> Answer {
    person.sent(field(&fields, "csrf"))?;
    let fail = |e: Error| failed(Some(&person), &e);
    let desk = &person.desk;
    let name = field(&fields, "name");
    let role = || {
        let given = field(&fields, "role");
        let roles = Role::ALL.map(Role::name).join(", ");
        Role::of(given).ok_or_else(|| {
            Error::Invalid(format!("there is no role {given:?}; it is one of {roles}"))
        })
    };
    let once = match field(&fields, "action") {
        "add-member" => role()
            .and_then(|role| desk.add_member(name, role))
            .map(|secret| Some(Once(format!("The password of {}.", name.trim()), secret))),
        "set-role" => role()
            .and_then(|role| desk.set_role(name, role))
            .map(|()| None),
        "reset-password" => desk
            .reset_password(name)
            .map(|secret| Some(Once(format!("The new password of {name}."), secret))),
        "remove-member" => desk.remove_member(name).map(|()| None),
        "add-token" => days(field(&fields, "days"))
            .and_then(|days| desk.add_token(name, role()?, days))
            .map(|(made, secret)| Some(Once(format!("The token {}.", made.name), secret))),
        "remove-token" => desk.remove_token(field(&fields, "id")).map(|()| None),
        "add-organization" => {
            desk.add_organization(name, field(&fields, "admin"))
                .map(|(made, secret)| {
                    let admin = field(&fields, "admin").trim();
                    let text = format!("The password of {admin}, administrator of {}.", made.name);
                    Some(Once(text, secret))
                })
        }
        "choose-password" => desk
            .choose_password(field(&fields, "password"), &person.session)
            .map(|()| None),
        other => Err(Error::Invalid(format!("there is no action {other:?}"))),
    }
    .map_err(fail)?;
    people(&person, once.as_ref()).map_err(fail)
}

fn days(text: &str) -> Result<Option<u32>, Error> {
    match text.trim() {
        "" => Ok(None),
        given => given.parse().map(Some).map_err(|_| {
            Error::Invalid(format!(
                "{given:?} is no number of days; leave it empty for a token without an end"
            ))
        }),
    }
}
