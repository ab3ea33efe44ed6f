//! A worker's place in a frontend's fleet: it registers, reports its figures, and deregisters when it stops.

use super::Worker;
use crate::failure::Failure;
use crate::http::client::{Client, ClientError};
use crate::protocol::{STATS_PERIOD, WORKERS_PATH};
use hyper::Method;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest wait for a frontend's answer to a deregistration. It answers at once or not at all.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// A change in a worker's membership.
#[derive(Debug)]
pub enum Event {
    /// The frontend took the registration.
    Registered,
    /// The frontend cannot be reached or refused; the worker tries again every [`STATS_PERIOD`]. Reported once until it
    /// registers again.
    Failed(String),
}

/// A worker's connection to its frontend.
#[derive(Clone, Debug)]
pub struct Membership {
    client: Client,
    frontend: String,
}

impl Membership {
    /// Makes a membership at the frontend with this address, `http://HOST:PORT`. An empty token is none.
    ///
    /// # Errors
    /// The token has bytes that no header may have.
    pub fn new(frontend: &str, token: Option<&str>) -> Result<Self, Failure> {
        let client = Client::with_token(token)
            .map_err(|error| format!("the worker token cannot be sent in a header: {error}"))?;
        Ok(Self { client, frontend: frontend.into() })
    }

    /// Registers the worker and reports its figures until this is dropped; registers again whenever the frontend does not
    /// know the worker. `advertised` is the address of the worker for the frontend, where its own is not reachable.
    pub async fn keep(
        &self,
        worker: &Worker,
        advertised: Option<&str>,
        mut report: impl FnMut(Event),
    ) {
        let own_url = advertised.unwrap_or(worker.url());
        let mut registered = false;
        let mut reported = false;
        loop {
            let result = match registered {
                true => self.send_stats(worker).await,
                false => self.register(worker, own_url).await,
            };
            match result {
                Ok(()) if registered => {}
                Ok(()) => {
                    (registered, reported) = (true, false);
                    report(Event::Registered);
                }
                Err(error) => {
                    registered = false;
                    if !std::mem::replace(&mut reported, true) {
                        report(Event::Failed(error.to_string()));
                    }
                }
            }
            tokio::time::sleep(STATS_PERIOD).await;
        }
    }

    /// Deregisters a worker. A frontend that cannot be reached is ignored: it drops silent workers by itself.
    pub async fn deregister(&self, instance_id: u64) {
        let url = format!("{}{WORKERS_PATH}/{instance_id}", self.frontend);
        let request = self.client.send::<()>(Method::DELETE, &url, None);
        let _ = tokio::time::timeout(DEREGISTER_TIMEOUT, request).await;
    }

    async fn register(&self, worker: &Worker, own_url: &str) -> Result<(), ClientError> {
        let mut registration = worker.registration();
        registration.url = reachable(&self.client, own_url, &self.frontend).await?;
        if let Some(system_url) = &mut registration.system_url {
            *system_url = reachable(&self.client, system_url, &self.frontend).await?;
        }
        let url = format!("{}{WORKERS_PATH}", self.frontend);
        self.client.send(Method::POST, &url, Some(&registration)).await.map(drop)
    }

    async fn send_stats(&self, worker: &Worker) -> Result<(), ClientError> {
        let url = format!("{}{WORKERS_PATH}/{}/stats", self.frontend, worker.instance_id());
        self.client.send(Method::POST, &url, Some(&worker.stats())).await.map(drop)
    }
}

/// Returns the worker's URL as the frontend can use it. A client that connects to 0.0.0.0 reaches itself, so the address of
/// this machine that faces the frontend takes its place.
async fn reachable(client: &Client, url: &str, frontend: &str) -> Result<String, ClientError> {
    let parts = url.split_once("://");
    let address = parts.and_then(|(scheme, rest)| Some((scheme, rest.parse::<SocketAddr>().ok()?)));
    match address.filter(|(_, address)| address.ip().is_unspecified()) {
        None => Ok(url.into()),
        Some((scheme, address)) => {
            let facing = client.local_address(frontend).await?;
            Ok(format!("{scheme}://{}", SocketAddr::new(facing, address.port())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unspecified_address_is_replaced_by_the_one_that_faces_the_frontend() {
        let client = Client::default();
        let frontend = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let frontend = format!("http://{}", frontend.local_addr().expect("its address"));
        let url = reachable(&client, "http://0.0.0.0:9000", &frontend).await.expect("it listens");
        assert_eq!(url, "http://127.0.0.1:9000");
        let url = reachable(&client, "https://[::]:9000", &frontend).await.expect("it listens");
        assert_eq!(url, "https://127.0.0.1:9000");
        for url in ["http://10.0.0.7:9000", "http://worker-7:9000"] {
            assert_eq!(reachable(&client, url, "http://nowhere:1").await.expect("not asked"), url);
        }
    }
}
