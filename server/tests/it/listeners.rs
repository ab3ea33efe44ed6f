//! The Unix socket beside the port, and the landing page.

use crate::common;

use crate::common::{Client, get, plain_server, up};
use dynamo_metrics_server::{LandingPage, Server};

#[test]
fn the_landing_page_is_there_when_asked_for_and_else_is_not() {
    assert_eq!(get(plain_server().local_addr(), "/").status, 404);

    let server = Server::builder()
        .landing_page(LandingPage::new("a <worker>", "1.2"))
        .not_found_body("Route not found")
        .health_path("/healthz")
        .exposition(up)
        .spawn()
        .expect("a server");
    let reply = get(server.local_addr(), "/");
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(reply.text().contains("<h1>a &lt;worker&gt; 1.2</h1>"), "{}", reply.text());
    for path in ["/metrics", "/healthz", "/live"] {
        assert!(reply.text().contains(&format!("href=\"{path}\"")), "{path}");
        assert_eq!(get(server.local_addr(), path).status, 200, "{path}");
    }
    assert_eq!(get(server.local_addr(), "/nope").text(), "Route not found");
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.send("POST / HTTP/1.1\r\nHost: t\r\n\r\n").reply().status, 405);

    let error = Server::builder()
        .landing_page(LandingPage::new("x", "1"))
        .live_path("/")
        .exposition(up)
        .spawn()
        .expect_err("two pages at one path");
    assert!(error.to_string().contains("the landing page's path are both \"/\""), "{error}");
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use super::*;

    /// A path in a directory of its own, which is removed with it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("metrics-{}-{name}", std::process::id()));
            fs::create_dir_all(&directory).expect("a directory");
            Self(directory)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("metrics.sock")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn scrape(path: &PathBuf) -> String {
        let mut stream = UnixStream::connect(path).expect("the server listens");
        stream.set_read_timeout(Some(common::PATIENCE)).expect("a time limit");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            .expect("the server takes bytes");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a whole answer");
        text
    }

    #[test]
    fn both_doors_lead_to_the_same_server_and_the_file_goes_with_it() {
        let place = Place::new("both");
        let path = place.socket();
        let server = Server::builder().unix_socket(&path).exposition(up).spawn().expect("a server");
        assert!(scrape(&path).ends_with("\r\n\r\nup 1\n"));
        assert_eq!(get(server.local_addr(), "/metrics").text(), "up 1\n");
        assert_eq!(server.telemetry().connections_accepted(), 2);
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn the_mode_is_what_was_asked_for() {
        let place = Place::new("mode");
        let path = place.socket();
        let builder = Server::builder().unix_socket(&path).unix_socket_mode(0o666);
        let _server = builder.exposition(up).spawn().expect("a server");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o666);
    }

    #[test]
    fn what_a_dead_server_left_is_replaced() {
        let place = Place::new("stale");
        let path = place.socket();
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
        let _server =
            Server::builder().unix_socket(&path).exposition(up).spawn().expect("a server");
        assert!(scrape(&path).ends_with("up 1\n"));
    }

    #[test]
    fn what_somebody_uses_is_not_touched() {
        let place = Place::new("used");
        let path = place.socket();
        let first = Server::builder().unix_socket(&path).exposition(up).spawn().expect("a server");
        let error = Server::builder().unix_socket(&path).exposition(up).spawn().expect_err("taken");
        let text = error.to_string();
        assert!(
            text.contains("another program answers") && text.contains("metrics.sock"),
            "{text}"
        );
        assert!(scrape(&path).ends_with("up 1\n"));
        drop(first);

        fs::write(&path, "precious").expect("a file");
        let error = Server::builder().unix_socket(&path).exposition(up).spawn().expect_err("taken");
        assert!(error.to_string().contains("a file that is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");

        let nowhere = place.0.join("no/such/place");
        let error = Server::builder().unix_socket(nowhere).exposition(up).spawn();
        assert!(error.is_err());
    }

    #[test]
    fn a_file_that_replaced_ours_is_left_alone() {
        let place = Place::new("replaced");
        let path = place.socket();
        let server = Server::builder().unix_socket(&path).exposition(up).spawn().expect("a server");
        fs::remove_file(&path).expect("our file");
        let other = UnixListener::bind(&path).expect("a socket");
        drop(server);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn a_start_that_fails_leaves_no_file() {
        let place = Place::new("failed");
        let holder = plain_server();
        let builder = Server::builder().unix_socket(place.socket()).address(holder.local_addr());
        assert!(builder.exposition(up).spawn().is_err());
        assert!(!place.socket().exists());
    }
}
