//! The errors of a server's start. Each message names the setting and its value, and a remedy.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The error of [`ServerBuilder::spawn`](crate::ServerBuilder::spawn). Nothing is left behind: no thread, no listener.
///
/// ```
/// use dynamo_metrics_server::{Server, StartError};
///
/// let error = Server::builder().metrics_path("metrics").spawn().unwrap_err();
/// assert!(matches!(error, StartError::Path { .. }));
/// assert_eq!(
///     error.to_string(),
///     "the metrics path \"metrics\" must start with '/': write \"/metrics\""
/// );
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No exposition was given.
    #[error("the server has nothing to expose: call `ServerBuilder::exposition` before `spawn`")]
    ExpositionMissing,

    /// A path can never match a request.
    #[error("the {setting} path {path:?} {problem}")]
    #[non_exhaustive]
    Path {
        /// `metrics`, `health`, `live` or `landing page's`.
        setting: &'static str,
        /// The path as it was given.
        path: String,
        /// The fault, and what to write.
        problem: String,
    },

    /// Two of the paths are equal.
    #[error("the {first} path and the {second} path are both {path:?}: give one of them another")]
    #[non_exhaustive]
    PathTaken {
        /// The path that was seen first.
        first: &'static str,
        /// The path that repeats it.
        second: &'static str,
        /// Their common value.
        path: String,
    },

    /// A limit is out of its range.
    #[error("the limit `{name}` is out of range: it must be {range}")]
    #[non_exhaustive]
    LimitOutOfRange {
        /// The field of [`Limits`](crate::Limits).
        name: &'static str,
        /// Its range.
        range: &'static str,
    },

    /// The address cannot be listened on.
    #[error("{}", listen_text(*address, setting.as_deref(), source))]
    #[non_exhaustive]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The variable or flag that set it, when the builder was told.
        setting: Option<String>,
        /// The system's error.
        source: io::Error,
    },

    /// The Unix socket cannot be listened on.
    #[error("cannot listen on the Unix socket {path:?}: {source}")]
    #[non_exhaustive]
    UnixSocket {
        /// The path that was asked for.
        path: PathBuf,
        /// The system's error, or what is in the way.
        source: io::Error,
    },

    /// The web configuration file, or a file that it names, cannot be taken.
    #[error("{problem}")]
    #[non_exhaustive]
    WebConfig {
        /// The file, the line and the key, the fault there, and what to write.
        problem: String,
    },

    /// A thread or its event loop could not be created.
    #[error("cannot start the {thread} thread: {source}")]
    #[non_exhaustive]
    Thread {
        /// The thread's name.
        thread: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

fn listen_text(address: SocketAddr, setting: Option<&str>, source: &io::Error) -> String {
    let origin = setting.map(|setting| format!(" (set by {setting})")).unwrap_or_default();
    let change = setting.map_or_else(
        || "pass another address to `ServerBuilder::address`".to_owned(),
        |setting| format!("change {setting}"),
    );
    let reason = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is in use; stop the program that holds it, or {change} to a free port \
             (0 lets the system choose one)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "permission denied; ports below 1024 need a privilege, so {change} to a higher port"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no such address; {change} to one of its own, \
             or to 0.0.0.0 or [::] for all of them"
        ),
        _ => format!("{source}; {change} if it is wrong"),
    };
    format!("cannot listen on {address}{origin}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_names_the_setting_the_address_and_the_way_out() {
        for (kind, way_out) in [
            (io::ErrorKind::AddrInUse, "0 lets the system choose"),
            (io::ErrorKind::PermissionDenied, "higher port"),
            (io::ErrorKind::AddrNotAvailable, "0.0.0.0"),
            (io::ErrorKind::Other, "change DYN_SYSTEM_PORT"),
        ] {
            let error = StartError::Listen {
                address: ([127, 0, 0, 1], 9090).into(),
                setting: Some("DYN_SYSTEM_PORT".into()),
                source: kind.into(),
            };
            let text = error.to_string();
            for part in ["127.0.0.1:9090", "DYN_SYSTEM_PORT", way_out] {
                assert!(text.contains(part), "{part} is not in {text:?}");
            }
        }
        let anonymous =
            listen_text(([127, 0, 0, 1], 1).into(), None, &io::ErrorKind::PermissionDenied.into());
        assert!(anonymous.contains("ServerBuilder::address"), "{anonymous}");
    }
}
