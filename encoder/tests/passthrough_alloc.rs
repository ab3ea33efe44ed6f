//! A merge no larger than the one before allocates nothing: counted, not read off the code.

use std::fmt::Write;

use bytes::BytesMut;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Passthrough, Source};
use dynamo_metrics_test_support::{Counting, allocated};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An engine's text with everything that takes memory: many families and label sets, histograms out
/// of order, escapes and bounds to respell, duplicates, bad lines.
fn engine_text(engine: usize, value: usize) -> String {
    let mut text = String::new();
    for family in 0..20 {
        let _ =
            writeln!(text, "# HELP e:h{family} Some \\\\ \\t text.\n# TYPE e:h{family} histogram");
        for set in 0..10 {
            let labels = format!("engine=\"{engine}\",set=\"{set}\\d\"");
            let _ = writeln!(text, "e:h{family}_sum{{{labels}}} {value}.25");
            let _ = writeln!(text, "e:h{family}_bucket{{{labels},le=\"Inf\"}} {value}.0");
            let _ = writeln!(text, "e:h{family}_bucket{{{labels},le=\"1\"}} 1");
            let _ = writeln!(text, "e:h{family}_count{{{labels}}} {value}");
        }
        // A family that gives its type up, so that the merge is done twice.
        let _ = writeln!(text, "# TYPE e:p{family} histogram\ne:p{family}_bucket{{le=\"1\"}} 1");
        let _ = writeln!(text, "# TYPE e:c{family} counter\ne:c{family}_total {value} 5 # {{}} 1");
        let _ = writeln!(text, "e:c{family}_total {value}\ne:bad{family}{{x=\"1\" {value}");
    }
    text
}

#[test]
fn a_second_merge_allocates_nothing() {
    let filter = Filter::new(vec!["e:".into()], vec!["e:x".into()], Some("p_".into())).unwrap();
    let labels = Labels::new([("engine", "own wins"), ("worker_id", "7")]).unwrap();
    let names = NameFilter::default();
    let texts: Vec<[String; 2]> =
        (0..8).map(|round| [0, 1].map(|engine| engine_text(engine, 1000 + round))).collect();
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        for escaping in Escaping::ALL {
            let asked = Negotiated::new(format, escaping);
            let mut passthrough = Passthrough::new();
            let mut out = BytesMut::with_capacity(1 << 21);
            let mut rounds = texts.iter().map(|pair| {
                out.clear();
                let before = allocated();
                let sources =
                    pair.iter().map(|text| Source::new(&filter, text.as_bytes()).labelled(&labels));
                let ours = |name: &str| name == "p_e:h3_count" || name == "p__e:h3_count";
                let report = passthrough.merge(sources, &ours, asked, &names, &mut out);
                (report, allocated() - before)
            });
            let (first, allocations) = rounds.next().unwrap();
            assert!(allocations > 0, "the counter counts");
            assert!(first.series > 1400 && first.duplicates > 0, "{first:?}");
            assert!(first.quarantined > 0 && first.dropped_lines > 0, "{first:?}");
            for (report, allocations) in rounds {
                assert_eq!(report, first);
                assert_eq!(allocations, 0, "{asked:?}");
            }
        }
    }
}
