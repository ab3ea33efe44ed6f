//! The check before every answer: the rate limit, then the password, as the configuration of the moment has them.
//!
//! Every path is behind it, probes included, as with the exporter-toolkit; an option of the builder lets probes pass. It
//! runs on the network thread and computes no bcrypt there: a password that was verified before costs a keyed hash, any
//! other one goes to [`PasswordChecker`].

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use super::config::WebConfig;
use super::passwords::PasswordChecker;
use super::rate::Bucket;
use super::reload::Current;
use super::verified::Verified;
use crate::reason::Limit;
use crate::response::{retry_response, text_response};
use crate::telemetry::ServerTelemetry;

/// Checks every request of a server that has a web configuration.
pub(crate) struct Guard {
    current: Arc<Current>,
    probes_pass: bool,
    passwords: PasswordChecker,
    /// The longest wait for a check.
    deadline: Duration,
    verified: RefCell<Verified>,
    bucket: Bucket,
    telemetry: Arc<ServerTelemetry>,
}

/// The reason why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// `rate_limit` is used up: 429.
    Rate,
    /// No credentials, or wrong ones: 401.
    Unauthorized,
    /// Too many passwords wait for their check: 503.
    Busy,
}

impl Denial {
    /// Its counter.
    fn limit(self) -> Limit {
        match self {
            Self::Rate => Limit::RateLimit,
            Self::Unauthorized => Limit::Unauthorized,
            Self::Busy => Limit::Logins,
        }
    }

    fn response(self) -> Response<Bytes> {
        match self {
            Self::Rate => retry_response(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Busy => retry_response(StatusCode::SERVICE_UNAVAILABLE, "Too many logins"),
            Self::Unauthorized => {
                let mut response = text_response(StatusCode::UNAUTHORIZED, "Unauthorized");
                response.headers_mut().insert(WWW_AUTHENTICATE, REALM);
                response
            }
        }
    }
}

/// RFC 7617 section 2 requires a realm.
const REALM: HeaderValue = HeaderValue::from_static("Basic realm=\"metrics\"");

impl Guard {
    pub(crate) fn new(
        current: Arc<Current>,
        probes_pass: bool,
        passwords: PasswordChecker,
        deadline: Duration,
        telemetry: Arc<ServerTelemetry>,
    ) -> Self {
        let (verified, bucket) = (RefCell::new(Verified::new()), Bucket::default());
        Self { current, probes_pass, passwords, deadline, verified, bucket, telemetry }
    }

    /// The answer to a request with these headers that must not be served, counted; `None` lets it pass.
    pub(crate) async fn check(
        &self,
        headers: &HeaderMap,
        is_probe: bool,
        peer: Option<IpAddr>,
    ) -> Option<Response<Bytes>> {
        if is_probe && self.probes_pass {
            return None;
        }
        let denial = self.denial(headers, peer).await?;
        self.telemetry.limit_hit(denial.limit());
        Some(denial.response())
    }

    async fn denial(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<Denial> {
        let config = self.current.load();
        if config.rate.is_some_and(|rate| !self.bucket.take(rate, Instant::now())) {
            return Some(Denial::Rate);
        }
        if config.users.is_empty() {
            return None;
        }
        self.check_password(&config, headers, peer).await
    }

    /// Sets the headers of `http_server_config.headers`.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.current.load().headers {
            headers.insert(name, value.clone());
        }
    }

    async fn check_password(
        &self,
        config: &WebConfig,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Option<Denial> {
        let Some(Credentials { user, password }) = Credentials::of(headers) else {
            return Some(Denial::Unauthorized);
        };
        let candidate = config.users.candidate(&user);
        let fingerprint = self.verified.borrow().fingerprint(&user, candidate.hash, &password);
        if candidate.known && self.verified.borrow().contains(fingerprint) {
            return None;
        }
        let Some(answer) = self.passwords.submit(candidate, password, peer) else {
            return Some(Denial::Busy);
        };
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(true)) => {
                self.verified.borrow_mut().insert(fingerprint);
                None
            }
            Ok(Ok(false)) => Some(Denial::Unauthorized),
            Ok(Err(_)) | Err(_) => Some(Denial::Busy),
        }
    }
}

/// A client's user name and password. Without `Debug`, so that they cannot get into a log.
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// RFC 7617 section 2. Two headers are none: they could be read in two ways.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, encoded) = value.as_bytes().split_first_chunk::<6>()?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let mut user = STANDARD.decode(encoded).ok()?;
        let colon = user.iter().position(|&byte| byte == b':')?;
        let password = user.split_off(colon + 1);
        user.truncate(colon);
        Some(Self { user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::super::users::Users;
    use super::super::yaml::parse;
    use super::*;
    use std::future::Future;
    use std::sync::mpsc::channel;
    use std::task::Poll;

    #[test]
    fn credentials_are_read_in_one_way_only() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
            }
            Credentials::of(&headers).map(|Credentials { user, password }| (user, password))
        };
        let pair = |user: &str, password: &str| Some((user.into(), password.into()));
        assert_eq!(read(&["Basic YTpiOmM="]), pair("a", "b:c"));
        assert_eq!(read(&["bASIC Og=="]), pair("", ""));
        for values in [
            &[][..],
            &["Basic YTpi", "Basic YTpi"],
            &["Basic"],
            &["Basic "],
            &["Bearer YTpi"],
            &["Basic YTp"],
            &["Basic YTpi=="],
            &["Basic YTpi "],
            &["Basic  YTpi"],
            &["Basic YWI="], // no colon
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }

    #[test]
    fn a_verified_password_passes_while_others_are_computed() {
        let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
        let node = parse(&format!("prometheus: {hash}")).unwrap_or_else(|error| panic!("{error}"));
        let users = Users::read("basic_auth_users", &node);
        let users = users.unwrap_or_else(|error| panic!("{error}"));
        let telemetry = Arc::new(ServerTelemetry::default());
        // The computation for the right password is quick; others go on until the test ends.
        let (over, ends) = channel::<()>();
        let verify = move |password: &[u8], _: &str| password == b"right" || ends.recv().is_ok();
        let passwords = PasswordChecker::spawn_with(4, Arc::clone(&telemetry), verify);
        let current = Current::new(WebConfig { users, ..WebConfig::default() });
        let wait = Duration::from_secs(3600);
        let passwords = passwords.expect("a thread");
        let guard = Guard::new(current, false, passwords, wait, Arc::clone(&telemetry));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let headers = |credentials: &str| {
                let value = format!("Basic {}", STANDARD.encode(credentials));
                HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))])
            };
            let known = headers("prometheus:right");
            assert!(guard.check(&known, false, None).await.is_none());
            let guess = headers("prometheus:guess");
            let mut guessing = std::pin::pin!(guard.check(&guess, false, None));
            let waits = std::future::poll_fn(|cx| Poll::Ready(guessing.as_mut().poll(cx))).await;
            assert!(waits.is_pending(), "it is being computed");
            for _ in 0..10 {
                assert!(guard.check(&known, false, None).await.is_none());
            }
            drop(over);
            let answer = guessing.await.expect("a denial");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        });
        assert_eq!(telemetry.password_checks(), 2, "one of the known client, one guess");
    }
}
