//! A point as a line of OpenMetrics 2.0: names as they stand, a histogram or summary in one value, and when its series
//! began behind that instead of on a line of `_created`.
//!
//! ```text
//! h{a="x"} {count:2,sum:3.5,bucket:[1.0:1,+Inf:2]} 1700000000.5 st@1690000000 # {trace_id="4bf9"} 0.5 1700000000.2
//! ```

use bytes::{BufMut, BytesMut};

use super::cursor::Label;
use super::merged::{Family, Merged, Shape};
use super::report::Report;
use super::store::Store;
use super::text::Style;
use super::weaker::{Cause, Limit, Weaker};
use crate::number::{write_f64_openmetrics, write_u64};
use dynamo_metrics_parser::Kind;
use dynamo_metrics_parser::grammar::label_name_len;

/// Seconds up to which a start time is taken for one: a date of four digits of years ends before.
const START_SECONDS_END: f64 = 1e12;

impl Merged {
    /// Settles the family of which each `_created` family has the start times. Names cannot clash: none loses or gains a suffix.
    pub(super) fn settle_starts(
        &mut self,
        store: &Store,
        reserved: &dyn Fn(&str) -> bool,
        weaker: &mut Weaker,
    ) {
        for at in 0..self.families.len() {
            let Family { kind, shape, names, raw, .. } = self.families[at];
            let name = store.arena.name(names[0]);
            let stem = match kind {
                _ if shape != Shape::Plain => continue,
                Kind::Info => {
                    if !self.is_always_one(store, at) {
                        weaker.limit(store.arena.get(raw), Limit::Gauge, Cause::Passing);
                    }
                    continue;
                }
                Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
                Kind::Histogram | Kind::Summary => name,
                _ => continue,
            };
            let created = self.created_family(store, stem, reserved);
            self.families[at].shape = Shape::OpenMetrics { created };
            if let Some(created) = self.families.get_mut(created as usize) {
                created.shape = Shape::Created;
            }
        }
    }

    fn is_always_one(&self, store: &Store, family: usize) -> bool {
        let mut next = self.families[family].first;
        while let Some(group) = self.groups.get(next as usize) {
            if store.samples[group.first as usize].value != 1.0 {
                return false;
            }
            next = group.next;
        }
        true
    }

    /// Appends the point of a group, without its last line end: one line, but for the states of a state set.
    pub(super) fn write_line(
        &mut self,
        store: &Store,
        (at, group): (usize, u32),
        style: &Style,
        out: &mut BytesMut,
        reports: &mut [Report],
    ) {
        let start = match self.families[at].shape {
            Shape::OpenMetrics { created } => {
                self.created_of(store, group, created, reports, START_SECONDS_END)
            }
            _ => None,
        };
        let family = &self.families[at];
        match (family.kind, &self.point[..]) {
            (Kind::Histogram | Kind::GaugeHistogram | Kind::Summary, point) => {
                style.write_composite(store, family, point, out);
            }
            (_, point) => {
                for (number, &sample) in point.iter().enumerate() {
                    if number > 0 {
                        out.put_u8(b'\n');
                    }
                    style.write_sample(store, family, &store.samples[sample as usize], out);
                }
            }
        }
        if let Some(start) = start {
            write_start(store.samples[start as usize].value, out);
        }
        let report = &mut reports[self.groups[group as usize].source as usize];
        let mut below = f64::NEG_INFINITY;
        for &sample in &self.point {
            let sample = &store.samples[sample as usize];
            if !sample.exemplar.is_empty() {
                let labels = &mut self.scratch.labels;
                style.write_exemplar(store, family, (sample, below), labels, out, report);
            }
            below = sample.bound;
        }
        out.put_u8(b'\n');
    }
}

impl Style {
    /// A histogram, gauge histogram or summary: its buckets or quantiles, and last its sum and count.
    pub(super) fn write_composite(
        &self,
        store: &Store,
        family: &Family,
        point: &[u32],
        out: &mut BytesMut,
    ) {
        let [parts @ .., sum, count] = point else { return };
        let sample = |at: &u32| &store.samples[*at as usize];
        let mut before: &[u8] = b"{";
        if family.quoted {
            out.put_slice(b"{\"");
            out.put_slice(store.arena.get(family.names[0]));
            out.put_u8(b'"');
            before = b",";
        } else {
            out.put_slice(store.arena.get(family.names[0]));
        }
        for label in store.label_set(sample(count)) {
            out.put_slice(before);
            write_label(store, label, out);
            before = b",";
        }
        out.put_slice(if before == b"," { b"} {" } else { b" {" });
        let (counted, summed, listed): (&[u8], &[u8], &[u8]) = match family.kind {
            Kind::GaugeHistogram => (b"gcount:", b",gsum:", b",bucket:["),
            Kind::Histogram => (b"count:", b",sum:", b",bucket:["),
            _ => (b"count:", b",sum:", b",quantile:["),
        };
        out.put_slice(counted);
        self.write_number(store, sample(count), out);
        out.put_slice(summed);
        self.write_number(store, sample(sum), out);
        out.put_slice(listed);
        for (at, part) in parts.iter().map(sample).enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            write_f64_openmetrics(out, part.bound);
            out.put_u8(b':');
            self.write_number(store, part, out);
        }
        out.put_slice(b"]}");
        self.write_stamp(store, self.stamp, out);
    }
}

