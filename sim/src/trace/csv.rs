//! Traces in CSV with a header, one request a line: Azure's and BurstGPT's.
//!
//! The columns are found by their name in the header, so further columns and another order do no
//! harm. A field may stand in quotes (`fields`).
//!
//! A timestamp is `2023-11-16 18:15:46.6805900`: UTC unless an offset follows (the 2024 traces end
//! in `+00:00`), up to nine digits of a second. It is parsed by hand: a fixed form needs no
//! calendar library, only the number of days before a date. A plain number is seconds, as in BurstGPT's traces, or of the unit that
//! the user says. The first row settles which of the two a file has: a date among numbers, or a number among dates, would leave
//! decades between two requests.

use super::fields::fields;
use super::lines::excerpt;
use super::{
    Fault, Reading, Row, TIMESTAMP_EXPECTED, TIMESTAMP_SECONDS_MAX, TOKENS_MAX, TimeUnit,
    unit_assumed,
};

/// The header of Azure's files.
pub(super) const AZURE_HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
/// The header of BurstGPT's files.
pub(super) const BURST_HEADER: &str =
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type";

/// A form's names of the three columns that matter.
type Names = [&'static str; 3];
const FORMS: [Names; 2] = [
    ["TIMESTAMP", "ContextTokens", "GeneratedTokens"],
    ["Timestamp", "Request tokens", "Response tokens"],
];
const TIMESTAMP: usize = 0;
const INPUT: usize = 1;
const OUTPUT: usize = 2;

const TIMESTAMP_FORM: &str =
    "a time from 1970 on, such as 2023-11-16 18:15:46.6805900 (UTC), or a number of seconds";

/// Times count from here.
const YEAR_MIN: u64 = 1970;
/// Nanoseconds since 1970 fit 64 bits until 2554.
const YEAR_MAX: u64 = 2500;

/// Returns whether a first line is a header of a known form: one known column is enough, so that a file which lacks another is
/// told so, not called unknown.
pub(super) fn is_header(line: &[u8]) -> bool {
    let is_known = |field: &[u8]| FORMS.iter().flatten().any(|name| is_name(field, name));
    fields(line).flatten().any(is_known)
}

/// The places of the columns, in the order of [`Names`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    names: &'static Names,
    places: [usize; 3],
    is_burst: bool,
    /// The unit of numbers that the user gave, which dates contradict.
    given: Option<TimeUnit>,
    /// The form of the timestamps so far; `None` before the first row.
    times: Option<Times>,
}

/// The two forms of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Dates,
    Numbers,
}

impl Columns {
    pub(super) fn from_header(line: &[u8], reading: &Reading) -> Result<Columns, Fault> {
        let header: Vec<&[u8]> = fields(line).collect::<Result<_, _>>()?;
        let place = |name: &str| header.iter().position(|field| is_name(field, name));
        let found = |names: &Names| names.iter().filter(|name| place(name).is_some()).count();
        // The form of which most columns are there; both call the time alike.
        let burst = found(&FORMS[1]) > found(&FORMS[0]);
        let (names, expected) =
            if burst { (&FORMS[1], BURST_HEADER) } else { (&FORMS[0], AZURE_HEADER) };
        let mut places = [0; 3];
        for (slot, name) in places.iter_mut().zip(names) {
            *slot = place(name).ok_or_else(|| {
                Fault::new(format!("the header has no column {name}"), format!("`{expected}`"))
            })?;
            if header[*slot + 1..].iter().any(|field| is_name(field, name)) {
                let reason = format!("the header has the column {name} twice");
                return Err(Fault::new(reason, format!("`{expected}`")));
            }
        }
        let given = reading.time_unit;
        Ok(Columns { names, places, is_burst: burst, given, times: None })
    }

    /// Returns the assumption about the rows that were parsed, if there is one.
    pub(super) fn assumed(&self) -> Option<String> {
        if self.given.is_some() || self.times != Some(Times::Numbers) {
            return None;
        }
        let reason =
            if self.is_burst { "as in BurstGPT's traces" } else { "as numbers are in CSV" };
        Some(unit_assumed(TimeUnit::Seconds, reason))
    }

