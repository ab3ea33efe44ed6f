use super::*;
use crate::Exporter;
use crate::engine::EngineSource;
use dynamo_metrics_server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn native_histograms_that_scrapers_would_refuse_are_counted_on_the_next_page() {
    let registry = Registry::new();
    let buckets = dynamo_metrics_core::NativeBuckets::new();
    let wait = registry.native_histogram(("wait_seconds", ""), &buckets).unwrap();
    wait.observe_n(0.5, u64::MAX);
    let exposition = MetricsExposition::of_registry(&registry);
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let mut body = BytesMut::new();
    exposition.write_as(
        negotiate(Some(protobuf)),
        &NameFilter::default(),
        ScrapeDeadline::after(SOON),
        &mut body,
    );
    body.clear();
    exposition.write(&mut body);
    let body = std::str::from_utf8(&body).unwrap();
    assert!(body.contains("\ndynamo_metrics_unsound_native_histograms_total 1\n"), "{body}");
    assert!(body.contains("\nwait_seconds_count 18446744073709551615\n"), "{body}");
}

#[test]
fn a_family_that_is_unregistered_during_a_scrape_is_on_its_page_once() {
    let registry = Registry::new();
    let exporter = Exporter::new(&registry);
    registry.counter(("jobs_total", "Jobs.")).unwrap().add(3);
    let text = "# TYPE jobs_total counter\njobs_total 7\n# TYPE other gauge\nother 1\n";
    let source = EngineSource::new("engine", Filter::all(), move || Ok(text));
    exporter.engine(source.timeout(SOON)).unwrap();
    // Runs between the listing of the families and the merging of the engine's text.
    let unregister = registry.clone();
    registry
        .gauge_callback(("unregisters", ""), move || {
            f64::from(u8::from(unregister.unregister("jobs_total")))
        })
        .unwrap();
    let exposition = exporter.exposition();
    let page = || {
        let mut body = BytesMut::new();
        exposition.write(&mut body);
        String::from_utf8(body.to_vec()).unwrap()
    };
    let first = page();
    assert_eq!(first.matches("# TYPE jobs_total").count(), 1, "{first}");
    assert!(first.contains("\njobs_total 3\n") && !first.contains("jobs_total 7"), "{first}");
    assert!(first.contains("\nunregisters 1\n") && first.contains("\nother 1"), "{first}");
    let second = page();
    assert!(second.contains("\njobs_total 7\n"), "the engine has the name now: {second}");
}

#[test]
fn variants_differ_exactly_where_pages_differ() {
    let exposition = MetricsExposition::of_registry(&Registry::new());
    let try_variant = |accept: Option<&'static str>, query: &'static str| {
        exposition.variant(ScrapeRequest::new(accept, Some(query), None))
    };
    let variant = |accept, query| try_variant(accept, query).expect("few names");
    let text = Some("text/plain;version=0.0.4");
    let same = [
        variant(text, ""),
        variant(text, "x=1"),
        variant(text, "x=2&y"),
        variant(None, ""),
        variant(Some("text/plain; version=0.0.4;q=0.7, a/b;q=0.9"), "name[]="),
    ];
    assert!(same.iter().all(|variant| *variant == same[0]), "{same:?}");
    assert_eq!(variant(text, "name[]=b&name[]=a"), variant(None, "z&name%5B%5D=a&name[]=%62"));
    let differ = [
        variant(text, ""),
        variant(Some("text/plain;version=1.0.0"), ""), // Another media type is announced.
        variant(Some("application/openmetrics-text;version=1.0.0"), ""),
        variant(Some("application/openmetrics-text;version=1.0.0;escaping=dots"), ""),
        variant(text, "name[]=a"),
        variant(text, "name[]=ab"),
        variant(text, "name[]=a&name[]=b"),
    ];
    for (index, one) in differ.iter().enumerate() {
        assert!(!differ[..index].contains(one), "{index}");
    }
    let many: &'static str = String::leak("name[]=x&".repeat(2000));
    assert_eq!(try_variant(text, many).expect_err("too many names").status(), 400);
}

#[test]
fn scrapes_that_wait_together_cost_one_fetch_whatever_they_ask_for() {
    let exporter = Exporter::new(&Registry::new());
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let source = EngineSource::new("slow", Filter::all(), move || {
        // Relaxed: a count that the test reads after the answers.
        counted.fetch_add(1, Ordering::Relaxed);
        wait.lock().recv_timeout(SOON).map_err(|_| "the test is over")?;
        Ok("x 1\n")
    });
    exporter.engine(source.timeout(SOON)).unwrap();
    let exposition = exporter.exposition();
    let server = Server::builder().exposition(exposition).spawn().unwrap();
    let send = |head: String| {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let answer = |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let accepts = ["text/plain", "*/*", "application/openmetrics-text", "text/plain;q=0.5"];
    let scrapes: Vec<_> = (0..30)
        .map(|n| {
            let accept = accepts[n % accepts.len()];
            send(format!("GET /metrics?name[]=x&n={n} HTTP/1.0\r\nAccept: {accept}\r\n\r\n"))
        })
        .collect();
    // When they are answered, all that was sent before them has been read.
    for _ in 0..4 {
        assert!(answer(send("GET /live HTTP/1.0\r\n\r\n".into())).contains("200 OK"));
    }
    go.send(()).unwrap();
    go.send(()).unwrap();
    for scrape in scrapes {
        let answer = answer(scrape);
        assert!(answer.contains("200 OK") && answer.contains("\nx 1"), "{answer}");
    }
    let fetches = fetches.load(Ordering::Relaxed);
    assert!((1..=2).contains(&fetches), "{fetches} fetches");
    assert!(server.telemetry().gathers() <= 4, "{} pages", server.telemetry().gathers());
}
