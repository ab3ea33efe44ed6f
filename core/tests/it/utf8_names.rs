//! UTF-8 names: names that are valid with the option, and names that are equal once escaped.

use dynamo_metrics_core::{Buckets, Escaping, Opts, RegisterError, Registry};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn buckets() -> Buckets {
    Buckets::new([1.0]).unwrap()
}

#[test]
fn utf8_names_are_opted_into() {
    let registry = Registry::new();
    let error = registry.gauge(("http.size", "")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric name \"http.size\" is not valid: it must match [a-zA-Z_:][a-zA-Z0-9_:]*, for example \
         \"requests_total\"; `Opts::utf8_names` allows any other UTF-8 text"
    );
    let error = registry.gauge_family(("size", ""), ["http.route"]).unwrap_err();
    assert!(error.to_string().contains("`Opts::utf8_names` allows"), "{error}");
    let opts = || Opts::new("größe \"\n", "h").const_label("k8s.pod", "p").utf8_names();
    registry.gauge_family(opts(), ["http.route"]).unwrap().with(["/"]).set(1.0);
    assert_eq!(registry.gauge_family(opts(), ["http.route"]).unwrap().with(["/"]).get(), 1.0);
    // A legacy name is the same metric with and without the option.
    registry.counter(Opts::new("a_total", "").utf8_names()).unwrap().inc();
    assert_eq!(registry.counter(("a_total", "")).unwrap().get(), 1);
    for bad in ["", "a\0b"] {
        let error = registry.gauge(Opts::new(bad, "").utf8_names()).unwrap_err();
        assert!(matches!(error, RegisterError::InvalidName { .. }), "{error}");
        let error = registry.gauge_family(Opts::new("x", "").utf8_names(), [bad]).unwrap_err();
        assert!(matches!(error, RegisterError::InvalidLabel { .. }), "{error}");
    }
    let scope = registry.scope(&[("k8s.pod", "p")]).unwrap_err();
    assert!(matches!(scope, RegisterError::InvalidLabel { .. }), "{scope}");
    let unit = registry.gauge(Opts::new("speed_m/s", "").unit("m/s").utf8_names()).unwrap_err();
    assert_eq!(
        unit.to_string(),
        "unit \"m/s\" of metric \"speed_m/s\" must match [a-zA-Z0-9_:]+, for example \"seconds\""
    );
    registry.gauge(Opts::new("http.size_bytes", "").unit("bytes").utf8_names()).unwrap();
}

#[test]
fn names_that_are_equal_once_escaped_are_refused() {
    let gauge = |r: &Registry, name: &str| r.gauge(Opts::new(name, "").utf8_names()).map(drop);
    // Each pair is equal under the scheme named, and under no scheme before it.
    for (first, second, scheme, sample) in [
        ("a.b", "a_b", "underscores", "a_b"),
        ("a_b", "a.b", "underscores", "a_b"),
        ("a.b", "a/b", "underscores", "a_b"),
        ("9", "ü", "underscores", "_"),
        ("a.b", "U__a_2e_b", "values", "U__a_2e_b"),
    ] {
        let registry = Registry::new();
        gauge(&registry, first).unwrap();
        let error = gauge(&registry, second).unwrap_err();
        let RegisterError::EscapedClash { name, other, scheme: found, sample: shared } = error
        else {
            panic!("{error}")
        };
        assert_eq!((&*name, &*other), (second, first));
        assert_eq!((found.as_str(), &*shared), (scheme, sample));
    }
    // `a.b` is `a_dot_b` under dots, but there `a_dot_b` itself is escaped, too.
    let registry = Registry::new();
    gauge(&registry, "a.b").unwrap();
    gauge(&registry, "a_dot_b").unwrap();
}

