//! Bodies that are valid, or were until something happened to them: families of every type, and mutations that know
//! the grammar, so that most bodies are wrong in one place only.

use super::random::Random;

/// Valid families of OpenMetrics. Names may collide on purpose: `a`, `a_b` and `h` come more than once.
const OPENMETRICS: &[&str] = &[
    "# TYPE a counter\n# HELP a Text.\na_total{x=\"1\"} 5 # {trace_id=\"4bf9\"} 0.5 1.5\na_created{x=\"1\"} 1.5\na_total{x=\"2\"} 7\na_created{x=\"2\"} 2\n",
    "# TYPE a_b_seconds counter\n# UNIT a_b_seconds seconds\n# HELP a_b_seconds x \\\"y\\\" \\\\ \\n z\na_b_seconds_total 1.5 1700000000.25\n",
    "# TYPE g gauge\n# HELP g \ng{x=\"\\\"\\\\\\n {},=#\",y=\"é\"} -1.5\ng{x=\"\",z=\"1\"} NaN\ng +Inf 12\n",
    "# TYPE g_bytes gauge\n# UNIT g_bytes bytes\ng_bytes 1e+06\n",
    "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1 # {} 0.25\nh_bucket{le=\"1.0\"} 2 # {a=\"b\",c=\"d\"} 0.75 3\nh_bucket{le=\"+Inf\"} 4 # {t=\"x\"} 9\nh_count 4\nh_sum 3.5\nh_created 7.25\n",
    "# TYPE h histogram\nh_bucket{x=\"1\",le=\"1e-05\"} 0\nh_bucket{x=\"1\",le=\"+Inf\"} 2\nh_sum{x=\"1\"} 3\nh_count{x=\"1\"} 2\nh_bucket{x=\"2\",le=\"+Inf\"} 3.0\nh_sum{x=\"2\"} 3\nh_count{x=\"2\"} 3\n",
    "# TYPE n histogram\nn_bucket{le=\"-1.0\"} 1\nn_bucket{le=\"0.0\"} 1\nn_bucket{le=\"+Inf\"} 1\n",
    "# TYPE t histogram\nt_bucket{le=\"1.0\"} 1 5\nt_bucket{le=\"+Inf\"} 1 5\nt_count 1 5\nt_sum 1 5\n",
    "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.99\"} NaN\ns_sum 2\ns_count 2\ns_created 3\n",
    "# TYPE s summary\ns_count{x=\"1\"} 2\ns_sum{x=\"1\"} 2\ns{quantile=\"1.0\",x=\"1\"} 0\n",
    "# TYPE i info\n# HELP i Build.\ni_info{version=\"1.2\",os=\"x\"} 1\ni_info{version=\"1.3\"} 1.0\n",
    "# TYPE e stateset\ne{e=\"on\"} 1\ne{e=\"off\"} 0\ne{x=\"1\",e=\"on\"} 0\ne{x=\"1\",e=\"off\"} 0\n",
    "# TYPE q gaugehistogram\nq_bucket{le=\"1.0\"} 1\nq_bucket{le=\"+Inf\"} 3 # {a=\"b\"} 7\nq_gsum 5\nq_gcount 3\n",
    "# TYPE m gaugehistogram\nm_bucket{le=\"-5.0\"} 1\nm_bucket{le=\"+Inf\"} 3\nm_gcount 3\nm_gsum -5\n",
    "# TYPE u unknown\nu{x=\"1\"} 1\nu -0\n",
    "a_b 1\n",
    "w_info 1\nw_total 2 5.000000001\n",
    "# TYPE \"q.c\" counter\n# UNIT \"q.c\" \n# HELP \"q.c\" Quoted.\n{\"q.c_total\",\"l.b\"=\"x\",z=\"y\"} 1 # {\"e.x\"=\"1\"} 1\n{\"q.c_total\"} 2\n",
    "# TYPE \"q h\\\"\" histogram\n{\"q h\\\"_bucket\",le=\"+Inf\"} 1\n{\"q h\\\"_sum\"} 1\n{\"q h\\\"_count\"} 1\n",
    "# TYPE \"p.s\" stateset\n{\"p.s\",\"p.s\"=\"a\"} 1\n",
    "# HELP only Text.\n",
    "# UNIT \"x.y_s\" s\n# TYPE \"x.y_s\" summary\n{\"x.y_s\",quantile=\"0.0\"} 4 9\n{\"x.y_s_sum\"} 4 9\n",
];

