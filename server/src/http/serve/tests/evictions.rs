//! Connections that are closed for another one.

use super::*;

#[test]
fn at_the_cap_the_connection_that_has_been_idle_longest_is_evicted() {
    run(async {
        let server = Server::new(|limits| limits.connections = 3);
        let mut clients = [server.connect(), server.connect(), server.connect()];
        // The order of their last response, not of their accept, makes the oldest: 1, 2, 0.
        for index in [0, 1, 2, 0] {
            assert_eq!(clients[index].get(LIVE).await.status, 200);
            tokio::time::sleep(ms(5)).await;
        }
        for evicted in [1, 2] {
            let mut next = server.connect();
            assert_eq!(next.get(LIVE).await.status, 200);
            assert_eq!(clients[evicted].end().await, (Duration::ZERO, 0));
            tokio::time::sleep(ms(5)).await;
            clients[evicted] = next;
        }
        for client in &mut clients {
            assert_eq!(client.get(LIVE).await.status, 200);
        }
        server.assert_hits(&[(Limit::Evicted, 2)]);
        assert_eq!(server.table.telemetry().connections_open(), 3);
    });
}

#[test]
fn a_connection_that_owes_a_head_is_evicted_after_one_that_is_idle() {
    run(async {
        let server = Server::new(|limits| limits.connections = 2);
        let mut silent = server.connect();
        tokio::time::sleep(ms(1000)).await;
        let mut idle = server.connect();
        assert_eq!(idle.get(LIVE).await.status, 200);
        let mut third = server.connect();
        assert_eq!(third.get(LIVE).await.status, 200);
        assert_eq!(idle.end().await.1, 0);
        assert_eq!(silent.get(LIVE).await.status, 200, "it can still ask");
    });
}

#[test]
fn a_client_that_takes_no_bytes_is_evicted_after_a_second_and_not_before() {
    run(async {
        let server = Server::new(|limits| limits.connections = 1);
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        settle().await;
        tokio::time::sleep(ms(990)).await;
        assert!(server.try_connect().is_none(), "a pause of less than a second is no stall");
        tokio::time::sleep(ms(20)).await;
        assert_eq!(server.connect().get(LIVE).await.status, 200);
        server.assert_hits(&[(Limit::Connections, 1), (Limit::Evicted, 1)]);
    });
}

#[test]
fn a_connection_that_is_being_answered_is_not_evicted() {
    run(async {
        let server = Server::new(|limits| limits.connections = 1);
        let mut scraper = server.connect();
        scraper.send(METRICS).await;
        tokio::time::sleep(ms(5000)).await;
        assert!(server.try_connect().is_none());
        server.pages.gate.notify_one();
        assert_eq!(scraper.reply().await.expect("its answer").status, 200);
        server.assert_hits(&[(Limit::Connections, 1)]);
    });
}
