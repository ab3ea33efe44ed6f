//! The part of a scrape's request that an exposition may look at.

use std::borrow::Cow;
use std::time::Duration;

use http::Uri;
use http::header::{ACCEPT, HeaderMap};

use crate::scrape::deadline::ScrapeDeadline;

/// A scrape's request: `Accept`, the query, and the deadline.
///
/// ```
/// use dynamo_metrics_server::ScrapeRequest;
/// use dynamo_metrics_server::http::{HeaderMap, Uri};
/// use std::time::Duration;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("accept", "text/plain;version=0.0.4".parse()?);
/// headers.insert("x-prometheus-scrape-timeout-seconds", "1.5".parse()?);
/// let uri: Uri = "/metrics?name[]=up".parse()?;
///
/// let request = ScrapeRequest::from_head(&headers, &uri);
/// assert_eq!(request.accept(), Some("text/plain;version=0.0.4"));
/// assert_eq!(request.query(), Some("name[]=up"));
/// let deadline = request.deadline().expect("a timeout was sent");
/// assert_eq!(deadline.ends() - deadline.begins(), Duration::from_millis(1500));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeRequest<'a> {
    accept: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
    deadline: Option<ScrapeDeadline>,
}

impl<'a> ScrapeRequest<'a> {
    /// Makes a request from its parts, none of which is checked. The timeout runs from now.
    #[must_use]
    pub fn new(accept: Option<&'a str>, query: Option<&'a str>, timeout: Option<Duration>) -> Self {
        let (accept, query) = (accept.map(Cow::Borrowed), query.map(Cow::Borrowed));
        Self { accept, query, deadline: timeout.map(ScrapeDeadline::after) }
    }

    /// Reads a request's head, from which on its timeout runs. Never fails: headers that cannot be parsed count as
    /// absent, since a scrape with an odd header still deserves its metrics.
    #[must_use]
    pub fn from_head(headers: &'a HeaderMap, uri: &'a Uri) -> Self {
        let deadline = timeout(headers).map(ScrapeDeadline::after);
        Self { accept: accept(headers), query: uri.query().map(Cow::Borrowed), deadline }
    }

    /// Returns the `Accept` header (RFC 9110 section 12.5.1); several lines are joined by `, ` (section 5.3). Lines that
    /// are not visible ASCII are left out.
    #[must_use]
    pub fn accept(&self) -> Option<&str> {
        self.accept.as_deref()
    }

    /// Returns the target's query, without its `?`, still percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Returns the deadline. In a request that was read from a head, that of `X-Prometheus-Scrape-Timeout-Seconds`;
    /// absent when the header is absent, zero, or not a positive number of seconds.
    ///
    /// In an exposition of a server it is never absent: it is the latest of all scrapes that wait. A scraper without the
    /// header has [`Limits::scrape_deadline`], which is also the most; the least is [`Limits::SCRAPE_TIMEOUT_MIN`].
    ///
    /// [`Limits::SCRAPE_TIMEOUT_MIN`]: crate::Limits::SCRAPE_TIMEOUT_MIN
    /// [`Limits::scrape_deadline`]: crate::Limits::scrape_deadline
    #[must_use]
    pub fn deadline(&self) -> Option<ScrapeDeadline> {
        self.deadline
    }

    /// The request with another deadline; borrows the rest.
    pub(crate) fn with_deadline(&self, deadline: ScrapeDeadline) -> ScrapeRequest<'_> {
        ScrapeRequest {
            accept: self.accept().map(Cow::Borrowed),
            query: self.query().map(Cow::Borrowed),
            deadline: Some(deadline),
        }
    }

    /// The request without its deadline, for a gather that begins later.
    pub(crate) fn to_waiting(&self) -> ScrapeRequest<'static> {
        let owned = |part: Option<&str>| part.map(|text| Cow::Owned(text.to_owned()));
        ScrapeRequest { accept: owned(self.accept()), query: owned(self.query()), deadline: None }
    }
}

fn accept(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let mut lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let first = lines.next()?;
    Some(lines.fold(Cow::Borrowed(first), |joined, line| Cow::Owned(format!("{joined}, {line}"))))
}

fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?;
    let seconds = text.trim().parse().ok()?;
    // None for a number that is negative, infinite, NaN or beyond 2^64 seconds.
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    (!timeout.is_zero()).then_some(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value).expect("a header value"));
        }
        headers
    }

    #[test]
    fn accept_lines_are_joined_and_odd_ones_left_out() {
        assert_eq!(accept(&headers(&[])), None);
        let lines = headers(&[("accept", b"a/b"), ("accept", b"\xff"), ("accept", b"*/*;q=0.1")]);
        assert_eq!(accept(&lines).as_deref(), Some("a/b, */*;q=0.1"));
    }

    #[test]
    fn timeouts_that_make_no_sense_are_absent() {
        let parsed = |text: &'static str| {
            timeout(&headers(&[("x-prometheus-scrape-timeout-seconds", text.as_bytes())]))
        };
        assert_eq!(parsed("10"), Some(Duration::from_secs(10)));
        assert_eq!(parsed("1.000"), Some(Duration::from_secs(1)));
        for text in ["", "0", "-1", "NaN", "inf", "1e300", "10s", "1,5"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn requests_that_wait_differ_by_all_but_their_deadline() {
        let waiting =
            |accept, query, timeout| ScrapeRequest::new(accept, query, timeout).to_waiting();
        let parts = [None, Some(""), Some("a"), Some("ab"), Some("b")];
        let all: Vec<_> = parts
            .iter()
            .flat_map(|&one| parts.iter().map(move |&two| waiting(one, two, None)))
            .collect();
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        let minute = Some(Duration::from_secs(60));
        assert_eq!(waiting(Some("a"), None, minute), waiting(Some("a"), None, None));
    }
}
