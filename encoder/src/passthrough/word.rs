//! The types that TYPE lines name.

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
}