#[test]
fn sample_names_with_suffixes_collide_with_escaped_names() {
    let registry = Registry::new();
    registry.histogram(Opts::new("http.wait", "").utf8_names(), &buckets()).unwrap();
    let error = registry.gauge(("http_wait_bucket", "")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric \"http_wait_bucket\" would print samples named \"http_wait_bucket\" for scrapers that ask for \
         escaping=underscores, which belong to metric \"http.wait\"; rename one of them"
    );
    // A name is escaped before its suffix comes: under dots the sum is `http_dot_wait_sum`, while a metric of
    // that name is `http__dot__wait__sum`.
    registry.gauge(("http_dot_wait_sum", "")).unwrap();
    // The family of a counter loses `_total` in OpenMetrics, also where the escaping made it.
    registry.counter(Opts::new("tokens.total", "").utf8_names()).unwrap();
    let error = registry.gauge(("tokens", "")).unwrap_err();
    assert!(matches!(error, RegisterError::EscapedClash { .. }), "{error}");
    assert!(registry.occupies("http_wait_sum") && registry.occupies("http_dot_wait_bucket"));
    assert!(registry.occupies("http.wait_sum") && registry.occupies("U__http_2e_wait_sum"));
    assert!(registry.unregister("http.wait"));
    assert!(!registry.occupies("http_wait_bucket"));
    registry.gauge(("http_wait_bucket", "")).unwrap();
}

