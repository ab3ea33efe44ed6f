//! The variables of bucket bounds: three numbers for each set, under two names each.
//!
//! Bounds that are not valid are warnings: the default is used. A number that cannot be read costs only itself.

use super::read::Reader;
use crate::frontend::BucketBounds;
use std::fmt::Display;
use std::str::FromStr;

/// Rounding bounds to two figures makes some equal; a tenth of them lost is worth a warning.
const BOUNDS_KEPT_MIN: f64 = 0.9;

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// Puts bounds that can be generated into `place`.
    pub(super) fn bounds(&mut self, place: &mut BucketBounds, set: &str) {
        let BucketBounds::Generated { min, max, count } = *place else { return };
        let default = place.clone();
        // The values that were set, each under the name that it was set by.
        let mut given = Vec::new();
        let asked = BucketBounds::Generated {
            min: self.part(set, "MIN", min, &mut given),
            max: self.part(set, "MAX", max, &mut given),
            count: self.part(set, "COUNT", count, &mut given),
        };
        let BucketBounds::Generated { count, .. } = asked else { return };
        if asked == default {
            return;
        }
        let (names, values): (Vec<String>, Vec<String>) = given.into_iter().unzip();
        let (name, value) = (names.join(","), values.join(","));
        match asked.buckets() {
            Ok(buckets) => {
                let kept = buckets.bounds().len();
                if (kept as f64) < count as f64 * BOUNDS_KEPT_MIN {
                    let reason = "many bounds are equal when rounded to two figures";
                    self.warn(&name, value, reason, format!("the {kept} that differ"));
                }
                *place = asked;
            }
            Err(error) => self.warn(&name, value, error, default),
        }
    }

    /// One number of a set of bounds, under its documented name or the one that 0.9.0 reads.
    fn part<T: FromStr + Display + Copy>(
        &mut self,
        set: &str,
        part: &str,
        default: T,
        given: &mut Vec<(String, String)>,
    ) -> T {
        let plain = format!("DYN_METRICS_{set}_{part}");
        let doubled = format!("DYN_HISTOGRAM_{plain}");
        let (name, value) = match (self.get(&plain), self.get(&doubled)) {
            (Some(value), Some(other)) if value != other => {
                self.warn(&doubled, other, format!("{plain} says something else"), &value);
                (plain, value)
            }
            (Some(value), _) => (plain, value),
            (None, Some(value)) => (doubled, value),
            (None, None) => return default,
        };
        match value.parse() {
            Ok(number) => {
                given.push((name, value));
                number
            }
            Err(_) => {
                self.warn(&name, value, "not a number of the right kind", default);
                default
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::with;
    use super::*;

    fn generated(min: f64, max: f64, count: usize) -> BucketBounds {
        BucketBounds::Generated { min, max, count }
    }

    #[test]
    fn bounds_have_two_names_and_the_documented_one_wins() {
        let (environment, warnings) = with(&[
            ("DYN_METRICS_TTFT_MAX", "100"),
            ("DYN_HISTOGRAM_DYN_METRICS_TTFT_COUNT", "6"),
            ("DYN_HISTOGRAM_DYN_METRICS_ITL_MAX", "4"),
            ("DYN_METRICS_ITL_MAX", "8"),
            ("DYN_METRICS_OUTPUT_SEQUENCE_COUNT", "1"),
        ])
        .unwrap();
        let buckets = environment.frontend.buckets;
        assert_eq!(buckets.time_to_first_token, generated(0.001, 100.0, 6));
        assert_eq!(buckets.inter_token_latency, generated(0.001, 8.0, 13));
        assert_eq!(buckets.output_sequence.buckets().unwrap().bounds(), [0.0]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].variable, "DYN_HISTOGRAM_DYN_METRICS_ITL_MAX");
        assert_eq!(warnings[0].used, "8");
    }

    #[test]
    fn bounds_that_make_no_sense_are_the_default_and_said_so() {
        let default = generated(0.001, 2.0, 13);
        for variables in [
            &[("DYN_METRICS_ITL_MIN", "fast")][..],
            &[("DYN_METRICS_ITL_COUNT", "-1")],
            &[("DYN_METRICS_ITL_MIN", "0")],
            &[("DYN_METRICS_ITL_MIN", "3")],
            &[("DYN_METRICS_ITL_MIN", "nan")],
            &[("DYN_METRICS_ITL_MAX", "inf")],
            &[("DYN_METRICS_ITL_COUNT", "0")],
            &[("DYN_METRICS_ITL_COUNT", "513")],
        ] {
            let (environment, warnings) = with(variables).unwrap();
            assert_eq!(environment.frontend.buckets.inter_token_latency, default, "{variables:?}");
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].variable.starts_with("DYN_METRICS_ITL_"));
            let said = warnings[0].to_string();
            assert!(said.contains(variables[0].1) || said.contains("NaN"), "{said}");
        }
        // Named as it was set.
        let doubled = "DYN_HISTOGRAM_DYN_METRICS_ITL_MIN";
        let (_, warnings) = with(&[(doubled, "5"), ("DYN_METRICS_ITL_COUNT", "4")]).unwrap();
        assert_eq!(warnings[0].variable, format!("{doubled},DYN_METRICS_ITL_COUNT"));
        assert_eq!(warnings[0].value, "5,4");
        // One that cannot be read costs only itself.
        let variables = [("DYN_METRICS_ITL_MIN", "fast"), ("DYN_METRICS_ITL_MAX", "8")];
        let (environment, warnings) = with(&variables).unwrap();
        assert_eq!(environment.frontend.buckets.inter_token_latency, generated(0.001, 8.0, 13));
        assert_eq!(warnings.len(), 1);
        // Two figures between 1 and 1.5 are at most six.
        let variables = [
            ("DYN_METRICS_ITL_MIN", "1"),
            ("DYN_METRICS_ITL_MAX", "1.5"),
            ("DYN_METRICS_ITL_COUNT", "50"),
        ];
        let (environment, warnings) = with(&variables).unwrap();
        assert_eq!(environment.frontend.buckets.inter_token_latency, generated(1.0, 1.5, 50));
        assert_eq!(warnings[0].used, "the 7 that differ");
    }
}
