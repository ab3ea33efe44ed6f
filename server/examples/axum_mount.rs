//! A program that has an axum server: `/metrics` is one more of its routes.
//!
//! The gather runs as a blocking task, so it never holds up the runtime. axum answers `HEAD` from
//! the same route.
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
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::http::{HeaderMap, StatusCode, Uri};
use dynamo_metrics_server::{ContentType, Exposition, ScrapeRequest, metrics_response};

async fn metrics(
    State(exposition): State<Arc<dyn Exposition>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let gather = tokio::task::spawn_blocking(move || {
        metrics_response(&*exposition, &ScrapeRequest::from_head(&headers, &uri))
    });
    match gather.await {
        Ok(response) => response.map(Body::from),
        // The runtime is shutting down: a panic has been answered by `metrics_response`.
        Err(_cancelled) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let once = std::env::args().any(|argument| argument == "--once");
    let exposition: Arc<dyn Exposition> = Arc::new(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
        body.extend_from_slice(b"# TYPE example_up gauge\nexample_up 1\n");
        Ok(ContentType::TEXT_0_0_4)
    });
    let router = Router::new()
        .route("/", get(|| async { "the program's own route" }))
        .route("/metrics", get(metrics))
        .with_state(exposition);

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
