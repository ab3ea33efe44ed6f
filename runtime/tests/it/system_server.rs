//! System servers of one runtime, one after another.

use dynamo_metrics::environment::SystemEnvironment;
use dynamo_metrics::{DistributedRuntime, Environment, RuntimeOptions, SystemServerError};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

fn environment(host: &'static str, port: u16) -> SystemEnvironment {
    let variable = move |name: &str| match name {
        "DYN_SYSTEM_PORT" => Some(port.to_string()),
        "DYN_SYSTEM_HOST" => Some(host.to_owned()),
        _ => None,
    };
    Environment::read(variable).unwrap().0.system
}

/// Returns the page of a runtime with all details.
fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connections(page: &str) -> u64 {
    let sample = "dynamo_metrics_server_connections_total{server=\"system\"} ";
    let (_, value) = page.split_once(sample).unwrap_or_else(|| panic!("{page}"));
    value.lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_server_may_follow_one_that_did_not_start() {
    let runtime = DistributedRuntime::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = runtime.start_system_server(&environment("127.0.0.1", port)).unwrap_err();
    assert!(matches!(refused, SystemServerError::Start(_)), "{refused}");
    let refused = runtime.start_system_server(&environment("no.host.invalid", port)).unwrap_err();
    assert!(matches!(refused, SystemServerError::Host { .. }), "{refused}");
    drop(taken);
    let server = runtime.start_system_server(&environment("127.0.0.1", port)).unwrap().unwrap();
    assert!(scrape(server.local_addr()).contains("\ndynamo_component_uptime_seconds "));
}

#[test]
fn servers_of_one_runtime_count_in_the_same_metrics() {
    let options = RuntimeOptions { details: true, ..RuntimeOptions::default() };
    let runtime = DistributedRuntime::with_options(options).unwrap();
    let environment = environment("127.0.0.1", 0);
    let first = runtime.start_system_server(&environment).unwrap().unwrap();
    assert_eq!(connections(&scrape(first.local_addr())), 1);
    drop(first);
    let second = runtime.start_system_server(&environment).unwrap().unwrap();
    assert_eq!(connections(&scrape(second.local_addr())), 2);
    let beside = runtime.start_system_server(&environment).unwrap().unwrap();
    assert_eq!(connections(&scrape(beside.local_addr())), 3);
}
