//! The strict parsers and the checker take any bytes without a panic, and what the parsers accept they understood: every sample
//! has a family, and every line was counted. Text that passes without names in quotes passes with them, alike. The first byte
//! chooses the format.
#![no_main]

use dynamo_metrics_parser::{Format, judge, parse_as};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else { return };
    let (format, with_quotes) = match choice % 4 {
        0 => (Format::Text, Format::TextUtf8),
        1 => (Format::TextUtf8, Format::TextUtf8),
        2 => (Format::OpenMetrics, Format::OpenMetricsUtf8),
        _ => (Format::OpenMetricsUtf8, Format::OpenMetricsUtf8),
    };
    let judgement = judge(format, input);
    assert!(judgement.findings.iter().all(|finding| finding.line > 0));
    match parse_as(format, input) {
        Ok(exposition) => {
            let lines = input.split(|&byte| byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).count();
            assert_eq!(exposition.samples().count(), lines);
            let again = parse_as(with_quotes, input).expect("names in quotes forbid nothing");
            // Not compared as such, because NaN is unlike itself.
            assert_eq!(format!("{again:?}"), format!("{exposition:?}"));
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