/// Writes the time at which a series began, in seconds.
fn write_start(start: f64, out: &mut BytesMut) {
    out.put_slice(b" st@");
    // Below the limit above, so whole milliseconds are exact; without an exponent.
    let millis = (start * 1000.0).round() as u64;
    write_u64(out, millis / 1000);
    if !millis.is_multiple_of(1000) {
        let digits = [100, 10, 1].map(|unit| b'0' + (millis / unit % 10) as u8);
        out.put_u8(b'.');
        out.put_slice(&digits);
    }
}

fn write_label(store: &Store, label: &Label, out: &mut BytesMut) {
    let name = store.arena.get(label.name);
    let quote: &[u8] = if label_name_len(name) == name.len() { b"" } else { b"\"" };
    for part in [quote, name, quote, b"=\"", store.arena.get(label.value), b"\""] {
        out.put_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_filter::NameFilter;
    use crate::negotiate::{Format, Negotiated};
    use crate::passthrough::{Filter, Passthrough, Source};
    use dynamo_metrics_core::Escaping;

    fn merged(text: &str, escaping: Escaping) -> (String, Report) {
        let asked = Negotiated::new(Format::OpenMetrics2, escaping);
        let (filter, names, mut out) = (Filter::all(), NameFilter::default(), BytesMut::new());
        let source = Source::new(&filter, text.as_bytes());
        let report = Passthrough::new().merge([source], &|_| false, asked, &names, &mut out);
        (String::from_utf8(out.to_vec()).unwrap(), report)
    }

    /// Against the grammar of the release candidate: no parser here reads it.
    #[test]
    fn names_stand_as_they_are_and_a_series_is_a_line() {
        let cases = [
            (
                "# HELP a_total \"A\".\n# TYPE a_total counter\na_total{x=\"1\"} 5.0\n\
                 # TYPE a_created gauge\na_created{x=\"1\"} 1.7e+09\n",
                "# TYPE a_total counter\n# HELP a_total \\\"A\\\".\na_total{x=\"1\"} 5.0 st@1700000000\n",
            ),
            ("# TYPE a counter\na 5\n", "# TYPE a counter\na 5\n"),
            ("a 5 1700000000123\n", "# TYPE a unknown\na 5 1700000000.123\n"),
            (
                "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\"} 1.0\nh_bucket{a=\"b\",le=\"+Inf\"} 2\n\
                 h_sum{a=\"b\"} -3.5\nh_count{a=\"b\"} 2.0\n# TYPE h_created gauge\nh_created{a=\"b\"} 1.0625\n",
                "# TYPE h histogram\nh{a=\"b\"} {count:2,sum:-3.5,bucket:[1.0:1,+Inf:2]} st@1.063\n",
            ),
            (
                "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n",
                "# TYPE s summary\ns {count:2,sum:3,quantile:[0.5:1]}\n",
            ),
            (
                "# TYPE c counter\nc_total 5 # {t=\"ab\"} 1.5 17.5\n# TYPE h histogram\n\
                 h_bucket{le=\"1.0\"} 1 # {} 0.5\nh_bucket{le=\"+Inf\"} 2 # {t=\"1\"} 2 9\n\
                 h_sum 3\nh_count 2\n# EOF\n",
                "# TYPE c_total counter\nc_total 5 # {t=\"ab\"} 1.5 17.5\n# TYPE h histogram\n\
                 h {count:2,sum:3,bucket:[1.0:1,+Inf:2]} # {t=\"1\"} 2 9\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(merged(text, Escaping::Underscores).0, expected);
        }
        let text = "# TYPE \"h.s\" histogram\n{\"h.s_bucket\",\"l.e\"=\"x\",le=\"+Inf\"} 1\n\
                    {\"h.s_sum\",\"l.e\"=\"x\"} 1\n{\"h.s_count\",\"l.e\"=\"x\"} 1\n";
        assert_eq!(
            merged(text, Escaping::AllowUtf8).0,
            "# TYPE \"h.s\" histogram\n{\"h.s\",\"l.e\"=\"x\"} {count:1,sum:1,bucket:[+Inf:1]}\n"
        );
    }

    #[test]
    fn an_exemplar_without_a_time_is_counted() {
        let (out, report) =
            merged("# TYPE a_total counter\na_total 5 # {t=\"1\"} 1\n", Escaping::Underscores);
        assert_eq!(out, "# TYPE a_total counter\na_total 5\n");
        assert_eq!((report.exemplars, report.withheld()), (1, 1));
    }

    #[test]
    fn a_created_series_that_is_no_time_keeps_its_sample() {
        let (out, report) = merged(
            "# TYPE a_total counter\na_total 5\n# TYPE a_created gauge\na_created 1e300\n",
            Escaping::Underscores,
        );
        assert_eq!(
            out,
            "# TYPE a_total unknown\na_total 5\n# TYPE a_created gauge\na_created 1e300\n"
        );
        assert_eq!(report.withheld(), 0);
    }
}