    pub(super) fn parse(&mut self, line: &[u8]) -> Result<Row, Fault> {
        let mut found: [Option<&[u8]>; 3] = [None; 3];
        for (index, field) in fields(line).enumerate() {
            let field = field?;
            for (slot, _) in found.iter_mut().zip(self.places).filter(|(_, place)| *place == index)
            {
                *slot = Some(field);
            }
        }
        let field = |column: usize| {
            found[column].ok_or_else(|| {
                let name = self.names[column];
                let reason = format!("column {name} is missing in `{}`", excerpt(line));
                Fault::new(reason, format!("`{}`", self.names.join(",")))
            })
        };
        let (timestamp, input, output) = (field(TIMESTAMP)?, field(INPUT)?, field(OUTPUT)?);
        Ok(Row {
            at_ns: self.at_ns(timestamp)?,
            input_tokens: self.tokens(INPUT, input)?,
            output_tokens: self.tokens(OUTPUT, output)?,
        })
    }

    /// The time of a row, in the form of the rows before.
    fn at_ns(&mut self, field: &[u8]) -> Result<u64, Fault> {
        let date_ns = timestamp_ns(field);
        if date_ns.is_some() && self.given.is_some() {
            return Err(self.unlike(TIMESTAMP, field, "a number, for --time-unit"));
        }
        let (times, at_ns) = match date_ns {
            Some(at_ns) => (Times::Dates, at_ns),
            None => (Times::Numbers, self.number_ns(field)?),
        };
        match (*self.times.get_or_insert(times), times) {
            (Times::Dates, Times::Numbers) => {
                Err(self.unlike(TIMESTAMP, field, "a date, as in the rows before"))
            }
            (Times::Numbers, Times::Dates) => {
                Err(self.unlike(TIMESTAMP, field, "a number, as in the rows before"))
            }
            _ => Ok(at_ns),
        }
    }

    /// A time as a number, of at most a hundred years.
    fn number_ns(&self, field: &[u8]) -> Result<u64, Fault> {
        let number = std::str::from_utf8(field).ok().and_then(|text| text.parse::<f64>().ok());
        let Some(time) = number.filter(|time| *time >= 0.0) else {
            return Err(self.unlike(TIMESTAMP, field, TIMESTAMP_FORM));
        };
        let unit = self.given.unwrap_or(TimeUnit::Seconds);
        if time * unit.seconds() > TIMESTAMP_SECONDS_MAX {
            return Err(self.unlike(TIMESTAMP, field, TIMESTAMP_EXPECTED));
        }
        Ok(unit.nanoseconds(time))
    }

    fn unlike(&self, column: usize, field: &[u8], expected: impl Into<String>) -> Fault {
        Fault::new(format!("{} is `{}`", self.names[column], excerpt(field)), expected)
    }

    fn tokens(&self, column: usize, field: &[u8]) -> Result<u64, Fault> {
        // Some tools write whole numbers as floats.
        let digits = field.strip_suffix(b".0").unwrap_or(field);
        number(digits).filter(|tokens| *tokens <= TOKENS_MAX).ok_or_else(|| {
            self.unlike(column, field, format!("a whole number from 0 to {TOKENS_MAX}"))
        })
    }
}

fn is_name(field: &[u8], name: &str) -> bool {
    field.eq_ignore_ascii_case(name.as_bytes())
}

