//! The routes by which workers join the fleet, report their figures and leave, and by which scrapers find them.
//!
//! A registration decides where prompts go, and a deregistration takes a worker away. So these routes are for this machine
//! alone, or for workers that send the token which both sides were given. The list of workers is for the same clients: it has
//! addresses of a network that the frontend's own clients need not know.

use super::App;
use crate::discovery::{SD_PATH, TargetGroup};
use crate::protocol::{Register, Stats, WORKERS_PATH};
use axum::extract::{Path, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use std::fmt;
use std::sync::Arc;

/// The condition under which workers join.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Joining {
    /// The port is on loopback, so every program of this machine may.
    ThisMachine,
    /// Workers that send this token may.
    Token(String),
    /// No worker may: there is no such route.
    Closed,
}

impl Joining {
    /// An empty token is none.
    pub(crate) fn new(token: Option<&str>, on_loopback: bool) -> Self {
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Self::Token(token.into()),
            None if on_loopback => Self::ThisMachine,
            None => Self::Closed,
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::ThisMachine => true,
            Self::Token(token) => {
                let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
                let shown = shown.and_then(|value| value.strip_prefix(b"Bearer "));
                shown.is_some_and(|shown| same(shown, token.as_bytes()))
            }
            Self::Closed => false,
        }
    }
}

impl fmt::Debug for Joining {
    /// Never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisMachine => "ThisMachine",
            Self::Token(_) => "Token",
            Self::Closed => "Closed",
        })
    }
}

/// The routes below [`WORKERS_PATH`], and [`SD_PATH`]; or none.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    if app.joining == Joining::Closed {
        return Router::new();
    }
    Router::new()
        .route(WORKERS_PATH, post(join))
        .route(&format!("{WORKERS_PATH}/{{id}}/stats"), post(heard))
        .route(&format!("{WORKERS_PATH}/{{id}}"), delete(leave))
        .route(SD_PATH, get(discover))
        .route_layer(middleware::from_fn_with_state(Arc::clone(app), admit))
}

async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.joining.admits(request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "a worker must send the frontend's --worker-token")
        .into_response()
}

async fn join(State(app): State<Arc<App>>, Json(registration): Json<Register>) -> Response {
    if let Err(reason) = registration.check() {
        return (StatusCode::BAD_REQUEST, reason).into_response();
    }
    match app.fleet.join(registration) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn heard(
    State(app): State<Arc<App>>,
    Path(id): Path<u64>,
    Json(stats): Json<Stats>,
) -> StatusCode {
    if app.fleet.heard(id, stats) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn leave(State(app): State<Arc<App>>, Path(id): Path<u64>) -> StatusCode {
    if app.fleet.leave(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

/// Answers with the targets of all workers, in the form of Prometheus' `http_sd_config`.
async fn discover(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<Vec<TargetGroup>> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let host = host.as_ref().map(Authority::host);
    Json(app.fleet.targets().iter().map(|target| target.at(host)).collect())
}

/// Compares in a time that reveals only the length.
fn same(shown: &[u8], token: &[u8]) -> bool {
    let differs = shown.iter().zip(token).fold(0, |differs, (a, b)| differs | (a ^ b));
    shown.len() == token.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_join_only_on_loopback_or_with_the_token() {
        let shows = |authorization: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
            headers
        };
        assert_eq!(Joining::new(Some(""), false), Joining::Closed);
        assert!(Joining::new(None, true).admits(&HeaderMap::new()));
        let joining = Joining::new(Some("secret"), true);
        assert!(joining.admits(&shows("Bearer secret")));
        for wrong in ["Bearer secre", "Bearer secret!", "Bearer sEcret", "Basic secret", "Bearer "]
        {
            assert!(!joining.admits(&shows(wrong)), "{wrong}");
        }
        assert!(!joining.admits(&HeaderMap::new()));
        assert!(!format!("{joining:?}").contains("secret"));
    }
}
