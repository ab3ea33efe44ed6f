//! The exporter as its users see it: over HTTP, with sources that work and sources that do not.

mod collectors;
mod labelled;
mod listen;
#[cfg(all(feature = "process", target_os = "linux"))]
mod process;
#[cfg(all(feature = "multiprocess", unix))]
mod processes;
mod ten_lines;

use dynamo_metrics_exporter::Exporter;
use dynamo_metrics_exporter::bytes::BytesMut;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The exporter's page in text format 0.0.4, checked by the strict parser.
fn page(exporter: &Exporter) -> String {
    let mut body = BytesMut::new();
    exporter.exposition().write(&mut body);
    let page = String::from_utf8(body.to_vec()).unwrap();
    dynamo_metrics_parser::parse(page.as_bytes()).unwrap();
    page
}

/// The answer to a `GET` of a path and query, with these header lines.
fn get(address: SocketAddr, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {target} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
