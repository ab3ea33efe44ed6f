//! How workers join the fleet, say how they are, and leave.
//!
//! A registration decides where prompts go, and a farewell takes a worker away: so these routes are for this machine
//! alone, or for whoever shows the token that both sides were given.

use super::App;
use crate::protocol::{Register, Stats, WORKERS_PATH};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use std::fmt;
use std::sync::Arc;

/// Who may join.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Whoever reaches the port, which is on loopback.
    ThisMachine,
    /// Whoever shows this token.
    Token(String),
    /// There is no such route.
    Nobody,
}

impl Joining {
    /// An empty token is none.
    pub(crate) fn new(token: Option<&str>, on_loopback: bool) -> Self {
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Self::Token(token.into()),
            None if on_loopback => Self::ThisMachine,
            None => Self::Nobody,
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
            Self::Nobody => false,
        }
    }
}

impl fmt::Debug for Joining {
    /// Never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisMachine => "ThisMachine",
            Self::Token(_) => "Token",
            Self::Nobody => "Nobody",
        })
    }
}

/// The routes below [`WORKERS_PATH`], or none.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    if app.joining == Joining::Nobody {
        return Router::new();
    }
    Router::new()
        .route(WORKERS_PATH, post(join))
        .route(&format!("{WORKERS_PATH}/{{id}}/stats"), post(heard))
        .route(&format!("{WORKERS_PATH}/{{id}}"), delete(leave))
        .route_layer(middleware::from_fn_with_state(Arc::clone(app), admit))
}

async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.joining.admits(request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "workers show the frontend's --worker-token")
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

/// Compared in a time that tells nothing but the length.
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
        assert_eq!(Joining::new(Some(""), false), Joining::Nobody);
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
