use super::*;
use dynamo_metrics_encoder::passthrough::Filter;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

const SOON: Duration = Duration::from_secs(20);

fn fetcher(read: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Fetcher {
    with_long_wait(EngineSource::new("x", Filter::all(), read).timeout(SOON))
}

/// A fetcher whose scrapes wait for each source that does not hang, also on a busy machine.
fn with_long_wait(source: EngineSource) -> Fetcher {
    let mut fetcher = Fetcher::new(source);
    fetcher.refresh_wait = SOON;
    fetcher
}

fn scrape(fetcher: &Fetcher) -> Collected {
    fetcher.collect(&fetcher.want(), Instant::now() + SOON)
}

fn text(collected: &Collected) -> Option<&[u8]> {
    collected.copy.as_ref().map(|(text, _)| text.as_slice())
}

/// A source whose reads wait for a message of the test, and return the number of the read.
fn released_by_test() -> (Fetcher, Sender<()>, Arc<AtomicUsize>) {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let began = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&began);
    let fetcher = fetcher(move || {
        // Relaxed: a count that the test reads after the fetch's end.
        let number = counted.fetch_add(1, Ordering::Relaxed);
        wait.lock().recv().map_err(|_| "the test is over")?;
        Ok(format!("x {number}\n"))
    });
    (fetcher, go, began)
}

#[test]
fn a_quick_source_is_read_for_each_scrape_into_the_same_two_buffers() {
    let source = EngineSource::writing("x", Filter::all(), |text| {
        text.extend_from_slice(b"x 1\n");
        Ok(())
    });
    let fetcher = with_long_wait(source.timeout(SOON));
    let mut addresses = Vec::new();
    for _ in 0..10 {
        let collected = scrape(&fetcher);
        assert!(collected.up && collected.news.failure.is_none());
        assert_eq!(text(&collected), Some(&b"x 1\n"[..]));
        addresses.push(text(&collected).map(<[u8]>::as_ptr));
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 2);
}

/// Moves the begin of the fetch in flight into the past by `age`.
fn age_the_fetch(fetcher: &Fetcher, age: Duration) {
    fetcher.shared.state.lock().in_flight = Instant::now().checked_sub(age);
}

fn wait_for_the_end(fetcher: &Fetcher) {
    let deadline = Instant::now() + SOON;
    while fetcher.shared.state.lock().in_flight.is_some() && Instant::now() < deadline {
        thread::yield_now();
    }
}

#[test]
fn a_source_that_hangs_has_one_fetch_in_flight_whatever_the_scrapes() {
    let (fetcher, go, began) = released_by_test();
    go.send(()).unwrap();
    assert_eq!(text(&scrape(&fetcher)), Some(&b"x 0\n"[..]));
    let ticket = fetcher.want();
    age_the_fetch(&fetcher, SOON);
    let late = fetcher.collect(&ticket, Instant::now());
    assert_eq!((late.up, text(&late)), (false, Some(&b"x 0\n"[..])), "the copy");
    assert_eq!(late.news.failure, Some(EngineError::Timeout { timeout: SOON }));
    let start = Instant::now();
    for _ in 0..1000 {
        let again = scrape(&fetcher);
        assert!(!again.up && again.news.failure.is_none(), "reported once");
    }
    assert!(start.elapsed() < SOON, "no scrape waits for a source that is known to hang");
    // The source recovers: the next scrape has its text, and waits for it as for any other.
    go.send(()).unwrap();
    wait_for_the_end(&fetcher);
    assert_eq!(
        began.load(Ordering::Relaxed),
        2,
        "one for the first scrape, one for all later ones"
    );
    go.send(()).unwrap();
    let collected = scrape(&fetcher);
    assert!(text(&collected) >= Some(&b"x 1\n"[..]));
    assert!(collected.news.failure.is_none());
}

#[test]
fn a_scrape_with_a_short_deadline_is_no_failure_of_the_source() {
    let (fetcher, go, _) = released_by_test();
    let at_once = |fetcher: &Fetcher| fetcher.collect(&fetcher.want(), Instant::now());
    let nothing = at_once(&fetcher);
    assert!(!nothing.up && nothing.copy.is_none(), "there is nothing yet");
    assert_eq!(nothing.news.failure, None);
    go.send(()).unwrap();
    wait_for_the_end(&fetcher);
    let copy = at_once(&fetcher);
    assert_eq!((copy.up, text(&copy)), (true, Some(&b"x 0\n"[..])));
    assert_eq!(copy.news.failure, None);
    let again = at_once(&fetcher);
    assert!(again.up && again.news.failure.is_none(), "also while it is read");
    assert!(!fetcher.shared.state.lock().late);
    go.send(()).unwrap();
}

