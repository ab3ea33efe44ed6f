//! Pages of an engine, scraped as they are and as they are merged: Prometheus must store the same series of both, and of a page
//! that it refuses, ours must still be one that it takes.

use crate::scraper::{Job, Scraper};
use crate::{OPENMETRICS, PROTOBUF, TEXT_0, TEXT_1, difference, judge};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated, negotiate};
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, RunningServer, ScrapeRequest, Server};
use std::path::Path;

/// A label twice, once of them empty: stored without the label.
const STORED: [&str; 8] = [
    "a{x=\"\",x=\"1\"} 1\n",
    "a{x=\"1\",x=\"\"} 1\n",
    "a{x=\"\",x=\"\"} 1\n",
    "a{x=\"1\",x=\"\",x=\"2\"} 1\n",
    "a{x=\"1\",y=\"2\",x=\"1\",x=\"\"} 1\n",
    "# TYPE h histogram\nh_bucket{le=\"\",le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    "# TYPE s summary\ns{quantile=\"0.5\",quantile=\"\"} 1\ns{quantile=\"0.9\"} 1\ns_sum 1\ns_count 1\n",
    "a{x=\"\",x=\"1\"} 1\na{x=\"2\"} 2\n",
];

/// The same with names in quotes, which Prometheus reads since 3.0, and such names with escapes.
const STORED_UTF8: [&str; 7] = [
    "{\"a\",x=\"\",x=\"1\"} 1\n",
    "a{\"x\"=\"\",x=\"1\"} 1\n",
    "{\"a.b\",\"x.y\"=\"1\",\"x.y\"=\"\"} 1\n",
    "a{\"x.y\"=\"\",x_y=\"1\"} 1\n",
    "{\"a\\\"b\\\\c\\nd\",\"l\\\"m\"=\"1\"} 1\n{\"a\\tb\",\"l\\tm\"=\"x\\ty\"} 2\n",
    "# TYPE \"x\\\"y_total\" counter\n# HELP \"x\\\"y_total\" X.\n{\"x\\\"y_total\"} 1\n{\"x_y_total\"} 2\n",
    "# TYPE \"h\\\"\" histogram\n{\"h\\\"_bucket\",le=\"+Inf\"} 1\n{\"h\\\"_sum\"} 1\n{\"h\\\"_count\"} 1\n",
];

/// `le` and `quantile`, which Prometheus 3 respells by the last TYPE line that it has read, and names anywhere in braces.
const STORED_3: [&str; 13] = [
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nfoo{le=\"1\"} 3\n",
    "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# TYPE h histogram\n",
    "# TYPE h histogram\n# TYPE g gauge\ng 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    "h_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\n# TYPE h histogram\n",
    "# TYPE a histogram\na_created{le=\"1\"} 1\na_total{le=\"1\"} 1\na_foo{le=\"1\"} 1\n",
    "# TYPE a summary\na_max{quantile=\"1\"} 2\nb{le=\"1\",quantile=\".5\"} 2\n",
    "# TYPE a histogram\na_bucket{le=\"1\"} 1\n# TYPE a summary\na{quantile=\"1\"} 2\na_bucket{le=\"2\"} 2\n",
    "# TYPE h histogram\nh_bucket{le=\"-0\"} 1\nh_bucket{le=\"0x1p3\"} 1\nh_bucket{le=\"1_0\"} 1\n",
    "# TYPE h histogram\nh_bucket{le=\"+nan\"} 1\nh_bucket{le=\"-nan\"} 2\nh_bucket{le=\"1e400\"} 3\n",
    "# TYPE s summary\ns{quantile=\"0x1p-1\"} 1\ns{quantile=\"-0\"} 2\ns_sum 1\ns_count 1\n",
    "# TYPE h histogram\nh_bucket{le=\"0x1p3\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    "a 1\n# EOF\nb 2\n",
    "{x=\"1\",\"a\"} 1\nb{x=\"1\"} 2\n",
];

/// A label twice, each with a value: the whole scrape fails.
const REFUSED: [&str; 5] = [
    "b 1\na{x=\"1\",x=\"1\"} 1\n",
    "b 1\na{x=\"1\",x=\"2\"} 1\n",
    "b 1\na{x=\"1\",y=\"\",x=\"1\"} 1\n",
    "b 1\n# TYPE h histogram\nh_bucket{le=\"1\",le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    "b 1\n# TYPE s summary\ns{quantile=\"0.5\",quantile=\"0.9\"} 1\ns_sum 1\ns_count 1\n",
];

const REFUSED_UTF8: [&str; 2] =
    ["b 1\n{\"a\",x=\"1\",x=\"2\"} 1\n", "b 1\na{\"x.y\"=\"1\",\"x.y\"=\"2\"} 1\n"];

/// Serves a page as it is to the job `raw-...`, and merged to any other.
fn serve(pages: Vec<&'static str>) -> RunningServer {
    let expose = move |request: &ScrapeRequest<'_>, body: &mut BytesMut| {
        let query = request.query().unwrap_or_default();
        let number = query.split('&').find_map(|one| one.strip_prefix("registry="));
        let page = pages[number.unwrap().parse::<usize>().unwrap()];
        if query.contains("job=raw-") {
            body.extend_from_slice(page.as_bytes());
            return Ok(ContentType::from_static(Negotiated::default().content_type()));
        }
        let accept = request.accept().filter(|_| !query.contains("text="));
        let (asked, all) = (negotiate(accept), Filter::all());
        let (source, names) = (Source::new(&all, page.as_bytes()), NameFilter::default());
        Passthrough::new().merge([source], &|_| false, asked, &names, body);
        if asked.format == Format::OpenMetrics {
            body.extend_from_slice(b"# EOF\n");
        }
        Ok(ContentType::from_static(asked.content_type()))
    };
    Server::builder().exposition(expose).spawn().unwrap()
}

