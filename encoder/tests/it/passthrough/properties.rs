//! The result of merging any bytes passes the strict parser, has every valid sample, and merges into itself.

use dynamo_metrics_test_support::pages;

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Report, Source};
use dynamo_metrics_parser::{self as strict, Exposition};
use proptest::prelude::*;
use proptest::sample::Index;

/// A page of a vLLM worker, for machines that have no reference bodies.
const VLLM: &str = r#"# HELP python_info Python platform information
# TYPE python_info gauge
python_info{implementation="CPython",major="3",minor="12",patchlevel="3",version="3.12.3"} 1.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-0.6B"} 3.0
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="Qwen/Qwen3-0.6B"} 51234.0
# HELP vllm:prompt_tokens_created Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="Qwen/Qwen3-0.6B"} 1.7682643398698673e+09
# HELP vllm:iteration_tokens_total Histogram of number of tokens per engine_step.
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="Qwen/Qwen3-0.6B"} 12.0
vllm:iteration_tokens_total_bucket{engine="0",le="8.0",model_name="Qwen/Qwen3-0.6B"} 40.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="Qwen/Qwen3-0.6B"} 41.0
vllm:iteration_tokens_total_count{engine="0",model_name="Qwen/Qwen3-0.6B"} 41.0
vllm:iteration_tokens_total_sum{engine="0",model_name="Qwen/Qwen3-0.6B"} 222.0
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",sliding_window="None"} 1.0
# HELP lmcache:latency Quantiles; a = b
# TYPE lmcache:latency summary
lmcache:latency{quantile="0.5"} 0.25
lmcache:latency{quantile="0.99"} NaN
lmcache:latency_sum 17.5
lmcache:latency_count 70.0
"#;

fn merge(sources: &[(&Filter, &[u8])], reserved: &[&str]) -> (Vec<u8>, Report) {
    let mut out = BytesMut::new();
    let sources = sources.iter().map(|(filter, text)| Source::new(filter, text));
    let (ours, names) = (|name: &str| reserved.contains(&name), NameFilter::default());
    let report = Passthrough::new().merge(sources, &ours, Default::default(), &names, &mut out);
    (out.to_vec(), report)
}

/// Merges, and checks all that must hold whatever went in.
fn checked(
    sources: &[(&Filter, &[u8])],
    reserved: &[&str],
) -> Result<(Exposition, Report), TestCaseError> {
    let (out, report) = merge(sources, reserved);
    let parsed = strict::parse(&out);
    prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed, String::from_utf8_lossy(&out));
    let exposition = parsed.unwrap();
    prop_assert_eq!(exposition.families.len() as u64, report.families);
    prop_assert_eq!(exposition.samples().count() as u64, report.series);
    for sample in exposition.samples() {
        prop_assert!(!reserved.contains(&&sample.name[..]), "{} is reserved", sample.name);
    }
    let all = Filter::all();
    let (again, second) = merge(&[(&all, &out)], &[]);
    prop_assert_eq!(&again, &out, "{}", String::from_utf8_lossy(&out));
    let lossless = Report::clone(&report);
    prop_assert_eq!((second.families, second.series), (lossless.families, lossless.series));
    prop_assert_eq!(
        [second.clashes, second.duplicates, second.quarantined, second.dropped_lines],
        [0; 4]
    );
    Ok((exposition, report))
}

/// Text that every consumer takes comes out with every series and value.
fn keeps_what_is_right(text: &[u8]) -> Result<(), TestCaseError> {
    let Ok(before) = strict::parse(text) else { return Ok(()) };
    let (after, report) = checked(&[(&Filter::all(), text)], &[])?;
    prop_assert_eq!([report.clashes, report.duplicates, report.dropped_lines], [0; 3]);
    // A negative `x_total` below `TYPE x counter` is an untyped series there and a counter here.
    let kept = report.series + report.quarantined;
    prop_assert_eq!(kept, before.samples().count() as u64);
    for sample in after.samples() {
        let labels: Vec<_> = sample.labels.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let value = before.value(&sample.name, &labels).map(f64::to_bits);
        // Counts lose the sign of a zero.
        let same = value == Some(sample.value.to_bits())
            || (value == Some((-0.0_f64).to_bits()) && sample.value == 0.0);
        prop_assert!(same, "{:?} was {:?}", sample, value);
    }
    Ok(())
}

