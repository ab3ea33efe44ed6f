//! The settings of a push, by the variables that OpenTelemetry defines.

use std::fmt;
use std::time::Duration;
use thiserror::Error;
use ureq::http::{HeaderName, HeaderValue, Uri};

/// The endpoint, interval and resource of a program's OTLP pushes.
///
/// ```
/// use dynamo_metrics_exporter::OtlpSettings;
/// use std::time::Duration;
///
/// let mut settings = OtlpSettings::new("http://collector:4318/v1/metrics");
/// settings.resource.push(("service.name".into(), "router".into()));
/// assert_eq!(settings.interval, Duration::from_secs(60));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtlpSettings {
    /// The address that requests go to, whole; `https` needs the feature `tls`. It is not checked: with an address that is no
    /// URL, or `https` without `tls`, each push fails and is counted.
    pub endpoint: String,
    /// Headers of each request, as for authentication.
    pub headers: Vec<(String, String)>,
    /// Longest time of one request; 10 s unless set. 1 ms or more: from the environment this is checked, here it is not.
    pub timeout: Duration,
    /// Time from one page to the next; 60 s unless set. 1 ms or more: from the environment this is checked, here it is not, and
    /// 0 pushes one page after the other without a pause.
    pub interval: Duration,
    /// True if requests are compressed; not unless set.
    pub gzip: bool,
    /// Attributes of the resource. Prometheus makes `job` of `service.name` and `instance` of `service.instance.id`.
    pub resource: Vec<(String, String)>,
}

impl fmt::Debug for OtlpSettings {
    /// Leaves the values of headers out: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpSettings")
            .field("endpoint", &self.endpoint)
            .field("headers", &headers)
            .field("timeout", &self.timeout)
            .field("interval", &self.interval)
            .field("gzip", &self.gzip)
            .field("resource", &self.resource)
            .finish()
    }
}

/// A variable with a value that is not valid.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{variable}: {reason}")]
#[non_exhaustive]
pub struct OtlpSettingsError {
    /// The variable.
    pub variable: String,
    /// The fault of the value, and values that are valid. Addresses and headers are left out, as they may have secrets.
    pub reason: String,
}

