//! What every known scraper gets, what odd headers get, and agreement with a naive reading of the rules.

use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{ACCEPT_CLAUSES_MAX, Format, Negotiated, negotiate};
use proptest::prelude::*;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
const TEXT_UTF8: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
const TEXT_1_UTF8: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const OM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const OM_UTF8: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const PROTO: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                     encoding=delimited; escaping=underscores";
const PROTO_UTF8: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                          encoding=delimited; escaping=allow-utf-8";

fn answer(accept: &str) -> &'static str {
    negotiate(Some(accept)).content_type()
}

#[test]
fn every_known_scraper() {
    let table = [
        // Prometheus 2.42, and with native histograms.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OM,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            PROTO,
        ),
        // 2.49 to 2.54, and with protobuf first.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OM,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            PROTO,
        ),
        // 2.49.0: the wildcard's q is not valid.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=2",
            OM,
        ),
        // 2.55 with UTF-8: the parameter on every clause, protobuf and 0.0.4 included.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2",
            OM_UTF8,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.2,*/*;q=0.1",
            PROTO_UTF8,
        ),
        // 3.0 to 3.2: twice in the clause of text 1.0.0; then the same scraper told to use text only.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2",
            OM_UTF8,
        ),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2",
            TEXT_1_UTF8,
        ),
        ("text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2", TEXT_UTF8),
        // 3.4 to 3.14, and with native histograms or start timestamps: no escaping on protobuf.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OM_UTF8,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            PROTO,
        ),
        // The documentation's example, whose last clause has lost its stars.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1",
            OM_UTF8,
        ),
        // vmagent and VictoriaMetrics 1.145.
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),
        // Datadog and Vector; Datadog with `use_latest_spec`.
        ("text/plain", TEXT),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1",
            OM,
        ),
        ("application/openmetrics-text; version=0.0.1", OM),
        // curl, and browsers.
        ("*/*", TEXT),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            TEXT,
        ),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", TEXT),
    ];
    for (accept, expected) in table {
        assert_eq!(answer(accept), expected, "{accept}");
    }
    assert_eq!(negotiate(None).content_type(), TEXT);
}

#[test]
fn openmetrics_2_is_for_who_asks_and_only_with_the_feature() {
    let both = "application/openmetrics-text;version=2.0.0;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6";
    let expected = if cfg!(feature = "openmetrics2") {
        "application/openmetrics-text; version=2.0.0; charset=utf-8; escaping=underscores"
    } else {
        OM
    };
    assert_eq!(answer(both), expected);
    assert_eq!(answer("application/openmetrics-text"), OM);
    assert_eq!(answer("application/*"), TEXT);
}

#[test]
fn odd_headers() {
    let table = [
        // Nothing that we have, nothing at all, or nonsense.
        ("", TEXT),
        (" , ,,;;==\"\",", TEXT),
        ("application/json", TEXT),
        ("text/html;q=0.5", TEXT),
        ("text/plain;version=9", TEXT),
        ("application/openmetrics-text;version=3.0.0", TEXT),
        ("application/openmetrics-text;version=1.0", TEXT),
        ("application/openmetrics-protobuf;version=1.0.0", TEXT),
        ("xapplication/openmetrics-text", TEXT),
        ("application/openmetrics-textx", TEXT),
        ("application / openmetrics-text", TEXT),
        ("application/openmetrics-text/", TEXT),
        ("/;q=1", TEXT),
        ("/;q=,application/openmetrics-text;q=0.1", OM),
        // Protobuf needs both of its parameters.
        ("application/vnd.google.protobuf", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", TEXT),
        ("application/vnd.google.protobuf;encoding=delimited", TEXT),
        ("application/vnd.google.protobuf;proto=x;encoding=delimited", TEXT),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            TEXT,
        ),
        (
            "application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily",
            PROTO,
        ),
        // Order and q.
        ("text/plain,application/openmetrics-text", TEXT),
        ("application/openmetrics-text,text/plain", OM),
        ("text/plain;q=0.500,application/openmetrics-text;q=0.5", TEXT),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.501", OM),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.50000001", OM),
        ("text/plain;q=0.5,application/openmetrics-text;q=1.000", OM),
        ("text/plain;q=0.5,application/openmetrics-text; Q = .6", OM),
        // q=0 excludes, and q that is not valid says nothing.
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.000,*/*;q=0.1", TEXT),
        ("text/plain;q=0,application/openmetrics-text;q=0.1", OM),
        ("application/openmetrics-text;q=1.1,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=-0.5", TEXT),
        ("application/openmetrics-text;q=+0.5", TEXT),
        ("application/openmetrics-text;q=5e-1", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=inf", TEXT),
        ("application/openmetrics-text;q=", TEXT),
        ("application/openmetrics-text;q=.", TEXT),
        ("application/openmetrics-text;q", OM),
        // Wildcards stand for text 0.0.4, unless a clause says what it is worth.
        ("*/*,application/openmetrics-text;q=0.9", TEXT),
        ("text/*,application/openmetrics-text;q=0.9", TEXT),
        ("*/*;q=0.9,text/plain;version=0.0.4;q=0.1,application/openmetrics-text;q=0.5", OM),
        ("*/*;q=0.9,text/*;q=0.1,application/openmetrics-text;q=0.5", OM),
        ("*/*;q=0.9,text/*;q=0,application/openmetrics-text;q=0.5", OM),
        ("*/*;q=0.9,text/plain;version=1.0.0;q=0.1,application/openmetrics-text;q=0.5", TEXT),
        ("*/*;q=0,application/openmetrics-text;q=0.5", OM),
        // Cases, blanks, and parameters that are not for us.
        ("\tApplication/OpenMetrics-Text ;\tVERSION=1.0.0 ; charset=UTF-8 ,text/plain;q=0.1", OM),
        ("application/openmetrics-text;version=1.0.0;q=0.5;level=1;q;=;;", OM),
        // Quotes: separators in them do not count, backslashes in them do.
        ("application/openmetrics-text;version=\"1.0.0\"", OM),
        ("application/openmetrics-text;version=\"1\\.0.0\"", OM),
        ("application/openmetrics-text;version=\"1.0.0\\\"", TEXT),
        ("application/openmetrics-text;version=\"1.0.0", TEXT),
        ("application/openmetrics-text;version=\"\"", TEXT),
        ("application/openmetrics-text;version=", TEXT),
        ("application/json;a=\"x,application/openmetrics-text\"", TEXT),
        ("application/json;a=\"\\\",application/openmetrics-text\"", TEXT),
        ("application/json;a=\"\\\\\",application/openmetrics-text", OM),
        ("application/openmetrics-text;a=\";q=0\"", OM),
        // Escaping: the last of several, unknown is underscores, and a clause that loses has no say.
        ("application/openmetrics-text;escaping=dots;escaping=allow-utf-8", OM_UTF8),
        ("application/openmetrics-text;escaping=allow-utf-8;escaping=nonsense", OM),
        ("application/openmetrics-text;escaping=\"allow-utf-8\"", OM_UTF8),
        (
            "application/openmetrics-text;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4",
            OM,
        ),
        ("text/plain;escaping=allow-utf-8", TEXT_UTF8),
        ("*/*;escaping=allow-utf-8", TEXT_UTF8),
        ("application/openmetrics-text\u{fc};q=1, ü/ü;ü=ü, application/openmetrics-text", OM),
    ];
    for (accept, expected) in table {
        assert_eq!(answer(accept), expected, "{accept}");
    }
}

