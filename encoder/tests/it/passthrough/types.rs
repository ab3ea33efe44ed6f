//! Each type of either text format in each output format: its type where the format has it, a weaker one where not, and its samples
//! always. `docs/passthrough.md` has the table, and this test holds it.

use crate::decode;

use std::fmt::Write;

use super::support::types::{CASES, Case, Input, samples_of};
use super::support::{OPENMETRICS, PROTOBUF, TEXT, merge_as};
use crate::decode::line;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Report, Source};
use dynamo_metrics_parser as strict;

const TABLE: &str = include_str!("../../../../docs/passthrough.md");

fn page(case: &Case) -> String {
    let end = if case.input == Input::OpenMetrics { "# EOF\n" } else { "" };
    case.page.to_owned() + end
}

/// A page as `asked`, closed as its format wants it.
fn written(case: &Case, asked: Negotiated, reserved: &[&str]) -> (Vec<u8>, Report) {
    let text = page(case);
    let all = Filter::all();
    let (mut out, report) = merge_as(asked, &[Source::new(&all, text.as_bytes())], reserved);
    if asked.format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
    (out, report)
}

/// Families as `` `name` type ``, those of one type together.
fn types(families: impl IntoIterator<Item = (String, String)>) -> String {
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for (name, kind) in families {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(name),
            None => kinds.push((kind, vec![name])),
        }
    }
    let cells = kinds.into_iter().map(|(kind, names)| format!("{kind} `{}`", names.join("`, `")));
    cells.collect::<Vec<_>>().join("; ")
}

/// The types and the samples of a page, as our own parser reads it.
fn read(format: strict::Format, body: &[u8]) -> (String, Vec<String>) {
    let parsed = strict::parse_as(format, body)
        .unwrap_or_else(|problems| panic!("{problems:?}\n{}", String::from_utf8_lossy(body)));
    let mut samples: Vec<String> = parsed
        .samples()
        .map(|sample| line(&sample.name, sample.labels.clone(), sample.value))
        .collect();
    samples.sort();
    let families = parsed.families.iter();
    (types(families.map(|f| (f.name.clone(), f.kind.as_str().to_owned()))), samples)
}

fn read_protobuf(body: &[u8]) -> (String, Vec<String>) {
    const KINDS: [&str; 5] = ["counter", "gauge", "summary", "untyped", "histogram"];
    let families = decode::decode(body).into_iter();
    let types = types(families.map(|f| (f.name, KINDS[f.kind as usize].to_owned())));
    (types, decode::samples(body))
}

#[test]
fn every_type_keeps_its_samples_in_every_format() {
    for case in CASES {
        let mut expected: Vec<String> = samples_of(case.page)
            .into_iter()
            .map(|(name, labels, value)| line(&name, labels, value))
            .collect();
        expected.sort();
        for asked in [TEXT, OPENMETRICS, PROTOBUF] {
            let (body, report) = written(case, asked, &[]);
            let (_, samples) = match asked.format {
                Format::Protobuf => read_protobuf(&body),
                Format::OpenMetrics => read(strict::Format::OpenMetrics, &body),
                _ => read(strict::Format::Text, &body),
            };
            assert_eq!(samples, expected, "{} of {:?} as {asked:?}", case.what, case.input);
            // A second TYPE is a clash, and an untyped family has no exemplar; neither is a sample.
            let lost = report.withheld() - report.clashes - report.exemplars;
            assert_eq!(lost, 0, "{} of {:?} as {asked:?}: {report:?}", case.what, case.input);
            assert_eq!(report.series as usize, expected.len(), "{}", case.what);
        }
    }
}

/// One line a case: input, then the types of each output.
fn table() -> String {
    let mut table = String::new();
    for case in CASES {
        let (text, _) = read(strict::Format::Text, &written(case, TEXT, &[]).0);
        let (openmetrics, _) =
            read(strict::Format::OpenMetrics, &written(case, OPENMETRICS, &[]).0);
        let (protobuf, _) = read_protobuf(&written(case, PROTOBUF, &[]).0);
        let input = if case.input == Input::Text { "text" } else { "OpenMetrics" };
        let what = case.what;
        write!(table, "| {input} | {what} | {text} | {openmetrics} | {protobuf} |").unwrap();
        if let Some(cell) = openmetrics2(case) {
            write!(table, " {cell} |").unwrap();
        }
        table.push('\n');
    }
    table
}

#[cfg(feature = "openmetrics2")]
fn openmetrics2(case: &Case) -> Option<String> {
    let asked = Negotiated::new(Format::OpenMetrics2, Escaping::Underscores);
    let body = String::from_utf8(written(case, asked, &[]).0).unwrap();
    let heads = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let family = |head: &str| {
        let (name, kind) = head.split_once(' ').unwrap();
        (name.to_owned(), kind.to_owned())
    };
    Some(types(heads.map(family)))
}

#[cfg(not(feature = "openmetrics2"))]
fn openmetrics2(_: &Case) -> Option<String> {
    let _ = Escaping::Underscores;
    None
}

