//! Binding a port, with an error that says which setting to change.

use crate::Failure;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpListener;

/// Listens on `host:port`; port 0 is any free one. `setting` names what the port came from.
pub(crate) async fn bind(host: IpAddr, port: u16, setting: &str) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another process has it; stop that, or choose another port (0 takes any free one)"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges; choose another"
            }
            _ => "choose another address or port",
        };
        format!("cannot listen on {address} ({setting}): {error}; {remedy}").into()
    })
}
