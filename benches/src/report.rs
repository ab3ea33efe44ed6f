//! Rows: one Markdown table a group for people, one line of JSON a row for programs.
//!
//! ```text
//! {"group","what","threads","ns_median","ns_min","ratio_median"}      ours is "dynamo-metrics", its ratio 1
//!   + "bounds"                      in bucket-lookup
//!   + "lines","bytes","allocs"      of one scrape, in encode-*; there ns_* are of one sample line
//!   + "over_floors"                 of ours beside floors: the ratio to each
//!   + "metric","bytes","allocs"     of one series, in memory; there ns_* are null and the ratio is of bytes
//! ```

use crate::ours::NAME;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

/// The beginning of the names of floors.
const FLOOR: &str = "floor: ";

/// One row.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The group.
    pub group: String,
    /// The crate or operation that was measured.
    pub what: String,
    /// Number of threads that did it at the same time.
    pub threads: usize,
    /// Median over the rounds.
    pub ns_median: Option<f64>,
    /// The best round.
    pub ns_min: Option<f64>,
    /// Median over the rounds of the ratio to ours in the same round.
    pub ratio_median: Option<f64>,
    /// Bounds of the histogram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<usize>,
    /// `counter` or `histogram`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<&'static str>,
    /// Sample lines of a scrape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<usize>,
    /// Bytes of a scrape or of a series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Allocations of a scrape or of a series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocs: Option<f64>,
    /// The median over the rounds of the ratio to each floor in the same round; of our rows only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub over_floors: Vec<(String, f64)>,
}

impl Row {
    /// A row with these times, one for each round, and ours of the same rounds.
    pub fn timed(group: &str, what: &str, threads: usize, times: &[f64], ours: &[f64]) -> Self {
        let ratios: Vec<f64> = times.iter().zip(ours).map(|(time, ours)| time / ours).collect();
        Self {
            group: group.into(),
            what: what.into(),
            threads,
            ns_median: rounded(median(times)),
            ns_min: rounded(times.iter().copied().reduce(f64::min)),
            ratio_median: if what == NAME { Some(1.0) } else { rounded(median(&ratios)) },
            ..Self::default()
        }
    }
}

/// Compares our rows with the floors of the group, round by round. `rows` are those of one number of threads, `times` of the
/// same rows the time of each round.
pub fn compare_with_floors(rows: &mut [Row], times: &[Vec<f64>]) {
    let names: Vec<String> = rows.iter().map(|row| row.what.clone()).collect();
    let floors = || names.iter().zip(times).filter(|(what, _)| what.starts_with(FLOOR));
    for (row, times) in rows.iter_mut().zip(times).filter(|(row, _)| row.what.starts_with(NAME)) {
        row.over_floors = floors()
            .filter_map(|(floor, least)| {
                let ratios: Vec<f64> = times.iter().zip(least).map(|(a, b)| a / b).collect();
                Some((floor.clone(), rounded(median(&ratios))?))
            })
            .collect();
    }
}

