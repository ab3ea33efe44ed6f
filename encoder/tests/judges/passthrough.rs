//! Go's expfmt and Python's prometheus_client read what is merged of each type that an engine's page may have. Each must see the
//! samples of that page, with the same names, labels and values.

#[path = "../it/passthrough/support/types.rs"]
mod types;

use std::io::Write;
use std::process::Command;

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
use types::{CASES, Case, samples_of};

use crate::line::line;
use crate::{expfmt, project, run, samples_of_text, skipped, sorted};

fn written(case: &Case, format: Format) -> Vec<u8> {
    let (all, names, mut body) = (Filter::all(), NameFilter::default(), BytesMut::new());
    let page = match case.input {
        types::Input::Text => case.page.to_owned(),
        types::Input::OpenMetrics => case.page.to_owned() + "# EOF\n",
    };
    let asked = Negotiated::new(format, Escaping::Underscores);
    let source = Source::new(&all, page.as_bytes());
    Passthrough::new().merge([source], &|_| false, asked, &names, &mut body);
    if format == Format::OpenMetrics {
        body.extend_from_slice(b"# EOF\n");
    }
    body.to_vec()
}

fn expected(case: &Case) -> Vec<String> {
    let samples = samples_of(case.page).into_iter();
    sorted(samples.map(|(name, labels, value)| line(&name, labels, value)).collect())
}

#[test]
fn go_reads_every_sample_of_every_type() {
    let Some(expfmt) = expfmt() else { return };
    for case in CASES {
        for (format, argument) in [(Format::Text, "text"), (Format::Protobuf, "protobuf")] {
            let read = run(Command::new(&expfmt).arg(argument), &written(case, format));
            let what = format!("{} of {:?} as {argument}", case.what, case.input);
            assert_eq!(samples_of_text(&read), expected(case), "{what}");
        }
    }
}

#[test]
fn python_reads_every_sample_of_every_type() {
    let python = project().join(".venv/bin/python");
    if !python.exists() {
        return skipped("Python's prometheus_client in .venv");
    }
    let asked = [(Format::Text, "text"), (Format::OpenMetrics, "openmetrics")];
    let cases = || CASES.iter().flat_map(|case| asked.map(|(format, name)| (case, format, name)));
    let mut input = Vec::new();
    for (case, format, name) in cases() {
        let body = written(case, format);
        writeln!(input, "{name} {}", body.len()).unwrap();
        input.extend_from_slice(&body);
    }
    let output = run(Command::new(python).arg(project().join("ci/judges/parsers.py")), &input);
    let output = String::from_utf8(output).unwrap();
    assert_eq!(output.lines().count(), cases().count());
    for (answer, (case, _, name)) in output.lines().zip(cases()) {
        let what = format!("{} of {:?} as {name}", case.what, case.input);
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let samples = answer.as_array().unwrap_or_else(|| panic!("{what}: {answer}"));
        let read = samples.iter().map(|sample| {
            let labels = sample[1].as_object().unwrap().iter();
            let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().into()));
            let value = sample[2].as_str().unwrap().parse().unwrap();
            line(sample[0].as_str().unwrap(), labels.collect(), value)
        });
        // Python's text parser appends it to every counter.
        let without_total = |line: String| match name {
            "text" => line.replacen("_total{", "{", 1),
            _ => line,
        };
        let read = sorted(read.map(without_total).collect());
        let expected = sorted(expected(case).into_iter().map(without_total).collect());
        assert_eq!(read, expected, "{what}");
    }
}
