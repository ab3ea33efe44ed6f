//! The OpenMetrics parser of Python's `prometheus_client`, the strictest there is: it refuses what the format forbids in
//! words, families and points included. The model of `prometheus_client/openmetrics/parser.py`.

use std::collections::HashMap;

use super::family::Family;
use super::points::check_histogram;
use super::sample::{native, read_sample};
use super::text::bad_name;
use super::words::{Chars, is_legacy_name, split, string, unquote};
use crate::check::consumer::Complaints;
use crate::check::consumer::Effect::Refused;
use crate::check::models::prometheus_openmetrics::{of_comment, of_type};
use crate::fault::Fault;
use crate::format::Format;
use crate::kind::Kind;

/// A fault, and its line.
pub(super) type Spot = (usize, Fault);

#[derive(Default)]
struct Reader {
    family: Option<Family>,
    /// The names that families have claimed, each with its claimer.
    claimed: HashMap<String, (Kind, String)>,
    ended: bool,
}

/// Reads a page.
pub(in crate::check::models) fn read(page: &str, complaints: &mut Complaints<'_>) {
    let mut reader = Reader::default();
    let mut line = 0;
    let body = page.strip_suffix('\n').unwrap_or(page);
    for text in body.split('\n').take_while(|_| !page.is_empty()) {
        line += 1;
        if complaints.is_full() {
            return;
        }
        if reader.ended {
            return complaints.add(Refused, line, None, Fault::AfterEof);
        }
        let chars: Vec<char> = text.chars().collect();
        for (line, fault) in reader.line(line, &chars) {
            complaints.add(Refused, line, None, fault);
        }
    }
    for (line, fault) in reader.build() {
        complaints.add(Refused, line, None, fault);
    }
    if !reader.ended {
        complaints.add(Refused, line.max(1), None, Fault::NoEof);
    }
}

/// Returns the suffixes that a type's samples append to the family's name.
pub(super) fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total", "_created"],
        "summary" => &["", "_count", "_sum", "_created"],
        "histogram" => &["_count", "_sum", "_bucket", "_created"],
        "gaugehistogram" => &["_gcount", "_gsum", "_bucket"],
        "info" => &["_info"],
        _ => &[""],
    }
}

impl Reader {
    fn line(&mut self, line: usize, text: Chars<'_>) -> Vec<Spot> {
        if text.is_empty() {
            return vec![(line, Fault::EmptyLine)];
        }
        if string(text) == "# EOF" {
            self.ended = true;
            return Vec::new();
        }
        if text[0] == '#' { self.metadata(line, text) } else { self.sample(line, text) }
    }

    fn metadata(&mut self, line: usize, text: Chars<'_>) -> Vec<Spot> {
        let parts = split(text, |c| c == ' ');
        let word = match parts.get(1).map(String::as_str) {
            Some("HELP") => "HELP",
            Some("TYPE") => "TYPE",
            Some("UNIT") => "UNIT",
            _ => return vec![(line, of_comment(&string(text)))],
        };
        let Some(rest) = parts.get(3) else { return vec![(line, too_short(word, &parts))] };
        let chars: Vec<char> = parts[2].chars().collect();
        let Some((name, quoted)) = unquote(&chars) else { return vec![(line, Fault::QuotedName)] };
        if !quoted && !is_legacy_name(&name) {
            return vec![(line, bad_name(word, &parts[2]))];
        }
        let mut found = Vec::new();
        match &self.family {
            Some(family) if family.name == name && !family.samples.is_empty() => {
                return vec![(line, Fault::LateMetadata { word, name })];
            }
            Some(family) if family.name == name => {}
            _ => {
                found = self.build();
                let allowed = vec![name.clone()];
                let name = name.clone();
                self.family = Some(Family { line, name, allowed, ..Family::default() });
            }
        }
        let Some(family) = &mut self.family else { return found };
        let is_second = match word {
            "HELP" => family.help,
            "TYPE" => family.kind.is_some(),
            _ => family.unit.is_some(),
        };
        if is_second {
            found.push((line, Fault::SecondMetadata { word, name }));
            return found;
        }
        match word {
            "HELP" => family.help = true,
            "TYPE" if rest == "untyped" => {
                found.push((line, Fault::UnknownType { word: rest.clone() }));
            }
            "TYPE" => {
                family.allowed =
                    suffixes(rest).iter().map(|suffix| format!("{name}{suffix}")).collect();
                family.kind = Some((line, rest.clone()));
            }
            _ => family.unit = Some((line, rest.clone())),
        }
        found
    }

