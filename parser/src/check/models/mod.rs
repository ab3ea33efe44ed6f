//! A model of each consumer's parser, one file or folder each.
//!
//! A model reads the page as that parser does, and reports each fault where the parser meets it. Where the parser gives up,
//! the model goes on with the next line, as if the one with the fault were not there.

mod expfmt;
mod prometheus_openmetrics;
mod prometheus_text;
mod python;
mod series;
mod victoriametrics;

use super::consumer::{Complaint, Complaints, Consumer, Effect};
use crate::fault::Fault;
use crate::format::Format;

/// Returns the complaints of every consumer of the format about a page.
pub(super) fn complaints(format: Format, page: &[u8]) -> Vec<Complaint> {
    let mut found = Vec::new();
    let quoted = format.has_quoted_names();
    let mut ask = |consumer, read: &dyn Fn(&mut Complaints<'_>)| {
        read(&mut Complaints::of(consumer, &mut found));
    };
    let openmetrics = format.is_openmetrics();
    if !quoted && openmetrics {
        ask(Consumer::Prometheus2, &|c| prometheus_openmetrics::read(page, false, c));
    }
    if openmetrics {
        ask(Consumer::Prometheus3, &|c| prometheus_openmetrics::read(page, true, c));
    }
    if !quoted && !openmetrics {
        ask(Consumer::Prometheus2, &|c| prometheus_text::read(page, false, c));
        ask(Consumer::Promtool2, &|c| expfmt::read(page, false, c));
    }
    if !openmetrics {
        ask(Consumer::Prometheus3, &|c| prometheus_text::read(page, true, c));
        ask(Consumer::Promtool3, &|c| expfmt::read(page, true, c));
    }
    ask(Consumer::PrometheusClient, &|c| match std::str::from_utf8(page) {
        Ok(text) if openmetrics => python::openmetrics::read(text, c),
        Ok(text) => python::text::read(text, c),
        Err(error) => {
            let before = &page[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            c.add(Effect::Refused, line, Some(column), Fault::InvalidUtf8);
        }
    });
    ask(Consumer::VictoriaMetrics, &|c| victoriametrics::read(page, c));
    found
}
