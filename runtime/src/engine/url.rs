//! Addresses that an engine's metrics can be read from: plain HTTP, nothing that could reach into the request.

use super::EngineError;

/// An address of the form `http://host[:port]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// As the header `Host` wants it.
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
            .strip_prefix("http://")
            .ok_or(wrong("it must begin with `http://`; other schemes are not read"))?;
        // Nothing that could end the request line or begin a header.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_or_refused() {
        let parsed = |url: &str| Url::parse(url).map(|url| (url.host, url.port, url.path));
        let parts = |host: &str, port, path: &str| Ok((host.to_string(), port, path.to_string()));
        assert_eq!(parsed("http://localhost:9000/metrics"), parts("localhost", 9000, "/metrics"));
        assert_eq!(parsed("http://engine"), parts("engine", 80, "/"));
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
