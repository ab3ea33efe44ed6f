//! The servers that are attacked, and those whose scrapes are only counted.
//!
//! Every peer is used as its documentation shows it, with its defaults: no limit is added and none is taken away.
//! All have the registry of [`shape::realistic`] and one thread for the network.

use super::Outcome;
use crate::peers::{self, SCRAPERS};
use crate::scrape::Scrape;
use crate::{ours, shape};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use dynamo_metrics::MetricsExposition;
use dynamo_metrics_server::Server;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus::TextEncoder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::thread;
use tokio::net::TcpListener;

/// Those that are attacked.
pub const SERVERS: [&str; 4] = [ours::NAME, MEP, AXUM, TINY_HTTP];
/// A fixed body of the same size behind hyper: what the wire alone costs.
pub const STATIC: &str = "hyper, static body";
/// Prefix of the name of an encoder that is put behind the same hyper as [`STATIC`].
pub const HYPER: &str = "hyper + ";

const MEP: &str = "metrics-exporter-prometheus";
const AXUM: &str = "axum + prometheus";
const TINY_HTTP: &str = "tiny_http + prometheus";
const TEXT: &str = "text/plain; version=0.0.4";
const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Serves until standard input ends; the first line of standard output is the address.
///
/// # Errors
/// If there is no server of this name, its address is taken, or the process may not be confined so.
pub fn serve(name: &str, descriptors: Option<u64>, cpu: Option<usize>) -> Outcome<()> {
    if let Some(descriptors) = descriptors {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum })?;
    }
    if let Some(cpu) = cpu {
        pin(cpu)?; // The threads that are started from here on inherit it.
    }
    let shape = shape::realistic();
    match name {
        ours::NAME => {
            let exposition = MetricsExposition::of_registry(&ours::registry(&shape));
            let server =
                Server::builder().address(LOOPBACK.into()).exposition(exposition).spawn()?;
            println!("{}", server.local_addr());
            until_the_parent_is_gone()
        }
        MEP => {
            // It takes an address and does not tell which one it got.
            let address = std::net::TcpListener::bind(LOOPBACK)?.local_addr()?;
            on_one_thread(async move {
                let exporter = peers::metrics::listener(&shape, address);
                println!("{address}");
                exporter.await.map_err(|error| format!("{error:?}").into())
            })
        }
        AXUM => {
            let registry = peers::prometheus::registry(&shape);
            let metrics = move || async move {
                let text = TextEncoder::new().encode_to_string(&registry.gather());
                ([(CONTENT_TYPE, TEXT)], text.unwrap_or_default())
            };
            on_one_thread(async move {
                let listener = listen().await?;
                Ok(axum::serve(listener, axum::Router::new().route("/metrics", get(metrics)))
                    .await?)
            })
        }
        TINY_HTTP => {
            let registry = peers::prometheus::registry(&shape);
            let server = tiny_http::Server::http(LOOPBACK)?;
            println!("{}", server.server_addr());
            thread::spawn(move || {
                let header = tiny_http::Header::from_bytes("Content-Type", TEXT);
                let header = header.unwrap_or_else(|()| unreachable!("a valid header"));
                for request in server.incoming_requests() {
                    let text = TextEncoder::new().encode_to_string(&registry.gather());
                    let response = tiny_http::Response::from_string(text.unwrap_or_default());
                    drop(request.respond(response.with_header(header.clone()))); // The client may be gone.
                }
            });
            until_the_parent_is_gone()
        }
        STATIC => {
            let mut page = SCRAPERS[0].1(&shape);
            page.scrape();
            let body = Bytes::copy_from_slice(page.body());
            on_one_thread(behind_hyper(move || body.clone()))
        }
        _ => {
            let encoder = name.strip_prefix(HYPER).and_then(|encoder| {
                SCRAPERS.iter().find(|(name, _)| *name == encoder).map(|(_, scraper)| *scraper)
            });
            let encoder = encoder.ok_or_else(|| format!("there is no server named {name:?}"))?;
            on_one_thread(async move { behind_hyper(pooled(encoder(&shape))).await })
        }
    }
}

/// Names of [`serve`] for each encoder behind hyper, ours first.
pub fn behind_hyper_names() -> impl Iterator<Item = String> {
    SCRAPERS.iter().map(|(encoder, _)| format!("{HYPER}{encoder}"))
}

/// Confines the calling thread, and those that it starts, to one processor.
///
/// # Errors
/// If there is no such processor, or the process may not use it.
pub fn pin(cpu: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// A body of each scrape in memory that is used again once the response is sent; the copy into it takes a
/// twentieth of the fastest peer's encoding.
fn pooled(mut page: Box<dyn Scrape>) -> impl FnMut() -> Bytes {
    let mut memory = BytesMut::new();
    move || {
        page.scrape();
        memory.extend_from_slice(page.body());
        memory.split().freeze()
    }
}

async fn behind_hyper(body: impl FnMut() -> Bytes + 'static) -> Outcome<()> {
    let body = Rc::new(RefCell::new(body));
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = Rc::clone(&body);
        let service = service_fn(move |_| {
            let mut response = hyper::Response::new(Full::new((*body.borrow_mut())()));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(TEXT));
            std::future::ready(Ok::<_, Infallible>(response))
        });
        tokio::task::spawn_local(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from(LOOPBACK)).await?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

/// Runs a server on this thread; another one ends the process with the parent.
fn on_one_thread(server: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    thread::spawn(|| {
        drop(until_the_parent_is_gone());
        std::process::exit(0)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, server)
}

fn until_the_parent_is_gone() -> Outcome<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
