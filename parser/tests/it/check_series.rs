//! Lines of one series: those that Prometheus leaves out, and those that look alike and are stored.

use dynamo_metrics_parser::{By, Consumer, Effect, Fault, Format, judge};

/// A page, and the values of its lines that Prometheus 2.42 and 3.5 store; each line has a value of its own. `<T>` is a time a few
/// seconds ago, `<U>` one a bit later. A page of OpenMetrics ends in `# EOF`.
pub(crate) const PAGES: &[(&str, &[u32], &[u32])] = &[
    // One spelling.
    ("a 1\na 2\n", &[1], &[1]),
    ("a 1 <T>\na 2\n", &[1, 2], &[1]),
    ("a 1 <T>\na  2\n", &[1, 2], &[1]),
    ("a 1 <T>\na 2\na 3 <U>\n", &[1, 2], &[1, 3]),
    ("a 1 <T>\na 2 <U>\n", &[1, 2], &[1, 2]),
    ("a 1 <U>\na 2 <T>\n", &[1], &[1]),
    ("a 1 <T>\na 2 <T>\n", &[1], &[1]),
    ("a 1\na 2 <T>\n", &[1], &[1]),
    ("a 1 <T>\na 2\n# EOF\n", &[1, 2], &[1]),
    // Several spellings of one series.
    ("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n", &[1], &[1]),
    ("a{x=\"1\",y=\"2\"} 1 <T>\na{y=\"2\",x=\"1\"} 2\n", &[1, 2], &[1, 2]),
    ("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2 <T>\n", &[1], &[1]),
    ("a{x=\"1\",y=\"2\"} 1 <T>\na{y=\"2\",x=\"1\"} 2 <T>\n", &[1], &[1]),
    ("a{x=\"1\"} 1 <T>\na{x=\"1\",} 2\n", &[1, 2], &[1, 2]),
    ("a{x=\"1\"} 1 <T>\na {x=\"1\"} 2\n", &[1, 2], &[1, 2]),
    ("a 1 <T>\na{} 2\n", &[1, 2], &[1, 2]),
    ("a 1 <T>\na{x=\"\"} 2\n", &[1, 2], &[1, 2]),
    ("a{x=\"\\\\a\"} 1\na{x=\"\\a\"} 2\n", &[1], &[1]),
    ("a{x=\"\\\\a\"} 1\na{x=\"\\a\"} 2\n# EOF\n", &[1], &[1]),
    ("a 1 <T>\na{} 2\n# EOF\n", &[1, 2], &[1, 2]),
    ("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n# EOF\n", &[1], &[1]),
    // Times of one millisecond.
    ("a 1 <T>1\na 2 <T>2\n# EOF\n", &[1], &[1]),
    ("a 1 <T>\na 2 <U>\n# EOF\n", &[1, 2], &[1, 2]),
    // Bounds and quantiles.
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\n", &[1, 2], &[1]),
    ("# TYPE h histogram\nh_bucket{le=\"inf\"} 1\nh_bucket{le=\"+Inf\"} 2\n", &[1, 2], &[1]),
    ("# TYPE h histogram\nh_bucket{le=\"1_0\"} 1\nh_bucket{le=\"0x5p1\"} 2\n", &[1, 2], &[1]),
    ("# TYPE h histogram\nh_bucket{le=\"+nan\"} 1\nh_bucket{le=\"nan\"} 2\n", &[1, 2], &[1, 2]),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 1 <T>\nh_bucket{le=\"1.0\"} 2\n", &[1, 2], &[1, 2]),
    ("# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"5e-1\"} 2\n", &[1, 2], &[1]),
    ("# TYPE s summary\ns{le=\"1\"} 1\ns{le=\"1.0\"} 2\n", &[1, 2], &[1, 2]),
    ("# TYPE h histogram\nfoo{le=\"1\"} 1\nfoo{le=\"1.0\"} 2\n", &[1, 2], &[1]),
    ("# TYPE h histogram\n# HELP g G.\nfoo{le=\"1\"} 1\nfoo{le=\"1.0\"} 2\n", &[1, 2], &[1]),
    ("# TYPE h histogram\n# TYPE g gauge\nfoo{le=\"1\"} 1\nfoo{le=\"1.0\"} 2\n", &[1, 2], &[1, 2]),
    ("foo{le=\"1.0\"} 1\n# TYPE h histogram\nfoo{le=\"1\"} 2\n", &[1, 2], &[1]),
    ("# TYPE h histogram\nfoo{le=\"1\"} 1\n# TYPE g gauge\nfoo{le=\"1.0\"} 2\n", &[1, 2], &[1]),
    (
        "# TYPE h histogram\nfoo{le=\"1\"} 1\n# TYPE g gauge\nfoo {le=\"1\"} 2\nfoo{le=\"1\"} 3\n",
        &[1],
        &[1, 2],
    ),
    ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\n# EOF\n", &[1, 2], &[1]),
    ("# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"5e-1\"} 2\n# EOF\n", &[1, 2], &[1]),
    ("# TYPE h gaugehistogram\nfoo{le=\"1\"} 1\nfoo{le=\"1.0\"} 2\n# EOF\n", &[1, 2], &[1, 2]),
];

