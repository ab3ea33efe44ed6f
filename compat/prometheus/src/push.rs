//! Pushing to a Pushgateway, in the protobuf format.

use crate::encoder::{Encoder, ProtobufEncoder};
use crate::error::{Error, Result};
use crate::metric::Collector;
use crate::proto::MetricFamily;
use crate::registry::Registry;
use reqwest::blocking::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::time::Duration;

/// Time that a push may take.
const TIMEOUT: Duration = Duration::from_secs(10);

static CLIENT: LazyLock<reqwest::Result<Client>> =
    LazyLock::new(|| Client::builder().timeout(TIMEOUT).build());

const JOB_LABEL: &str = "job";
const INSTANCE_LABEL: &str = "instance";

/// A user name and password for the Pushgateway.
#[derive(Debug)]
pub struct BasicAuthentication {
    /// The name; may be empty.
    pub username: String,
    /// The password; may be empty.
    pub password: String,
}

/// Replaces all metrics of the job and grouping (`PUT`). Blocks, for up to 10 seconds.
///
/// # Errors
/// A `/` in the job or a value of the grouping, a series that has one of these labels already, an invalid URL, and a push that
/// fails. Families without a name or series are left out.
pub fn push_metrics<S: BuildHasher>(
    job: &str,
    grouping: HashMap<String, String, S>,
    url: &str,
    mfs: Vec<MetricFamily>,
    basic_auth: Option<BasicAuthentication>,
) -> Result<()> {
    push(Method::PUT, job, &grouping, url, &mfs, basic_auth)
}

/// Replaces the metrics of these names in the job and grouping (`POST`).
///
/// # Errors
/// As [`push_metrics`].
pub fn push_add_metrics<S: BuildHasher>(
    job: &str,
    grouping: HashMap<String, String, S>,
    url: &str,
    mfs: Vec<MetricFamily>,
    basic_auth: Option<BasicAuthentication>,
) -> Result<()> {
    push(Method::POST, job, &grouping, url, &mfs, basic_auth)
}

/// Replaces all metrics of the job and grouping with the families of these collectors; see [`push_metrics`].
///
/// # Errors
/// As [`push_metrics`] and [`Registry::register`].
pub fn push_collector<S: BuildHasher>(
    job: &str,
    grouping: HashMap<String, String, S>,
    url: &str,
    collectors: Vec<Box<dyn Collector>>,
    basic_auth: Option<BasicAuthentication>,
) -> Result<()> {
    push_metrics(job, grouping, url, gather(collectors)?, basic_auth)
}

/// Replaces the metrics of the names of these collectors' families in the job and grouping; see [`push_add_metrics`].
///
/// # Errors
/// As [`push_metrics`] and [`Registry::register`].
pub fn push_add_collector<S: BuildHasher>(
    job: &str,
    grouping: HashMap<String, String, S>,
    url: &str,
    collectors: Vec<Box<dyn Collector>>,
    basic_auth: Option<BasicAuthentication>,
) -> Result<()> {
    push_add_metrics(job, grouping, url, gather(collectors)?, basic_auth)
}

/// Returns a grouping whose label `instance` is the name of this host, or `unknown`.
pub fn hostname_grouping_key() -> HashMap<String, String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    #[cfg(not(unix))]
    let name: Option<String> = None;
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    HashMap::from([(INSTANCE_LABEL.to_owned(), name)])
}

fn gather(collectors: Vec<Box<dyn Collector>>) -> Result<Vec<MetricFamily>> {
    let registry = Registry::new();
    collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
    Ok(registry.gather())
}

fn push<S: BuildHasher>(
    method: Method,
    job: &str,
    grouping: &HashMap<String, String, S>,
    url: &str,
    families: &[MetricFamily],
    basic_auth: Option<BasicAuthentication>,
) -> Result<()> {
    let url = push_url(job, grouping, url)?;
    let body = body(grouping, families)?;
    let client = CLIENT.as_ref().map_err(message)?;
    let format = ProtobufEncoder::new();
    let mut request =
        client.request(method, url.clone()).header(CONTENT_TYPE, format.format_type()).body(body);
    if let Some(BasicAuthentication { username, password }) = basic_auth {
        request = request.basic_auth(username, Some(password));
    }
    match request.send().map_err(message)?.status() {
        StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
        status => {
            Err(Error::Msg(format!("unexpected status code {status} while pushing to {url}")))
        }
    }
}

fn push_url<S>(job: &str, grouping: &HashMap<String, String, S>, url: &str) -> Result<Url> {
    if job.contains('/') {
        return Err(Error::Msg(format!("job contains '/': {job}")));
    }
    let scheme = if url.contains("://") { "" } else { "http://" };
    let url = url.strip_suffix('/').unwrap_or(url);
    let mut full = format!("{scheme}{url}/metrics/job/{job}");
    for (name, value) in grouping {
        if value.contains('/') {
            let text = format!("value of grouping label {name} contains '/': {value}");
            return Err(Error::Msg(text));
        }
        full.push_str(&format!("/{name}/{value}"));
    }
    Url::parse(&full).map_err(|error| Error::Msg(format!("{full}: {error}")))
}

fn body<S: BuildHasher>(
    grouping: &HashMap<String, String, S>,
    families: &[MetricFamily],
) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for family in families {
        let name = family.name();
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            let label = label.name();
            if label == JOB_LABEL {
                let text = format!("pushed metric {name} already contains a job label");
                return Err(Error::Msg(text));
            }
            if grouping.contains_key(label) {
                let text = format!("pushed metric {name} already contains grouping label {label}");
                return Err(Error::Msg(text));
            }
        }
        if !family.get_metric().is_empty() && !name.is_empty() {
            ProtobufEncoder::new().encode(std::slice::from_ref(family), &mut body)?;
        }
    }
    Ok(body)
}

fn message(error: impl std::fmt::Display) -> Error {
    Error::Msg(error.to_string())
}