    fn sample(&mut self, line: usize, text: Chars<'_>) -> Vec<Spot> {
        let is_histogram = self.family.as_ref().is_some_and(|family| family.kind() == "histogram");
        if let Some(read) = native(text).filter(|_| is_histogram) {
            return read.err().map(|fault| (line, fault)).into_iter().collect();
        }
        let sample = match read_sample(line, text) {
            Ok(sample) => sample,
            Err(fault) => {
                if let Some(family) = &mut self.family {
                    family.is_partial = true;
                }
                return vec![(line, fault)];
            }
        };
        let mut found = Vec::new();
        if !self.family.as_ref().is_some_and(|family| family.allowed.contains(&sample.name)) {
            found = self.build();
            if !is_legacy_name(&sample.name) {
                found.push((line, Fault::Unannounced { name: sample.name }));
                return found;
            }
            self.family = Some(Family {
                line,
                name: sample.name.clone(),
                kind: Some((line, "unknown".to_owned())),
                allowed: vec![sample.name.clone()],
                ..Family::default()
            });
        }
        if let Some(family) = &mut self.family
            && let Err(fault) = family.add(sample)
        {
            family.is_partial = true;
            found.push((line, fault));
        }
        found
    }

    /// Ends the family and returns its faults as a whole.
    fn build(&mut self) -> Vec<Spot> {
        let Some(family) = self.family.take() else { return Vec::new() };
        let name = || family.name.clone();
        let mut found = Vec::new();
        let kind = Kind::parse(family.kind()).unwrap_or(Kind::Unknown);
        let mut own: Vec<&str> = suffixes(family.kind()).to_vec();
        if !own.contains(&"") {
            own.push("");
        }
        for suffix in own {
            let claimed = format!("{}{suffix}", family.name);
            match self.claimed.get(&claimed) {
                None => {}
                Some((_, claimer)) if suffix.is_empty() && *claimer == family.name => {
                    found.push((family.line, Fault::FamilyReturns { name: name() }));
                }
                Some((kind, claimer)) if suffix.is_empty() => {
                    let (kind, claimer) = (*kind, claimer.clone());
                    found.push((family.line, Fault::Claimed { kind, claimer, claimed }));
                    break;
                }
                Some(_) => {
                    let claimer = name();
                    found.push((family.line, Fault::Claimed { kind, claimer, claimed }));
                    break;
                }
            }
            self.claimed.insert(format!("{}{suffix}", family.name), (kind, name()));
        }
        found.truncate(1);
        if let Some((line, unit)) = family.unit.as_ref().filter(|(_, unit)| !unit.is_empty()) {
            if !family.name.ends_with(&format!("_{unit}")) {
                found.push((*line, Fault::UnitSuffix { name: name(), unit: unit.clone() }));
            } else if matches!(kind, Kind::Info | Kind::StateSet) {
                found.push((*line, Fault::UnitOfType { kind, name: name() }));
            }
        }
        if let Some((line, word)) = &family.kind
            && !Kind::parse(word).is_some_and(|kind| kind.is_in(Format::OpenMetrics))
        {
            found.push((*line, of_type(&family.name, word)));
        }
        if matches!(kind, Kind::Histogram | Kind::GaugeHistogram) && !family.is_partial {
            found.extend(check_histogram(&family));
        }
        found
    }
}

/// The fault of metadata that ends too early.
fn too_short(word: &'static str, parts: &[String]) -> Fault {
    match parts.get(2).filter(|name| !name.is_empty()) {
        Some(name) if is_legacy_name(name) => Fault::NoText { word, name: name.clone() },
        Some(name) => bad_name(word, name),
        None => Fault::NoMetadataName { word },
    }
}
