//! What a program is answered where its request was not carried out: always a status and `{"code", "message"}`, whether
//! the path, the method, the query, the body or the wish itself was wrong.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::limits;
use crate::console::Error;

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
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Problem {
        let (code, message) = (code.to_string(), message.into());
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
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// For a path that is not there.
    pub fn no_path(uri: &Uri) -> Problem {
        let message = format!(
            "there is no {}; /openapi.json names what there is",
            uri.path()
        );
        Problem::new(StatusCode::NOT_FOUND, "no-path", message)
    }

    /// For a method that a path does not have.
    pub fn no_method() -> Problem {
        let message = "the path has other methods: the header Allow names them";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-method", message)
    }

    /// Whether a path is the API's, and what is wrong with it is told to a program.
    pub fn concerns(uri: &Uri) -> bool {
        uri.path().starts_with("/api/") || ["/openapi.json", "/metrics"].contains(&uri.path())
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Problem {
        Error::Failed(error).into()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let (status, code) = kind(&error);
        if let Error::Failed(error) = &error {
            tracing::error!("a request failed: {error:#}");
        }
        Problem::new(status, code, error.to_string())
    }
}

/// The status of an error, and its one word.
pub fn kind(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::NoService(_) => (StatusCode::NOT_FOUND, "no-service"),
        Error::Missing(_) => (StatusCode::NOT_FOUND, "not-there"),
        Error::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Error::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        Error::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        Error::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
    }
}

macro_rules! refused {
    ($($rejection:ty),*) => { $(
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Problem {
                Problem::new(rejection.status(), "invalid", rejection.body_text())
            }
        }
    )* };
}
refused!(JsonRejection, PathRejection, QueryRejection);

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

/// A JSON body: an object.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        // serde would take an array for a struct, its fields in their order.
        let object = Json::<serde_json::Map<String, Value>>::from_request(request, state).await?;
        let parsed = serde_json::from_value(Value::Object(object.0));
        parsed
            .map(Body)
            .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", e.to_string()))
    }
}

/// The parameters of a path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// The query.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);
