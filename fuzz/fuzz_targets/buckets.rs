//! Bucket lookup against a naive scan, for arbitrary bounds and values.
#![no_main]

use dynamo_metrics_core::Buckets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<f64>, Vec<f64>)| {
    let (mut bounds, mut values) = input;
    bounds.retain(|bound| bound.is_finite());
    bounds.iter_mut().for_each(|bound| *bound += 0.0);
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    let Ok(buckets) = Buckets::new(bounds.iter().copied()) else { return };
    for &bound in &bounds {
        values.extend([bound, bound.next_up(), bound.next_down()]);
    }
    for value in values.into_iter().filter(|value| !value.is_nan()) {
        let naive = bounds.iter().position(|&bound| value <= bound).unwrap_or(bounds.len());
        assert_eq!(buckets.index(value), naive, "{value:e} in {bounds:?}");
    }
});
