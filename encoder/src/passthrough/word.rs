//! The types that TYPE lines name.

use dynamo_metrics_parser::Kind;

/// The words of TYPE lines, of text 0.0.4 and OpenMetrics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// No TYPE line so far.
    None,
    Unreadable,
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
    Info,
    StateSet,
    GaugeHistogram,
}

impl Word {
    pub(super) fn parse(word: &[u8]) -> Word {
        const WORDS: [(&[u8], Word); 9] = [
            (b"counter", Word::Counter),
            (b"gauge", Word::Gauge),
            (b"histogram", Word::Histogram),
            (b"summary", Word::Summary),
            (b"untyped", Word::Untyped),
            (b"unknown", Word::Untyped),
            (b"info", Word::Info),
            (b"stateset", Word::StateSet),
            (b"gaugehistogram", Word::GaugeHistogram),
        ];
        WORDS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map_or(Word::Unreadable, |&(_, word)| word)
    }

    /// Returns the type if its samples have numbers in labels, else untyped.
    pub(super) fn with_bounds(self) -> Kind {
        match self {
            Word::Histogram => Kind::Histogram,
            Word::Summary => Kind::Summary,
            _ => Kind::Untyped,
        }
    }
}
