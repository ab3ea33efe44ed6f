//! The grammar of a request target: the forms of RFC 9112 section 3.2 that hyper takes too.
//!
//! hyper answers a target that its own parser, `http::Uri`, does not take in its own way, without our text and headers. So
//! each target that is valid here is valid there, which the tests hold against it.

/// Returns whether a target has one of the four forms of RFC 9112 section 3.2, as far as `http::Uri` takes them: hyper would
/// answer others in its own way.
pub(crate) fn is_target(method: &[u8], target: &[u8]) -> bool {
    match target {
        [b'/', ..] => is_path_and_query(target),
        b"*" => method == b"OPTIONS",
        _ if method == b"CONNECT" => is_authority(target),
        _ => {
            let after = |scheme: &[u8]| {
                let (start, rest) = target.split_at_checked(scheme.len())?;
                start.eq_ignore_ascii_case(scheme).then_some(rest)
            };
            let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else { return false };
            let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            is_authority(&rest[..end]) && is_path_and_query(&rest[end..])
        }
    }
}

/// Returns whether the bytes are a path and query. RFC 3986 has no place for some graphic bytes; the ones that `http::Uri`
/// takes are taken here.
fn is_path_and_query(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |&byte| byte == b'?');
    let mut has_none =
        |of: &[u8]| parts.next().unwrap_or_default().iter().all(|byte| !of.contains(byte));
    has_none(b"<>`") && has_none(b"<>\"")
}

/// Returns whether the bytes are `host [ ":" port ]` with a host, and without a user, which belongs to no request (RFC 9110
/// section 4.2.4).
fn is_authority(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        });
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|byte| is_host(byte) && !b"[]:%".contains(&byte))
        }
    };
    is_host && is_port
}

/// Returns whether a byte may be in `uri-host [ ":" port ]` (RFC 3986 section 3.2.2).
pub(crate) fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_valid_target_is_valid_for_hyper_too() {
        let mut taken = 0;
        for byte in (0..=u8::MAX).filter(|byte| byte.is_ascii_graphic() && *byte != b'#') {
            for (before, after) in
                [("/a", "b"), ("/a?", "b"), ("http://a/", "?"), ("http://a", ""), ("http://", "/")]
            {
                let target = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let ours = is_target(b"GET", &target);
                let theirs = http::Uri::try_from(&target[..]).is_ok();
                assert!(!ours || theirs, "{}", target.escape_ascii());
                if before.starts_with('/') {
                    assert_eq!(ours, theirs, "{}", target.escape_ascii());
                }
                taken += u32::from(ours);
            }
        }
        assert!(taken > 300, "{taken}");
    }

    #[test]
    fn an_absolute_target_has_a_host_and_no_user() {
        for target in [
            "http://a",
            "http://a/",
            "HTTPS://a.b-c:443/live?x",
            "http://a?x",
            "http://1.2.3.4:0",
            "http://[::1]/live",
            "http://[::1]:9090",
            "http://a:65535/live",
            "http://a_b/",
        ] {
            assert!(is_target(b"GET", target.as_bytes()), "{target}");
            assert!(http::Uri::try_from(target).is_ok(), "{target}");
        }
        for target in [
            "",
            "a",
            "?x",
            "http:",
            "http://",
            "http:///live",
            "http://?x",
            "http://:80/",
            "http://a:99999/live",
            "http://a:65536",
            "http://a:+1",
            "http://a:x/",
            "http://a:1:2/",
            "http://a@b/live",
            "http://a:b@c/",
            "http://[::1/live",
            "http://::1]/",
            "http://[]/",
            "http://[::g]/",
            "http://[::1]a/",
            "http://[::1]:/x:",
            "http://a%41/",
            "ftp://a/",
            "/a`",
            "/a<b",
            "/a>b",
            "/a?\"",
            "*",
            "http://a/`",
            "http://a/?<",
        ] {
            assert!(!is_target(b"GET", target.as_bytes()), "{target}");
        }
        assert!(is_target(b"CONNECT", b"a:1") && !is_target(b"CONNECT", b"http://a/"));
        assert!(!is_target(b"CONNECT", b"a/b") && !is_target(b"CONNECT", b"x@a:1"));
    }
}
