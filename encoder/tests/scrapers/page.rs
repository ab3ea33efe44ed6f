//! The scraped pages: registries behind a server of ours, and a note of what each job of a scraper negotiated.

use dynamo_metrics_core::Registry;
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Negotiated, negotiate};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, ExposeError, RunningServer, ScrapeRequest, Server};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A server that runs until it is dropped. Its query is `registry=<index>&job=<name>`, and `text` after these for who
/// cannot be told to ask for text.
pub(crate) struct Page {
    server: RunningServer,
    asked: Arc<Mutex<HashMap<String, Negotiated>>>,
}

impl Page {
    pub(crate) fn serve(registries: Vec<Registry>) -> Self {
        let asked = Arc::<Mutex<HashMap<String, Negotiated>>>::default();
        let notes = Arc::clone(&asked);
        // One a registry, as an encoder is meant to be used: it keeps what each format rendered.
        let encoders: Vec<(Registry, Mutex<Encoder>)> =
            registries.into_iter().map(|registry| (registry, Mutex::default())).collect();
        let expose = move |request: &ScrapeRequest<'_>, body: &mut BytesMut| {
            let parameters: HashMap<&str, &str> = request
                .query()
                .unwrap_or_default()
                .split('&')
                .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
                .collect();
            let at = parameters.get("registry").and_then(|at| at.parse::<usize>().ok());
            let Some((registry, encoder)) = at.and_then(|at| encoders.get(at)) else {
                return Err(ExposeError::refused("no such registry"));
            };
            let accept = if parameters.contains_key("text") { None } else { request.accept() };
            let negotiated = negotiate(accept);
            if let Some(&job) = parameters.get("job") {
                notes.lock().unwrap().insert(job.to_owned(), negotiated);
            }
            let mut encoder = encoder.lock().unwrap();
            encoder.encode_as(registry, negotiated, &NameFilter::default(), body);
            Ok(ContentType::from_static(negotiated.content_type()))
        };
        Self { server: Server::builder().exposition(expose).spawn().unwrap(), asked }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.server.local_addr().to_string()
    }

    /// The answer that a job got when it last scraped.
    pub(crate) fn asked(&self, job: &str) -> Option<Negotiated> {
        self.asked.lock().unwrap().get(job).copied()
    }
}
