//! Whatever engines print, what is merged from it is valid.
#![no_main]

use bytes::BytesMut;
use dynamo_metrics_encoder::foreign::{Filter, Foreign};
use dynamo_metrics_encoder::strict;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|sources: Vec<&[u8]>| {
    let filters = [Filter::all(), Filter::vllm(), Filter::trtllm()];
    let sources = filters.iter().cycle().zip(sources.iter().copied());
    let mut out = BytesMut::new();
    Foreign::new().merge(sources, &|name| name.starts_with("dynamo_"), &mut out);
    if let Err(problems) = strict::parse(&out) {
        panic!("{}\n{}", problems[0], String::from_utf8_lossy(&out));
    }
});