impl OtlpSettings {
    /// Returns the settings of a push to this address, with OpenTelemetry's defaults.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            interval: Duration::from_secs(60),
            gzip: false,
            resource: Vec::new(),
        }
    }

    /// Reads OpenTelemetry's variables through `lookup`, which returns the value of a name; `None` where neither
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` nor `OTEL_EXPORTER_OTLP_ENDPOINT` is set, or `OTEL_SDK_DISABLED` is true.
    ///
    /// | variable | default | meaning |
    /// |---|---|---|
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT` | | the receiver; `/v1/metrics` is appended |
    /// | `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` | | the same, as it is; comes first |
    /// | `OTEL_EXPORTER_OTLP_HEADERS`, `..._METRICS_HEADERS` | | `name=value,name=value`, percent-encoded |
    /// | `OTEL_EXPORTER_OTLP_TIMEOUT`, `..._METRICS_TIMEOUT` | 10000 | milliseconds |
    /// | `OTEL_EXPORTER_OTLP_COMPRESSION`, `..._METRICS_COMPRESSION` | none | `gzip` or `none` |
    /// | `OTEL_EXPORTER_OTLP_PROTOCOL`, `..._METRICS_PROTOCOL` | http/protobuf | no other |
    /// | `OTEL_METRIC_EXPORT_INTERVAL` | 60000 | milliseconds |
    /// | `OTEL_RESOURCE_ATTRIBUTES` | | `name=value,name=value`, percent-encoded |
    /// | `OTEL_SERVICE_NAME` | | `service.name`; comes first |
    ///
    /// # Errors
    /// A value that is not valid. It names the variable.
    pub fn read(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OtlpSettingsError> {
        let get = |name: &str| lookup(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        // The variable for metrics comes before that for all signals.
        let either = |end: &str| {
            let names = ["OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_"];
            let mut names = names.into_iter().map(|begin| format!("{begin}{end}"));
            names.find_map(|name| get(&name).map(|value| (name, value)))
        };
        let is_disabled = get("OTEL_SDK_DISABLED").is_some_and(|value| {
            let is = |word| value.eq_ignore_ascii_case(word);
            if !is("true") && !is("false") {
                // The specification asks for this, and that the value counts as false.
                tracing::warn!(%value, "OTEL_SDK_DISABLED is neither true nor false; using false");
            }
            is("true")
        });
        if is_disabled {
            return Ok(None);
        }
        let Some((name, value)) = either("ENDPOINT") else { return Ok(None) };
        let mut settings = Self::new(endpoint(&name, &value)?);
        if let Some((name, value)) = either("PROTOCOL")
            && value != "http/protobuf"
        {
            return Err(error(&name, format!("{value:?}: only http/protobuf is spoken")));
        }
        if let Some((name, value)) = either("HEADERS") {
            settings.headers = headers(&name, &value)?;
        }
        if let Some((name, value)) = either("COMPRESSION") {
            settings.gzip = match value.as_str() {
                "gzip" => true,
                "none" => false,
                _ => return Err(error(&name, format!("{value:?} is neither gzip nor none"))),
            };
        }
        if let Some((name, value)) = either("TIMEOUT") {
            settings.timeout = milliseconds(&name, &value)?;
        }
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        if let Some(value) = get(name) {
            settings.interval = milliseconds(name, &value)?;
        }
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(value) = get(name) {
            settings.resource = pairs(name, &value)?;
        }
        if let Some(service) = get("OTEL_SERVICE_NAME") {
            settings.resource.retain(|(name, _)| name != "service.name");
            settings.resource.push(("service.name".into(), service));
        }
        Ok(Some(settings))
    }

    /// Adds an attribute of the resource, unless it has one of this name.
    #[must_use]
    pub fn attribute_or(mut self, name: &str, value: impl Into<String>) -> Self {
        if !self.resource.iter().any(|(known, _)| known == name) {
            self.resource.push((name.into(), value.into()));
        }
        self
    }
}

fn error(variable: &str, reason: impl Into<String>) -> OtlpSettingsError {
    OtlpSettingsError { variable: variable.into(), reason: reason.into() }
}

/// Returns the address that requests go to: the variable for all signals has the one to which the metrics' path is appended.
fn endpoint(variable: &str, value: &str) -> Result<String, OtlpSettingsError> {
    let fault = |reason: &str| error(variable, format!("{reason}, as http://collector:4318"));
    let uri: Uri = value.parse().map_err(|problem| fault(&format!("it is no URL: {problem}")))?;
    let host = uri.authority().filter(|authority| !authority.host().is_empty());
    let (Some(authority), Some("http" | "https")) = (host, uri.scheme_str()) else {
        return Err(fault("it does not begin with http:// or https:// and a host"));
    };
    let after_host = &authority.as_str()[authority.as_str().rfind(']').unwrap_or(0)..];
    if after_host.contains(':') && authority.port_u16().is_none() {
        return Err(fault("its port is not one of 0 to 65535"));
    }
    if authority.as_str().contains('@') {
        let remedy =
            "it has a password, which no request would send: send it by OTEL_EXPORTER_OTLP_HEADERS";
        return Err(error(variable, remedy));
    }
    if value.contains('#') {
        return Err(fault("it has a fragment, which is never sent"));
    }
    if uri.scheme_str() == Some("https") && cfg!(not(feature = "tls")) {
        return Err(error(variable, "https needs the feature tls, without which this was built"));
    }
    if variable.ends_with("METRICS_ENDPOINT") {
        return Ok(value.into());
    }
    let (path, query) = value.split_once('?').unwrap_or((value, ""));
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Ok(format!("{}/v1/metrics{query}", path.trim_end_matches('/')))
}

fn headers(variable: &str, value: &str) -> Result<Vec<(String, String)>, OtlpSettingsError> {
    let headers = pairs(variable, value)?;
    for (name, value) in &headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(error(variable, format!("{name:?} is no name of a header")));
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(error(
                variable,
                format!("the value of {name} has bytes that no header has"),
            ));
        }
    }
    Ok(headers)
}

