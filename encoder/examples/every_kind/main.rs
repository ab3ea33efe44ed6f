//! Serves one metric of every kind, in whatever format a scraper asks for, until it is killed: for a look with `curl`, or
//! to point a scraper at. The live judges in `tests/scrapers` read the same registry.
//!
//! ```text
//! cargo run -p dynamo-metrics-encoder --example every_kind -- 127.0.0.1:9100
//! curl -H 'Accept: application/openmetrics-text;version=1.0.0' http://127.0.0.1:9100/metrics
//! ```

mod catalogue;

use catalogue::Catalogue;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::{Encoder, negotiate::negotiate};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, ExposeError, ScrapeRequest, Server};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse().map_err(|e| format!("{address} is no host:port: {e}"))?,
        None => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let catalogue = Catalogue::new()?;
    let registry = catalogue.registry().clone();
    let encoder = Mutex::new(Encoder::new());
    let expose = move |request: &ScrapeRequest<'_>, body: &mut BytesMut| {
        let asked = negotiate(request.accept());
        let filter = NameFilter::from_query(request.query().unwrap_or_default())
            .map_err(|e| ExposeError::refused("The query cannot be understood").with_cause(e))?;
        // A panic in here is answered and leaves an encoder that can go on.
        let mut encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.encode_as(&registry, asked, &filter, body);
        Ok(ContentType::from_static(asked.content_type()))
    };
    let server = Server::builder().address(address).exposition(expose).spawn()?;
    println!("http://{}/metrics", server.local_addr());
    for round in 0.. {
        catalogue.record(round);
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
