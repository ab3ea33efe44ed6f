//! A program that stays on the published `prometheus` crate, and records new metrics in a registry of `dynamo-metrics-core`. Its
//! exporter serves both on one page: in text, OpenMetrics or protobuf, compressed, as the scraper asks.

use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry};
use prometheus::TextEncoder;
use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let requests = prometheus::register_int_counter!("requests_total", "Requests.")?;

    let registry = Registry::new();
    let tokens = registry.counter(("tokens_total", "Generated tokens."))?;
    let exporter = Exporter::new(&registry);
    exporter.engine(EngineSource::new("prometheus", Filter::all(), || {
        TextEncoder::new()
            .encode_to_string(&prometheus::gather())
            .map_err(|error| error.to_string())
    }))?;
    let server = exporter.listen("127.0.0.1:0")?;

    requests.inc_by(2);
    tokens.add(300);

    let mut connection = TcpStream::connect(server.local_addr())?;
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    print!("{answer}");
    assert!(answer.contains("\nrequests_total 2\n") && answer.contains("\ntokens_total 300\n"));
    Ok(())
}
