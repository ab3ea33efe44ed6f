//! The strict parsers take any bytes without a panic, and what they accept they understood: every sample has a
//! family, and every line was counted. The first byte chooses the format.
#![no_main]

use dynamo_metrics_encoder::strict::{self, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else { return };
    let format = match choice % 4 {
        0 => Format::Text,
        1 => Format::TextUtf8,
        2 => Format::OpenMetrics,
        _ => Format::OpenMetricsUtf8,
    };
    match strict::parse_as(format, input) {
        Ok(exposition) => {
            let samples = exposition.samples().count();
            let lines = input.split(|&byte| byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).count();
            assert_eq!(samples, lines);
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
