//! The strict parser and the checker against other parsers, over thousands of mutated bodies.
//!
//! The strict parser refuses every body that Python's OpenMetrics parser refuses. Python refuses every body that the strict parser
//! refuses, or the reason is in [`reasons`]: a list of other consumers' refusals, each with a body that shows it. A body that
//! both accept is read alike to the last digit. Python's text parser and promtool accept more, so they are compared in one
//! direction. [`verdicts`] compares the checker with each consumer that it names.
//!
//! Without a judge its test skips loudly, unless `DYNAMO_METRICS_JUDGES=required`, as in CI.
//! `DYNAMO_METRICS_STRICT_BODIES` is the number of bodies, `DYNAMO_METRICS_STRICT_SEED` the first seed.

mod mutate;
mod programs;
mod random;
mod reasons;
mod scrape;
mod verdicts;
mod victoriametrics;

use dynamo_metrics_parser::{Exposition, Format, Problem, openmetrics, parse_as};
use programs::{Answer, Asked, python};
use reasons::REASONS;
use std::collections::BTreeMap;

/// Bodies of a run; about six seconds of Python.
const BODIES: u64 = 12_000;
/// Bodies that promtool sees, a process each.
const PROMTOOL_BODIES: u64 = 150;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("DYNAMO_METRICS_STRICT_SEED", 0);
    first..first + number("DYNAMO_METRICS_STRICT_BODIES", BODIES)
}

#[test]
fn pythons_openmetrics_parser_refuses_and_reads_the_same_bodies() {
    let bodies: Vec<Vec<u8>> = seeds().map(mutate::openmetrics).collect();
    let Some(answers) = python(Asked::OpenMetrics, &bodies) else { return };
    let (mut both, mut neither) = (0, 0);
    let mut explained: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for ((seed, body), answer) in seeds().zip(&bodies).zip(answers) {
        match (openmetrics::parse(body), answer) {
            (Ok(exposition), Answer::Read(samples)) => {
                both += 1;
                let ours = programs::samples(&exposition, Asked::OpenMetrics);
                if ours != samples {
                    unexplained.push(report(
                        seed,
                        body,
                        &format!("ours   {ours:?}\ntheirs {samples:?}"),
                    ));
                }
            }
            (Err(_), Answer::Refused(_)) => neither += 1,
            (Ok(_), Answer::Refused(why)) => {
                unexplained.push(report(seed, body, &format!("only Python refuses it: {why}")));
            }
            (Err(problems), Answer::Read(_)) => match reasons::explain(&problems) {
                Some(reason) => *explained.entry(reason).or_default() += 1,
                None => unexplained.push(report(
                    seed,
                    body,
                    &format!("only we refuse it: {}", in_words(&problems)),
                )),
            },
        }
    }
    println!("{both} accepted by both, {neither} by neither, refused by us alone: {explained:#?}");
    fail_if_any(&unexplained);
    assert!(both > 0 && neither > 0, "the bodies are all alike");
}

fn report(seed: u64, body: &[u8], what: &str) -> String {
    format!("seed {seed}: {what}\n{}", String::from_utf8_lossy(body))
}

fn fail_if_any(found: &[String]) {
    let shown = found.iter().take(number("DYNAMO_METRICS_STRICT_SHOWN", 12) as usize);
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    assert!(found.is_empty(), "{} disagreements\n{}", found.len(), shown.join("\n---\n"));
}

fn in_words(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{:?} {problem}", problem.rule()))
        .collect::<Vec<_>>()
        .join("; ")
}

