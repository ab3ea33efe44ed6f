//! The checker's errors against the consumers that they name, over mutated pages: a consumer refuses a page exactly if an error
//! says so. Exceptions are in [`is_known`], each with its reason.

use super::programs::{self, Answer, Asked, expfmt, installed, python, unpacked};
use super::{fail_if_any, mutate, report, scrape, seeds};
use dynamo_metrics_parser::{By, Consumer, Effect, Format, judge};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Pages that a promtool sees, a process each.
const PROMTOOL_PAGES: usize = 40;
/// Pages that a Prometheus scrapes.
const SCRAPED_PAGES: usize = 300;

const CONTENT_TYPES: [(Format, &str); 2] = [
    (Format::Text, "text/plain; version=0.0.4"),
    (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0"),
];

/// The errors that say that this consumer refuses the page.
fn refusals(format: Format, page: &[u8], consumer: Consumer) -> Vec<String> {
    let refuses = |by: &By| match by {
        By::Consumers(by) => by.contains(&(Effect::Refused, consumer)),
        _ => false,
    };
    let judgement = judge(format, page);
    let found = judgement.findings.iter().filter(|finding| refuses(&finding.by));
    found.map(|finding| format!("line {}: {finding}", finding.line)).collect()
}

/// Compares the errors with the consumer's verdicts, and returns the differences.
fn differences(
    format: Format,
    consumer: Consumer,
    pages: &[Vec<u8>],
    verdicts: &[Option<String>],
) -> Vec<String> {
    assert_eq!(pages.len(), verdicts.len(), "a verdict for each page");
    let (mut refused, mut taken) = (0, 0);
    let mut found = Vec::new();
    for (at, (page, verdict)) in pages.iter().zip(verdicts).enumerate() {
        let said = refusals(format, page, consumer);
        match verdict {
            Some(_) => refused += 1,
            None => taken += 1,
        }
        if said.is_empty() == verdict.is_some() {
            let what = format!("{consumer:?}: said {said:?}, did {verdict:?}");
            found.push(report(at as u64, page, &what));
        }
    }
    println!("{consumer:?} refused {refused} pages and took {taken}");
    assert!(refused > 0 && taken > 0, "the pages are all alike");
    found
}

fn pages(format: Format) -> Vec<Vec<u8>> {
    let make = if format.is_openmetrics() { mutate::openmetrics } else { mutate::text };
    seeds().map(make).collect()
}

/// The first pages that no exception is about.
fn some_pages(format: Format, consumer: Consumer, number: usize) -> Vec<Vec<u8>> {
    let pages = pages(format).into_iter();
    pages.filter(|page| !is_known(consumer, page)).take(number).collect()
}

/// Pages that a consumer reads in a way that is not modelled.
fn is_known(consumer: Consumer, page: &[u8]) -> bool {
    let text = String::from_utf8_lossy(page);
    match consumer {
        // 3.5 refuses names in quotes that are no names without, although other versions take them.
        Consumer::Promtool3 => {
            text.contains("\"a.b\"") || text.contains("\"l.b\"") || text.contains("\"\"")
        }
        // 3.5 panics, and ends, at a name in braces that is in no quotes.
        Consumer::Prometheus3 => text.lines().any(has_bare_name_in_braces),
        _ => false,
    }
}

fn has_bare_name_in_braces(line: &str) -> bool {
    line.split(['{', ',', '}']).any(|entry| {
        !entry.is_empty() && entry.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    })
}

#[test]
fn pythons_parsers_refuse_exactly_the_pages_with_their_errors() {
    for (format, asked) in
        [(Format::TextUtf8, Asked::Text), (Format::OpenMetricsUtf8, Asked::OpenMetrics)]
    {
        let pages = pages(format);
        let Some(answers) = python(asked, &pages) else { return };
        let verdict = |answer| match answer {
            Answer::Refused(why) => Some(why),
            Answer::Read(_) => None,
        };
        let verdicts: Vec<_> = answers.into_iter().map(verdict).collect();
        fail_if_any(&differences(format, Consumer::PrometheusClient, &pages, &verdicts));
    }
}

#[test]
fn gos_expfmt_refuses_exactly_the_pages_with_its_errors() {
    let pages = pages(Format::Text);
    let Some(verdicts) = expfmt(&pages) else { return };
    fail_if_any(&differences(Format::Text, Consumer::Promtool2, &pages, &verdicts));
}

#[test]
fn promtool_3_refuses_exactly_the_pages_with_its_errors() {
    let Some(promtool) = unpacked("sid", "promtool") else { return };
    let (format, consumer) = (Format::TextUtf8, Consumer::Promtool3);
    let pages = some_pages(format, consumer, PROMTOOL_PAGES);
    let verdicts: Vec<_> =
        pages.iter().map(|page| programs::refusal_of_promtool(&promtool, page)).collect();
    fail_if_any(&differences(format, consumer, &pages, &verdicts));
}

/// The table of the checker's own tests, each row confirmed by promtool 3; without names in quotes, promtool 2 takes it.
#[test]
fn promtools_confirm_each_row_of_the_table_of_expfmt() {
    let Some(newer) = unpacked("sid", "promtool") else { return };
    let Some(older) = installed("promtool") else { return };
    for (page, finding) in crate::check_expfmt::PAGES {
        let refusal = programs::refusal_of_promtool(&newer, page.as_bytes());
        assert_eq!(refusal.is_some(), finding.is_some(), "{page}: {refusal:?}");
        if !page.lines().any(|line| line.starts_with('{')) {
            assert_eq!(programs::refusal_of_promtool(&older, page.as_bytes()), None, "{page}");
        }
    }
}

/// Compares both formats, each in one scrape of many targets.
fn compare_with_prometheus(prometheus: &Path, consumer: Consumer) {
    for (format, content_type) in CONTENT_TYPES {
        let pages = some_pages(format, consumer, SCRAPED_PAGES);
        let verdicts = scrape::refusals(prometheus, content_type, &pages);
        fail_if_any(&differences(format, consumer, &pages, &verdicts));
    }
}

#[test]
fn prometheus_2_refuses_exactly_the_pages_with_its_errors() {
    let Some(prometheus) = installed("prometheus") else { return };
    compare_with_prometheus(&prometheus, Consumer::Prometheus2);
}

#[test]
fn prometheus_3_refuses_exactly_the_pages_with_its_errors() {
    let Some(prometheus) = unpacked("sid", "prometheus") else { return };
    compare_with_prometheus(&prometheus, Consumer::Prometheus3);
}

/// Asks a Prometheus about the table of lines of one series: each line is stored, or the checker says that it is left out.
fn confirm_series(prometheus: &Path, consumer: Consumer) {
    use crate::check_series::{PAGES, at, format, kept};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_millis();
    for (asked, content_type) in CONTENT_TYPES {
        let pages = PAGES.iter().filter(|(page, ..)| format(page) == asked);
        let pages: Vec<String> = pages.map(|(page, ..)| at(page, now as u64 - 4000)).collect();
        let bodies: Vec<Vec<u8>> = pages.iter().map(|page| page.clone().into_bytes()).collect();
        for (page, stored) in pages.iter().zip(scrape::stored(prometheus, content_type, &bodies)) {
            let kept: BTreeSet<u32> = kept(page, consumer).into_iter().collect();
            assert_eq!(stored, kept, "{consumer:?}: {page}");
        }
    }
}

#[test]
fn prometheus_2_confirms_each_row_of_the_table_of_series() {
    let Some(prometheus) = installed("prometheus") else { return };
    confirm_series(&prometheus, Consumer::Prometheus2);
}

#[test]
fn prometheus_3_confirms_each_row_of_the_table_of_series() {
    let Some(prometheus) = unpacked("sid", "prometheus") else { return };
    confirm_series(&prometheus, Consumer::Prometheus3);
}
