//! `docs/limits.md` against the constants of the source: each row has the figure of a constant of its name, and each constant that
//! is named like a limit has a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names that end like a limit's and are none: the widths of numbers and texts, and the keys of lookup tables.
const NOT_LIMITS: [&str; 26] = [
    "BITS_MAX", // a code of gzip
    "COPY_MAX", // a copy of gzip, by its format
    "BUCKET_BYTES_MAX",
    "COMPOSITE_BYTES_MAX",
    "EXACT_DIGITS_MAX",
    "EXACT_MAX",
    "EXCERPT_CHARS_MAX",
    "EXEMPLAR_BYTES_MAX",
    "EXEMPLAR_CODE_POINTS_MAX",
    "EXPONENT_MAX",
    "F64_TEXT_MAX",
    "GAP_MAX",
    "HALVES_MAX",
    "KEYS_MAX",
    "LENGTHS_BYTES_MAX",
    "MANTISSA_BITS_MAX",
    "NUMBER_BYTES_MAX",
    "PLAIN_BOUND_LEN_MAX",
    "READS_MAX",
    "SCHEMA_MAX",
    "SECONDS_LEN_MAX",
    "START_BYTES_MAX",
    "TABLE_MAX",
    "THREAD_NAME_BYTES_MAX",
    "WHOLE_MAX",
    "YEAR_MAX",
];

/// Endings of a limit's name.
const ENDINGS: [&str; 4] = ["_MAX", "_MAX_DEFAULT", "_DEADLINE", "_LIMIT"];

/// A figure in base units: bytes, nanoseconds or a number.
type Figure = u128;

type Operation = fn(Figure, Figure) -> Figure;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below the `src` of a package that is not only for tests or figures.
fn sources() -> Vec<PathBuf> {
    let packages = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.join("Cargo.toml").exists() && !["benches", "fuzz", "test-support"].contains(&&*name)
    };
    let mut folders: Vec<PathBuf> = packages.filter(is_ours).map(|path| path.join("src")).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The text of each constant's value, by name; several packages may have one of the same name.
fn constants() -> BTreeMap<String, BTreeSet<String>> {
    let mut constants: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources() {
        let text = fs::read_to_string(path).unwrap();
        // Unit tests come last in a file.
        let text = text.split("\nmod tests {").next().unwrap_or_default();
        let mut attribute = "";
        for line in text.lines() {
            // Constants of models and Miri are no limits of a program.
            let is_model = ["cfg(loom)", "cfg(miri)"].iter().any(|cfg| attribute.contains(cfg));
            attribute = if is_model { "" } else { line };
            if is_model {
                continue;
            }
            let Some((before, declared)) = line.split_once("const ") else { continue };
            let before = before.trim();
            if !(before.is_empty() || before.starts_with("pub")) {
                continue;
            }
            let Some((name, value)) = declared.split_once(": ") else { continue };
            let Some((_, value)) = value.split_once(" = ") else { continue };
            if let Some(value) = value.strip_suffix(';') {
                constants.entry(name.into()).or_default().insert(value.into());
            }
        }
    }
    constants
}