fn filters() -> Vec<Filter> {
    let prefixed =
        |prefix: &str| Filter::new(vec![], vec!["b".into()], Some(prefix.into())).unwrap();
    vec![Filter::all(), Filter::vllm(), Filter::trtllm(), prefixed("a_"), prefixed("a")]
}

fn real_text() -> Vec<u8> {
    let mut bodies = pages::reference().into_iter();
    let body = bodies.find(|(name, _)| name == "component-with-engine-text.txt");
    let mut text = VLLM.as_bytes().to_vec();
    if let Some((_, body)) = body {
        text.extend(body);
    }
    text
}

/// One way in which a line can go wrong, or the whole text.
#[derive(Clone, Debug)]
enum Mutation {
    Delete(Index),
    Duplicate(Index, Index),
    Move(Index, Index),
    Cut(Index, Index),
    SetByte(Index, Index, u8),
    Insert(Index, Index, Vec<u8>),
    Replace(Index, &'static str, &'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let words = prop::sample::select(vec![
        ("gauge", "counter"),
        ("histogram", "summary"),
        ("counter", "histogram"),
        ("TYPE", "HELP"),
        ("le=", "quantile="),
        ("_bucket", "_sum"),
        ("_count", "_total"),
        ("+Inf", "Inf"),
        ("+Inf", "1.0"),
        ("\n", "\r\n"),
        ("\n", " # {t=\"1\"} 1\n"),
        (".0", ""),
        ("0", "-"),
        ("vllm:", ""),
        ("engine", "le"),
        ("\"", "\\\""),
        (" ", "  "),
        ("# HELP", "# EOF"),
    ]);
    prop_oneof![
        at().prop_map(Mutation::Delete),
        (at(), at()).prop_map(|(from, to)| Mutation::Duplicate(from, to)),
        (at(), at()).prop_map(|(from, to)| Mutation::Move(from, to)),
        (at(), at()).prop_map(|(line, len)| Mutation::Cut(line, len)),
        (at(), at(), any::<u8>()).prop_map(|(line, at, byte)| Mutation::SetByte(line, at, byte)),
        (at(), at(), prop::collection::vec(any::<u8>(), 1..6))
            .prop_map(|(line, at, bytes)| Mutation::Insert(line, at, bytes)),
        (at(), words).prop_map(|(line, (from, to))| Mutation::Replace(line, from, to)),
    ]
}

fn mutate(text: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> =
        text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    for mutation in mutations {
        if lines.is_empty() {
            break;
        }
        let len = lines.len();
        match mutation {
            Mutation::Delete(line) => drop(lines.remove(line.index(len))),
            Mutation::Duplicate(from, to) => {
                let line = lines[from.index(len)].clone();
                lines.insert(to.index(len + 1), line);
            }
            Mutation::Move(from, to) => {
                let line = lines.remove(from.index(len));
                lines.insert(to.index(len), line);
            }
            Mutation::Cut(line, to) => {
                let line = &mut lines[line.index(len)];
                line.truncate(to.index(line.len() + 1));
            }
            Mutation::SetByte(line, at, byte) => {
                let line = &mut lines[line.index(len)];
                if !line.is_empty() {
                    let at = at.index(line.len());
                    line[at] = *byte;
                }
            }
            Mutation::Insert(line, at, bytes) => {
                let line = &mut lines[line.index(len)];
                let at = at.index(line.len() + 1);
                line.splice(at..at, bytes.iter().copied());
            }
            Mutation::Replace(line, from, to) => {
                let line = &mut lines[line.index(len)];
                let text = String::from_utf8_lossy(line).replace(from, to);
                *line = text.into_bytes();
            }
        }
    }
    lines.concat()
}

#[test]
fn every_sample_of_a_real_page_is_kept() {
    let (exposition, report) = checked(&[(&Filter::vllm(), VLLM.as_bytes())], &[]).unwrap();
    assert_eq!((report.families, report.series), (6, 13));
    assert_eq!(exposition.sum("vllm:prompt_tokens_total"), Some(51_234.0));
    keeps_what_is_right(VLLM.as_bytes()).unwrap();
}

#[test]
fn all_prefixes_of_a_real_text() {
    let text = real_text();
    for end in 0..text.len().min(6000) {
        checked(&[(&Filter::all(), &text[..end])], &[]).unwrap();
    }
}

#[test]
fn each_byte_of_a_real_page_may_be_one_that_ends_something() {
    for byte in *b"#\n\r\t {}\",=\\0" {
        for at in 0..VLLM.len() {
            let (mut set, mut inserted) = (VLLM.as_bytes().to_vec(), VLLM.as_bytes().to_vec());
            set[at] = byte;
            inserted.insert(at, byte);
            for text in [set, inserted] {
                let kept = keeps_what_is_right(&text);
                assert!(kept.is_ok(), "{kept:?} in {}", String::from_utf8_lossy(&text));
            }
        }
    }
}

/// Lines that are like each other but for something.
fn alike() -> impl Strategy<Value = String> {
    let value =
        || prop::sample::select(vec!["0", "1", "12", "", "\\n", "\\\"", "é", "+Inf", "1.0"]);
    let names =
        prop::sample::select(vec!["h_bucket", "h_bucket", "h_bucket", "h_sum", "h_count", "g"]);
    let label = prop::sample::select(vec!["le", "le", "l", "a"]);
    let number =
        prop::sample::select(vec!["0", "1", "2", "3.0", "1e1", "x", "0 5", "0 # {a=\"1\"} 0.5"]);
    (names, label, value(), value(), number, 0..8).prop_map(
        |(name, label, one, two, number, declared)| {
            let kind = if declared == 0 { "# TYPE h histogram\n# TYPE g gauge\n" } else { "" };
            format!("{kind}{name}{{b=\"{one}\",{label}=\"{two}\",c=\"x\"}} {number}\n")
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes(
        first in prop::collection::vec(any::<u8>(), 0..300),
        second in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let all = Filter::all();
        checked(&[(&all, &first), (&all, &second)], &["a"])?;
    }

    #[test]
    fn near_misses_of_several_sources(
        texts in prop::collection::vec((pages::any_text(), 0..5_usize), 1..4),
        reserved in prop::sample::subsequence(vec!["a", "a_sum", "b_total", "trtllm_a"], 0..3),
    ) {
        let filters = filters();
        let sources: Vec<_> =
            texts.iter().map(|(text, filter)| (&filters[*filter], &text[..])).collect();
        checked(&sources, &reserved)?;
    }

    #[test]
    fn near_misses_alone(text in pages::any_text()) {
        checked(&[(&Filter::all(), &text)], &[])?;
        keeps_what_is_right(&text)?;
    }

    /// A line is compared with the one before to save reading it; a blank before it, which says nothing, puts that off.
    #[test]
    fn a_line_means_what_it_means_alone(
        near in pages::any_text(),
        mutations in prop::collection::vec(mutation(), 0..12),
        lines in prop::collection::vec(alike(), 0..40),
    ) {
        let lines: String = lines.concat();
        for text in [near, mutate(&real_text(), &mutations), lines.into_bytes()] {
            let apart: Vec<u8> = text
                .split_inclusive(|&byte| byte == b'\n')
                .flat_map(|line| [b" ", line].concat())
                .collect();
            for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
                for escaping in [Escaping::Underscores, Escaping::AllowUtf8, Escaping::Dots] {
                    let merge = |text: &[u8]| {
                        let (filter, mut out) = (Filter::all(), BytesMut::new());
                        let report = Passthrough::new().merge(
                            [Source::new(&filter, text)],
                            &|_| false,
                            Negotiated::new(format, escaping),
                            &NameFilter::default(),
                            &mut out,
                        );
                        (String::from_utf8_lossy(&out).into_owned(), report)
                    };
                    prop_assert_eq!(merge(&text), merge(&apart), "{:?}", String::from_utf8_lossy(&text));
                }
            }
        }
    }

    #[test]
    fn mutated_real_text(
        first in prop::collection::vec(mutation(), 0..12),
        second in prop::collection::vec(mutation(), 0..12),
    ) {
        let text = real_text();
        let (first, second) = (mutate(&text, &first), mutate(&text, &second));
        let all = Filter::all();
        checked(&[(&all, &first), (&Filter::vllm(), &second)], &["vllm:num_requests_running"])?;
        keeps_what_is_right(&first)?;
    }
}