#[test]
fn clauses_beyond_the_limit_are_ignored() {
    let padded = |n: usize| format!("{}application/openmetrics-text", "x/y,".repeat(n));
    assert_eq!(answer(&padded(ACCEPT_CLAUSES_MAX - 1)), OM);
    assert_eq!(answer(&padded(ACCEPT_CLAUSES_MAX)), TEXT);
    // Long headers of each kind that a quadratic reader takes for ever to read.
    for piece in [",", ";", "\"", "\\\"", "q=", "text/plain;", "a/b;q=\"", "=\"\\"] {
        assert_eq!(answer(&piece.repeat(1 << 20)), TEXT, "{piece}");
    }
}

#[test]
fn content_types_name_what_they_are() {
    for (format, start) in [
        (Format::Text, "text/plain; version=0.0.4; charset=utf-8; escaping="),
        (
            Format::OpenMetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=",
        ),
        (Format::Protobuf, PROTO.strip_suffix("underscores").unwrap()),
    ] {
        for escaping in Escaping::ALL {
            let answer = Negotiated::new(format, escaping);
            assert_eq!(answer.content_type(), format!("{start}{escaping}"));
            // Who sends it back as `Accept` gets the same again.
            assert_eq!(negotiate(Some(answer.content_type())), answer);
        }
    }
    #[cfg(feature = "openmetrics2")]
    for escaping in Escaping::ALL {
        let answer = Negotiated::new(Format::OpenMetrics2, escaping);
        let start = "application/openmetrics-text; version=2.0.0; charset=utf-8; escaping=";
        assert_eq!(answer.content_type(), format!("{start}{escaping}"));
        assert_eq!(negotiate(Some(answer.content_type())), answer);
    }
}

/// A clause before it is written down.
#[derive(Clone, Debug)]
struct Written {
    media_type: &'static str,
    version: Option<&'static str>,
    protobuf: (bool, bool),
    escaping: Vec<&'static str>,
    q: Option<(&'static str, Option<u32>)>,
    noise: &'static str,
    upper: bool,
    blank: &'static str,
    quoted: bool,
}

impl Written {
    fn text(&self) -> String {
        let mut parameters = Vec::new();
        let value = |text: &str| if self.quoted { format!("\"{text}\"") } else { text.into() };
        parameters.extend(self.version.map(|version| format!("version={}", value(version))));
        if self.protobuf.0 {
            parameters.push(format!("proto={}", value("io.prometheus.client.MetricFamily")));
        }
        if self.protobuf.1 {
            parameters.push(format!("encoding={}", value("delimited")));
        }
        parameters.extend(self.escaping.iter().map(|scheme| format!("escaping={}", value(scheme))));
        parameters.push(self.noise.into());
        parameters.extend(self.q.map(|(text, _)| format!("q={text}")));
        let media_type =
            if self.upper { self.media_type.to_uppercase() } else { self.media_type.into() };
        let mut text = format!("{}{media_type}", self.blank);
        for parameter in parameters {
            text += &format!("{0};{0}{parameter}", self.blank);
        }
        text
    }

