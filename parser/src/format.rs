//! The grammars by which a body is read: two formats, each with or without names in quotes.

/// A format that [`parse_as`](super::parse_as) reads.
///
/// Names outside of `[a-zA-Z_:][a-zA-Z0-9_:]*` stand in quotes, and only a scraper that asked for
/// `escaping=allow-utf-8` may be given them; so each format comes twice.
///
/// ```
/// use dynamo_metrics_parser::{Format, parse_as};
///
/// let body = b"{\"my.metric\",\"l.b\"=\"x\"} 1\n";
/// assert!(parse_as(Format::TextUtf8, body).is_ok());
/// assert!(parse_as(Format::Text, body).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// Prometheus text 1.0.0: the same with names in quotes.
    TextUtf8,
    /// OpenMetrics text 1.0.0 without names in quotes, as Prometheus before 3.0 reads it.
    OpenMetrics,
    /// OpenMetrics text 1.0.0 with names in quotes.
    OpenMetricsUtf8,
}

impl Format {
    /// Returns the format that a `Content-Type` announces, or `None` for another one, as the protobuf format or
    /// OpenMetrics 2.
    ///
    /// ```
    /// use dynamo_metrics_parser::Format;
    ///
    /// let format = |header| Format::of_content_type(header);
    /// assert_eq!(format("text/plain; version=0.0.4; charset=utf-8"), Some(Format::Text));
    /// assert_eq!(format("text/plain; version=1.0.0"), Some(Format::TextUtf8));
    /// assert_eq!(format("text/plain; version=1.0.0; escaping=underscores"), Some(Format::Text));
    /// assert_eq!(format("application/openmetrics-text; version=1.0.0"), Some(Format::OpenMetrics));
    /// assert_eq!(
    ///     format("application/openmetrics-text;version=\"1.0.0\";escaping=allow-utf-8"),
    ///     Some(Format::OpenMetricsUtf8)
    /// );
    /// assert_eq!(format("application/openmetrics-text; version=2.0.0"), None);
    /// assert_eq!(format("text/html"), None);
    /// ```
    #[must_use]
    pub fn of_content_type(header: &str) -> Option<Format> {
        let mut parts = header.split(';').map(str::trim);
        let media = parts.next()?.to_ascii_lowercase();
        let (mut version, mut escaping) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"');
            match &name.trim().to_ascii_lowercase()[..] {
                "version" => version = Some(value),
                "escaping" => escaping = Some(value),
                _ => {}
            }
        }
        let quoted = escaping == Some("allow-utf-8");
        match (&media[..], version) {
            ("text/plain", None | Some("0.0.4")) => Some(Format::Text),
            ("text/plain", Some("1.0.0")) if quoted || escaping.is_none() => Some(Format::TextUtf8),
            ("text/plain", Some("1.0.0")) => Some(Format::Text),
            ("application/openmetrics-text", None | Some("0.0.1" | "1.0.0")) => {
                Some(if quoted { Format::OpenMetricsUtf8 } else { Format::OpenMetrics })
            }
            _ => None,
        }
    }

    /// Returns the format that a body seems to be in: OpenMetrics when its last line is `# EOF`, or else text. The guess
    /// is always a format without names in quotes.
    ///
    /// ```
    /// use dynamo_metrics_parser::Format;
    ///
    /// assert_eq!(Format::guess(b"a 1\n# EOF\n"), Format::OpenMetrics);
    /// assert_eq!(Format::guess(b"a 1\n# EOF"), Format::OpenMetrics);
    /// assert_eq!(Format::guess(b"# EOF\na 1\n"), Format::Text);
    /// assert_eq!(Format::guess(b""), Format::Text);
    /// ```
    #[must_use]
    pub fn guess(body: &[u8]) -> Format {
        let body = body.strip_suffix(b"\n").unwrap_or(body);
        match body.strip_suffix(b"# EOF") {
            Some([] | [.., b'\n']) => Format::OpenMetrics,
            _ => Format::Text,
        }
    }

    /// Returns whether it is one of the two OpenMetrics formats.
    ///
    /// ```
    /// use dynamo_metrics_parser::Format;
    ///
    /// assert!(Format::OpenMetricsUtf8.is_openmetrics() && !Format::TextUtf8.is_openmetrics());
    /// ```
    #[must_use]
    pub fn is_openmetrics(self) -> bool {
        matches!(self, Format::OpenMetrics | Format::OpenMetricsUtf8)
    }

    /// Returns whether names may stand in quotes.
    ///
    /// ```
    /// use dynamo_metrics_parser::Format;
    ///
    /// assert!(Format::TextUtf8.has_quoted_names() && !Format::Text.has_quoted_names());
    /// ```
    #[must_use]
    pub fn has_quoted_names(self) -> bool {
        matches!(self, Format::TextUtf8 | Format::OpenMetricsUtf8)
    }
}
