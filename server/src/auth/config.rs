//! A web configuration in force, and its reading from a file.
//!
//! The format is that of Prometheus' exporter-toolkit (`--web.config.file`). A file with an unknown key is an error, and so
//! is a setting that the toolkit has and this server has not: there are no silent differences.

use std::io;
use std::path::Path;
#[cfg(feature = "tls")]
use std::path::PathBuf;

use http::HeaderMap;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use super::problem::Problem;
use super::rate::{Rate, go_duration};
#[cfg(feature = "tls")]
use super::section::Text;
use super::section::{Section, entries, text};
use super::sources::Sources;
#[cfg(feature = "tls")]
use super::tls;
use super::users::Users;
use super::yaml::{self, Node};

/// The settings of a file; by default none.
#[derive(Clone, Default)]
pub(crate) struct WebConfig {
    pub(crate) headers: HeaderMap,
    pub(crate) users: Users,
    pub(crate) rate: Option<Rate>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tls::Tls>,
}

impl WebConfig {
    /// Reads a file and the files that it names. The sources are all files that the outcome, good or bad, depends on.
    pub(crate) fn load(path: &Path) -> (Sources, Result<Self, Problem>) {
        let mut files = Files::beside(path);
        let config = files
            .text(path)
            .map_err(|error| Problem::of_file(error.to_string()))
            .and_then(|text| yaml::parse(&text))
            .and_then(|root| Self::read(&root, &mut files))
            .map_err(|problem| problem.in_file(path));
        (files.sources, config)
    }

    /// Returns whether connections over TCP speak TLS.
    pub(crate) fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    fn read(root: &Node, files: &mut Files) -> Result<Self, Problem> {
        let root = Section::of("", root, &[TLS, HTTP, USERS, RATE])?;
        let mut config = Self::default();
        if let Some(node) = root.get(TLS) {
            #[cfg(feature = "tls")]
            {
                config.tls = Some(tls::server_config(TLS, node, files)?);
            }
            #[cfg(not(feature = "tls"))]
            {
                let _ = (node, files);
                let text = "this program was built without TLS: build it with the feature `tls`";
                return Err(root.problem(TLS, text));
            }
        }
        if let Some(node) = root.get(HTTP) {
            config.headers = http_section(node)?;
        }
        if let Some(node) = root.get(USERS) {
            config.users = Users::read(USERS, node)?;
        }
        if let Some(node) = root.get(RATE) {
            config.rate = rate_section(node)?;
        }
        Ok(config)
    }
}

/// Files that a configuration names, relative to its own directory.
pub(crate) struct Files {
    #[cfg(feature = "tls")]
    directory: PathBuf,
    sources: Sources,
}

impl Files {
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only TLS names files"))]
    fn beside(path: &Path) -> Self {
        Self {
            #[cfg(feature = "tls")]
            directory: path.parent().unwrap_or(path).to_owned(),
            sources: Sources::default(),
        }
    }

    /// Reads a file that a key names.
    #[cfg(feature = "tls")]
    pub(crate) fn named(
        &mut self,
        section: &Section<'_>,
        key: &str,
        path: Text<'_>,
    ) -> Result<Vec<u8>, Problem> {
        let path = self.directory.join(path.value);
        self.sources
            .read(&path)
            .map_err(|error| section.problem(key, format!("{}: {error}", path.display())))
    }