#[test]
fn only_the_first_scrape_waits_for_a_slow_source_and_later_ones_have_the_copy() {
    let (mut fetcher, go, began) = released_by_test();
    fetcher.refresh_wait = Duration::from_millis(1);
    go.send(()).unwrap();
    let first = scrape(&fetcher);
    assert_eq!((first.up, text(&first)), (true, Some(&b"x 0\n"[..])), "the scrape waited for it");
    // The next fetch hangs; the scrape does not wait for the source's timeout.
    let start = Instant::now();
    let second = scrape(&fetcher);
    let (copy, age) = second.copy.as_ref().unwrap();
    assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
    assert_eq!((second.up, copy.as_slice()), (true, &b"x 0\n"[..]));
    assert!(*age >= fetcher.refresh_wait, "{age:?}");
    assert_eq!(second.news.failure, None, "it may take longer");
    assert_eq!(began.load(Ordering::Relaxed), 2);
    // The fetch ends: its text is for the next scrape.
    go.send(()).unwrap();
    wait_for_the_end(&fetcher);
    assert_eq!(text(&scrape(&fetcher)), Some(&b"x 1\n"[..]));
}

#[test]
fn a_copy_is_served_until_it_is_too_old() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let fetcher = fetcher(move || {
        if failing.load(Ordering::Relaxed) { Err("down".into()) } else { Ok("x 1\n".into()) }
    });
    assert!(scrape(&fetcher).up);
    fails.store(true, Ordering::Relaxed);
    let collected = scrape(&fetcher);
    let failed = EngineError::Failed { message: "down".into() };
    assert_eq!(collected.news.failure, Some(failed));
    assert_eq!((collected.up, text(&collected)), (false, Some(&b"x 1\n"[..])));
    let old = Instant::now() - ENGINE_COPY_AGE_MAX - Duration::from_millis(1);
    fetcher.shared.state.lock().copy.as_mut().unwrap().began = old;
    assert!(text(&scrape(&fetcher)).is_none());
    fails.store(false, Ordering::Relaxed);
    assert!(scrape(&fetcher).up);
}

/// Stands for a scrape every 60 s of an engine that takes longer than a scrape waits where there is a copy.
#[test]
fn a_copy_that_becomes_too_old_while_a_scrape_waits_is_served() {
    let (fetcher, go, _) = released_by_test();
    go.send(()).unwrap();
    assert_eq!(text(&scrape(&fetcher)), Some(&b"x 0\n"[..]));
    let ticket = fetcher.want();
    fetcher.shared.state.lock().copy.as_mut().unwrap().began = ticket.at - ENGINE_COPY_AGE_MAX;
    let collected = fetcher.collect(&ticket, Instant::now());
    let (copy, age) = collected.copy.unwrap();
    assert_eq!((collected.up, copy.as_slice()), (true, &b"x 0\n"[..]));
    assert!(age > ENGINE_COPY_AGE_MAX, "{age:?}");
}

#[test]
fn a_failure_between_scrapes_is_reported_to_the_next_one() {
    let fetcher = fetcher(|| Err("down".into()));
    fetcher.want();
    let deadline = Instant::now() + SOON;
    while fetcher.shared.state.lock().fetches == 0 && Instant::now() < deadline {
        thread::yield_now();
    }
    let failed = Some(EngineError::Failed { message: "down".into() });
    assert_eq!(fetcher.want().news.failure, failed);
}

#[test]
fn dropping_ends_the_thread_and_does_not_wait_for_it() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let quick = fetcher(move || {
        let _held = &held;
        Ok(String::new())
    });
    scrape(&quick);
    drop(quick);
    let deadline = Instant::now() + SOON;
    while Arc::strong_count(&alive) > 1 && Instant::now() < deadline {
        thread::yield_now();
    }
    assert_eq!(Arc::strong_count(&alive), 1, "the thread dropped the source");
    let (hanging, _go, _) = released_by_test();
    hanging.want();
    let start = Instant::now();
    drop(hanging);
    assert!(start.elapsed() < SOON);
}

#[test]
fn a_large_buffer_is_kept_only_while_it_is_used() {
    let mut buffer = vec![b'x'; BUFFER_KEPT_BYTES_MAX + 1];
    let used = buffer.len();
    free_if_large(&mut buffer, used);
    assert_eq!(buffer.len(), used);
    free_if_large(&mut buffer, 0);
    assert_eq!(buffer.capacity(), 0, "the text was empty");
    let mut small = vec![b'x'; 1000];
    free_if_large(&mut small, 0);
    assert!(small.capacity() >= 1000);
}

#[test]
fn thread_names_are_short_and_plain() {
    assert_eq!(thread_name("vllm"), "engine-vllm");
    assert_eq!(thread_name("a\0 \u{e9}b and many more"), "engine-abandman");
}
