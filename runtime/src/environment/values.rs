//! The values of single variables that are valid; the errors say why others are not.

use super::EnvironmentError;
use dynamo_metrics_server::{CorsOriginError, CorsOrigins};
use std::time::Duration;

/// The values of [`truth`].
pub(super) const TRUTH: &str = "true or false";
/// The values of [`path`].
pub(super) const PATH: &str =
    "an absolute path as \"/health\", that no other page of the same server has";
/// The paths of the frontend's other routes.
const API_PATHS: [&str; 3] = ["/v1", "/internal", "/sd"];
/// Longest time between health checks that is taken for meant: a day.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "not a port".into())
}

/// Expected of a list of origins.
pub(super) const ORIGINS: &str = "origins with commas between them, as https://grafana.example";

pub(super) fn origins(value: &str) -> Result<CorsOrigins, String> {
    value.parse().map_err(|error: CorsOriginError| error.to_string())
}

pub(super) fn truth(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("neither true nor false".into()),
    }
}

pub(super) fn seconds(value: &str) -> Result<Duration, String> {
    let seconds: f64 = value.parse().map_err(|_| "not a number")?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() || duration > WAIT_MAX {
        return Err("out of range".into());
    }
    Ok(duration)
}

pub(super) fn host(value: &str) -> Result<String, String> {
    // Whether it exists is found out when it is listened on; this only catches what never can.
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
    if value.chars().all(plain) { Ok(value.into()) } else { Err("not a host".into()) }
}

/// Returns a path that is absolute, and that a URL has as it is.
pub(super) fn path(value: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#{}*".contains(&byte);
    if !value.starts_with('/') {
        return Err("it does not begin with `/`".into());
    }
    if !value.bytes().all(plain) {
        return Err("it has a space, one of `?#{}*`, or what a URL must encode".into());
    }
    if value.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("it has a segment `.` or `..`, which clients leave out of a path".into());
    }
    Ok(value.into())
}

/// Checks that a page is not below the frontend's other routes.
pub(super) fn not_of_the_api(name: &str, path: &str) -> Result<(), EnvironmentError> {
    let below = |root: &&&str| {
        path.strip_prefix(*root)
            .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'/')))
    };
    match API_PATHS.iter().find(below) {
        None => Ok(()),
        Some(root) => Err(EnvironmentError {
            variable: name.into(),
            value: path.into(),
            reason: format!("the frontend has other routes below {root}"),
            expected: PATH,
        }),
    }
}
