//! The server of `Exporter::listen`: formats, the name filter, errors and the end.

use crate::{SOON, get};
use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, ListenError, Registry};
use std::net::TcpStream;

fn exporter() -> Exporter {
    let registry = Registry::new();
    registry.counter(("requests_total", "Requests.")).unwrap().add(7);
    registry.gauge(("depth", "Depth.")).unwrap().set(2.0);
    Exporter::new(&registry)
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let server = exporter().listen("127.0.0.1:0").unwrap();
    let text = get(server.local_addr(), "/metrics", "");
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(text.ends_with("requests_total 7\n"), "{text}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let openmetrics = get(server.local_addr(), "/metrics", accept);
    assert!(openmetrics.contains("content-type: application/openmetrics-text"), "{openmetrics}");
    assert!(openmetrics.ends_with("requests_total 7\n# EOF\n"), "{openmetrics}");
    let accept = "Accept: application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
    let protobuf = get(server.local_addr(), "/metrics", accept);
    assert!(protobuf.contains("content-type: application/vnd.google.protobuf"), "{protobuf}");
}

#[test]
fn a_name_filter_holds_for_the_registry_and_for_other_sources() {
    let exporter = exporter();
    let text = "# TYPE engine_depth gauge\nengine_depth 5\n# TYPE other gauge\nother 1\n";
    let engine = EngineSource::new("engine", Filter::all(), move || Ok(text)).timeout(SOON);
    exporter.engine(engine).unwrap();
    let server = exporter.listen("127.0.0.1:0").unwrap();
    let answer = get(server.local_addr(), "/metrics?name[]=depth&name[]=engine_depth", "");
    let (_, page) = answer.split_once("\r\n\r\n").unwrap();
    let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, ["depth 2", "engine_depth 5"]);
}

#[test]
fn the_server_stops_when_it_is_dropped() {
    let server = exporter().listen("127.0.0.1:0").unwrap();
    let address = server.local_addr();
    assert!(get(address, "/health", "").starts_with("HTTP/1.0 200"));
    drop(server);
    assert!(TcpStream::connect(address).is_err(), "the port is free again");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named_in_the_error() {
    let exporter = exporter();
    for address in ["", "9090", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999"] {
        let error = exporter.listen(address).unwrap_err();
        assert!(matches!(error, ListenError::Address { .. }), "{address}: {error}");
        assert!(error.to_string().contains(&format!("{address:?}")), "{error}");
        assert!(error.to_string().contains("0.0.0.0:9090"), "{error}");
    }
    let first = exporter.listen("127.0.0.1:0").unwrap();
    let taken = first.local_addr().to_string();
    let error = exporter.listen(&taken).unwrap_err().to_string();
    assert!(error.contains(&taken) && error.contains("in use"), "{error}");
}