    fn text(&mut self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.sources.read(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
    }
}

const TLS: &str = "tls_server_config";
const HTTP: &str = "http_server_config";
const USERS: &str = "basic_auth_users";
const RATE: &str = "rate_limit";

/// The headers that may be set, and their values where these are closed sets.
const HEADERS: [(&str, HeaderName, &[&str]); 5] = [
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
];

fn http_section(node: &Node) -> Result<HeaderMap, Problem> {
    let section = Section::of(HTTP, node, &["http2", "headers"])?;
    if section.boolean("http2")? == Some(true) {
        let text = "this server speaks HTTP/1.1 only: write false, or leave it out";
        return Err(section.problem("http2", text));
    }
    let mut headers = HeaderMap::new();
    let Some(node) = section.get("headers") else { return Ok(headers) };
    let path = format!("{HTTP}.headers");
    for (key, node) in entries(&path, node)? {
        let path = format!("{path}.{}", key.name);
        let Some((_, name, values)) = HEADERS.iter().find(|(name, ..)| *name == key.name) else {
            let known = HEADERS.map(|(name, ..)| name).join(", ");
            let text = format!("this header cannot be set; those that can are {known}");
            return Err(Problem::new(key.line, path, text));
        };
        let text = text(&path, node)?;
        if !values.is_empty() && !values.contains(&text.value) {
            let text = format!("its value must be {}", values.join(" or "));
            return Err(Problem::new(node.line, path, text));
        }
        let value = HeaderValue::from_str(text.value)
            .map_err(|_| Problem::new(node.line, path, "no value of a header"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Reads the rate limit. There is none without an interval, as with the toolkit. A burst of 0 would reject every request and is
/// an error.
fn rate_section(node: &Node) -> Result<Option<Rate>, Problem> {
    let section = Section::of(RATE, node, &["interval", "burst"])?;
    let interval = match section.text("interval")? {
        None => None,
        Some(text) => match go_duration(text.value) {
            Some(interval) if interval <= INTERVAL_MAX => Some(interval),
            _ => {
                let text = "expected a duration of at most a day, as 100ms or 1m30s";
                return Err(section.problem("interval", text));
            }
        },
    };
    let burst = match section.text("burst")? {
        None => None,
        Some(text) => match text.value.parse() {
            Ok(burst @ 1..=BURST_MAX) => Some(burst),
            _ => {
                let text = format!("expected a whole number of 1 to {BURST_MAX}");
                return Err(section.problem("burst", text));
            }
        },
    };
    match (interval.filter(|interval| !interval.is_zero()), burst) {
        (None, _) => Ok(None),
        (Some(interval), Some(burst)) => Ok(Some(Rate { interval, burst })),
        (Some(_), None) => {
            Err(section.problem("burst", "missing: how many requests may come at once"))
        }
    }
}

/// Slower than that is closed; and the sums of the bucket stay far from their overflow.
const INTERVAL_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
const BURST_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn read(text: &str) -> Result<WebConfig, String> {
        let mut files = Files::beside(Path::new("web.yml"));
        let read = yaml::parse(text).and_then(|root| WebConfig::read(&root, &mut files));
        read.map_err(|problem| problem.to_string())
    }

    #[test]
    fn nothing_is_plain_and_open() {
        for text in ["", "# nothing\n", "basic_auth_users:\n", "rate_limit: {interval: 0s}\n"] {
            let config = read(text).expect(text);
            assert!(!config.has_tls() && config.users.is_empty(), "{text}");
            assert!(config.headers.is_empty() && config.rate.is_none(), "{text}");
        }
    }

    #[test]
    fn headers_and_rates_are_read() {
        let config = read(
            "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
             Strict-Transport-Security: max-age=31536000; includeSubDomains\n\
             rate_limit:\n  interval: 100ms\n  burst: 20\n",
        )
        .expect("valid");
        assert_eq!(config.headers["x-frame-options"], "deny");
        assert_eq!(config.headers.len(), 2);
        assert_eq!(config.rate, Some(Rate { interval: Duration::from_millis(100), burst: 20 }));
    }

    #[test]
    fn bytes_at_random_places_make_no_file_panic() {
        let file = "tls_server_config:\n  cert_file: a\n  client_allowed_sans: [a, 'b']\n\
                    http_server_config:\n  headers: {X-Frame-Options: deny}\n\
                    rate_limit:\n  interval: 1s\n  burst: 1 # c\nbasic_auth_users:\n- &a |\n  x\n";
        let pieces =
            ["\n", " ", "  ", ":", "- ", "{", "}", "[", "]", "\"", "'", "|", ">", "&", "*"]
                .into_iter()
                .chain([
                    "!", "%", "@", "#", "---\n", "...\n", "? ", ", ", "\t", "\0", "é", "\u{feff}",
                ]);
        let pieces: Vec<&str> = pieces.collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("a small number")
        };
        let mut faults = 0;
        for _ in 0..20_000 {
            let mut text = file.to_owned();
            for _ in 0..=random(4) {
                let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                let at = places[random(places.len())];
                match random(3) {
                    0 => text.truncate(at.max(1)),
                    1 => drop(text.remove(at)),
                    _ => text.insert_str(at, pieces[random(pieces.len())]),
                }
                text.push('\n');
            }
            faults += usize::from(read(&text).is_err());
        }
        assert!(faults > 1000, "{faults}");
    }

    #[test]
    fn every_fault_names_its_line_and_key() {
        for (text, place, part) in [
            ("tls_server_confg: 1", ":1: `tls_server_confg`", "known are tls_server_config, http"),
            ("- a", ":1: ", "found a list"),
            ("http_server_config:\n  http3: true", ":2: `http_server_config.http3`", "unknown"),
            (
                "http_server_config:\n  http2: true",
                ":2: `http_server_config.http2`",
                "HTTP/1.1 only",
            ),
            ("http_server_config:\n  http2: 1", ":2: `http_server_config.http2`", "true or false"),
            (
                "http_server_config:\n  headers:\n    Server: x",
                ":3: `http_server_config.headers.Server`",
                "cannot be set",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: allow",
                ":3: `http_server_config.headers.X-Frame-Options`",
                "deny or sameorigin",
            ),
            (
                "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"",
                ":3: `http_server_config.headers.X-XSS-Protection`",
                "no value",
            ),
            ("rate_limit:\n  interval: 1\n  burst: 1", ":2: `rate_limit.interval`", "duration"),
            ("rate_limit:\n  interval: 1s", ":2: `rate_limit.burst`", "missing"),
            ("rate_limit:\n  burst: 0", ":2: `rate_limit.burst`", "1 to 1000000"),
            ("rate_limit:\n  burst: [1]", ":2: `rate_limit.burst`", "found a list"),
            ("basic_auth_users: x", ":1: `basic_auth_users`", "found a text"),
            ("basic_auth_users:\n  a: b", ":2: `basic_auth_users.a`", "bcrypt"),
        ] {
            let problem = read(text).err().unwrap_or_else(|| panic!("{text:?} was taken"));
            assert!(problem.starts_with(place) && problem.contains(part), "{text:?}: {problem}");
        }
    }
}
