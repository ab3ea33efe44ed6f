//! The requests of rows: their times, lengths and blocks, once it is settled which units the file has.

use super::block_sizes::{BlockSizes, MOONCAKE_BLOCK_TOKENS};
use super::object::{Object, fault, is_bailian};
use super::time_unit::{SettledUnit, is_fraction};
use crate::trace::{
    Fault, Reading, Row, TIMESTAMP_EXPECTED, TIMESTAMP_SECONDS_MAX, TimeUnit, Trace,
};
use std::collections::HashMap;

/// Rows that settle the unit of timestamps: a form shows in the first row of every published trace, and a thousand rows with all
/// their ids are some megabytes.
const SETTLING_ROWS: usize = 1_000;

/// Tokens of an answer whose length a row does not say: what a request gets that does not say how many it wants.
const OUTPUT_TOKENS_ASSUMED: u64 = 128;

/// Adds rows to a trace, one at a time. The first [`SETTLING_ROWS`] are held back until they have settled the unit of
/// timestamps; after them a row leaves nothing behind but its request. Errors come with the number of the row.
pub(crate) struct Converter<'a> {
    reading: Reading,
    trace: &'a mut Trace,
    held_back: Vec<(usize, Object)>,
    /// `None` until the unit is settled.
    form: Option<Form>,
    /// The time of the last row of each session.
    sessions: HashMap<String, u64>,
    /// True if a row had a timestamp, and if one was no whole number.
    timed: bool,
    fractions: bool,
    without_time: u64,
    without_output: u64,
    without_ids: u64,
}

/// The settled form of the rows.
struct Form {
    /// True if the first row with a timestamp has Bailian's keys.
    is_bailian: bool,
    unit: SettledUnit,
    block_sizes: BlockSizes,
    /// The earliest time of the first rows: of a row without any. Zero may be decades before it.
    start_ns: u64,
}

impl<'a> Converter<'a> {
    pub(crate) fn new(reading: Reading, trace: &'a mut Trace) -> Self {
        Self {
            reading,
            trace,
            held_back: Vec::new(),
            form: None,
            sessions: HashMap::new(),
            timed: false,
            fractions: false,
            without_time: 0,
            without_output: 0,
            without_ids: 0,
        }
    }

    /// Adds the row with this number: its line, or its place in an array.
    pub(crate) fn push(&mut self, number: usize, object: Object) -> Result<(), (usize, Fault)> {
        if self.form.is_some() {
            return self.convert(&object).map_err(|fault| (number, fault)).map(|row| {
                self.add(number, &row, &object);
            });
        }
        self.held_back.push((number, object));
        match self.held_back.len() {
            SETTLING_ROWS => self.settle(),
            _ => Ok(()),
        }
    }

    /// Completes the trace with its block size and the assumptions that were made.
    pub(crate) fn finish(mut self) -> Result<(), (usize, Fault)> {
        if self.form.is_none() {
            self.settle()?;
        }
        let Some(form) = self.form else { return Ok(()) };
        let Trace { assumed, block_tokens, .. } = self.trace;
        *block_tokens = form.block_sizes.settled();
        if self.timed {
            assumed.extend(form.unit.assumed(*block_tokens, self.fractions));
        }
        if let Some(size) = *block_tokens
            && self.reading.block_tokens.is_none()
            && (form.is_bailian || size != MOONCAKE_BLOCK_TOKENS)
        {
            assumed.push(format!("a block has {size} tokens, by the number of hash_ids"));
        }
        if self.without_time > 0 {
            assumed.push(format!(
                "{} requests have no timestamp: they come `delay` ms after the one before in their session, or at the start",
                self.without_time
            ));
        }
        if self.without_output > 0 {
            assumed.push(format!(
                "{} requests have no output_length: {OUTPUT_TOKENS_ASSUMED} tokens each",
                self.without_output
            ));
        }
        if self.without_ids > 0 && block_tokens.is_some() {
            assumed.push(format!(
                "{} requests have no hash_ids: they share no prefix",
                self.without_ids
            ));
        }
        Ok(())
    }