/// Valid families of text 0.0.4.
const TEXT: &[&str] = &[
    "# HELP a_total Text.\n# TYPE a_total counter\na_total{x=\"1\"} 5\na_total{x=\"2\"} 7 1700000000000\n",
    "# HELP g C:\\\\ and \"q\" \\n next\n# TYPE g gauge\ng{x=\"\\\"\\\\\\n {},=#\",y=\"é\"} -1.5\ng{x=\"\",z=\"1\"} NaN\ng +Inf 12\n",
    "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 4\nh_sum 3.5\nh_count 4\n",
    "# TYPE h histogram\nh_bucket{x=\"1\",le=\"1e-05\"} 0\nh_bucket{x=\"1\",le=\"+Inf\"} 2\nh_sum{x=\"1\"} 3\nh_count{x=\"1\"} 2\nh_bucket{x=\"2\",le=\"+Inf\"} 3.0\nh_count{x=\"2\"} 3\nh_sum{x=\"2\"} 3\n",
    "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.99\"} NaN\ns_sum 2\ns_count 2\n",
    "# TYPE u untyped\nu{x=\"1\"} 1\nu -0\n",
    "a_b 1\n",
    "# any comment\nw_info 1\nw_total 2\n# EOF\n",
    "vllm:x{model_name=\"a/b-c.d\"} 007\n",
];

/// Characters that mean something somewhere.
const CHARACTERS: &[char] = &[
    ' ', '\t', '"', '\\', '{', '}', ',', '=', '#', '_', '.', '-', '+', '0', '1', '9', 'e', 'n',
    'x', 'N', '\r', '\n', '\u{0}', '\u{b}', '\u{85}', '\u{a0}', 'é', '٣', ':', '/', '\'',
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3.0",
    "0.5",
    "-1",
    "NaN",
    "nan",
    "+Inf",
    "-Inf",
    "inf",
    "Inf",
    "Infinity",
    "-NaN",
    "+5",
    ".5",
    "5.",
    "007",
    "1E5",
    "1e400",
    "1e-400",
    "0x10",
    "1_000",
    "18446744073709551615",
    "18446744073709551616",
    "1e+20",
    "",
    "-0",
    "-0.0",
    "9007199254740993",
    "9007199254740992.0",
    "1.0",
    "1e6",
    "1000000.0",
    "1e+06",
    "true",
    "1.5.5",
    "-",
    "1e",
    "0.25",
];

const SUFFIXES: &[&str] =
    &["", "_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info", "_x"];

const KINDS: &[&str] = &[
    "counter",
    "gauge",
    "histogram",
    "summary",
    "untyped",
    "unknown",
    "info",
    "stateset",
    "gaugehistogram",
    "Gauge",
    "",
];

const LABELS: &[&str] = &[
    "x=\"1\"",
    "le=\"1.0\"",
    "le=\"+Inf\"",
    "le=\"1\"",
    "le=\"NaN\"",
    "le=\"Inf\"",
    "quantile=\"0.5\"",
    "quantile=\"1.5\"",
    "e=\"on\"",
    "x=\"\"",
    "__name__=\"a\"",
    "__x=\"1\"",
    "x:y=\"1\"",
    "1x=\"1\"",
    "\"l.b\"=\"1\"",
    "x=\"\\t\"",
    "x=\"\\\"\"",
    "x=\"\\\\\"",
    "x='1'",
    "x=1",
    "x",
    "\"x\"=\"2\"",
    "\"\"=\"1\"",
    "x =\"1\"",
    "x= \"1\"",
    " x=\"1\"",
    "x=\"1\" ",
    "",
    "\"__name__\"=\"a\"",
    "\"q\"",
];

