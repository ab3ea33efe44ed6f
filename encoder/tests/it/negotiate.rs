//! The format that every known scraper gets, and that odd headers get.

use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{ACCEPT_CLAUSES_MAX, Format, Negotiated, negotiate};

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
        // 3.5.3 with `metric_name_escaping_scheme`, and with other protocols, as sent.
        (
            "application/openmetrics-text;version=1.0.0;escaping=dots;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=dots;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=values;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=values;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values",
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,*/*;q=0.2",
            PROTO,
        ),
        ("text/plain;version=0.0.4;q=0.6,*/*;q=0.5", TEXT),
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
fn openmetrics_2_is_negotiated_only_by_name_and_with_the_feature() {
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
            // A scraper that sends it back as `Accept` gets the same again.
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