    /// Settles the form by the rows that were held back, and adds them.
    fn settle(&mut self) -> Result<(), (usize, Fault)> {
        let rows = self.held_back.iter().map(|(_, object)| object);
        let is_bailian =
            rows.clone().find(|object| object.timestamp.is_some()).is_some_and(is_bailian);
        let unit = SettledUnit::by(rows.clone(), is_bailian, &self.reading);
        let times_ns = rows.filter_map(|object| object.timestamp);
        let start_ns = times_ns.map(|time| unit.unit.nanoseconds(time)).min().unwrap_or_default();
        let block_sizes = BlockSizes::new(self.reading.block_tokens, is_bailian);
        self.form = Some(Form { is_bailian, unit, block_sizes, start_ns });
        for (number, object) in std::mem::take(&mut self.held_back) {
            self.push(number, object)?;
        }
        Ok(())
    }

    /// Completes a row by what is settled.
    fn convert(&mut self, object: &Object) -> Result<Row, Fault> {
        let Some(form) = &mut self.form else { return Err(fault("no row".into())) };
        let is_timed = self.reading.time_unit.is_none() && object.timestamp.is_some();
        if is_timed && is_bailian(object) != form.is_bailian {
            let reason = match form.is_bailian {
                false => {
                    "it has chat_id and turn, as traces in seconds have, and the first row has not"
                }
                true => {
                    "it lacks chat_id and turn, which the first row has, as traces in seconds have"
                }
            };
            return Err(Fault::new(reason.to_owned(), "rows of one form, or --time-unit"));
        }
        form.block_sizes.narrow(object.input_length, object.ids())?;
        let session = object.session_id.as_ref().map(ToString::to_string);
        let before = session.as_ref().and_then(|session| self.sessions.get(session)).copied();
        let unit = form.unit.unit;
        let at_ns = match (object.timestamp, object.delay) {
            (Some(timestamp), _) if timestamp * unit.seconds() > TIMESTAMP_SECONDS_MAX => {
                return Err(Fault::new(format!("timestamp is {timestamp}"), TIMESTAMP_EXPECTED));
            }
            (Some(timestamp), _) => {
                self.timed = true;
                self.fractions |= is_fraction(timestamp);
                unit.nanoseconds(timestamp)
            }
            (None, delay) => {
                self.without_time += 1;
                // Tools write delays in milliseconds, whatever the unit of timestamps.
                let delay_ns = TimeUnit::Milliseconds.nanoseconds(delay.unwrap_or_default());
                before.unwrap_or(form.start_ns).saturating_add(delay_ns)
            }
        };
        if at_ns as f64 > TIMESTAMP_SECONDS_MAX * 1e9 {
            let reason = "the delays of its session are longer than a hundred years";
            return Err(fault(reason.into()));
        }
        if let Some(session) = session {
            self.sessions.insert(session, at_ns);
        }
        self.without_output += u64::from(object.output_length.is_none());
        self.without_ids += u64::from(object.hash_ids.is_none());
        Ok(Row {
            at_ns,
            input_tokens: object.input_length,
            output_tokens: object.output_length.unwrap_or(OUTPUT_TOKENS_ASSUMED),
        })
    }

