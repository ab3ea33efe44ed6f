//! The documented table of variables is the table that the program has.

use dynamo_metrics::environment::VARIABLES;

#[test]
fn every_variable_is_documented() {
    let page = include_str!("../../../docs/environment.md");
    let mut missing = String::new();
    for variable in VARIABLES.iter().filter(|v| !v.name.starts_with("DYN_HISTOGRAM_")) {
        let default = match variable.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let row = format!("| `{}` | {default} | {} |\n", variable.name, variable.meaning);
        if !page.contains(&row) {
            missing += &row;
        }
    }
    assert!(missing.is_empty(), "rows that docs/environment.md lacks:\n{missing}");
    assert!(page.contains("`DYN_HISTOGRAM_DYN_METRICS_*`"));
}
