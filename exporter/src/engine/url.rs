//! URLs that an engine's metrics can be read from: plain HTTP, without a byte that could change the request.

use super::EngineError;

/// A URL of the form `http://host[:port]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Host and port, as for the header `Host`.
    pub(super) authority: String,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// With the query, from the first `/`.
    pub(super) path: String,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, EngineError> {
        let wrong = |reason| EngineError::Url { url: url.into(), reason };
        let rest = url
            .split_at_checked("http://".len())
            .and_then(|(scheme, rest)| scheme.eq_ignore_ascii_case("http://").then_some(rest))
            .ok_or(wrong("it must begin with `http://`; other schemes are not read"))?;
        // No byte that could end the request line or begin a header.
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains('#') {
            return Err(wrong("it has spaces, control characters, a `#` or non-ASCII letters"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(wrong("user names and passwords are not sent"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or(wrong("its `[` has no `]`"))?;
                match after {
                    "" => (host, None),
                    _ => (host, Some(after.strip_prefix(':').ok_or(wrong("`:` must follow `]`"))?)),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let port = match port {
            None => 80,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or(wrong("its port is not a number from 1 to 65535"))?,
        };
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        Ok(Self { authority: authority.into(), host: host.into(), port, path })
    }
}

impl Url {
    /// Resolves the `Location` of an answer from this URL (RFC 3986 section 5.2), without its fragment. The error is the
    /// reason why it is not followed.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, &'static str> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = location.split_once(':').map(|(scheme, _)| scheme);
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let absolute = match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => {
                format!("http:{}", &location["http:".len()..])
            }
            Some(scheme) if is_scheme(scheme) => return Err("only http is read"),
            _ if location.starts_with("//") => format!("http:{location}"),
            _ if location.starts_with('/') => format!("http://{}{location}", self.authority),
            _ => {
                let (path, _query) = self.path.split_once('?').unwrap_or((&self.path, ""));
                let base = match location.is_empty() || location.starts_with('?') {
                    true => path,
                    false => &path[..path.rfind('/').map_or(0, |at| at + 1)],
                };
                format!("http://{}{base}{location}", self.authority)
            }
        };
        let mut url = Self::parse(&absolute).map_err(|error| match error {
            EngineError::Url { reason, .. } => reason,
            _ => "it is no address",
        })?;
        if !url.host.eq_ignore_ascii_case(&self.host) {
            return Err("it is another host");
        }
        url.path = without_dots(&url.path);
        Ok(url)
    }
}

/// Removes `.` and `..` segments from a path (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let path = format!("/{}", kept.join("/"));
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_resolved_or_refused() {
        let from = Url::parse("http://Engine:9000/a/metrics?x=1").unwrap();
        let to = |location: &str| from.redirected(location).map(|url| (url.port, url.path));
        for (location, port, path) in [
            ("/metrics/", 9000, "/metrics/"),
            ("http://engine:9000/metrics/", 9000, "/metrics/"),
            ("HTTP://engine/m", 80, "/m"),
            ("//engine:1/m", 1, "/m"),
            ("metrics/", 9000, "/a/metrics/"),
            ("../b/./c/..", 9000, "/b/"),
            ("../../../x", 9000, "/x"),
            ("?y=2", 9000, "/a/metrics?y=2"),
            ("", 9000, "/a/metrics"),
            ("/m?at=a:b/../c#top", 9000, "/m?at=a:b/../c"),
            ("a/b:c", 9000, "/a/a/b:c"),
        ] {
            assert_eq!(to(location), Ok((port, path.to_owned())), "{location}");
        }
        for (location, reason) in [
            ("http://elsewhere:9000/metrics", "another host"),
            ("//elsewhere/", "another host"),
            ("https://engine:9000/metrics", "only http"),
            ("file:///etc/passwd", "only http"),
            ("http://user:secret@engine:9000/", "passwords"),
            ("http://engine:0/", "port"),
            ("http:///x", "no host"),
            ("/a b", "spaces"),
        ] {
            assert!(to(location).unwrap_err().contains(reason), "{location}: {:?}", to(location));
        }
    }

    #[test]
    fn urls_are_split_or_refused() {
        let parsed = |url: &str| Url::parse(url).map(|url| (url.host, url.port, url.path));
        let parts = |host: &str, port, path: &str| Ok((host.to_string(), port, path.to_string()));
        assert_eq!(parsed("http://localhost:9000/metrics"), parts("localhost", 9000, "/metrics"));
        assert_eq!(parsed("http://engine"), parts("engine", 80, "/"));
        assert_eq!(parsed("HTTP://engine/M"), parts("engine", 80, "/M"));
        assert_eq!(parsed("http://h:1?name[]=x"), parts("h", 1, "/?name[]=x"));
        assert_eq!(parsed("http://[::1]:8081/m"), parts("::1", 8081, "/m"));
        assert_eq!(parsed("http://[::1]"), parts("::1", 80, "/"));
        for url in [
            "https://h/",
            "h:9000/metrics",
            "http://",
            "http://:80/",
            "http://h:0/",
            "http://h:99999/",
            "http://u:p@h/",
            "http://[::1/",
            "http://[::1]x/",
            "http://h/a b",
            "http://h/\r\nX: y",
            "http://h/#x",
        ] {
            assert!(matches!(parsed(url), Err(EngineError::Url { .. })), "{url}");
        }
    }
}
