//! Any `Accept` header gets a format that we have, and who sends that back gets it again.
#![no_main]

use dynamo_metrics_encoder::negotiate::{ACCEPT_CLAUSES_MAX, negotiate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|accept: &str| {
    let answer = negotiate(Some(accept));
    assert_eq!(negotiate(Some(answer.content_type())), answer);
    if !accept.contains('/') {
        assert_eq!(answer, negotiate(None), "nothing is named");
    }
    // Unless they are in quotes or too many, a clause that names nothing of ours changes nothing, and what is
    // excluded stays so wherever it stands.
    if !accept.contains('"') && accept.split(',').count() < ACCEPT_CLAUSES_MAX {
        for nothing in ["x/y", "/", "*/*;q=2", "application/openmetrics-text;version=9", ";;="] {
            assert_eq!(negotiate(Some(&format!("{nothing},{accept}"))), answer);
            assert_eq!(negotiate(Some(&format!("{accept},{nothing}"))), answer);
        }
        let text = format!("text/plain;q=1.0,{accept}");
        assert_eq!(negotiate(Some(&text)), negotiate(None), "the first of the best wins");
        let openmetrics = format!("{accept},application/openmetrics-text;q=1.0");
        if negotiate(Some(&openmetrics)) == negotiate(None) {
            let accept = accept.to_ascii_lowercase();
            assert!(
                accept.contains("text/plain") || accept.contains("/*"),
                "a better one is there"
            );
        }
    }
});