/// A decimal number of one to eighteen digits, which cannot overflow.
fn number(digits: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Nanoseconds since 1970.
fn timestamp_ns(text: &[u8]) -> Option<u64> {
    let (moment, rest) = text.split_at_checked("2023-11-16 18:15:46".len())?;
    let punctuation = [moment[4], moment[7], moment[10], moment[13], moment[16]];
    if !matches!(&punctuation, b"-- ::" | b"--T::") {
        return None;
    }
    let [year, month, day] =
        [number(&moment[..4])?, number(&moment[5..7])?, number(&moment[8..10])?];
    let [hour, minute, second] =
        [number(&moment[11..13])?, number(&moment[14..16])?, number(&moment[17..])?];
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_ns, zone) = fraction(rest)?;
    let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
    let seconds = seconds.checked_add_signed(-offset_seconds(zone)?)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

/// The nanoseconds of `.6805900`, and what follows it; zero when there is no fraction.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(length);
    let scale = 10u64.pow(9u32.checked_sub(length as u32)?);
    Some((number(digits)? * scale, rest))
}

/// Returns the lead of local time over UTC in seconds: nothing, `Z`, or `+05:30`.
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match zone {
        b"" | b"Z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [*h1, *h2], [*m1, *m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hour, minute) = (number(&hour)?, number(&minute)?);
    (hour < 24 && minute < 60).then_some(sign * (hour * 3_600 + minute * 60) as i64)
}

