//! A program that has an axum server: `/metrics` is one more of its routes.
//!
//! Gathers run on a thread of their own, so they never hold up the runtime; scrapers that wait share
//! one, and who accepts gzip gets it. axum answers `HEAD` from the same route.
//!
//! ```text
//! cargo run -p dynamo-metrics-server --example axum_mount            # then: curl -i 127.0.0.1:8000/metrics
//! cargo run -p dynamo-metrics-server --example axum_mount -- --once  # one request to itself, then end
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::http::{HeaderMap, Uri};
use dynamo_metrics_server::{ContentType, MetricsService, ScrapeRequest, Server};

async fn metrics(
    State(service): State<Arc<MetricsService>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    service.respond(&headers, &uri).await.map(Body::from)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let once = std::env::args().any(|argument| argument == "--once");
    let service = Server::builder()
        .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.extend_from_slice(b"# TYPE example_up gauge\nexample_up 1\n");
            Ok(ContentType::TEXT_0_0_4)
        })
        .mount()?;
    let router = Router::new()
        .route("/", get(|| async { "the program's own route" }))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(service));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::from(([127, 0, 0, 1], if once { 0 } else { 8000 }));
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        println!("http://{address}/metrics");
        let server = axum::serve(listener, router);
        if !once {
            return Ok(server.await?);
        }
        tokio::select! {
            served = async { server.await } => Ok(served?),
            asked = tokio::task::spawn_blocking(move || ask(address)) => {
                let response = asked??;
                print!("{response}");
                assert!(response.starts_with("HTTP/1.0 200 OK\r\n"));
                assert!(response.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
                assert!(response.ends_with("example_up 1\n"));
                Ok(())
            }
        }
    })
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut client = TcpStream::connect(address)?;
    client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut response = String::new();
    client.read_to_string(&mut response)?;
    Ok(response)
}
