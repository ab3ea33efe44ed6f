//! The golden files.

use super::*;

#[track_caller]
fn assert_golden(name: &str, lines: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    let actual: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var("DYNAMO_METRICS_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &actual).unwrap();
    }
    assert_eq!(actual, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
}

#[test]
fn text_0_0_4() {
    let lines = text(&every_kind(false, false), Format::Text, false);
    assert_golden("text.txt", &lines);
    for (exemplars, clock) in [(true, false), (false, true), (true, true)] {
        let registry = every_kind(exemplars, clock);
        assert_eq!(text(&registry, Format::Text, true), lines, "it has no place for either");
        strict::parse(&encode(&registry, Format::Text, true)).unwrap();
    }
}

#[test]
fn openmetrics_1() {
    let all = text(&every_kind(true, true), Format::OpenMetrics, true);
    assert_golden("openmetrics.txt", &all);
    for (exemplars, created) in [(true, false), (false, true), (false, false)] {
        let expected: Vec<_> = all
            .iter()
            .filter(|line| created || !line.contains("_created"))
            .map(|line| if exemplars { line } else { line.split(" # {").next().unwrap() })
            .collect();
        let registry = every_kind(exemplars, true);
        assert_eq!(text(&registry, Format::OpenMetrics, created), expected);
        let body = encode(&registry, Format::OpenMetrics, created);
        strict::parse_as(strict::Format::OpenMetrics, &body).unwrap();
    }
    let without_a_clock = text(&every_kind(true, false), Format::OpenMetrics, true);
    assert_eq!(without_a_clock, text(&every_kind(true, true), Format::OpenMetrics, false));
}

#[test]
fn protobuf() {
    let lines = |exemplars, clock| {
        let mut lines = Vec::new();
        for family in
            decode::decode(&encode(&every_kind(exemplars, clock), Format::Protobuf, false))
        {
            if family.name.contains("dynamo_metrics_") {
                continue;
            }
            lines.push(format!("{} type {} help {:?}", family.name, family.kind, family.help));
            lines.extend(family.samples);
            lines.extend(family.extras);
            lines.extend(family.natives.iter().map(|native| format!("{native:?}")));
        }
        lines
    };
    assert_golden("protobuf.txt", &lines(true, true));
    assert_golden("protobuf-plain.txt", &lines(false, false));
    let has = |lines: &[String], what| lines.iter().any(|line| line.contains(what));
    for (exemplars, clock) in [(true, false), (false, true)] {
        let both = lines(true, true);
        let some = lines(exemplars, clock);
        assert_eq!((has(&some, " exemplar "), has(&some, " created ")), (exemplars, clock));
        let expected = both
            .iter()
            .filter(|line| exemplars || !line.contains(" exemplar "))
            .filter(|line| clock || !line.contains(" created "))
            .filter(|line| !line.starts_with("Native"));
        let some = some.iter().filter(|line| !line.starts_with("Native"));
        assert!(expected.eq(some));
    }
}

#[cfg(feature = "openmetrics2")]
#[test]
fn openmetrics_2() {
    let all = text(&every_kind(true, true), Format::OpenMetrics2, false);
    assert_golden("openmetrics2.txt", &all);
    for (exemplars, clock) in [(true, false), (false, true), (false, false)] {
        let expected: Vec<_> = all
            .iter()
            .map(|line| if exemplars { line } else { line.split(" # {").next().unwrap() })
            .map(|line| if clock { line.to_owned() } else { line.replace(" st@1700000000.5", "") })
            .collect();
        assert_eq!(text(&every_kind(exemplars, clock), Format::OpenMetrics2, false), expected);
    }
}