#[test]
fn the_table_in_the_docs_says_what_is_written() {
    let table = table();
    let begin = TABLE.find("| text | counter |").unwrap_or(TABLE.len());
    let rows = TABLE[begin..].lines().take_while(|line| line.starts_with('|'));
    // Without the feature, all but the last column.
    let holds = |(row, line): (&str, &str)| row.starts_with(line);
    let holds = rows.clone().count() == CASES.len() && rows.zip(table.lines()).all(holds);
    assert!(holds, "docs/passthrough.md must have these rows:\n{table}");
}

#[test]
fn types_that_text_lacks_stay_in_openmetrics() {
    for (word, page) in [
        (
            "gaugehistogram",
            "# TYPE q gaugehistogram\nq_bucket{le=\"+Inf\"} 2\nq_gsum 3.5\nq_gcount 2\n",
        ),
        ("info", "# TYPE q info\nq_info{v=\"1\"} 1\n"),
        ("stateset", "# TYPE q stateset\nq{q=\"on\"} 1\nq{q=\"off\"} 0\n"),
        ("unknown", "# TYPE q unknown\nq 1\n"),
    ] {
        let case = Case { input: Input::OpenMetrics, what: word, page };
        assert_eq!(
            String::from_utf8(written(&case, OPENMETRICS, &[]).0).unwrap(),
            page.to_owned() + "# EOF\n"
        );
    }
}

#[test]
fn units_and_exemplars_follow_where_the_format_has_them() {
    let page = "# TYPE q_seconds gaugehistogram\n# UNIT q_seconds seconds\n\
                q_seconds_bucket{le=\"+Inf\"} 2 # {trace_id=\"ab\"} 0.5\nq_seconds_gsum 3.5\nq_seconds_gcount 2\n\
                # TYPE c_seconds counter\n# UNIT c_seconds seconds\nc_seconds_total 1\n\
                # TYPE g_seconds gauge\n# UNIT g_seconds bytes\ng_seconds 1\n";
    let case = Case { input: Input::OpenMetrics, what: "units", page };
    let (body, report) = written(&case, OPENMETRICS, &[]);
    let without_the_wrong_one = page.replace("# UNIT g_seconds bytes\n", "") + "# EOF\n";
    assert_eq!(String::from_utf8(body).unwrap(), without_the_wrong_one);
    assert_eq!(report.withheld(), 0);
    let units: Vec<_> = decode::decode(&written(&case, PROTOBUF, &[]).0)
        .into_iter()
        .map(|family| (family.name, family.unit))
        .filter(|(_, unit)| !unit.is_empty())
        .collect();
    assert_eq!(units, [("c_seconds_total".to_owned(), "seconds".to_owned())]);
}

#[test]
fn a_name_of_ours_costs_no_other_sample() {
    let page = "# TYPE q gaugehistogram\nq_bucket{le=\"+Inf\"} 2\nq_gsum 3.5\nq_gcount 2\n\
                # TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s summary\ns_sum 1\ns_count 1\n";
    let case = Case { input: Input::OpenMetrics, what: "ours", page };
    for (ours, types_left) in [
        (
            &["q", "i", "s"][..],
            "unknown `q_bucket`, `q_gsum`, `q_gcount`, `s_sum`, `s_count`; gauge `i_info`",
        ),
        (&["q_gsum"], "unknown `q_bucket`, `q_gcount`; info `i`; summary `s`"),
        (&["i_total"], "gaugehistogram `q`; gauge `i_info`; summary `s`"),
        (&["s_created"], "gaugehistogram `q`; info `i`; unknown `s_sum`, `s_count`"),
    ] {
        let (body, _) = written(&case, OPENMETRICS, ours);
        assert_eq!(read(strict::Format::OpenMetrics, &body).0, types_left, "{ours:?}");
    }
}

#[test]
fn sources_that_disagree_share_the_strongest_type_that_both_can_have() {
    let all = Filter::all();
    let gauge = "# TYPE i_info gauge\ni_info{v=\"1\"} 1\n# TYPE s gauge\ns{s=\"a\"} 1\n";
    let own = "# TYPE i info\ni_info{v=\"2\"} 1\n# TYPE s stateset\ns{s=\"b\"} 1\n# EOF\n";
    let counter = "# TYPE i_info counter\ni_info{v=\"3\"} 1\n# TYPE s counter\ns{s=\"c\"} 1\n";
    for (pages, kind, series) in
        [(&[own, gauge][..], "gauge", 4), (&[own, gauge, counter], "unknown", 6)]
    {
        let sources: Vec<_> = pages.iter().map(|page| Source::new(&all, page.as_bytes())).collect();
        let (mut body, report) = merge_as(OPENMETRICS, &sources, &[]);
        body.extend_from_slice(b"# EOF\n");
        let (types, _) = read(strict::Format::OpenMetrics, &body);
        assert_eq!(types, format!("{kind} `i_info`, `s`"));
        assert_eq!((report.series, report.withheld()), (series, 0));
    }
}