/// The table of the parser's own tests, each row confirmed by another parser.
#[test]
fn python_confirms_each_row_of_the_openmetrics_table() {
    use crate::openmetrics_table::{ACCEPTED, REJECTED, WHOLE_ACCEPTED, WHOLE_REJECTED};
    let accepted = ACCEPTED.iter().map(|(_, body)| format!("{body}# EOF\n"));
    let accepted = accepted.chain(WHOLE_ACCEPTED.iter().map(|(_, body)| (*body).to_owned()));
    let rejected = REJECTED.iter().map(|(_, body, ..)| format!("{body}# EOF\n"));
    let rejected = rejected.chain(WHOLE_REJECTED.iter().map(|(_, body, ..)| (*body).to_owned()));
    let bodies: Vec<Vec<u8>> = accepted.chain(rejected).map(String::into_bytes).collect();
    let Some(answers) = python(Asked::OpenMetrics, &bodies) else { return };
    let mut found = Vec::new();
    for (body, answer) in bodies.iter().zip(answers) {
        match (openmetrics::parse(body), answer) {
            (Ok(exposition), Answer::Read(samples))
                if samples == programs::samples(&exposition, Asked::OpenMetrics) => {}
            (Err(_), Answer::Refused(_)) => {}
            (Err(problems), Answer::Read(_)) if reasons::explain(&problems).is_some() => {}
            (ours, theirs) => found.push(report(0, body, &format!("{ours:?}\n{theirs:?}"))),
        }
    }
    fail_if_any(&found);
}

/// Each reason is one that is needed: Python takes its body, and we refuse it for nothing else.
#[test]
fn every_reason_has_a_body_that_python_takes() {
    let bodies: Vec<Vec<u8>> = REASONS.iter().map(|reason| reason.body.into()).collect();
    for (reason, body) in REASONS.iter().zip(&bodies) {
        let problems = openmetrics::parse(body).expect_err(reason.name);
        assert_eq!(reasons::explain(&problems), Some(reason.name), "{}", in_words(&problems));
        assert_eq!(problems.len(), 1, "{}: {}", reason.name, in_words(&problems));
    }
    let Some(answers) = python(Asked::OpenMetrics, &bodies) else { return };
    for (reason, answer) in REASONS.iter().zip(answers) {
        assert!(matches!(answer, Answer::Read(_)), "{}: {answer:?}", reason.name);
    }
}

/// Python's text parser accepts nearly everything, so only bodies that the strict parser accepts are compared.
#[test]
fn pythons_text_parser_reads_every_accepted_body_alike() {
    let accepted: Vec<(Vec<u8>, Exposition)> = seeds()
        .map(mutate::text)
        .filter_map(|body| {
            parse_as(Format::TextUtf8, &body).ok().map(|exposition| (body, exposition))
        })
        .collect();
    assert!(!accepted.is_empty(), "no body was accepted");
    let bodies: Vec<Vec<u8>> = accepted.iter().map(|(body, _)| body.clone()).collect();
    let Some(answers) = python(Asked::Text, &bodies) else { return };
    let mut found = Vec::new();
    let mut reserved = 0;
    for ((body, exposition), answer) in accepted.iter().zip(answers) {
        let ours = programs::samples(exposition, Asked::Text);
        match answer {
            Answer::Read(samples) if samples == ours => {}
            Answer::Read(samples) => {
                found.push(report(0, body, &format!("ours   {ours:?}\ntheirs {samples:?}")));
            }
            // Reserved names, which Prometheus takes, and which the encoder writes when a scraper asks for `dots`.
            Answer::Refused(_) if has_reserved_label(exposition) => reserved += 1,
            Answer::Refused(why) => {
                found.push(report(0, body, &format!("only Python refuses it: {why}")))
            }
        }
    }
    println!(
        "{} bodies read alike, {reserved} with reserved labels",
        accepted.len() - found.len() - reserved
    );
    fail_if_any(&found);
}

fn has_reserved_label(exposition: &Exposition) -> bool {
    exposition.samples().any(|sample| sample.labels.iter().any(|(name, _)| name.starts_with("__")))
}

#[test]
fn promtool_reads_every_accepted_body() {
    let Some(promtool) = programs::installed("promtool") else { return };
    let accepted = seeds().map(mutate::text).filter(|body| parse_as(Format::Text, body).is_ok());
    let mut found = Vec::new();
    let mut asked = 0;
    for body in accepted.take(PROMTOOL_BODIES as usize) {
        asked += 1;
        if let Some(why) = programs::refusal_of_promtool(&promtool, &body) {
            found.push(report(0, &body, &why));
        }
    }
    assert!(asked > 0, "no body was accepted");
    fail_if_any(&found);
}