/// The format of a page, which is also what its end says.
pub(crate) fn format(page: &str) -> Format {
    if page.ends_with("# EOF\n") { Format::OpenMetrics } else { Format::Text }
}

/// The page with times, of which the first is in milliseconds.
pub(crate) fn at(page: &str, time: u64) -> String {
    let spell = |time: u64| match format(page) {
        Format::Text => time.to_string(),
        _ => format!("{}.{:03}", time / 1000, time % 1000),
    };
    page.replace("<T>", &spell(time)).replace("<U>", &spell(time + 2000))
}

/// The values of the lines that a consumer does not leave out.
pub(crate) fn kept(page: &str, consumer: Consumer) -> Vec<u32> {
    let judgement = judge(format(page), page.as_bytes());
    let is_own =
        |by: &By| matches!(by, By::Consumers(by) if by.contains(&(Effect::Dropped, consumer)));
    let own = judgement.findings.iter().filter(|finding| is_own(&finding.by));
    let left_out: Vec<usize> = own.map(|finding| finding.line).collect();
    let lines = page
        .lines()
        .enumerate()
        .filter(|(at, line)| !line.starts_with('#') && !left_out.contains(&(at + 1)));
    let value = |line: &str| {
        line.rsplit_once('}')
            .map_or(line, |(_, rest)| rest)
            .split(' ')
            .find_map(|word| word.parse().ok())
    };
    lines.filter_map(|(_, line)| value(line)).collect()
}

#[test]
fn lines_of_one_series_are_judged_as_prometheus_stores_them() {
    for (page, two, three) in PAGES {
        let page = at(page, 1_700_000_000_000);
        assert_eq!(kept(&page, Consumer::Prometheus2), *two, "Prometheus 2: {page}");
        assert_eq!(kept(&page, Consumer::Prometheus3), *three, "Prometheus 3: {page}");
    }
}

/// A time of another year than that of a scrape is left out, which is not judged: a page may have been saved then.
#[test]
fn a_time_that_no_scrape_has_is_no_fault_and_hides_no_other_line() {
    for page in ["a 1 1000\nb 2\n", "a 1 1000\na{} 2\n", "a 1 1\na{} 2\nb 3 1e30\nc 4 -5\n# EOF\n"]
    {
        for three in [Consumer::Prometheus2, Consumer::Prometheus3] {
            assert_eq!(
                kept(page, three).len(),
                page.matches('\n').count() - page.matches('#').count(),
                "{page}"
            );
        }
    }
    assert_eq!(kept("a 1\na{} 2 1000\n", Consumer::Prometheus3), [1, 2]);
    // By no scrape but the first one.
    assert_eq!(kept("a 1 1000\na 3\n", Consumer::Prometheus3), [1]);
}

#[test]
fn an_escaped_line_feed_is_the_same_as_a_line_feed() {
    let findings = judge(Format::Text, b"a{x=\"\\n\"} 1\na{x=\"\n\"} 2\n").findings;
    let twice = Fault::SeriesTwice { name: "a".into() };
    assert!(findings.iter().any(|found| (found.line, &found.fault) == (2, &twice)), "{findings:?}");
}

#[test]
fn two_spellings_of_a_bound_are_named() {
    let page = b"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"1.0\"} 5\n";
    let findings = judge(Format::Text, page).findings;
    assert_eq!(
        findings[0].to_string(),
        "error: series of h_bucket is there twice, because le=\"1.0\" is the same number as le=\"1\": expose one of them \
         (left out by Prometheus 3)"
    );
}