    fn add(&mut self, number: usize, row: &Row, object: &Object) {
        let ids = object.hash_ids.as_deref().unwrap_or_default();
        self.trace.block_ids.extend_from_slice(ids);
        self.trace.push(number, row, ids.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// Converts rows, which are numbered from 0.
    fn settled(lines: &[&str], reading: Reading) -> Result<Trace, String> {
        let mut trace = Trace::empty();
        let mut converter = Converter::new(reading, &mut trace);
        let convert = || {
            for (index, line) in lines.iter().enumerate() {
                converter.push(index, parse(line.as_bytes()).unwrap())?;
            }
            converter.finish()
        };
        convert().map_err(|(index, fault)| format!("{index}: {fault}"))?;
        Ok(trace)
    }

    fn arrivals(trace: &Trace) -> Vec<u64> {
        trace.requests().iter().map(|request| request.arrival_ns).collect()
    }

    #[test]
    fn seconds_and_small_blocks_are_told_by_bailians_keys() {
        let ids: Vec<u64> = (0..20).collect();
        let row = |chat: u32, at: &str| {
            format!(
                r#"{{"chat_id":{chat},"parent_chat_id":-1,"timestamp":{at},"input_length":320,"output_length":10,"turn":1,"hash_ids":{ids:?}}}"#
            )
        };
        let rows = [row(1, "0.0"), row(2, "600.5")];
        let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
        let read = settled(&lines, Reading::default()).unwrap();
        assert_eq!((arrivals(&read)[1], read.block_tokens), (600_500_000_000, Some(16)));
        assert_eq!(read.assumed.len(), 2, "{:?}", read.assumed);
        let reading = Reading { time_unit: Some(TimeUnit::Milliseconds), block_tokens: None };
        assert_eq!(arrivals(&settled(&lines, reading).unwrap())[1], 600_500_000);
        let reading = Reading { time_unit: None, block_tokens: Some(512) };
        let error = settled(&lines, reading).err().unwrap();
        assert!(
            error.starts_with("0: input_length 320 has 20 hash_ids; expected 1 for"),
            "{error}"
        );
    }

    #[test]
    fn rows_of_milliseconds_and_blocks_of_any_usual_size() {
        let row = |ms: &str, input: u64, ids: usize| {
            format!(
                r#"{{"timestamp":{ms},"input_length":{input},"output_length":0,"hash_ids":{:?}}}"#,
                vec![7; ids]
            )
        };
        for (rows, size) in [
            (vec![row("3", 513, 2), row("1.5", 512, 1), row("\"4\"", 5.0 as u64, 1)], 512),
            (vec![row("0", 655, 6), row("1", 128, 1)], 128),
            (vec![row("0", 655, 5)], 128),
            (vec![row("0", 655, 1)], 512),
        ] {
            let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
            assert_eq!(
                settled(&lines, Reading::default()).unwrap().block_tokens,
                Some(size),
                "{lines:?}"
            );
        }
        let rows = [row("0", 512, 1), row("1", 512, 32), row("2", 16, 16)];
        let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
        let error = settled(&lines, Reading::default()).err().unwrap();
        assert!(error.starts_with("1: input_length 512 has 32 hash_ids"), "{error}");
    }

    #[test]
    fn missing_fields_are_assumed_and_reported() {
        let lines = [
            r#"{"session_id":"s1","input_length":655,"output_length":52,"hash_ids":[46,47]}"#,
            r#"{"session_id":"s1","delay":500,"input_length":700,"output_length":null,"hash_ids":null}"#,
            r#"{"session_id":"s1","delay":1,"timestamp":null,"input_length":"700"}"#,
        ];
        let read = settled(&lines, Reading::default()).unwrap();
        assert_eq!(arrivals(&read), [0, 500_000_000, 501_000_000]);
        assert_eq!(read.requests()[1].output_tokens, OUTPUT_TOKENS_ASSUMED);
        assert_eq!(read.assumed.len(), 3, "{:?}", read.assumed);
        let bare = settled(&[r#"{"timestamp":1,"input_length":2.0}"#], Reading::default()).unwrap();
        assert_eq!((bare.block_tokens, bare.requests()[0].input_tokens), (None, 2));
    }

    #[test]
    fn the_unit_is_settled_by_evidence_and_reported_unless_it_is_certain() {
        let row = |time: &str, input: u64, ids: usize, more: &str| {
            let ids = vec![7; ids];
            format!(r#"{{"timestamp":{time},"input_length":{input},"hash_ids":{ids:?}{more}}}"#)
        };
        let bare = |time: &str| row(time, 5, 0, "");
        let (s, ms) = (1_000_000_000, 1_000_000);
        for (rows, unit_ns, assumed) in [
            (vec![bare("0.5"), bare("12.5")], ms, Some("milliseconds, as in Mooncake's traces;")),
            (vec![bare("0"), bare("12")], ms, Some("milliseconds, as in Mooncake's traces;")),
            (vec![bare("1700000000"), bare("1700000012")], s, Some("seconds, as large as those")),
            (vec![bare("\"1700000000\""), bare("1700000012.0")], s, Some("seconds, as large")),
            (vec![bare("1700000000000"), bare("1700000000012")], ms, Some("milliseconds, as in")),
            (vec![bare("0"), bare("1700000000")], ms, Some("milliseconds, as in")),
            (
                vec![row("61.5", 320, 20, ""), row("190.5", 640, 40, "")],
                s,
                Some("seconds, as in Bailian's traces (fractions, blocks of 16 tokens);"),
            ),
            (
                vec![
                    row("61.5", 320, 20, r#","chat_id":null,"turn":1"#),
                    row("73.5", 320, 20, r#","chat_id":null,"turn":2"#),
                ],
                s,
                Some("seconds, as in Bailian's traces (fractions,"),
            ),
            (vec![row("61", 320, 20, ""), row("190", 320, 20, "")], ms, Some("milliseconds, as")),
            (vec![row("0", 1024, 2, ""), row("12", 512, 1, "")], ms, None),
            (vec![row("0", 1024, 2, ""), row("12.5", 512, 1, "")], ms, Some("milliseconds, as")),
            (vec![row("1700000000", 1024, 2, ""), row("1700000012", 512, 1, "")], s, Some("sec")),
        ] {
            let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
            let read = settled(&lines, Reading::default()).unwrap();
            let times = lines.iter().map(|line| parse(line.as_bytes()).unwrap().timestamp.unwrap());
            let expected: Vec<u64> = times.map(|time| (time * unit_ns as f64) as u64).collect();
            assert_eq!(arrivals(&read), expected, "{lines:?}");
            let said = read.assumed.iter().find(|sentence| sentence.starts_with("timestamps are "));
            let said = said.map(|sentence| sentence.trim_start_matches("timestamps are "));
            match (assumed, said) {
                (None, None) => {}
                (Some(assumed), Some(said)) => {
                    assert!(said.starts_with(assumed), "{lines:?}: {said}");
                    assert!(said.ends_with("; --time-unit overrides it"), "{lines:?}: {said}");
                }
                _ => panic!("{lines:?}: {said:?}"),
            }
            let reading = Reading { time_unit: Some(TimeUnit::Microseconds), block_tokens: None };
            let given = settled(&lines, reading).unwrap();
            assert!(given.assumed.iter().all(|said| !said.contains("timestamps")), "{lines:?}");
        }
    }

    #[test]
    fn times_of_a_small_unit_are_bounded_in_that_unit() {
        let row = r#"{"timestamp":1700000000000000000,"input_length":5}"#;
        let reading = Reading { time_unit: Some(TimeUnit::Nanoseconds), block_tokens: None };
        assert_eq!(arrivals(&settled(&[row], reading).unwrap()), [1_700_000_000_000_000_000]);
        let error = settled(&[row], Reading::default()).err().unwrap();
        assert!(error.ends_with("expected at most a hundred years; see --time-unit"), "{error}");
    }

    #[test]
    fn a_row_without_a_time_comes_at_the_start_of_the_trace_and_not_in_1970() {
        let rows = [
            r#"{"timestamp":1700000005,"input_length":5}"#,
            r#"{"delay":10,"input_length":5}"#,
            r#"{"timestamp":1700000000,"input_length":5}"#,
        ];
        let start_ns = 1_700_000_000_000_000_000;
        let read = settled(&rows, Reading::default()).unwrap();
        assert_eq!(arrivals(&read), [start_ns + 5_000_000_000, start_ns + 10_000_000, start_ns]);
    }

    #[test]
    fn rows_after_those_that_settled_the_form_are_held_to_it() {
        let plain = r#"{"timestamp":1,"input_length":512,"hash_ids":[1]}"#;
        let bailian = r#"{"timestamp":2,"input_length":512,"chat_id":1,"turn":1}"#;
        let unlike = r#"{"timestamp":2,"input_length":512,"hash_ids":[1,2]}"#;
        let with = |last, rows: usize| [vec![plain; rows], vec![last]].concat();
        let (late, early) = (SETTLING_ROWS, SETTLING_ROWS - 1);
        let error = settled(&with(bailian, late), Reading::default()).err().unwrap();
        assert!(error.starts_with("1000: it has chat_id and turn"), "{error}");
        assert!(error.ends_with("--time-unit"), "{error}");
        let given = Reading { time_unit: Some(TimeUnit::Seconds), block_tokens: None };
        let seconds = settled(&with(bailian, late), given).unwrap();
        assert_eq!(arrivals(&seconds)[late], 2_000_000_000);
        let error = settled(&with(bailian, early), Reading::default()).err().unwrap();
        assert!(error.starts_with("999: it has chat_id and turn"), "{error}");
        let error = settled(&[bailian, plain], Reading::default()).err().unwrap();
        assert!(error.starts_with("1: it lacks chat_id and turn"), "{error}");
        let untimed = r#"{"delay":3,"input_length":512}"#;
        let seconds = settled(&[untimed, bailian, untimed], Reading::default()).unwrap();
        assert_eq!(arrivals(&seconds).len(), 3, "without a timestamp a row has no unit");
        let error = settled(&with(unlike, late), Reading::default()).err().unwrap();
        assert!(error.starts_with("1000: input_length 512 has 2 hash_ids, and no"), "{error}");
    }

    #[test]
    fn delays_that_add_up_to_more_than_a_hundred_years_are_an_error() {
        let row = r#"{"session_id":1,"delay":3e12,"input_length":1}"#;
        let error = settled(&[row, row], Reading::default()).err().unwrap();
        assert!(error.starts_with("1: the delays of its session"), "{error}");
    }
}