/// Writes every row as a line of JSON.
///
/// # Errors
/// As creating its folder and writing the file.
pub fn write_json<T: Serialize>(rows: &[T], path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    for row in rows {
        serde_json::to_writer(&mut file, row)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// A table of operations: a line for each `what`, columns for each number of threads.
pub fn operations(title: &str, rows: &[Row]) -> String {
    let mut threads: Vec<usize> = rows.iter().map(|row| row.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let mut whats: Vec<&str> = Vec::new();
    for row in rows {
        if !whats.contains(&&*row.what) {
            whats.push(&row.what);
        }
    }
    let mut header = vec!["what".to_owned()];
    for n in &threads {
        header.extend([format!("{n}T ns"), format!("{n}T min"), format!("{n}T ratio")]);
    }
    let body = whats.into_iter().map(|what| {
        let mut cells = vec![what.to_owned()];
        for n in &threads {
            let row = rows.iter().find(|row| row.what == what && row.threads == *n);
            for number in [
                row.and_then(|row| row.ns_median),
                row.and_then(|row| row.ns_min),
                row.and_then(|row| row.ratio_median),
            ] {
                cells.push(cell(number));
            }
        }
        cells
    });
    table(title, &header, body) + &over_floors(rows)
}

/// A table of scrapes.
pub fn scrapes(title: &str, rows: &[Row]) -> String {
    let header = ["what", "bytes", "allocs", "µs", "ns/line", "min", "ratio"].map(str::to_owned);
    let body = rows.iter().map(|row| {
        let micros = row.ns_median.zip(row.lines).map(|(ns, lines)| ns * lines as f64 / 1000.0);
        let numbers = [row.bytes, row.allocs, micros, row.ns_median, row.ns_min, row.ratio_median];
        let numbers = numbers.map(cell);
        std::iter::once(row.what.clone()).chain(numbers).collect()
    });
    table(title, &header, body) + &over_floors(rows)
}

/// Returns the comparison of our rows with each floor on one thread: a line for each of ours.
fn over_floors(rows: &[Row]) -> String {
    let on_one = |row: &&Row| row.threads == 1;
    let mut text = String::new();
    for ours in rows.iter().filter(on_one).filter(|row| !row.over_floors.is_empty()) {
        let ratio = |(floor, ratio): &(String, f64)| format!("{ratio:.2} of `{floor}`");
        let ratios: Vec<String> = ours.over_floors.iter().map(ratio).collect();
        let _ = writeln!(text, "\n{}: {}", ours.what, ratios.join(", "));
    }
    text
}

/// A table of bytes a series.
pub fn memory(title: &str, rows: &[Row]) -> String {
    let header = ["what", "bytes", "allocs", "ratio"].map(str::to_owned);
    let body = rows.iter().map(|row| {
        let numbers = [row.bytes, row.allocs, row.ratio_median];
        let numbers = numbers.map(cell);
        std::iter::once(row.what.clone()).chain(numbers).collect()
    });
    table(title, &header, body)
}

/// Three digits behind the point are more than any clock here can tell.
pub(crate) fn rounded(number: Option<f64>) -> Option<f64> {
    number.map(|number| (number * 1000.0).round() / 1000.0)
}

fn table(title: &str, header: &[String], body: impl Iterator<Item = Vec<String>>) -> String {
    let mut text =
        format!("### {title}\n\n| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for cells in body {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn cell(number: Option<f64>) -> String {
    let Some(number) = number else { return "-".into() };
    if number.fract() == 0.0 || number >= 1000.0 {
        format!("{number:.0}")
    } else if number >= 100.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_compares_round_by_round() {
        let row = Row::timed("counter", "other", 2, &[2.0, 9.0, 4.0], &[1.0, 3.0, 1.0]);
        assert_eq!(row.ns_median, Some(4.0));
        assert_eq!(row.ns_min, Some(2.0));
        assert_eq!(row.ratio_median, Some(3.0), "of 2, 3 and 4");
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"group":"counter","what":"other","threads":2,"ns_median":4.0,"ns_min":2.0,"ratio_median":3.0}"#
        );
    }

    #[test]
    fn a_table_has_a_column_for_each_number_of_threads() {
        let ours = [1.0, 1.0];
        let rows = [
            Row::timed("g", NAME, 1, &ours, &ours),
            Row::timed("g", NAME, 2, &ours, &ours),
            Row::timed("g", "x", 1, &[2.5, 3.5], &ours),
        ];
        let text = operations("g", &rows);
        assert!(text.contains("| x | 3 | 2.50 | 3 | - | - | - |"), "{text}");
    }

    #[test]
    fn ours_is_compared_with_the_floor() {
        let times = [vec![3.0, 8.0, 3.0], vec![2.0, 4.0, 2.0], vec![3.0, 3.0, 3.0]];
        let whats = [NAME, "floor: copy", "x"];
        let row = |(what, times): (&str, &Vec<f64>)| Row::timed("g", what, 1, times, times);
        let mut rows: Vec<Row> = whats.into_iter().zip(&times).map(row).collect();
        compare_with_floors(&mut rows, &times);
        assert_eq!(rows[0].over_floors, [("floor: copy".to_owned(), 1.5)], "of 1.5, 2 and 1.5");
        let text = operations("g", &rows);
        assert!(text.ends_with("\ndynamo-metrics: 1.50 of `floor: copy`\n"), "{text}");
    }
}
