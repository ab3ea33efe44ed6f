//! The strict parser takes any bytes without a panic, and what it accepts it understood: every sample has a
//! family, and every line was counted.
#![no_main]

use dynamo_metrics_encoder::strict;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match strict::parse(input) {
        Ok(exposition) => {
            let samples = exposition.samples().count();
            let lines =
                input.split(|&byte| byte == b'\n').filter(|line| !line.starts_with(b"#")).count();
            // The piece after the last LF is empty.
            assert_eq!(samples, lines.saturating_sub(1));
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
});