const EXEMPLARS: &[&str] = &[
    " # {a=\"b\"} 1",
    " # {} 0.25",
    " # {a=\"b\"} 1 2",
    " # {a=\"b\"} 1 2.5",
    " # {a=\"b\"}",
    " # {a=\"b\"} ",
    " # {a=\"b\",} 1",
    " # {a=\"\\\"\"} 1",
    " # {a=\"\\\\\"} 1",
    " # {a=\"b\",a=\"c\"} 1",
    " #{a=\"b\"} 1",
    "  # {a=\"b\"} 1",
    " # {a=\"b\"}  1",
    " # {a=\"b\"} 1 ",
    " # {a=\"b\"} NaN",
    " # {a=\"b\"} +Inf",
    " # {a=\"b\"} 1 2 3",
    " # {a=\"b\"} x",
    " # a 1",
    " # {a=\"b\"} 1 # {a=\"b\"} 1",
    " # {le=\"1\"} 1",
    " # {a=\"#{}\"} 1",
    " # {__a=\"b\"} 1",
    " # {a:b=\"b\"} 1",
    " # {\"a.b\"=\"c\"} 1",
    " # {a=\"b\"} 1 -1",
    " # {a=\"b\"} 1 1e3",
    // 1 + 127 and 1 + 128 code points.
    " # {a=\"ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé\"} 1",
    " # {a=\"éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé\"} 1",
];

const TIMES: &[&str] = &[
    " 5",
    " 0",
    " 1.5",
    " 4",
    " 6",
    " -1",
    " 1e3",
    " 5.000000001",
    " NaN",
    " +5",
    " x",
    " 5 ",
    "  5",
    " ",
    "\t",
    " 0x1",
    " 1.",
    " .5",
    " 1_0",
    " 9223372036854775807",
    " 9223372036854775808",
    " 1 2",
];

const LINES: &[&str] = &[
    "# EOF",
    "#",
    "# comment",
    "",
    "a 1",
    "# TYPE a counter",
    "# HELP h",
    "# HELP h ",
    "# TYPE g",
    "# UNIT g_bytes bytes",
    "# UNIT a",
    "# UNIT a ",
    "# TYPE  g gauge",
    "#TYPE g gauge",
    "# TYPE g gauge ",
    "# FOO a b",
    "# TYPE \"a\" counter",
    "# TYPE \"a.b\" counter",
    "# TYPE a.b gauge",
    "{\"a.b\"} 1",
    "{\"g\"} 1",
    "{\"g\",} 1",
    "{} 1",
    "{x=\"1\"} 1",
    "{x=\"1\",\"g\"} 1",
    "g{\"x\"} 1",
    "{g} 1",
    "# EOF ",
    "#  EOF",
    "# HELP a \"",
    "# HELP a \\t",
    "# HELP a \\",
    "# help a x",
    "# TYPE a_total gauge",
    "# TYPE h_sum counter",
    "a_total 1",
    "a_created 1",
    "h_bucket{le=\"2.0\"} 3",
    "s{quantile=\"0.5\"} 2",
    "h 1",
    "i 1",
    "i_info 2",
    "e{e=\"x\"} 2",
    "e 1",
    "h {count:1,sum:1,schema:3,zero_threshold:0,zero_count:1}",
];

/// The body of a seed. Up to three mutations; one body in eight has none.
pub(crate) fn openmetrics(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut body = families(&mut random, OPENMETRICS);
    body.push_str("# EOF\n");
    mutated(body, &mut random)
}

pub(crate) fn text(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let body = families(&mut random, TEXT);
    mutated(body, &mut random)
}

fn families(random: &mut Random, all: &[&str]) -> String {
    (0..=random.below(3)).map(|_| random.pick(all)).collect()
}

fn mutated(mut body: String, random: &mut Random) -> Vec<u8> {
    for _ in 0..random.pick(&[0, 1, 1, 1, 1, 2, 2, 3]) {
        body = mutate(&body, random);
    }
    let mut body = body.into_bytes();
    if random.chance(200) && !body.is_empty() {
        let at = random.below(body.len());
        body[at] = random.below(256) as u8;
    }
    body
}

