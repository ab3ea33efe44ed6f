//! Names as Prometheus takes them, and the suffixes of units and counters, by the rules of `metrics-exporter-prometheus`.

use metrics::Unit;

/// The suffixes that stay behind a unit.
const ENDS: [&str; 4] = ["_sum", "_count", "_bucket", "_total"];

/// Returns a metric's name with `_` for each character that may not be at its place.
pub(crate) fn metric_name(name: &str) -> String {
    replaced(name, |c| c.is_ascii_alphabetic() || c == '_' || c == ':')
}

/// Returns a label's name with `_` for each character that may not be at its place.
pub(crate) fn label_name(name: &str) -> String {
    replaced(name, |c| c.is_ascii_alphabetic() || c == '_')
}

/// Replaces every character that is neither a start nor, behind the first place, a digit.
fn replaced(name: &str, is_start: impl Fn(char) -> bool) -> String {
    let keeps = |(at, c): (usize, char)| is_start(c) || (at > 0 && c.is_ascii_digit());
    name.chars().enumerate().map(|(at, c)| if keeps((at, c)) { c } else { '_' }).collect()
}

/// Returns the suffix of a unit; `None` for a unit that names have no suffix for.
pub(crate) fn unit_suffix(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::Count => None,
        Unit::Percent => Some("ratio"),
        unit => Some(unit.as_str()),
    }
}

/// Returns the name with the unit before its last suffix, or at its end, unless the unit is there.
pub(crate) fn with_unit(name: &str, unit: &str) -> String {
    let end = ENDS.into_iter().find(|end| name.ends_with(end)).unwrap_or_default();
    let stem = &name[..name.len() - end.len()];
    if stem.ends_with(unit) { name.into() } else { format!("{stem}_{unit}{end}") }
}

/// Returns the name of a counter with `_total` at its end, unless it ends so.
pub(crate) fn with_total(name: String) -> String {
    // `subtotal`, too, stays as it is: that is the rule of the exporter whose names these are.
    if name.ends_with("total") { name } else { name + "_total" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_may_not_be_at_their_place_are_replaced() {
        let names = [("a.b-c", "a_b_c"), ("1a", "_a"), ("a1:é", "a1:_"), ("", ""), ("9:9", "_:9")];
        for (name, expected) in names {
            assert_eq!(metric_name(name), expected);
        }
        assert_eq!(label_name("a:b1"), "a_b1");
        assert_eq!(label_name("1b"), "_b");
    }

    #[test]
    fn units_stand_before_the_last_suffix_and_once() {
        for (name, expected) in [
            ("wait", "wait_seconds"),
            ("wait_seconds", "wait_seconds"),
            ("wait_total", "wait_seconds_total"),
            ("wait_seconds_total", "wait_seconds_total"),
            ("wait_sum", "wait_seconds_sum"),
        ] {
            assert_eq!(with_unit(name, "seconds"), expected);
        }
        assert_eq!(with_total("a".into()), "a_total");
        assert_eq!(with_total("a_total".into()), "a_total");
    }
}