/// Compares what one Prometheus stored of each page in both forms.
fn judged_by(
    program: &Path,
    name: &str,
    protocol: Option<&'static str>,
    [stored, refused]: [Vec<&'static str>; 2],
) {
    let pages = [&stored[..], &refused].concat();
    let job = |form: &str, registry| {
        let name = format!("{form}-{registry}");
        Job { name, registry, protocol, forced_text: protocol.is_none() }
    };
    let jobs: Vec<Job> =
        (0..pages.len()).flat_map(|at| ["raw", "merged"].map(|form| job(form, at))).collect();
    let server = serve(pages.clone());
    let (address, jobs) = (server.local_addr().to_string(), jobs.iter().collect::<Vec<_>>());
    let mut prometheus = Scraper::prometheus(program, name, false, &address, &jobs);
    for (at, page) in pages.iter().enumerate() {
        let merged = prometheus.eventually(page, |it| it.samples(&format!("merged-{at}")));
        if at < stored.len() {
            let raw = prometheus.eventually(page, |it| it.samples(&format!("raw-{at}")));
            assert!(raw == merged && !raw.is_empty(), "{page}{}", difference(&raw, &merged));
        } else {
            let up = format!("up{{job=\"raw-{at}\"}}");
            assert_eq!(prometheus.eventually(page, |it| it.number(&up)), 0.0, "{page}");
            assert_eq!(merged.len(), 1, "{page}{merged:?}");
        }
    }
}

#[test]
fn prometheus_3_stores_of_a_label_that_is_there_twice_what_the_merged_page_has() {
    let Some(program) = judge(Some("sid"), "prometheus") else { return };
    let pages = [[&STORED[..], &STORED_UTF8].concat(), [&REFUSED[..], &REFUSED_UTF8].concat()];
    judged_by(&program, "3-engine", TEXT_1, pages);
}

#[test]
fn prometheus_3_stores_bounds_as_it_stores_those_of_the_merged_page() {
    let Some(program) = judge(Some("sid"), "prometheus") else { return };
    for (name, protocol) in [
        ("3-bounds", TEXT_1),
        ("3-bounds-openmetrics", OPENMETRICS),
        ("3-bounds-protobuf", PROTOBUF),
    ] {
        judged_by(&program, name, protocol, [STORED_3.to_vec(), Vec::new()]);
    }
}

#[test]
fn prometheus_2_53_stores_of_a_label_that_is_there_twice_what_the_merged_page_has() {
    let Some(program) = judge(Some("trixie"), "prometheus") else { return };
    judged_by(&program, "2.53-engine", TEXT_0, [STORED.to_vec(), REFUSED.to_vec()]);
}

#[test]
fn prometheus_2_42_stores_of_a_label_that_is_there_twice_what_the_merged_page_has() {
    let Some(program) = judge(None, "prometheus") else { return };
    judged_by(&program, "2.42-engine", None, [STORED.to_vec(), REFUSED.to_vec()]);
}
