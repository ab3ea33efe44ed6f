//! The choice of format and escaping by the `Accept` header (RFC 9110, section 12.5.1).
//!
//! ```text
//! Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2
//!         `-------------------------- one clause --------------------------'
//! ```
//!
//! The clause of the highest `q` that names a format of ours wins, the first one among equals. **Only who names
//! another format gets one**: wildcards, browsers, broken headers and no header at all mean text 0.0.4, for which
//! every consumer is prepared; no header is answered with an error. (Handed OpenMetrics it never asked for, VictoriaMetrics
//! makes a series of each exemplar.) A wildcard says nothing about text 0.0.4 when a clause names it, as the RFC
//! has it.
//!
//! It costs two passes over the header and allocates nothing.

use dynamo_metrics_core::Escaping;

/// Clauses of a header that are read; those after it are ignored. Prometheus sends up to seven. With this a
/// header of nothing but commas costs what an ordinary one costs.
///
/// ```
/// use dynamo_metrics_encoder::negotiate::{ACCEPT_CLAUSES_MAX, negotiate};
///
/// let too_late = format!("{}application/openmetrics-text", "x/y,".repeat(ACCEPT_CLAUSES_MAX));
/// assert_eq!(negotiate(Some(&too_late)), negotiate(None));
/// ```
pub const ACCEPT_CLAUSES_MAX: usize = 32;

/// A format of an exposition. Its media type is [`Negotiated::content_type`].
///
/// ```
/// use dynamo_metrics_encoder::negotiate::{Format, negotiate};
///
/// let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
/// assert_eq!(negotiate(Some(protobuf)).format, Format::Protobuf);
/// assert_eq!(Format::default(), Format::Text);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus text. Versions 0.0.4 and 1.0.0 are the same bytes.
    #[default]
    Text,
    /// OpenMetrics text 1.0.0. Version 0.0.1 is the same bytes.
    OpenMetrics,
    /// OpenMetrics text 2.0.0, which is experimental: only for who asks for `version=2.0.0`.
    #[cfg(feature = "openmetrics2")]
    OpenMetrics2,
    /// Messages `io.prometheus.client.MetricFamily`, each after its length.
    Protobuf,
}

/// The format and escaping that one scraper gets. The body depends on the two public fields only, so they can be the key of a cache.
///
/// ```
/// use dynamo_metrics_encoder::negotiate::negotiate;
///
/// let (new, old) = (negotiate(Some("text/plain;version=1.0.0")), negotiate(Some("text/plain")));
/// assert_ne!(new.content_type(), old.content_type());
/// assert_eq!((new.format, new.escaping), (old.format, old.escaping), "one body");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Negotiated {
    /// The format of the body.
    pub format: Format,
    /// The escaping of names in the body.
    pub escaping: Escaping,
    /// True for text that is announced as version 1.0.0, for which UTF-8 names are part of the format.
    text_1: bool,
}

impl Negotiated {
    /// A choice made without a header, as by a configuration. Text is version 0.0.4.
    ///
    /// ```
    /// use dynamo_metrics_core::Escaping;
    /// use dynamo_metrics_encoder::negotiate::{Format, Negotiated, negotiate};
    ///
    /// assert_eq!(Negotiated::new(Format::Text, Escaping::Underscores), negotiate(None));
    /// ```
    pub const fn new(format: Format, escaping: Escaping) -> Self {
        Self { format, escaping, text_1: false }
    }

