//! The two text formats, as far as names, headers and bounds differ.
//!
//! ```text
//!                      text 0.0.4                    OpenMetrics 1.0
//! counter x_total      # TYPE x_total counter        # TYPE x counter        sample x_total
//! header               HELP, TYPE                    TYPE, UNIT, HELP
//! help text            `\` and LF escaped            `"` too
//! le                   1, 1e+06                      1.0, 1e+06
//! ```

use crate::escape::{write_help, write_help_openmetrics};
use crate::number::{write_f64, write_f64_openmetrics};
use bytes::BytesMut;
use dynamo_metrics_core::{Descriptor, FamilySnapshot, Kind};

/// How names, headers and bounds are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// OpenMetrics 1.0, else text 0.0.4.
    pub(crate) openmetrics: bool,
}

impl Dialect {
    /// The name in the lines that describe a family.
    pub(crate) fn family_name<'a>(&self, descriptor: &'a Descriptor) -> &'a str {
        let name = descriptor.name();
        if !self.openmetrics {
            return name;
        }
        match descriptor.kind() {
            Kind::Counter | Kind::FloatCounter | Kind::CounterCallback => {
                name.strip_suffix("_total").unwrap_or(name)
            }
            _ => name,
        }
    }

    /// The name of the sample of a series that has one line.
    pub(crate) fn sample_name(&self, descriptor: &Descriptor) -> String {
        let family = self.family_name(descriptor);
        match descriptor.kind() {
            Kind::Counter | Kind::FloatCounter | Kind::CounterCallback if self.openmetrics => {
                format!("{family}_total")
            }
            _ => family.into(),
        }
    }

    /// What stands before the labels of a sample, each of which a comma follows or ends.
    pub(crate) fn open(&self, sample: &str) -> String {
        format!("{sample}{{")
    }

    /// What stands before the value of a sample without labels.
    pub(crate) fn bare(&self, sample: &str) -> String {
        format!("{sample} ")
    }

    /// Appends `a="x"` without the quotes' inside.
    pub(crate) fn write_label_name(&self, out: &mut Vec<u8>, label: &str) {
        out.extend_from_slice(label.as_bytes());
    }

    /// Appends a bound or quantile.
    pub(crate) fn write_bound(&self, out: &mut Vec<u8>, bound: f64) {
        if self.openmetrics { write_f64_openmetrics(out, bound) } else { write_f64(out, bound) }
    }

    /// The lines that describe a family.
    pub(crate) fn header(&self, family: FamilySnapshot<'_>) -> BytesMut {
        let mut text = BytesMut::new();
        let Some(first) = family.parts().next() else { return text };
        let descriptor = first.descriptor();
        let name = self.family_name(descriptor);
        let line = |text: &mut BytesMut, what: &str| {
            text.extend_from_slice(format!("# {what} {name} ").as_bytes());
        };
        if !self.openmetrics {
            self.help(&mut text, family.help(), line);
        }
        line(&mut text, "TYPE");
        text.extend_from_slice(descriptor.kind().exposed().as_bytes());
        text.extend_from_slice(b"\n");
        if self.openmetrics {
            if let Some(unit) = descriptor.unit() {
                line(&mut text, "UNIT");
                text.extend_from_slice(unit.as_bytes());
                text.extend_from_slice(b"\n");
            }
            self.help(&mut text, family.help(), line);
        }
        text
    }

    fn help(&self, text: &mut BytesMut, help: &str, line: impl Fn(&mut BytesMut, &str)) {
        // A carriage return cannot be escaped, and at the end of a line it makes the line end in CR LF, which
        // fails a whole scrape. Blanks at the ends do not survive parsers.
        let help = help.replace('\r', " ");
        let help = help.trim();
        if help.is_empty() {
            return;
        }
        line(text, "HELP");
        if self.openmetrics {
            write_help_openmetrics(text, help)
        } else {
            write_help(text, help)
        }
        text.extend_from_slice(b"\n");
    }
}