/// Whole days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const DAYS_BEFORE_MONTH: [u64; 13] =
        [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    if !(YEAR_MIN..=YEAR_MAX).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = DAYS_BEFORE_MONTH[month as usize - 1];
    let length = DAYS_BEFORE_MONTH[month as usize] - before + u64::from(leap && month == 2);
    if !(1..=length).contains(&day) {
        return None;
    }
    // Leap days of all years before this one, less the 477 that came before 1970.
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477;
    Some((year - YEAR_MIN) * 365 + leap_days + before + u64::from(leap && month > 2) + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Row, Fault> {
        Columns::from_header(AZURE_HEADER.as_bytes(), &Reading::default())
            .expect("our own header")
            .parse(line.as_bytes())
    }

    fn message(line: &str) -> String {
        parse(line).expect_err("the line is bad").to_string()
    }

    #[test]
    fn days_agree_with_a_calendar_walked_day_by_day() {
        let mut expected = 0;
        for year in YEAR_MIN..=YEAR_MAX {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(days) = days(year, month, day) {
                        assert_eq!(days, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(2100, 2, 29), None);
        assert_eq!(days(2023, 11, 16), Some(19_677));
    }

    #[test]
    fn a_timestamp_may_have_a_fraction_and_an_offset() {
        let ns = |text: &str| timestamp_ns(text.as_bytes());
        let base_ns = 1_700_158_546_000_000_000; // date -ud '2023-11-16 18:15:46' +%s
        assert_eq!(ns("2023-11-16 18:15:46"), Some(base_ns));
        assert_eq!(ns("2023-11-16 18:15:46.6805900"), Some(base_ns + 680_590_000));
        assert_eq!(ns("2023-11-16T18:15:46.000000001Z"), Some(base_ns + 1));
        assert_eq!(ns("2023-11-16 18:15:46.5+00:00"), Some(base_ns + 500_000_000));
        assert_eq!(ns("2023-11-16 23:45:46+05:30"), Some(base_ns));
        assert_eq!(ns("2023-11-16 10:15:46-08:00"), Some(base_ns));
        for bad in [
            "",
            "2023-11-16",
            "2023-11-16 24:15:46",
            "2023-13-16 18:15:46",
            "2023-02-29 18:15:46",
            "2023-11-16 18:15:46.",
            "2023-11-16 18:15:46.1234567890",
            "2023-11-16 18:15:46 UTC",
            "1969-12-31 23:59:59",
            "1970-01-01 00:00:00+01:00",
            "2023-11-1é 18:15:46",
            "+023-11-16 18:15:46",
        ] {
            assert_eq!(ns(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_header_decides_where_columns_are() {
        let header = b"model, generatedtokens ,TIMESTAMP,ContextTokens";
        assert!(is_header(header));
        let mut columns =
            Columns::from_header(header, &Reading::default()).expect("all three are there");
        let row = columns.parse(b"m,7,1970-01-01 00:00:01, 5 ,x").expect("valid");
        assert_eq!(row, Row { at_ns: 1_000_000_000, input_tokens: 5, output_tokens: 7 });
        let fault = Columns::from_header(b"TIMESTAMP,ContextTokens", &Reading::default())
            .expect_err("one is missing");
        assert!(fault.to_string().starts_with("the header has no column GeneratedTokens;"));
        assert!(!is_header(b"a,b,c"));
    }

    #[test]
    fn a_column_that_is_there_twice_is_an_error() {
        for (header, name) in [
            ("TIMESTAMP,TIMESTAMP,ContextTokens,GeneratedTokens", "TIMESTAMP"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens,x,\"contexttokens\"", "ContextTokens"),
            ("Timestamp,Request tokens,Response tokens,Response tokens", "Response tokens"),
        ] {
            let fault = Columns::from_header(header.as_bytes(), &Reading::default()).unwrap_err();
            let reason = format!("the header has the column {name} twice; expected `");
            assert!(fault.to_string().starts_with(&reason), "{fault}");
        }
        let other = b"x,x,TIMESTAMP,ContextTokens,GeneratedTokens";
        assert!(Columns::from_header(other, &Reading::default()).is_ok());
    }

    #[test]
    fn the_unit_of_numbers_is_reported_where_it_is_assumed() {
        let assumed = |header: &str, time: &str, given: Option<TimeUnit>| {
            let reading = Reading { time_unit: given, block_tokens: None };
            let mut columns = Columns::from_header(header.as_bytes(), &reading).unwrap();
            columns.parse(format!("{time},1,2,3,4").as_bytes()).unwrap();
            columns.assumed()
        };
        let burst = "Timestamp,Request tokens,Response tokens";
        for (header, reason) in [(AZURE_HEADER, "as numbers are in CSV"), (burst, "as in Burst")] {
            let said = assumed(header, "1500", None).expect("nothing states it");
            assert!(said.starts_with(&format!("timestamps are seconds, {reason}")), "{said}");
            assert!(said.ends_with("; --time-unit overrides it"), "{said}");
            assert_eq!(assumed(header, "1500", Some(TimeUnit::Milliseconds)), None);
            assert_eq!(assumed(header, "2023-11-16 18:15:46", None), None, "a date states it");
        }
    }

    #[test]
    fn dates_and_numbers_in_one_file_are_an_error() {
        let second = |first: &str, second: &str| {
            let mut columns =
                Columns::from_header(AZURE_HEADER.as_bytes(), &Reading::default()).unwrap();
            columns.parse(format!("{first},1,2").as_bytes()).unwrap();
            columns.parse(format!("{second},1,2").as_bytes()).unwrap_err().to_string()
        };
        let date = "2023-11-16 18:15:46";
        let expected = "TIMESTAMP is `12.5`; expected a date, as in the rows before";
        assert_eq!(second(date, "12.5"), expected);
        let expected = format!("TIMESTAMP is `{date}`; expected a number, as in the rows before");
        assert_eq!(second("12.5", date), expected);
        assert!(second(date, "soon").starts_with("TIMESTAMP is `soon`; expected a time from 1970"));
        let hint = "expected at most a hundred years; see --time-unit";
        assert!(second("0", "1700000000000").ends_with(hint));
    }

    #[test]
    fn a_bad_field_is_named_and_shown() {
        let time = "2023-11-16 18:15:46";
        assert_eq!(parse(&format!("{time},0,0")).map(|row| row.output_tokens), Ok(0));
        assert!(message(&format!("{time},-5,1")).starts_with("ContextTokens is `-5`; expected a"));
        assert!(message(&format!("{time},1,")).starts_with("GeneratedTokens is ``;"));
        assert!(message(&format!("{time},1,2.5")).starts_with("GeneratedTokens is `2.5`;"));
        assert!(message(&format!("{time},100000001,1")).contains("from 0 to 100000000"));
        assert!(message(&format!("{time},1")).starts_with("column GeneratedTokens is missing in"));
        assert!(message("yesterday,1,2").starts_with("TIMESTAMP is `yesterday`; expected a time"));
    }
}
