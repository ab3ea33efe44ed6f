//! The text formats, as far as names, headers and bounds differ.
//!
//! ```text
//!                      text 0.0.4                    OpenMetrics 1.0 (2.0 keeps the suffixes of families)
//! counter x_total      # TYPE x_total counter        # TYPE x counter        sample x_total
//! info x_info          # TYPE x_info gauge           # TYPE x info           sample x_info
//! state set x          # TYPE x gauge                # TYPE x stateset
//! header               HELP, TYPE                    TYPE, UNIT, HELP
//! help text            `\` and LF escaped            `"` too
//! le                   1, 1e+06                      1.0, 1e+06
//! ```
//!
//! In both, a name that is not legacy stands in quotes inside the braces: `{"my.metric",a="x"} 1`.

use crate::escape::{write_help, write_help_openmetrics, write_label_value};
use crate::layout::help;
use crate::number::{write_f64, write_f64_openmetrics};
use dynamo_metrics_core::{
    Descriptor, Escaping, Kind,
    escaping::{is_legacy_label_name, is_legacy_metric_name},
    snapshot::FamilySnapshot,
};

/// The formats that are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 0.0.4, and 1.0.0 where names are not escaped.
    Prometheus,
    OpenMetrics1,
    #[cfg(feature = "openmetrics2")]
    OpenMetrics2,
}

/// The form in which names, headers and bounds are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) version: Version,
    pub(crate) escaping: Escaping,
    /// Start times have lines of their own; only in OpenMetrics.
    pub(crate) created: bool,
    /// Bounds and quantiles are spelled as in OpenMetrics, in every format.
    pub(crate) canonical: bool,
}

impl Dialect {
    /// Returns whether a histogram or summary is one line.
    pub(crate) fn is_composite(self) -> bool {
        #[cfg(feature = "openmetrics2")]
        return self.version == Version::OpenMetrics2;
        #[cfg(not(feature = "openmetrics2"))]
        return false;
    }

    pub(crate) fn is_openmetrics(self) -> bool {
        self.version != Version::Prometheus
    }

    /// The name in the lines that describe a family, to which suffixes as `_sum` are appended.
    pub(crate) fn family_name(self, descriptor: &Descriptor) -> String {
        let name = self.escaping.metric_name(descriptor.name());
        let suffix = self.only_suffix(descriptor.kind());
        name.strip_suffix(suffix).unwrap_or(&name).into()
    }

    /// The name of the sample of a series that has one line.
    pub(crate) fn sample_name(self, descriptor: &Descriptor) -> String {
        let suffix = self.only_suffix(descriptor.kind());
        self.family_name(descriptor) + suffix
    }

    /// The suffix of the only sample of a family, which OpenMetrics 1 leaves out of the family's name.
    fn only_suffix(self, kind: Kind) -> &'static str {
        match (self.version, kind) {
            (Version::OpenMetrics1, Kind::Counter | Kind::FloatCounter | Kind::CounterCallback) => {
                "_total"
            }
            (Version::OpenMetrics1, Kind::Info) => "_info",
            _ => "",
        }
    }

    /// The text before the labels of a sample, of which there is at least one.
    pub(crate) fn open(self, sample: &str) -> String {
        if is_legacy_metric_name(sample) {
            format!("{sample}{{")
        } else {
            format!("{{{},", quoted(sample))
        }
    }

    /// The text before the value of a sample without labels.
    pub(crate) fn bare(self, sample: &str) -> String {
        if is_legacy_metric_name(sample) {
            format!("{sample} ")
        } else {
            format!("{{{}}} ", quoted(sample))
        }
    }

    /// Appends `a="x",`.
    pub(crate) fn write_label(self, out: &mut Vec<u8>, label: &str, value: &str) {
        self.write_pair(out, &self.escaping.label_name(label), value);
        out.extend_from_slice(b",");
    }

    /// Appends `a="x"` for a label name that is escaped already.
    pub(crate) fn write_pair(self, out: &mut Vec<u8>, label: &str, value: &str) {
        if is_legacy_label_name(label) {
            out.extend_from_slice(label.as_bytes());
        } else {
            out.extend_from_slice(quoted(label).as_bytes());
        }
        out.extend_from_slice(b"=\"");
        write_label_value(out, value);
        out.extend_from_slice(b"\"");
    }

    /// Appends a bound or quantile.
    pub(crate) fn write_bound(self, out: &mut Vec<u8>, bound: f64) {
        if self.canonical || self.is_openmetrics() {
            write_f64_openmetrics(out, bound)
        } else {
            write_f64(out, bound)
        }
    }

    /// The lines that describe a family.
    pub(crate) fn header(self, family: FamilySnapshot<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        let Some(first) = family.parts().next() else { return text };
        let descriptor = first.descriptor();
        let name = self.family_name(descriptor);
        let unit = unit(descriptor, &name);
        let name = if is_legacy_metric_name(&name) { name } else { quoted(&name) };
        let line = |text: &mut Vec<u8>, what: &str, value: &dyn Fn(&mut Vec<u8>)| {
            text.extend_from_slice(format!("# {what} {name} ").as_bytes());
            value(text);
            text.extend_from_slice(b"\n");
        };
        let exposed = match descriptor.kind() {
            Kind::Info if self.is_openmetrics() => "info",
            Kind::StateSet if self.is_openmetrics() => "stateset",
            kind => kind.exposed(),
        };
        let help = help(family);
        if !self.is_openmetrics() {
            if !help.is_empty() {
                line(&mut text, "HELP", &|text| write_help(text, &help));
            }
            line(&mut text, "TYPE", &|text| text.extend_from_slice(exposed.as_bytes()));
            return text;
        }
        line(&mut text, "TYPE", &|text| text.extend_from_slice(exposed.as_bytes()));
        if let Some(unit) = unit {
            line(&mut text, "UNIT", &|text| text.extend_from_slice(unit.as_bytes()));
        }
        if !help.is_empty() {
            line(&mut text, "HELP", &|text| write_help_openmetrics(text, &help));
        }
        text
    }
}

/// The unit, if the family's name as it is written ends with it: escaping may double underscores inside a unit, and
/// a unit that is no suffix fails a scrape.
pub(crate) fn unit<'a>(descriptor: &'a Descriptor, family: &str) -> Option<&'a str> {
    let family = descriptor.kind().stem(family);
    descriptor
        .unit()
        .filter(|unit| family.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_')))
}

fn quoted(name: &str) -> String {
    let mut text = vec![b'"'];
    write_label_value(&mut text, name);
    text.push(b'"');
    String::from_utf8_lossy(&text).into_owned()
}
