//! Rules that hold over the whole tree: floors, the safety map, plain language, the versions of Rust.
//!
//! The scripts in `ci/` need Python 3 and bash. Without them their tests skip loudly, unless
//! `DYNAMO_METRICS_JUDGES=required`, as in CI.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a script of `ci/` on a tree; `None` when its interpreter is not there.
fn run(interpreter: &str, script: &str, tree: &Path) -> Option<Output> {
    match Command::new(interpreter).arg(root().join("ci").join(script)).arg(tree).output() {
        Ok(output) => Some(output),
        Err(error) => {
            let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|it| it == "required");
            assert!(!required, "DYNAMO_METRICS_JUDGES=required, but {interpreter}: {error}");
            let _ = writeln!(std::io::stderr(), "SKIPPED {script}: {interpreter}: {error}");
            None
        }
    }
}

/// A tree in a directory of its own, which is removed in the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(impl AsRef<Path>, impl AsRef<str>)]) -> Self {
        let tree = std::env::temp_dir().join(format!("conventions-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.as_ref()).unwrap();
        }
        Self(tree)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_import_runs_up_between_the_rooms_of_a_crate() {
    let Some(output) = run("python3", "floors.py", &root()) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_import_that_runs_up_is_found_in_every_form() {
    let cases = [
        ("mod", "use crate::registry::Registry;", "imports from registry"),
        ("mod", "use crate::{shard::A, registry::{Registry, Node}};", "imports from registry"),
        ("mod", "fn f() { crate::registry::f(); }", "imports from registry"),
        ("mod", "use super::registry::Registry;", "imports from registry"),
        ("storage", "use super::super::registry::Registry;", "imports from registry"),
        ("mod", "use crate::Registry;", "imports from registry"),
        ("mod", "use crate::Failure;", "an item of the crate's root"),
        ("mod", "use crate::shard::Shard;", ""),
        ("storage", "use super::Registry;", ""),
        ("mod", "//! use crate::registry::Registry;\n/* crate::registry */", ""),
        ("mod", "const A: &str = \"crate::registry::A\";", ""),
        ("mod", "#[cfg(test)]\nmod tests {\n    use crate::registry::Registry;\n}", ""),
    ];
    // A crate for each case, which has no other import than that.
    let mut files = vec![("ARCHITECTURE.md".to_owned(), "```floors\n".to_owned())];
    for (at, (file, text, _)) in cases.into_iter().enumerate() {
        files[0].1 += &format!("case{at}: shard < series\n    < registry\n");
        let mut add =
            |path: &str, text: &str| files.push((format!("case{at}/src/{path}"), text.into()));
        add("lib.rs", "pub use registry::Registry;");
        add("shard.rs", "");
        add("registry/mod.rs", "use crate::series::A;");
        add(&format!("series/{file}.rs"), text);
    }
    files[0].1 += "```\n";
    let tree = Tree::new("floors", &files);
    let Some(output) = run("python3", "floors.py", &tree.0) else { return };
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    for (at, (file, text, complaint)) in cases.into_iter().enumerate() {
        let place = format!("case{at}/src/series/{file}.rs:1: ");
        let said = stderr.lines().find_map(|line| line.strip_prefix(&place)).unwrap_or_default();
        assert_eq!(said.is_empty(), complaint.is_empty(), "{text}: {stderr}");
        assert!(said.contains(complaint), "{text}: {stderr}");
    }
    assert!(!stderr.contains("src/registry"), "that import runs down: {stderr}");
}

#[test]
fn a_room_that_is_on_no_floor_is_found() {
    for (name, floors, complaint) in [
        ("missing", "```floors\ncore: shard\n```\n", "room series has no floor"),
        (
            "stale",
            "```floors\ncore: shard < series < gone\n```\n",
            "room gone is in ARCHITECTURE.md",
        ),
        ("empty", "no list\n", "lists no floors"),
    ] {
        let files =
            [("ARCHITECTURE.md", floors), ("core/src/shard.rs", ""), ("core/src/series.rs", "")];
        let tree = Tree::new(name, &files);
        let Some(output) = run("python3", "floors.py", &tree.0) else { return };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(complaint), "{name}: {stderr}");
    }
}

#[test]
fn the_safety_map_names_every_file_with_unsafe_code_and_no_other() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, block) = architecture.split_once("```unsafe\n").expect("a block of files");
    let (block, _) = block.split_once("```").unwrap();
    let named: BTreeSet<String> =
        block.lines().filter_map(|line| line.split_whitespace().next()).map(Into::into).collect();
    let mut found = BTreeSet::new();
    visit(&root(), &mut |path| {
        let text = fs::read_to_string(path).unwrap();
        if text.lines().any(is_unsafe) {
            let path = path.strip_prefix(root()).unwrap();
            found.insert(path.to_str().unwrap().replace('\\', "/"));
        }
    });
    assert_eq!(named, found, "left: the safety map in ARCHITECTURE.md; right: the tree");
}

