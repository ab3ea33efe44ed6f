//! A program that has no server of its own: metrics and probes on a thread of theirs.
//!
//! ```text
//! cargo run -p dynamo-metrics-server --example embed            # then: curl -i 127.0.0.1:9090/metrics
//! cargo run -p dynamo-metrics-server --example embed -- --once  # one request to itself, then end
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::http::StatusCode;
use dynamo_metrics_server::{ContentType, Health, HealthAnswer, ScrapeRequest, Server};

struct Uptime(Instant);

impl Health for Uptime {
    fn health(&self) -> HealthAnswer {
        let uptime = self.0.elapsed();
        let (secs, nanos) = (uptime.as_secs(), uptime.subsec_nanos());
        HealthAnswer::text(
            StatusCode::OK,
            format!(r#"{{"status":"ready","uptime":{{"secs":{secs},"nanos":{nanos}}}}}"#),
        )
    }

    fn live(&self) -> HealthAnswer {
        self.health()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let once = std::env::args().any(|argument| argument == "--once");
    let requests = Arc::new(AtomicU64::new(0));
    let exposition = {
        let requests = Arc::clone(&requests);
        move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            let total = requests.load(Relaxed); // A lone counter: no order needed.
            let text =
                format!("# TYPE example_requests_total counter\nexample_requests_total {total}\n");
            body.extend_from_slice(text.as_bytes());
            Ok(ContentType::TEXT_0_0_4)
        }
    };
    let server = Server::builder()
        .address(SocketAddr::from(([127, 0, 0, 1], if once { 0 } else { 9090 })))
        .address_source("the port in examples/embed.rs")
        .not_found_body("Route not found")
        .exposition(exposition)
        .health(Uptime(Instant::now()))
        .spawn()?;
    println!("http://{}/metrics", server.local_addr());

    // The program's own work.
    requests.fetch_add(1, Relaxed);
    if !once {
        loop {
            requests.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    let mut client = TcpStream::connect(server.local_addr())?;
    client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut response = String::new();
    client.read_to_string(&mut response)?;
    print!("{response}");
    assert!(response.ends_with("example_requests_total 1\n"));
    let report = server.shutdown(Duration::from_secs(5));
    assert_eq!(report.connections_cut, 0);
    Ok(())
}
