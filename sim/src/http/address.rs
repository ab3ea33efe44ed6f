//! Addresses of frontends and workers, as options and registrations give them.

use hyper::Uri;
use hyper::http::uri::Authority;

/// Reads an address that paths can be put behind, `SCHEME://HOST[:PORT][/PATH]`, and returns it without slashes at its end.
///
/// ```
/// use dynamo_metrics_sim::http::address;
///
/// assert_eq!(address::parse("http://h:8000/", &["http"]).as_deref(), Ok("http://h:8000"));
/// assert!(address::parse("http://h:99999", &["http"]).is_err());
/// ```
///
/// # Errors
/// The fault, and what to write: another scheme, no host, a port beyond 65535, and parts that no request would have (a password, a
/// query, a fragment).
pub fn parse(text: &str, schemes: &[&str]) -> Result<String, String> {
    let wrong =
        |fault: &str| format!("{fault}; give {}://HOST:PORT", schemes.join("://HOST:PORT or "));
    let uri: Uri = text.parse().map_err(|error| wrong(&format!("it is no URL: {error}")))?;
    let is_known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    if !is_known || uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it has another scheme or no host"));
    }
    let authority = uri.authority().map_or("", Authority::as_str);
    if authority.contains('@') {
        return Err(wrong("it has a password, which is not sent"));
    }
    // Behind the brackets of an IPv6 address.
    let port = authority[authority.rfind(']').unwrap_or(0)..].split_once(':');
    if port.is_some_and(|(_, port)| !port.parse().is_ok_and(|port: u16| port > 0)) {
        return Err(wrong("its port is not one of 1 to 65535"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(wrong("it has a query or a fragment"));
    }
    Ok(text.trim_end_matches('/').into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_a_slash_and_nothing_else_is() {
        for (given, taken) in [
            ("http://h:8000/", "http://h:8000"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("http://[::1]", "http://[::1]"),
            ("http://h/under/", "http://h/under"),
        ] {
            assert_eq!(parse(given, &["http"]).as_deref(), Ok(taken));
        }
        for given in [
            "",
            "h:8000",
            "https://h:8000",
            "http://",
            "http://:8000",
            "http://h:",
            "http://h:0",
            "http://h:99999",
            "http://[::1]:99999",
            "http://u:p@h",
            "http://h:8000/?a=1",
            "http://h/#f",
        ] {
            assert!(parse(given, &["http"]).unwrap_err().contains("http://HOST:PORT"), "{given}");
        }
        let both = ["http", "https"];
        assert_eq!(parse("https://h:8081/", &both).as_deref(), Ok("https://h:8081"));
        assert!(
            parse("ftp://h", &both).unwrap_err().ends_with("http://HOST:PORT or https://HOST:PORT")
        );
    }
}
