//! Negotiation agrees with a naive reading of its rules, and answers any text.

use dynamo_metrics_encoder::negotiate::{Negotiated, negotiate};
use proptest::prelude::*;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                        encoding=delimited";

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
                Some(PROTOBUF)
            }
            _ => None,
        }
    }
}

/// The rules as one would say them: sort, then take the first.
fn naive(clauses: &[Written]) -> String {
    const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";
    let valid = clauses.iter().filter(|c| !matches!(c.q, Some((_, None)))).collect::<Vec<_>>();
    let has = |what: &dyn Fn(&Written) -> bool| valid.iter().any(|clause| what(clause));
    let text_named = has(&|clause| clause.named() == Some(TEXT_0_0_4));
    let any_text = has(&|clause| clause.media_type == "text/*");
    let mut ranked: Vec<(u32, &str, &Written)> = valid
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
        prop_assert_eq!(negotiate(Some(&accept)).content_type(), naive(&clauses), "{}", accept);
    }

    /// Any text gets an answer; what has no slash in it gets the default.
    #[test]
    fn any_text_gets_an_answer(accept in ".*", plain in "[^/]*") {
        let answer = negotiate(Some(&accept));
        prop_assert_eq!(negotiate(Some(answer.content_type())), answer);
        prop_assert_eq!(negotiate(Some(&plain)), Negotiated::default());
    }
}
