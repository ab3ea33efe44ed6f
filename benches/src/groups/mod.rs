//! The groups of rows, in the order in which they are measured.
//!
//! * `encode-*`: a whole scrape, as text 0.0.4 unless the name says another format, and with `-cold` the same after
//!   the caches were flushed. One thread has recorded, or 16 if the name says so.
//! * `limits`: what memory itself costs, beside our counter.
//! * `counter updown histogram-* family token`: one operation, on 1 thread and on 2 that share the metric (and on
//!   4 and 8 for `counter` and `histogram-11`). `bucket-lookup`: 1 thread.
//! * `memory`: requested bytes of a series.

mod encode;
mod limits;
mod memory;
mod record;

use crate::measure::Plan;
use crate::report::Row;

/// Every group.
pub const NAMES: [&str; 36] = [
    "encode-realistic",
    "encode-realistic-cold",
    "encode-hist-1000x12",
    "encode-hist-1000x12-cold",
    "encode-counters-10k",
    "encode-counters-10k-cold",
    "encode-realistic-openmetrics",
    "encode-realistic-openmetrics-cold",
    "encode-hist-1000x12-openmetrics",
    "encode-hist-1000x12-openmetrics-cold",
    "encode-counters-10k-openmetrics",
    "encode-counters-10k-openmetrics-cold",
    "encode-realistic-protobuf",
    "encode-realistic-protobuf-cold",
    "encode-hist-1000x12-protobuf",
    "encode-hist-1000x12-protobuf-cold",
    "encode-counters-10k-protobuf",
    "encode-counters-10k-protobuf-cold",
    "encode-counters-100k",
    "encode-counters-100k-cold",
    "encode-counters-1m",
    "encode-counters-100k-openmetrics",
    "encode-counters-100k-protobuf",
    "encode-counters-1m-openmetrics",
    "encode-counters-1m-protobuf",
    "encode-realistic-16-shards",
    "limits",
    "counter",
    "updown",
    "histogram-11",
    "histogram-20",
    "histogram-64",
    "bucket-lookup",
    "family",
    "token",
    "memory",
];

/// Too large for a smoke test.
const LARGE: [&str; 7] = [
    "encode-counters-100k",
    "encode-counters-100k-cold",
    "encode-counters-1m",
    "encode-counters-100k-openmetrics",
    "encode-counters-100k-protobuf",
    "encode-counters-1m-openmetrics",
    "encode-counters-1m-protobuf",
];

/// The thoroughness of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rounds and slices of operations; scrapes take as many rounds.
    pub plan: Plan,
    /// Only whether everything works: the largest registries are left out unless asked for by name.
    pub quick: bool,
}

/// Measures the groups that `asked` names, all if it is empty. A name also stands for those that begin with it
/// and a dash. `print` gets each group's table when it is done.
pub fn run(asked: &[String], options: Options, mut print: impl FnMut(String)) -> Vec<Row> {
    let by_name = |group: &str| asked.iter().any(|name| stands_for(name, group));
    let wanted = |group: &str| {
        if asked.is_empty() { !(options.quick && LARGE.contains(&group)) } else { by_name(group) }
    };
    let mut rows = Vec::new();
    let mut add = |(group, table): (Vec<Row>, String)| {
        print(table);
        rows.extend(group);
    };
    // Scrapes first: later there are shards of eight threads to read, which is another question.
    for registry in encode::REGISTRIES {
        let cold = format!("{}-cold", registry.group);
        let cold = NAMES.contains(&&*cold) && wanted(&cold);
        encode::run(&registry, wanted(registry.group), cold, options, &mut add);
    }
    if wanted("limits") {
        add(limits::run(options));
    }
    for group in record::GROUPS.into_iter().filter(|group| wanted(group)) {
        add(record::run(group, options));
    }
    if wanted("memory") {
        add(memory::run());
    }
    rows
}

/// Returns whether `name` is a group or the beginning of one.
pub fn is_known(name: &str) -> bool {
    NAMES.iter().any(|group| stands_for(name, group))
}

fn stands_for(name: &str, group: &str) -> bool {
    group.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_its_group_and_those_below() {
        assert!(is_known("encode") && is_known("histogram") && is_known("counter"));
        assert!(!is_known("count") && !is_known("encode-"));
        assert!(stands_for("encode-realistic", "encode-realistic-cold"));
    }
}