/// A document that names a test which was renamed or removed proves nothing.
#[test]
fn documents_name_only_tests_and_items_that_exist() {
    let mut sources = String::new();
    visit(&root(), &mut |path| sources += &fs::read_to_string(path).unwrap());
    let words: BTreeSet<&str> =
        sources.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let folder = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut documents: Vec<PathBuf> = folder.filter(|path| path.is_file()).collect();
    documents
        .extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|file| root().join(file)));
    let mut gone = Vec::new();
    for path in documents.iter().filter(|path| path.extension().is_some_and(|it| it == "md")) {
        let text = fs::read_to_string(path).unwrap();
        // Between backticks, and of so many words as only names of tests have.
        let names = text.split('`').skip(1).step_by(2).filter(|name| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            name.chars().all(plain) && name.matches('_').count() >= 4
        });
        let path = path.file_name().unwrap().to_string_lossy();
        gone.extend(
            names.filter(|name| !words.contains(name)).map(|name| format!("{path}: {name}")),
        );
    }
    assert!(gone.is_empty(), "no source has these names: {gone:#?}");
}

/// A command that names a test program, a bench, an example or a binary which moved fails for the reader who tries it.
#[test]
fn commands_name_only_targets_that_exist() {
    let mut packages = BTreeMap::new();
    for entry in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(manifest) = fs::read_to_string(entry.join("Cargo.toml")) else { continue };
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
        packages.extend(name.map(|name| (name.trim_matches('"').to_owned(), entry)));
    }
    let mut gone = Vec::new();
    visit_texts(&root(), &mut |path| {
        if path.ends_with("conventions.rs") {
            return;
        }
        let text = fs::read_to_string(path).unwrap();
        // A command may go on in the next line, behind the mark of a comment.
        let words: Vec<&str> = text
            .split_whitespace()
            .filter(|word| !matches!(*word, "//" | "//!" | "///" | "#" | "\\"))
            .map(|word| word.trim_matches(['`', '(', ')', ',', '.', ';', '"']))
            .collect();
        for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "cargo") {
            gone.extend(
                missing_target(&words[at..], &packages).map(|what| format!("{path:?}: {what}")),
            );
        }
    });
    assert!(gone.is_empty(), "there are no such targets: {gone:#?}");
}

/// The target that a command names with `-p` and one of cargo's options, if its package has no file of it.
fn missing_target(words: &[&str], packages: &BTreeMap<String, PathBuf>) -> Option<String> {
    const OPTIONS: [(&str, &str); 4] = [
        ("--test", "tests"),
        ("--bench", "benches"),
        ("--example", "examples"),
        ("--bin", "src/bin"),
    ];
    if !matches!(*words.get(1)?, "test" | "bench" | "run") {
        return None;
    }
    // No command is longer.
    let words = &words[..words.len().min(14)];
    let words = words.split(|word| *word == "--").next()?;
    let package = words.iter().position(|word| *word == "-p").and_then(|at| words.get(at + 1))?;
    let folder = packages.get(*package)?;
    for (option, place) in OPTIONS {
        let Some(at) = words.iter().position(|word| *word == option) else { continue };
        let name = words.get(at + 1)?;
        let plain = name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
        let file = folder.join(place).join(name);
        if plain && !file.with_extension("rs").exists() && !file.join("main.rs").exists() {
            return Some(format!("{package} {option} {name}"));
        }
    }
    None
}

#[test]
fn a_command_of_a_target_that_is_gone_is_found() {
    let packages = BTreeMap::from([("dynamo-metrics-core".to_owned(), root().join("core"))]);
    for (command, missing) in [
        ("cargo test -p dynamo-metrics-core --test promises", None),
        ("cargo test -p dynamo-metrics-core --test it snapshot", None),
        ("cargo test -p dynamo-metrics-core --test snapshot", Some("--test snapshot")),
        ("cargo bench -p dynamo-metrics-core --bench promises", Some("--bench promises")),
        ("cargo test -p dynamo-metrics-core --lib", None),
    ] {
        let words: Vec<&str> = command.split_whitespace().collect();
        let found = missing_target(&words, &packages);
        let expected = missing.map(|what| format!("dynamo-metrics-core {what}"));
        assert_eq!(found, expected, "{command}");
    }
}