    /// The content type without escaping that the clause names.
    fn named(&self) -> Option<&'static str> {
        match (self.media_type, self.version) {
            ("text/plain", None | Some("0.0.4")) => {
                Some("text/plain; version=0.0.4; charset=utf-8")
            }
            ("text/plain", Some("1.0.0")) => Some("text/plain; version=1.0.0; charset=utf-8"),
            ("application/openmetrics-text", None | Some("0.0.1" | "1.0.0")) => {
                Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
            ("application/openmetrics-text", Some("2.0.0")) if cfg!(feature = "openmetrics2") => {
                Some("application/openmetrics-text; version=2.0.0; charset=utf-8")
            }
            ("application/vnd.google.protobuf", _) if self.protobuf == (true, true) => {
                PROTO.strip_suffix("; escaping=underscores")
            }
            _ => None,
        }
    }
}

/// The rules as one would say them: sort, then take the first.
fn naive(clauses: &[Written]) -> String {
    const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";
    let says_text = clauses.iter().filter(|c| !matches!(c.q, Some((_, None)))).collect::<Vec<_>>();
    let has = |what: &dyn Fn(&Written) -> bool| says_text.iter().any(|clause| what(clause));
    let text_named = has(&|clause| clause.named() == Some(TEXT_0_0_4));
    let any_text = has(&|clause| clause.media_type == "text/*");
    let mut ranked: Vec<(u32, &str, &Written)> = says_text
        .iter()
        .filter_map(|clause| {
            let answer = match clause.media_type {
                "text/*" if !text_named => TEXT_0_0_4,
                "*/*" if !text_named && !any_text => TEXT_0_0_4,
                _ => clause.named()?,
            };
            Some((clause.q.map_or(1000, |(_, q)| q.unwrap()), answer, *clause))
        })
        .filter(|&(q, ..)| q > 0)
        .collect();
    ranked.sort_by_key(|&(q, ..)| std::cmp::Reverse(q));
    let Some((_, answer, clause)) = ranked.first() else { return TEXT.into() };
    let known = ["allow-utf-8", "underscores", "dots", "values"];
    let scheme = clause.escaping.last().copied().filter(|scheme| known.contains(scheme));
    format!("{answer}; escaping={}", scheme.unwrap_or("underscores"))
}

fn written() -> impl Strategy<Value = Written> {
    let media_type = prop::sample::select(vec![
        "text/plain",
        "text/plain",
        "application/openmetrics-text",
        "application/openmetrics-text",
        "application/vnd.google.protobuf",
        "*/*",
        "text/*",
        "text/html",
        "*",
        "/",
    ]);
    let version =
        prop::option::of(prop::sample::select(vec!["0.0.4", "1.0.0", "0.0.1", "2.0.0", "7"]));
    let scheme =
        prop::sample::select(vec!["allow-utf-8", "underscores", "dots", "values", "ALLOW", ""]);
    let q = prop::sample::select(vec![
        ("0", Some(0)),
        ("0.0", Some(0)),
        ("0.001", Some(1)),
        (".1", Some(100)),
        ("0.2", Some(200)),
        ("0.20", Some(200)),
        ("0.25", Some(250)),
        ("0.7", Some(700)),
        ("1", Some(1000)),
        ("1.000", Some(1000)),
        ("2", None),
        ("-1", None),
        ("x", None),
        ("", None),
        ("1.0001", None),
    ]);
    let noise =
        prop::sample::select(vec!["", "charset=utf-8", "a=\"x,y;q=0\\\"\"", "flag", "=", "qq=0"]);
    (
        (media_type, version, prop::bool::weighted(0.8), prop::bool::weighted(0.8)),
        (prop::collection::vec(scheme, 0..3), prop::option::of(q), noise),
        (any::<bool>(), prop::sample::select(vec!["", " ", "\t "]), any::<bool>()),
    )
        .prop_map(|((media_type, version, proto, encoding), (escaping, q, noise), rest)| {
            let (upper, blank, quoted) = rest;
            let protobuf = (proto, encoding);
            Written { media_type, version, protobuf, escaping, q, noise, upper, blank, quoted }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_naive_reading(clauses in prop::collection::vec(written(), 0..8)) {
        let accept = clauses.iter().map(Written::text).collect::<Vec<_>>().join(",");
        prop_assert_eq!(answer(&accept), naive(&clauses), "{}", accept);
    }

    /// Any text gets an answer; what has no slash in it gets the default.
    #[test]
    fn any_text_gets_an_answer(accept in ".*", plain in "[^/]*") {
        let answer = negotiate(Some(&accept));
        prop_assert_eq!(negotiate(Some(answer.content_type())), answer);
        prop_assert_eq!(negotiate(Some(&plain)), Negotiated::default());
    }
}