fn milliseconds(name: &str, value: &str) -> Result<Duration, OtlpSettingsError> {
    match value.parse() {
        Ok(milliseconds @ 1..) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(error(name, format!("{value:?} is no number of milliseconds from 1, as 10000"))),
    }
}

/// Reads `name=value,name=value`, whose values are percent-encoded.
fn pairs(variable: &str, text: &str) -> Result<Vec<(String, String)>, OtlpSettingsError> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().into(), decoded(value.trim())?))
        })
        .map(|pair| pair.filter(|(name, _): &(String, String)| !name.is_empty()))
        .collect::<Option<_>>()
        .ok_or_else(|| {
            error(variable, "it is not name=value,name=value with percent-encoded values")
        })
}

fn decoded(value: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<OtlpSettings>, OtlpSettingsError> {
        OtlpSettings::read(|name| {
            Some(variables.iter().find(|(known, _)| *known == name)?.1.to_string())
        })
    }

    #[test]
    fn without_an_endpoint_nothing_is_pushed() {
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "a")]), Ok(None));
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        assert_eq!(read(&[endpoint, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
    }

    #[test]
    fn variables_for_metrics_come_first() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret, x-tenant=7"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "700"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,zone=eu"),
            ("OTEL_SERVICE_NAME", "b"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.endpoint, "http://all:4318/v1/metrics");
        assert_eq!(settings.headers[0], ("authorization".into(), "Bearer secret".into()));
        assert_eq!(settings.timeout, Duration::from_millis(700));
        assert_eq!((settings.interval, settings.gzip), (Duration::from_secs(1), true));
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(settings.resource, [pair("zone", "eu"), pair("service.name", "b")]);
        assert!(!format!("{settings:?}").contains("secret"));
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://own/path");
        let settings =
            read(&[own, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all")]).unwrap().unwrap();
        assert_eq!(settings.endpoint, "https://own/path");
        let settings = settings.attribute_or("zone", "a").attribute_or("zone", "b");
        assert_eq!(settings.resource, [pair("zone", "a")]);
    }

    #[test]
    fn a_value_that_is_not_valid_is_an_error_that_names_its_variable() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "c:4318"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "c"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://c:4318"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://:4318/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c:99999/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://[::1]:99999/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c/a b"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c/#metrics"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://user:password@c/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0a"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "no-value"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%4"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1 s"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=a"),
        ] {
            let error = read(&[(name, value), endpoint]).unwrap_err();
            assert_eq!(error.variable, name, "{value}");
            assert!(!error.to_string().contains("password@"), "{error}");
        }
    }

    #[test]
    fn a_query_stays_behind_the_path_that_is_appended() {
        for (value, endpoint) in [
            ("http://c:4318", "http://c:4318/v1/metrics"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/metrics"),
            ("http://c/otlp/?key=7", "http://c/otlp/v1/metrics?key=7"),
            ("http://c?", "http://c/v1/metrics"),
            ("HTTP://c/", "HTTP://c/v1/metrics"),
        ] {
            let settings = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", value)]).unwrap().unwrap();
            assert_eq!(settings.endpoint, endpoint);
        }
    }

    #[test]
    fn pushes_are_on_if_the_switch_is_no_word_that_turns_them_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (value, is_on) in [("TRUE", false), ("false", true), ("maybe", true), ("1", true)] {
            let settings = read(&[endpoint, ("OTEL_SDK_DISABLED", value)]).unwrap();
            assert_eq!(settings.is_some(), is_on, "{value}");
        }
    }
}