    /// The value of the `Content-Type` header. Prometheus 3 refuses a scrape without a valid one.
    ///
    /// ```
    /// use dynamo_metrics_encoder::negotiate::negotiate;
    ///
    /// assert_eq!(
    ///     negotiate(None).content_type(),
    ///     "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    /// );
    /// ```
    pub const fn content_type(self) -> &'static str {
        macro_rules! escaped {
            ($media_type:literal) => {
                match self.escaping {
                    Escaping::AllowUtf8 => concat!($media_type, "; escaping=allow-utf-8"),
                    Escaping::Underscores => concat!($media_type, "; escaping=underscores"),
                    Escaping::Dots => concat!($media_type, "; escaping=dots"),
                    Escaping::Values => concat!($media_type, "; escaping=values"),
                }
            };
        }
        match self.format {
            Format::Text if self.text_1 => escaped!("text/plain; version=1.0.0; charset=utf-8"),
            Format::Text => escaped!("text/plain; version=0.0.4; charset=utf-8"),
            Format::OpenMetrics => {
                escaped!("application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
            #[cfg(feature = "openmetrics2")]
            Format::OpenMetrics2 => {
                escaped!("application/openmetrics-text; version=2.0.0; charset=utf-8")
            }
            Format::Protobuf => escaped!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            ),
        }
    }
}

/// Returns the format for a scraper that sends this `Accept` header; several headers are joined with commas first, and one
/// that is not UTF-8 is `None`.
///
/// A clause counts if its type, `version`, `proto` and `encoding` are ones we know: an unknown version is another
/// format. Other parameters are ignored, of a repeated one the last counts, and an unknown `escaping` means
/// underscores. A clause whose `q` is no number from 0 to 1 is ignored (Prometheus 2.49.0 sends `*/*;q=2`), and
/// `q=0` excludes.
///
/// ```
/// use dynamo_metrics_core::Escaping;
/// use dynamo_metrics_encoder::negotiate::{Format, negotiate};
///
/// let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
///                   text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// let answer = negotiate(Some(prometheus));
/// assert_eq!((answer.format, answer.escaping), (Format::OpenMetrics, Escaping::AllowUtf8));
///
/// let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// assert_eq!(negotiate(Some(browser)), negotiate(None));
/// ```
pub fn negotiate(accept: Option<&str>) -> Negotiated {
    // The best clause that names a format, and those that may stand for text 0.0.4: `text/*` rather than `*/*`,
    // and neither where a clause names it.
    let (mut named, mut any_text, mut any) = (None, None, None);
    let mut text_named = false;
    let clauses = Pieces { rest: accept, separator: b',' };
    for (at, clause) in clauses.take(ACCEPT_CLAUSES_MAX).enumerate() {
        let Some(clause) = Clause::parse(clause) else { continue };
        let Some(quality) = clause.quality() else { continue };
        let Some((range, answer)) = clause.answer() else { continue };
        let best = match range {
            Range::Named => {
                text_named |= answer.format == Format::Text && !answer.text_1;
                &mut named
            }
            Range::AnyText => &mut any_text,
            Range::Any => &mut any,
        };
        let candidate = Candidate { quality, at, answer };
        if best.is_none_or(|best: Candidate| candidate.beats(best)) {
            *best = Some(candidate);
        }
    }
    let text = if text_named { None } else { any_text.or(any) };
    match (named, text) {
        (Some(named), Some(text)) if text.beats(named) => Some(text),
        (named, text) => named.or(text),
    }
    .filter(|best| best.quality > 0.0)
    .map_or(Negotiated::default(), |best| best.answer)
}

/// A clause that can be answered.
#[derive(Clone, Copy)]
struct Candidate {
    quality: f64,
    /// Its place in the header.
    at: usize,
    answer: Negotiated,
}

impl Candidate {
    fn beats(self, other: Self) -> bool {
        self.quality > other.quality || (self.quality == other.quality && self.at < other.at)
    }
}

/// The precision with which a clause names a format.
enum Range {
    Named,
    AnyText,
    Any,
}

/// The parts of a clause that matter.
#[derive(Default)]
struct Clause<'a> {
    main_type: &'a str,
    subtype: &'a str,
    version: Option<Value<'a>>,
    proto: Option<Value<'a>>,
    encoding: Option<Value<'a>>,
    escaping: Option<Value<'a>>,
    q: Option<Value<'a>>,
}