/// The figures that an expression may stand for: constants of several packages may share a name. Empty when it is none.
fn figures(expression: &str, constants: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Figure> {
    let expression = expression.trim();
    if let Some((_, otherwise)) = expression.split_once("else {") {
        return figures(otherwise.trim_end_matches('}'), constants);
    }
    for (call, unit) in [("from_secs(", 1_000_000_000), ("from_millis(", 1_000_000)] {
        if let Some((_, argument)) = expression.split_once(call) {
            let argument = figures(argument.trim_end_matches(')'), constants);
            return argument.into_iter().map(|n| n * unit).collect();
        }
    }
    let operators: [(&str, Operation); 5] = [
        (" + ", |a, b| a + b),
        (" - ", |a, b| a - b),
        (" << ", |a, b| a << b),
        (" * ", |a, b| a * b),
        (" / ", |a, b| a / b),
    ];
    let expression = match expression.strip_prefix('(') {
        // Only of the form `(a) + b`.
        Some(rest) => &rest.replacen(')', "", 1),
        None => expression,
    };
    for (operator, apply) in operators {
        if let Some((left, right)) = expression.rsplit_once(operator) {
            let (left, right) = (figures(left, constants), figures(right, constants));
            let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b)));
            return pairs.map(|(a, b)| apply(a, b)).collect();
        }
    }
    let number = expression.trim_end_matches(" as u64").replace('_', "");
    if number == "u32::MAX" {
        return BTreeSet::from([u32::MAX.into()]);
    }
    if let Ok(number) = number.parse() {
        return BTreeSet::from([number]);
    }
    let name = expression.rsplit("::").next().unwrap_or_default().trim_end_matches(" as u64");
    let values = constants.get(name).into_iter().flatten();
    values.flat_map(|value| figures(value, constants)).collect()
}

/// A figure of the page, as `8 KiB`, `10,000` or `5 min`.
fn figure(cell: &str) -> Figure {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let unit = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        other => panic!("{cell}: {other} is no unit of this page"),
    };
    number.replace(',', "").parse::<Figure>().unwrap_or_else(|_| panic!("{cell} is no figure"))
        * unit
}

/// Name and figure of each row.
fn rows() -> BTreeSet<(String, Figure)> {
    let page = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut all = BTreeSet::new();
    for row in rows {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap_or_default().trim_end_matches('`');
        if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            all.insert((name.into(), figure(cells.next().unwrap_or_default())));
        }
    }
    all
}

#[test]
fn each_row_has_the_figure_of_its_constant() {
    let constants = constants();
    let rows = rows();
    assert!(rows.len() > 80, "{} rows", rows.len());
    let wrong: Vec<_> = rows
        .iter()
        .map(|(name, figure)| (name, figure, figures(name, &constants)))
        .filter(|(_, figure, source)| !source.contains(figure))
        .collect();
    assert!(wrong.is_empty(), "name, the page's figure, the source's: {wrong:#?}");
}

#[test]
fn each_limit_of_the_source_has_a_row() {
    let constants = constants();
    let rows = rows();
    let names = constants.keys().filter(|name| {
        ENDINGS.iter().any(|ending| name.ends_with(ending)) && !NOT_LIMITS.contains(&&***name)
    });
    let has_a_row = |name: &String, value: &String| {
        let figures = figures(value, &constants);
        // Without a figure it is a text, or something that a program works out.
        figures.is_empty() || figures.into_iter().any(|n| rows.contains(&(name.clone(), n)))
    };
    let missing: Vec<_> = names
        .flat_map(|name| constants[name].iter().map(move |value| (name, value)))
        .filter(|(name, value)| !has_a_row(name, value))
        .collect();
    assert!(missing.is_empty(), "limits that docs/limits.md lacks: {missing:#?}");
}

#[test]
fn names_that_are_no_limits_are_in_the_source() {
    let constants = constants();
    let gone: Vec<_> = NOT_LIMITS.iter().filter(|name| !constants.contains_key(**name)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn expressions_of_constants_are_worked_out() {
    let source = BTreeMap::from([("A".into(), BTreeSet::from(["1 << 4".into()]))]);
    for (expression, expected) in [
        ("(1 << 16) + 72", 65_608),
        ("if cfg!(loom) { 2 } else { 1_000 }", 1000),
        ("Duration::from_secs(5 * 60)", 300_000_000_000),
        ("4 * super::merged::A", 64),
        ("Self::A / 2", 8),
    ] {
        assert_eq!(figures(expression, &source), BTreeSet::from([expected]), "{expression}");
    }
    assert_eq!(figures("\"text\".len()", &source), BTreeSet::new());
    assert_eq!(figure("8 KiB"), 8192);
    assert_eq!(figure("10,000"), 10_000);
}
