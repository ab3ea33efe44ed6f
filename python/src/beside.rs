//! Texts that are appended to the page of another runtime: Dynamo's own, whose workers take the text of a callback.
//!
//! Dynamo appends such a text as it is. A family that both have would be on the page twice, with two `# TYPE` lines and series of
//! the same labels, which strict parsers refuse. So the families of the other page are left out of the text.

use bytes::BytesMut;
use dynamo_metrics::names::{distributed_runtime, name_prefix, work_handler};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::Negotiated;
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};

/// Suffixes of the families that Dynamo 0.9.0 has on a worker's page by itself. `errors_total` comes with the first error.
const OWN: [&str; 7] = [
    distributed_runtime::UPTIME_SECONDS,
    work_handler::REQUESTS_TOTAL,
    work_handler::INFLIGHT_REQUESTS,
    work_handler::REQUEST_BYTES_TOTAL,
    work_handler::RESPONSE_BYTES_TOTAL,
    work_handler::REQUEST_DURATION_SECONDS,
    work_handler::ERRORS_TOTAL,
];

/// Names of the families that Dynamo 0.9.0 has on a worker's page by itself.
pub(crate) fn worker_families() -> [String; 7] {
    OWN.map(|name| format!("{}_{name}", name_prefix::COMPONENT))
}

/// Takes the families of these names, and all that have a name of their samples, out of a page of our own.
pub(crate) fn without(page: BytesMut, families: &[String]) -> BytesMut {
    if families.is_empty() {
        return page;
    }
    let is_theirs = |name: &str| {
        let family = |suffix| name.strip_suffix(suffix).unwrap_or(name);
        ["", "_bucket", "_sum", "_count"]
            .map(family)
            .iter()
            .any(|f| families.iter().any(|n| n == f))
    };
    let (filter, mut rest) = (Filter::all(), BytesMut::new());
    let source = [Source::new(&filter, &page)];
    let (format, all) = (Negotiated::default(), NameFilter::default());
    Passthrough::new().merge(source, &is_theirs, format, &all, &mut rest);
    rest
}
