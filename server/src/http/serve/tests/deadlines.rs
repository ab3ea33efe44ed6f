//! Deadlines of connections.

use super::*;

#[test]
fn a_silent_client_is_closed_at_the_head_deadline() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(200));
        let (took, bytes) = server.connect().end().await;
        assert_about(took, ms(200));
        assert_eq!(bytes, 0);
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
        settle().await;
        assert_eq!(server.table.telemetry().connections_open(), 0);
    });
}

#[test]
fn a_head_that_comes_byte_by_byte_does_not_extend_its_deadline() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(300));
        let begin = Instant::now();
        let mut slow = server.connect();
        while slow.stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(ms(20)).await;
        }
        assert!((ms(300)..=ms(322)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
    });
}

#[test]
fn the_head_deadline_of_a_later_request_begins_with_its_first_byte() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(200));
        let mut client = server.connect();
        assert_eq!(client.get(LIVE).await.status, 200);
        tokio::time::sleep(ms(400)).await; // Idle is not slow.
        assert_eq!(client.get(LIVE).await.status, 200);
        tokio::time::sleep(ms(400)).await;
        client.send("GET /li").await;
        assert_about(client.end().await.0, ms(200));
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
    });
}

#[test]
fn the_deadline_of_a_head_that_begins_during_a_scrape_runs_from_its_answer() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(200));
        let mut client = server.connect();
        client.send(METRICS).await;
        settle().await;
        client.send("GET /li").await;
        tokio::time::sleep(ms(1000)).await;
        server.pages.gate.notify_one();
        assert_eq!(client.reply().await.expect("its answer").status, 200);
        assert_about(client.end().await.0, ms(200));
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
    });
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    run(async {
        let server = Server::new(|limits| limits.keep_alive_idle = ms(200));
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(client.get(LIVE).await.status, 200);
            tokio::time::sleep(ms(190)).await;
        }
        assert_about(client.end().await.0, ms(10));
        server.assert_hits(&[(Limit::KeepAliveIdle, 1)]);
    });
}

#[test]
fn a_slow_answer_runs_into_no_deadline_of_the_connection() {
    run(async {
        let server = Server::new(|limits| {
            (limits.head_deadline, limits.keep_alive_idle) = (ms(50), ms(50));
            (limits.write_deadline, limits.write_window, limits.linger) = (ms(50), ms(50), ms(50));
        });
        let mut client = server.connect();
        client.send(METRICS).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        server.pages.gate.notify_one();
        assert_eq!(client.reply().await.expect("its answer").status, 200);
        server.assert_hits(&[(Limit::ConnectionLifetime, 1)]);
    });
}

#[test]
fn a_connection_ends_with_its_lifetime_idle_or_not() {
    run(async {
        let server = Server::new(|limits| {
            limits.connection_lifetime = ms(1000);
            limits.lifetime_jitter = 10;
        });
        let mut idle = server.connect();
        assert!(!idle.get(LIVE).await.close);
        let mut busy = server.connect();
        busy.send(METRICS).await;
        let (took, _) = idle.end().await;
        assert!((ms(900)..=ms(1101)).contains(&took), "{took:?}");
        server.assert_hits(&[(Limit::ConnectionLifetime, 1)]);
        // The other one is being answered: it may finish, and is told.
        tokio::time::sleep(ms(1000)).await;
        server.pages.gate.notify_one();
        let reply = busy.reply().await.expect("its answer");
        assert_eq!((reply.status, reply.close), (200, true));
        assert_eq!(busy.end().await, (Duration::ZERO, 0));
        server.assert_hits(&[(Limit::ConnectionLifetime, 2)]);
    });
}

#[test]
fn a_rejected_client_that_does_not_close_is_closed_after_the_linger() {
    run(async {
        let server = Server::new(|limits| limits.linger = ms(200));
        let mut client = server.connect();
        client.send("GET / HTTP/3.0\r\n\r\nand more").await;
        let reply = client.reply().await.expect("its answer");
        assert_eq!((reply.status, reply.close), (505, true));
        assert_eq!(server.table.telemetry().connections_open(), 1);
        assert_about(client.is_closed().await, ms(200));
        server.assert_hits(&[(Limit::Linger, 1)]);
    });
}
