//! Negotiation and the choice of families allocate nothing, by a counting allocator.

use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, negotiate};
use dynamo_metrics_test_support::{Counting, allocations};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_header_is_read_without_allocating() {
    assert!(allocations(|| drop(black_box(Box::new(1)))) > 0, "the allocator counts");
    let accept = "application/openmetrics-text;version=\"1.0.0\";escaping=\"allow-utf-8\";q=0.6,\
                  text/plain;version=0.0.4;q=0.33333333333333333333333333333333333,*/*;q=0.2,;;\"";
    let n = allocations(|| {
        let answer = negotiate(Some(black_box(accept)));
        assert_eq!((answer.format, answer.escaping), (Format::OpenMetrics, Escaping::AllowUtf8));
        assert!(answer.content_type().starts_with("application/openmetrics-text"));
    });
    assert_eq!(n, 0);
}

#[test]
fn families_are_chosen_without_allocating() {
    let filter = NameFilter::from_query("name[]=a_sum&name[]=b&name[]=c_total").unwrap();
    let n = allocations(|| {
        for (family, exposed_type, shown) in
            [("a", "histogram", true), ("a", "gauge", false), ("c", "counter", true)]
        {
            assert_eq!(black_box(&filter).admits(family, exposed_type), shown);
        }
    });
    assert_eq!(n, 0);
}
