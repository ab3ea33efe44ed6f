//! Who may pass: the rate limit, then the password, as the configuration of the moment has them.
//!
//! Everything is behind it, probes included, as with the exporter-toolkit; a builder's option lets
//! probes pass. It lives on the network thread and never computes there: a password that was
//! verified before costs a keyed hash, any other one goes to [`PasswordChecker`].

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};

use super::config::WebConfig;
use super::passwords::PasswordChecker;
use super::rate::Bucket;
use super::reload::Current;
use super::verified::Verified;

/// Stands before every answer of a server that has a web configuration.
pub(crate) struct Guard {
    current: Arc<Current>,
    probes_pass: bool,
    passwords: PasswordChecker,
    /// How long a check may be waited for.
    deadline: Duration,
    verified: RefCell<Verified>,
    bucket: Bucket,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// `rate_limit` is used up: 429.
    Rate,
    /// No credentials, or wrong ones: 401.
    Unauthorized,
    /// Too many passwords wait for their check: 503.
    Busy,
}

impl Guard {
    pub(crate) fn new(
        current: Arc<Current>,
        probes_pass: bool,
        passwords: PasswordChecker,
        deadline: Duration,
    ) -> Self {
        let verified = RefCell::new(Verified::new());
        Self { current, probes_pass, passwords, deadline, verified, bucket: Bucket::default() }
    }

    /// Whether a request with these headers must not be answered, and why.
    pub(crate) async fn check(
        &self,
        headers: &HeaderMap,
        is_probe: bool,
        peer: Option<IpAddr>,
    ) -> Option<Denial> {
        if is_probe && self.probes_pass {
            return None;
        }
        let config = self.current.load();
        if config.rate.is_some_and(|rate| !self.bucket.take(rate, Instant::now())) {
            return Some(Denial::Rate);
        }
        if config.users.is_empty() {
            return None;
        }
        self.check_password(&config, headers, peer).await
    }

    /// Sets what `http_server_config.headers` says.
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

/// What a client says it is. Without `Debug`: it must not get into a log.
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
    use super::*;
    use http::HeaderValue;

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
}
