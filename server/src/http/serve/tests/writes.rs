//! Clients that take their answer slowly.

use super::*;

#[test]
fn a_client_that_takes_no_bytes_is_closed_at_the_write_deadline() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = ms(3000);
            limits.write_rate = 0;
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        assert_about(slow.is_closed().await, ms(3000));
        server.assert_hits(&[(Limit::WriteDeadline, 1)]);
        assert_eq!(server.table.telemetry().connections_open(), 0);
        let (_, bytes) = slow.end().await;
        assert!(bytes <= PIPE_BYTES, "the rest is gone: {bytes}");
    });
}

#[test]
fn taking_a_few_bytes_does_not_extend_the_write_deadline() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = ms(3000);
            limits.write_rate = 1;
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        settle().await;
        let begin = Instant::now();
        // It would take 100 s to take all.
        let mut taken = 0;
        while slow.fill().await {
            taken = slow.received.len();
            tokio::time::sleep(ms(1000)).await;
        }
        assert!(taken < LARGE && begin.elapsed() < ms(20_000), "{taken} {:?}", begin.elapsed());
        server.assert_hits(&[(Limit::WriteDeadline, 1)]);
    });
}

#[test]
fn a_client_that_takes_less_than_the_rate_is_closed_after_a_window() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = Duration::from_secs(60);
            limits.write_window = ms(200);
            limits.write_rate = 1 << 30;
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        assert!(slow.fill().await);
        assert_about(slow.is_closed().await, ms(200));
        server.assert_hits(&[(Limit::WriteRate, 1)]);
    });
}

#[test]
fn a_client_that_takes_enough_in_each_window_gets_its_whole_body() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = Duration::from_secs(3600);
            limits.write_window = ms(1000);
            limits.write_rate = 8 << 10; // The client takes as much each second.
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
        let mut taken = 0;
        while slow.fill().await {
            taken = slow.received.len();
            tokio::time::sleep(ms(900)).await;
        }
        assert!(taken > LARGE);
        server.assert_hits(&[]);
    });
}

#[test]
fn requests_behind_a_body_that_had_to_wait_are_answered() {
    run(async {
        let server = Server::new(|_| {});
        let mut client = server.connect();
        let large = "GET /large HTTP/1.1\r\nHost: t\r\n\r\n";
        client.send(&[large, large, LIVE].concat()).await;
        settle().await; // The first body waits for the client now.
        for length in [LARGE, LARGE, "live".len()] {
            let reply = client.reply().await.expect("a response");
            assert_eq!((reply.status, reply.length), (200, length));
        }
    });
}

#[test]
fn a_body_that_was_taken_leaves_no_write_deadline_behind() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = ms(2000);
            limits.keep_alive_idle = Duration::from_secs(60);
        });
        let mut client = server.connect();
        client.get("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(client.get(LIVE).await.status, 200);
        server.assert_hits(&[]);
    });
}
