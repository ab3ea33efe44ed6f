//! The option `--engine-metrics`: `KIND=URL` and `KIND@NAME=URL`.

use dynamo_metrics_sim::worker::EngineMetrics;

/// Reads `KIND=URL` and `KIND@NAME=URL`. Engines of one kind without names are numbered in their order. All of that hangs on the
/// options alone, so no series changes its labels while engines come and go.
pub(crate) fn parse(options: &[String]) -> Result<Vec<EngineMetrics>, String> {
    let mut read = Vec::with_capacity(options.len());
    for option in options {
        let (kind, url) = option.split_once('=').unwrap_or_default();
        let (kind, name) = match kind.split_once('@') {
            Some((kind, name)) => (kind, Some(name)),
            None => (kind, None),
        };
        if kind.is_empty() || url.is_empty() || name.is_some_and(str::is_empty) {
            return Err(format!("--engine-metrics {option:?} is not KIND=URL or KIND@NAME=URL"));
        }
        read.push((option, kind, name, url));
    }
    let mut engines: Vec<EngineMetrics> = Vec::with_capacity(read.len());
    for (at, &(option, kind, name, url)) in read.iter().enumerate() {
        let of_kind = |(_, other, ..): &&(&String, &str, Option<&str>, &str)| *other == kind;
        let several = read.iter().filter(of_kind).count() > 1;
        let name = match name {
            Some(name) => name.to_string(),
            None if several => format!("{kind}-{}", read[..at].iter().filter(of_kind).count()),
            None => kind.to_string(),
        };
        if engines.iter().any(|other| other.name == name) {
            let reason = "two engines of one name could not be told apart; give each its own";
            return Err(format!("--engine-metrics {option:?}: {reason}"));
        }
        let labelled = several || read[at].2.is_some();
        engines.push(EngineMetrics { kind: kind.into(), name, labelled, url: url.into() });
    }
    Ok(engines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_of_one_kind_are_numbered_or_named_and_labelled() {
        let read = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
            let engines = parse(&options)?;
            Ok::<_, String>(
                engines.into_iter().map(|e| (e.kind, e.name, e.labelled)).collect::<Vec<_>>(),
            )
        };
        let told = |kind: &str, name: &str, labelled| (kind.to_owned(), name.to_owned(), labelled);
        assert_eq!(read(&["vllm=http://a"]), Ok(vec![told("vllm", "vllm", false)]));
        assert_eq!(
            read(&["vllm=http://a", "lmcache=http://c", "vllm=http://b"]),
            Ok(vec![
                told("vllm", "vllm-0", true),
                told("lmcache", "lmcache", false),
                told("vllm", "vllm-1", true)
            ])
        );
        assert_eq!(
            read(&["vllm@left=http://u@a/?x=1", "vllm=http://b"]),
            Ok(vec![told("vllm", "left", true), told("vllm", "vllm-1", true)])
        );
        for bad in ["vllm", "=http://a", "vllm=", "vllm@=http://a", "@x=http://a"] {
            assert!(read(&[bad]).unwrap_err().contains("KIND@NAME=URL"), "{bad}");
        }
        let twice = read(&["vllm@a=http://a", "sglang@a=http://b"]).unwrap_err();
        assert!(twice.contains("one name"), "{twice}");
    }
}