#[test]
fn labels_that_are_equal_once_escaped_are_refused() {
    let registry = Registry::new();
    let opts = || Opts::new("x", "").utf8_names();
    let error = registry.gauge_family(opts(), ["a.b", "a_b"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "labels \"a.b\" and \"a_b\" of metric \"x\" are both \"a_b\" for scrapers that ask for \
         escaping=underscores (labels of the metric's scope count); rename one of them"
    );
    let scope = registry.scope(&[("a_b", "1")]).unwrap();
    let error = scope.gauge(opts().const_label("a:b", "2")).unwrap_err();
    assert!(matches!(error, RegisterError::EscapedLabels { .. }), "{error}");
    let error = registry.gauge_family(opts(), ["U__a_2e_b", "a.b"]).unwrap_err();
    let RegisterError::EscapedLabels { scheme, .. } = error else { panic!("{error}") };
    assert_eq!(scheme.as_str(), "values");
    registry.gauge_family(opts(), ["a.b", "a_dot_b"]).unwrap();
}

#[test]
fn scopes_do_not_share_series_once_escaped_either() {
    let registry = Registry::new();
    let scope = registry.scope(&[("a_b", "1")]).unwrap();
    scope.gauge(("x", "")).unwrap();
    let opts = |value: &str| Opts::new("x", "").const_label("a.b", value).utf8_names();
    let error = registry.gauge(opts("1")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric \"x\" in scope {a.b=\"1\"} could print the same series as in scope {a_b=\"1\"}: both can have \
         the labels [a.b] under escaping=underscores, of which none tells them apart (an empty value is the same as no \
         label); give each a constant label with a value of its own, or register it once and share it"
    );
    registry.gauge(opts("2")).unwrap();
}

/// Returns the names that a metric prints under a scheme, by an independent implementation: of samples, and of the family if
/// it differs.
fn printed(kind: char, name: &str, scheme: Escaping) -> BTreeSet<String> {
    let name = scheme.metric_name(name).into_owned();
    let with = |stem: &str, suffixes: &[&str]| -> BTreeSet<String> {
        suffixes.iter().map(|suffix| format!("{stem}{suffix}")).collect()
    };
    match kind {
        'c' => with(name.strip_suffix("_total").unwrap_or(&name), &["", "_total", "_created"]),
        'h' => with(&name, &["", "_bucket", "_sum", "_count", "_created"]),
        _ => with(&name, &[""]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Every registered metric can be printed under every scheme, and no refused one can.
    #[test]
    fn no_two_metrics_print_one_name_under_any_scheme(
        asked in prop::collection::vec(
            (
                prop::sample::select(vec!['c', 'h', 'g']),
                "(U__)?[a._é-]{1,3}(2e_)?",
                prop::sample::select(vec!["", "", "_total", ".total", "_sum", ".sum", "_bucket", "_created"]),
            ),
            2..7,
        ),
    ) {
        let registry = Registry::new();
        let mut there: Vec<(char, String)> = Vec::new();
        for (kind, stem, suffix) in asked {
            let name = format!("{stem}{suffix}");
            let opts = Opts::new(&name, "").utf8_names();
            let result = match kind {
                'c' => registry.counter(opts).map(drop),
                'h' => registry.histogram(opts, &buckets()).map(drop),
                _ => registry.gauge(opts).map(drop),
            };
            if there.iter().any(|(_, known)| *known == name) {
                continue;
            }
            let first = Escaping::ALL.into_iter().find(|&scheme| {
                let mine = printed(kind, &name, scheme);
                there.iter().any(|(kind, other)| !printed(*kind, other, scheme).is_disjoint(&mine))
            });
            match (result, first) {
                (Ok(()), None) => there.push((kind, name)),
                (Err(RegisterError::SuffixClash { .. }), Some(Escaping::AllowUtf8)) => {}
                (Err(RegisterError::EscapedClash { scheme, .. }), Some(found)) if scheme == found => {}
                (result, first) => prop_assert!(false, "{name}: {result:?}, expected {first:?}"),
            }
        }
        // Unregistering frees the names of one metric, and no others.
        while let Some((_, name)) = there.pop() {
            prop_assert!(registry.unregister(&name));
            for (kind, name) in &there {
                for scheme in Escaping::ALL {
                    for sample in printed(*kind, name, scheme) {
                        prop_assert!(registry.occupies(&sample), "{sample} of {name}");
                    }
                }
            }
            if there.is_empty() {
                prop_assert!(!registry.occupies(&name));
            }
        }
    }

    /// Two scopes register one name only if no scheme makes a series of one equal to a series of the other.
    #[test]
    fn levels_share_no_series_under_any_scheme(
        levels in prop::collection::vec(
            (
                prop::collection::btree_map("[a._]{2}", "[xy]", 0..3),
                prop::sample::select(vec!["a.", "aa", "_a", ".a", "a_"]),
            ),
            2,
        ),
    ) {
        let registry = Registry::new();
        let scope = registry.scope(&[("scope", "s")]).unwrap();
        let mut asked = Vec::new();
        for (level, (constant, varying)) in [&registry, &scope].into_iter().zip(&levels) {
            let mut opts = Opts::new("x", "").utf8_names();
            let mut labels: Vec<(&str, Option<&str>)> = vec![(varying, None)];
            for (label, value) in constant {
                opts = opts.const_label(label, value);
                labels.push((label, Some(value)));
            }
            // The root has the scope's label as one of its own.
            match level.labels().next() {
                Some((label, value)) => labels.push((label, Some(value))),
                None => {
                    opts = opts.const_label("scope", "s");
                    labels.push(("scope", Some("s")));
                }
            }
            asked.push((labels, level.gauge_family(opts, [varying])));
        }
        let usable = |error: &RegisterError| matches!(error, RegisterError::SameSeries { .. });
        let [(one, first), (other, second)] = &asked[..] else { unreachable!("two levels") };
        if first.is_err() || second.as_ref().is_err_and(|error| !usable(error)) {
            // Labels that are reserved or equal within one scope are covered by other tests.
            return Ok(());
        }
        let meet = Escaping::ALL.into_iter().any(|scheme| {
            let escaped = |labels: &[(&str, Option<&str>)]| -> BTreeMap<String, Option<String>> {
                let value = |value: Option<&str>| value.map(String::from);
                labels.iter().map(|&(l, v)| (scheme.label_name(l).into_owned(), value(v))).collect()
            };
            let (one, other) = (escaped(one), escaped(other));
            // A label that varies may be empty, which is the same as no label.
            let covers = |a: &BTreeMap<String, Option<String>>, b: &BTreeMap<_, _>| {
                b.iter().all(|(label, value): (&String, &Option<String>)| {
                    value.is_none()
                        || a.get(label).is_some_and(|theirs| theirs.is_none() || value == theirs)
                })
            };
            covers(&one, &other) && covers(&other, &one)
        });
        prop_assert_eq!(second.is_err(), meet, "{:?} {:?}", one, other);
    }
}
