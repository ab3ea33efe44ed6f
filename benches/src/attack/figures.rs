//! Figures of attacks: one Markdown table for people, one line of JSON a figure for programs.
//!
//! ```text
//! {"attack","figure","server","value"}      value is null where the event did not happen while we waited
//! ```

use serde::Serialize;
use std::fmt::Write as _;

/// One figure of one server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The attack, by the name that chooses it.
    pub attack: &'static str,
    /// The counted or measured quantity, with its unit.
    pub figure: String,
    /// The server that the figure is of.
    pub server: &'static str,
    /// The figure; nothing if the event did not happen while we waited.
    pub value: Option<f64>,
}

/// A table of figures: a line for each figure, a column for each server, both in order of appearance.
///
/// ```
/// use dynamo_metrics_benches::attack::figures::{Figure, table};
///
/// let figure = |server, value| Figure { attack: "heads", figure: "alive".into(), server, value };
/// let table = table(&[figure("a", Some(0.0)), figure("b", None)]);
/// assert_eq!(table, "| | a | b |\n|---|---|---|\n| alive | 0 | never |\n");
/// ```
pub fn table(figures: &[Figure]) -> String {
    let servers = in_order(figures.iter().map(|figure| figure.server));
    let rows = in_order(figures.iter().map(|figure| &*figure.figure));
    let mut table =
        format!("| | {} |\n|---{}|\n", servers.join(" | "), "|---".repeat(servers.len()));
    for row in rows {
        let _ = write!(table, "| {row} |");
        for server in &servers {
            let of = figures.iter().find(|of| of.figure == row && of.server == *server);
            let _ = write!(table, " {} |", of.map_or_else(String::new, |of| shown(of.value)));
        }
        table.push('\n');
    }
    table
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn shown(value: Option<f64>) -> String {
    match value {
        None => "never".into(),
        Some(value) if value.fract() == 0.0 || value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_as_many_digits_as_they_are_worth() {
        let shown: Vec<String> = [0.0, 0.123, 12.34, 1234.5].map(|value| shown(Some(value))).into();
        assert_eq!(shown, ["0", "0.12", "12.3", "1234"]);
    }

    #[test]
    fn a_figure_that_one_server_lacks_leaves_its_place_empty() {
        let figure = |figure: &str, server| Figure {
            attack: "heads",
            figure: figure.into(),
            server,
            value: Some(1.0),
        };
        let table = table(&[figure("x", "a"), figure("x", "b"), figure("y", "b")]);
        assert!(table.ends_with("| x | 1 | 1 |\n| y |  | 1 |\n"), "{table}");
    }
}