impl<'a> Clause<'a> {
    /// `None` if it does not begin with a media type.
    fn parse(clause: &'a str) -> Option<Self> {
        let mut pieces = Pieces { rest: Some(clause), separator: b';' };
        let (main_type, subtype) = trim(pieces.next()?).split_once('/')?;
        let mut parsed = Self { main_type, subtype, ..Self::default() };
        for parameter in pieces {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let name = trim(name);
            let fields = [
                ("q", &mut parsed.q),
                ("version", &mut parsed.version),
                ("escaping", &mut parsed.escaping),
                ("proto", &mut parsed.proto),
                ("encoding", &mut parsed.encoding),
            ];
            for (known, field) in fields {
                if name.eq_ignore_ascii_case(known) {
                    *field = Some(Value(trim(value)));
                }
            }
        }
        Some(parsed)
    }

    /// `q`, 1 where it is left out; `None` if it is not a number from 0 to 1.
    fn quality(&self) -> Option<f64> {
        let Some(Value(text)) = self.q else { return Some(1.0) };
        // Any number of digits, and none before or after the point: what is meant is clear.
        let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let quality: f64 = text.parse().ok().filter(|_| decimal)?;
        (quality <= 1.0).then_some(quality)
    }

    /// The format that the clause asks for, if it is one of ours.
    fn answer(&self) -> Option<(Range, Negotiated)> {
        let is = |main_type: &str, subtype: &str| {
            self.main_type.eq_ignore_ascii_case(main_type)
                && self.subtype.eq_ignore_ascii_case(subtype)
        };
        let text = |range, text_1| (range, Format::Text, text_1);
        let (range, format, text_1) = if is("text", "plain") {
            text(Range::Named, self.version_among(&["0.0.4", "1.0.0"])? == Some(1))
        } else if is("application", "openmetrics-text") {
            (Range::Named, self.openmetrics()?, false)
        } else if is("application", "vnd.google.protobuf") {
            let proto = self.proto?.is("io.prometheus.client.MetricFamily");
            let delimited = self.encoding?.is("delimited");
            (Range::Named, (proto && delimited).then_some(Format::Protobuf)?, false)
        } else if is("text", "*") {
            text(Range::AnyText, false)
        } else if is("*", "*") {
            text(Range::Any, false)
        } else {
            return None;
        };
        let scheme = |value: Value<'_>| Escaping::ALL.into_iter().find(|s| value.is(s.as_str()));
        let escaping = self.escaping.and_then(scheme).unwrap_or_default();
        Some((range, Negotiated { format, escaping, text_1 }))
    }

    fn openmetrics(&self) -> Option<Format> {
        #[cfg(feature = "openmetrics2")]
        if self.version.is_some_and(|version| version.is("2.0.0")) {
            return Some(Format::OpenMetrics2);
        }
        self.version_among(&["0.0.1", "1.0.0"])?;
        Some(Format::OpenMetrics)
    }

    /// Returns the index of the clause's version among the known ones, `Some(None)` if it has no version, and `None` if the
    /// version is unknown.
    fn version_among(&self, known: &[&str]) -> Option<Option<usize>> {
        let Some(version) = self.version else { return Some(None) };
        known.iter().position(|known| version.is(known)).map(Some)
    }
}

/// The value of a parameter: a token, or a string in quotes with backslashes.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

impl Value<'_> {
    fn is(self, text: &str) -> bool {
        let Some(quoted) = self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return self.0 == text;
        };
        let mut quoted = quoted.chars();
        let mut next = || match quoted.next() {
            // At the end the backslash stands for the quote, and the string has no end: it equals nothing.
            Some('\\') => quoted.next().or(Some('\\')),
            other => other,
        };
        text.chars().all(|c| next() == Some(c)) && next().is_none()
    }
}

/// The pieces between separators that are not in quotes.
struct Pieces<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.bytes().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return byte == self.separator && !quoted,
            }
            false
        });
        let (piece, rest) = match end {
            // Separators are ASCII, so both ends are character boundaries.
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        Some(piece)
    }
}

/// Without the white space that HTTP allows around separators.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