fn mutate(body: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = body.split_terminator('\n').map(str::to_owned).collect();
    if lines.is_empty() {
        return random.pick(LINES).to_owned() + "\n";
    }
    let at = random.below(lines.len());
    let other = random.below(lines.len());
    let is_sample = !lines[at].starts_with('#');
    match random.below(16) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other, lines[at].clone()),
        2 => lines.swap(at, other),
        3 => {
            let line = lines.remove(at);
            lines.insert(other.min(lines.len()), line);
        }
        4 => lines.insert(at, random.pick(LINES).to_owned()),
        5 => lines[at] = random.pick(LINES).to_owned(),
        6 if is_sample => lines[at] += random.pick(EXEMPLARS),
        7 if is_sample => lines[at] += random.pick(TIMES),
        // The value, timestamp or exemplar's number: any word from the end.
        8 if is_sample => {
            let mut words: Vec<&str> = lines[at].split(' ').collect();
            let word = words.len() - 1 - random.below(words.len().min(3));
            words[word] = random.pick(NUMBERS);
            lines[at] = words.join(" ");
        }
        9 if is_sample => lines[at] = with_suffix(&lines[at], random.pick(SUFFIXES)),
        10 if is_sample => lines[at] = with_label(&lines[at], random.pick(LABELS), random),
        8..=10 => {
            let end = lines[at].rfind(' ').unwrap_or(0);
            lines[at] = format!("{} {}", &lines[at][..end], random.pick(KINDS));
        }
        11 => lines[at] = with_quoted(&lines[at], random),
        12 => {
            let line = &lines[at];
            let cut = boundary(line, random.below(line.len() + 1));
            lines[at] =
                line[..cut].to_owned() + &random.pick(CHARACTERS).to_string() + &line[cut..];
        }
        13 => {
            let mut characters: Vec<char> = lines[at].chars().collect();
            if !characters.is_empty() {
                characters.remove(random.below(characters.len()));
            }
            lines[at] = characters.into_iter().collect();
        }
        14 => {
            let name = random.pick(&["a", "g", "h", "s", "a_b", "h_sum", "a_total", "i", "e"]);
            lines[at] = renamed(&lines[at], name);
        }
        _ => {
            let cut = boundary(body, random.below(body.len() + 1));
            return match random.below(3) {
                0 => body[..boundary(body, body.len() - 1)].to_owned(),
                1 => body[..cut].to_owned() + &random.pick(CHARACTERS).to_string() + &body[cut..],
                _ => body[..cut].to_owned(),
            };
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Another suffix for a sample's name.
fn with_suffix(line: &str, suffix: &str) -> String {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let base = line[..end].rfind('_').filter(|at| *at > 0).unwrap_or(end);
    format!("{}{suffix}{}", &line[..base], &line[end..])
}

/// A sample's line with one more label, or with one in place of another.
fn with_label(line: &str, label: &str, random: &mut Random) -> String {
    match (line.find('{'), line.find('}')) {
        (Some(open), Some(close)) if open < close => match random.below(3) {
            0 => format!("{}{label},{}", &line[..=open], &line[open + 1..]),
            1 => format!("{},{label}{}", &line[..close], &line[close..]),
            _ => format!("{}{label}{}", &line[..=open], &line[close..]),
        },
        _ => line.replacen(' ', &format!("{{{label}}} "), 1),
    }
}

/// Another text between two quotes, if there are any.
fn with_quoted(line: &str, random: &mut Random) -> String {
    const TEXTS: &[&str] = &[
        "+Inf", "0.5", "1.0", "1", "", "NaN", "-1.0", "x", "\\n", "a b", "1e6", "le", "0.50", "}",
        "# {",
    ];
    let mut parts: Vec<&str> = line.split('"').collect();
    if parts.len() < 3 {
        return line.to_owned();
    }
    let at = 1 + 2 * random.below((parts.len() - 1) / 2);
    parts[at] = random.pick(TEXTS);
    parts.join("\"")
}

/// The line of another family.
fn renamed(line: &str, name: &str) -> String {
    if let Some(rest) = line.strip_prefix("# ") {
        let words: Vec<&str> = rest.splitn(3, ' ').collect();
        return match words[..] {
            [word, _, text] => format!("# {word} {name} {text}"),
            _ => line.to_owned(),
        };
    }
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let base = line[..end].rfind('_').filter(|at| *at > 0).unwrap_or(end);
    format!("{name}{}", &line[base..])
}
