//! Samples in a form that can be compared across formats.

/// One sample as a line; labels sorted.
pub(crate) fn line(name: &str, mut labels: Vec<(String, String)>, value: f64) -> String {
    labels.sort();
    // Bounds are spelled differently in formats, and are the same number.
    let labels: Vec<String> = labels
        .into_iter()
        .map(|(name, value)| match (name.as_str(), value.parse::<f64>()) {
            ("le" | "quantile", Ok(bound)) => format!("{name}={bound:?}"),
            _ => format!("{name}={value:?}"),
        })
        .collect();
    format!("{name}{{{}}} {value:?}", labels.join(","))
}
