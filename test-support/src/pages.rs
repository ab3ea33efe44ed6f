//! Pages for tests of parsers and of whatever merges pages: reference bodies, and text that is nearly valid.

use std::path::PathBuf;

use proptest::prelude::*;

/// Every `.txt` of `reference/dynamo-0.9.0`, by file name. Empty, and loudly so, where the folder is
/// absent: it is not part of this repository. `DYNAMO_METRICS_SHARED` says where else to look.
pub fn reference() -> Vec<(String, Vec<u8>)> {
    let shared = std::env::var_os("DYNAMO_METRICS_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("reference/dynamo-0.9.0");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no reference bodies in {}", folder.display());
        return Vec::new();
    };
    let mut bodies: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a listed file can be read"))
        })
        .collect();
    bodies.sort();
    bodies
}

/// Lines over so small a vocabulary that families, series and types collide all the time; most
/// lines valid, some broken in one place, a few garbage.
pub fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any_line(), 0..30).prop_flat_map(|lines| {
        // The last line may lack its line feed.
        any::<bool>().prop_map(move |cut| {
            let mut text = lines.concat();
            if cut {
                text.pop();
            }
            text
        })
    })
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        8 => prop::sample::select(vec![
            "a", "a_bucket", "a_sum", "a_count", "a_total", "a_created", "a_info", "a_gsum",
            "a_gcount", "a_sum_sum", "b", "b_total", "vllm:c", "a_bucket_count",
        ]),
        1 => prop::sample::select(vec!["", "1a", "a.b", "{\"a\"}", "é", "#"]),
    ];
    let kind = prop_oneof![
        6 => prop::sample::select(vec![
            "counter", "gauge", "histogram", "summary", "untyped", "unknown", "info", "stateset",
            "gaugehistogram",
        ]),
        1 => prop::sample::select(vec!["GAUGE", "", "histogramm", "gauge gauge"]),
    ];
    let help = prop::sample::select(vec![
        "Text.",
        "x \\n y",
        "C:\\\\",
        "\\\"quoted\\\"",
        "\\d",
        "end\\",
        "",
        "🦀",
        "\r",
        " two  ",
    ]);
    let value = prop_oneof![
        8 => prop::sample::select(vec![
            "0", "1", "2", "6.0", "1.5", "-1", "NaN", "+Inf", "1e+06", "18446744073709551615",
            "18446744073709551614", "1e+20",
        ]),
        1 => prop::sample::select(vec![
            "inf", "+5", ".5", "5.", "1e400", "0x10", "-NaN", "nan", "1_0", "", "-0", "Infinity",
        ]),
    ];
    let label = (
        prop_oneof![
            8 => prop::sample::select(vec!["le", "quantile", "x", "y"]),
            1 => prop::sample::select(vec!["__name__", "x:y", "", "1x"]),
        ],
        prop_oneof![
            8 => prop::sample::select(vec![
                "+Inf", "0.5", "1", "1.0", "0.50", "2", "\\\"", "\\\\", "\\n",
            ]),
            2 => prop::sample::select(vec!["", "Inf", "NaN", "\\t", "\r", "🦀", "}", ",", " 1", "\\", "+1"]),
        ],
    )
        .prop_map(|(name, value)| format!("{name}=\"{value}\""));
    let labels = prop_oneof![
        3 => Just(String::new()),
        9 => prop::collection::vec(label, 1..4).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        1 => prop::sample::select(vec!["{}", "{x=\"1\",}", "{ x = \"1\" , y=\"2\" }", "{x=\"1\"", " {x=\"1\"}"])
            .prop_map(str::to_owned),
    ];
    let tail = prop_oneof![
        12 => Just(""),
        2 => prop::sample::select(vec![
            " 5", " -5", " 1.5", " # {t=\"1\"} 1", " 5 # {t=\"1\"} 1 2", " ", "\t", "\r", " x",
        ]),
    ];
    let end = prop_oneof![12 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n")];
    let line = prop_oneof![
        5 => (name.clone(), kind).prop_map(|(name, kind)| format!("# TYPE {name} {kind}")),
        2 => (name.clone(), help).prop_map(|(name, help)| format!("# HELP {name} {help}")),
        12 => (name, labels, value, tail)
            .prop_map(|(name, labels, value, tail)| format!("{name}{labels} {value}{tail}")),
        1 => prop::sample::select(vec!["# EOF", "# UNIT a s", "#", "garbage", " a 1", "# TYPE a", "# HELP"])
            .prop_map(str::to_owned),
    ];
    let line = (line, end).prop_map(|(line, end)| format!("{line}{end}"));
    let text = prop_oneof![12 => line, 1 => whole_family()].prop_map(String::into_bytes);
    // One byte in some lines becomes any byte, valid UTF-8 or not.
    (text, prop_oneof![30 => Just(None), 1 => any::<(prop::sample::Index, u8)>().prop_map(Some)])
        .prop_map(|(mut line, flip)| {
            if let Some((at, byte)) = flip {
                let at = at.index(line.len());
                line[at] = byte;
            }
            line
        })
}

/// A histogram or summary that adds up, which single lines hardly ever make.
fn whole_family() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "a_sum"]);
    (name, any::<bool>(), 0..3_u32, 0..3_u32, any::<bool>()).prop_map(
        |(name, histogram, low, high, labelled)| {
            let (all, count) = (low + high, if histogram { "_bucket" } else { "" });
            let own = if histogram { ["le=\"0.5\"", "le=\"+Inf\""] } else { ["quantile=\"0\"", "quantile=\"1\""] };
            let kind = if histogram { "histogram" } else { "summary" };
            let (with, only) = if labelled { ("x=\"1\",", "{x=\"1\"}") } else { ("", "") };
            format!(
                "# TYPE {name} {kind}\n{name}{count}{{{with}{}}} {low}\n\
                 {name}{count}{{{with}{}}} {all}.0\n{name}_count{only} {all}\n{name}_sum{only} 1.5\n",
                own[0], own[1]
            )
        },
    )
}
