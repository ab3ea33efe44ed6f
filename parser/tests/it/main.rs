//! The parser from outside: tables of pages, arbitrary bytes, real pages, and other parsers as judges.

mod check_expfmt;
mod check_series;
mod judges;
mod openmetrics;
mod openmetrics_cases;
mod openmetrics_table;
mod text;
mod text_table;

use dynamo_metrics_parser::Problem;

/// The problems as one line of a failing test's output.
fn in_words(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}