/// Whether a line opens an unsafe block, function, implementation or foreign module; comments and lints do not.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait", "#[unsafe("]
        .iter()
        .any(|form| code.contains(form))
        || code.trim_end().ends_with("unsafe")
}

/// Calls `file` with every Rust source of the workspace but this one.
fn visit(folder: &Path, file: &mut impl FnMut(&Path)) {
    visit_texts(folder, &mut |path| {
        let name = path.file_name().unwrap_or_default();
        if path.extension().is_some_and(|it| it == "rs") && name != "conventions.rs" {
            file(path);
        }
    });
}

/// Calls `file` with every source, script and document.
fn visit_texts(folder: &Path, file: &mut impl FnMut(&Path)) {
    const TEXTS: [&str; 4] = ["rs", "md", "sh", "py"];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !matches!(&*name, "target" | "node_modules") {
                visit_texts(&path, file);
            }
        } else if path.extension().is_some_and(|it| TEXTS.iter().any(|text| it == *text)) {
            file(&path);
        }
    }
}

#[test]
fn comments_are_plain() {
    let Some(output) = run("bash", "language.sh", &root()) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_comment_that_is_not_plain_is_found() {
    let cases = [
        ("/// What a scrape shows.", false),
        ("    //! Who records.", false),
        ("// Text. Whose it is, follows.", false),
        ("let a = 1; // and nobody reads it", false),
        ("let b = 1; // What it takes a second.", false),
        ("/// Returns what a scrape shows.", true),
        ("let question = \"Nobody\";", true),
    ];
    let lines: Vec<&str> = cases.iter().map(|(line, _)| *line).collect();
    let tree = Tree::new("language", &[("core/src/lib.rs", lines.join("\n"))]);
    let output =
        Command::new("bash").arg(root().join("ci/language.sh")).arg(&tree.0).arg("core").output();
    let Ok(output) = output else { return };
    assert!(!output.status.success());
    let stdout = String::from_utf8_lossy(&output.stdout);
    for (at, (line, is_plain)) in (1..).zip(cases) {
        let is_found = stdout.contains(&format!("core/src/lib.rs:{at}:"));
        assert_eq!(is_found, !is_plain, "{line}: {stdout}");
    }
}

#[test]
fn a_crate_that_states_less_rust_than_it_needs_is_found() {
    let chain = "fn f(a: Option<u8>) { if let Some(_) = a && true {} }";
    let guard = "fn f(a: Option<u8>) { match a { a if let Some(_) = a => {}, _ => {} } }";
    let cases = [
        ("chain", "1.87", chain, "", "chains of let needs 1.88"),
        ("chained", "1.88", chain, "", ""),
        ("guard", "1.94", guard, "", "an if let guard needs 1.95"),
        ("parentheses", "1.85", "fn f(a: bool) { if let true = (a && a) {} }", "", ""),
        ("quoted", "1.85", &format!("// {chain}\nconst A: &str = \"&& let\";"), "", ""),
        ("above", "1.85", "", "[dependencies]", "chained 0.1.0 needs 1.88"),
        ("tests", "1.85", "", "[dev-dependencies]", ""),
    ];
    let mut files =
        vec![("Cargo.toml".to_owned(), "[workspace]\nresolver = '3'\nmembers = ['*/']".to_owned())];
    let mut lock = "version = 4\n".to_owned();
    for (name, rust, text, section, _) in cases {
        let path = if section.is_empty() { "" } else { "chained = { path = '../chained' }" };
        let needs = if section.is_empty() { "" } else { "dependencies = ['chained']" };
        lock += &format!("[[package]]\nname = '{name}'\nversion = '0.1.0'\n{needs}\n");
        let package = format!("name = '{name}'\nversion = '0.1.0'\nedition = '2024'");
        let manifest = format!("[package]\n{package}\nrust-version = '{rust}'\n{section}\n{path}");
        files.push((format!("{name}/Cargo.toml"), manifest));
        files.push((format!("{name}/src/lib.rs"), text.to_owned()));
    }
    files.push(("Cargo.lock".to_owned(), lock));
    let tree = Tree::new("msrv", &files);
    let Some(output) = run("python3", "msrv.py", &tree.0) else { return };
    let stderr = String::from_utf8_lossy(&output.stderr);
    for (name, rust, _, _, complaint) in cases {
        let found = stderr.contains(&format!("{name}: states {rust}, {complaint}"));
        assert_eq!(found, !complaint.is_empty(), "{name}: {stderr}");
    }
    assert!(!output.status.success());
}
