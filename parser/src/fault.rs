//! Every fault that a page can have, as a table: the name and what was seen, the [`Rule`] it belongs to, and the words.
//!
//! The strict parser, the reader of spellings and the models of consumers all report these, each where it sees the fault.
//! A fault is not an error or a warning by itself: its level depends on the consumers that mind (`check`).

use std::fmt;

use crate::kind::Kind;
use crate::number::{self, NoNumber};

/// Makes the enum, its names, its rules and its words from one table.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident : $type:ty),+ })? => $rule:expr, $words:literal;)+) => {
        /// One thing that is wrong with a page, and what was seen.
        ///
        /// ```
        /// use dynamo_metrics_parser::{Fault, Rule, parse};
        ///
        /// let problems = parse(b"a{x=\"1\",x=\"2\"} 1\n").unwrap_err();
        /// let fault = Fault::LabelTwice { label: "x".into() };
        /// assert_eq!(problems[0].fault, fault);
        /// assert_eq!((fault.id(), fault.rule()), ("LabelTwice", Rule::Label));
        /// assert_eq!(fault.to_string(), "label x is there twice");
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* #[allow(missing_docs)] $name $({ $($field: $type),+ })?,)+
        }

        impl Fault {
            /// The name of the fault, for programs: `LabelTwice`.
            #[must_use]
            pub fn id(&self) -> &'static str {
                match self {
                    $(Fault::$name { .. } => stringify!($name),)+
                }
            }

            /// The rule that it breaks.
            #[must_use]
            pub fn rule(&self) -> Rule {
                match self {
                    $(Fault::$name $({ $($field),+ })? => { $($(let _ = $field;)+)? $rule })+
                }
            }
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Fault::$name $({ $($field),+ })? => { $($(let _ = $field;)+)? write!(f, $words) })+
                }
            }
        }
    };
}

faults! {
    /// A line, or a text within it, is not valid UTF-8.
    InvalidUtf8 => Rule::Utf8, "invalid UTF-8";
    /// A line without a byte, or with nothing but blanks.
    EmptyLine => Rule::LineEnd, "blank line";
    /// A line that ends in CR LF.
    CarriageReturn => Rule::LineEnd, "line ends in CR LF; only LF is allowed";
    /// A last line without its LF.
    NoLineFeed => Rule::LineEnd, "the last line lacks its line feed";
    /// A NUL outside of label values, help texts and comments.
    Nul => Rule::LineEnd, "a NUL byte";

    /// A blank or tab before a sample's name.
    BlankBeforeName => Rule::Blank, "blank before the metric name";
    /// A blank or tab between a name and its braces.
    BlankBeforeBraces => Rule::Blank, "blank before the braces";
    /// A blank or tab within braces and outside of quotes.
    BlankInBraces => Rule::Blank, "blank within the braces";
    /// Several blanks or tabs where one blank belongs.
    ManyBlanks { before: &'static str } => Rule::Blank, "more than one blank before the {before}";
    /// A tab where one blank belongs.
    Tab { before: &'static str } => Rule::Blank, "tab before the {before}";
    /// No blank where one belongs.
    NoBlank { before: &'static str } => Rule::Blank, "no blank before the {before}";
    /// A blank or tab at the end of a line.
    BlankAtEnd => Rule::Blank, "blank at the end of the line";
    /// A comment without a blank behind its `#`.
    CommentBlank => Rule::Blank, "a comment starts with '# '";
    /// HELP, TYPE or UNIT with other white space around the word than single blanks.
    KeywordBlanks { word: &'static str } => Rule::Blank, "expected exactly '# {word} '";

    /// A type that the format does not have.
    UnknownType { word: String } => Rule::Metadata, "{word:?} is no type of this format";
    /// HELP, TYPE or UNIT without a text.
    NoText { word: &'static str, name: String } => Rule::Metadata, "{word} of {name} has no text";
    /// A second HELP, TYPE or UNIT of one family.
    SecondMetadata { word: &'static str, name: String } => Rule::Metadata, "second {word} of {name}";
    /// HELP, TYPE or UNIT after samples of its family.
    LateMetadata { word: &'static str, name: String } => Rule::Metadata, "{word} of {name} after its samples";
    /// A help text that holds another metadata line.
    GluedMetadata => Rule::Metadata,
        "the help text holds another metadata line; is a line feed missing before it?";

    /// HELP, TYPE or UNIT without a name.
    NoMetadataName { word: &'static str } => Rule::Name, "{word} is not followed by a metric name";
    /// HELP, TYPE or UNIT of a name that goes on with a character that names do not have.
    MetadataName { name: String } => Rule::Name, "invalid character after the name {name}";
    /// A line that is neither a comment nor begins with a name.
    NoName => Rule::Name, "line does not start with a metric name";
    /// A character that names do not have, behind a name.
    NameCharacter { found: char } => Rule::Name, "{found:?} in the metric name";
    /// Braces without a name before them, and none in quotes as their first entry.
    NameNotFirst => Rule::Name, "the first entry of the braces must be the metric name";
    /// A name before the braces and another one in them.
    NameTwice => Rule::Name, "a metric name before the braces and another one in them";
    /// A metric's name in quotes that is empty or does not end.
    QuotedName => Rule::Name, "a name in quotes is empty or does not end";
    /// A NUL in a metric's name in quotes.
    NulInName => Rule::Name, "NUL in a name in quotes";
    /// A name in quotes that no metadata announces, which OpenMetrics parsers take for one without quotes.
    Unannounced { name: String } => Rule::Name, "{name:?} in quotes needs a TYPE line before it";
    /// A name in quotes, which only a scraper that asked for `escaping=allow-utf-8` may be given.
    QuotesNotAsked => Rule::Name, "a name in quotes, which was not asked for";
    /// A counter that is named `_total`.
    BareTotal => Rule::Name, "a counter named _total has no name without its suffix, which Python removes";
    /// A counter in text whose name does not end in `_total`.
    NoTotal { name: String } => Rule::Name, "counter {name} does not end in _total";

    /// No label name where one belongs.
    NoLabelName => Rule::Label, "expected a label name";
    /// A label's name in quotes that is empty or does not end.
    QuotedLabel => Rule::Label, "a name in quotes is empty or does not end";
    /// A NUL in a label's name in quotes.
    NulInLabel => Rule::Label, "NUL in a name in quotes";
    /// A label name without `="` behind it.
    NoEqual { label: String } => Rule::Label, "expected =\" after the label name {label}";
    /// A label value without its closing quote.
    OpenValue { label: String } => Rule::Label, "value of label {label} does not end";
    /// Neither a comma nor the closing brace behind a label.
    NoComma { label: String } => Rule::Label, "expected , or }} after label {label}";
    /// Neither a comma nor the closing brace behind a name in quotes.
    NoCommaAfterName => Rule::Label, "expected , or }} after the metric name";
    /// A comma before the closing brace.
    TrailingComma => Rule::Label, "comma before the closing brace";
    /// Braces with nothing in them.
    EmptyBraces => Rule::Label, "empty braces";
    /// The label `__name__`.
    NameLabel => Rule::Label, "__name__ is not allowed as a label";
    /// A label whose name begins with `__`.
    ReservedLabel { label: String } => Rule::Label, "{label}: names that start with __ are reserved";
    /// One label name twice.
    LabelTwice { label: String } => Rule::Label, "label {label} is there twice";

    /// A backslash before a character that may not be escaped there.
    UnknownEscape { found: char } => Rule::Escape, "{found:?} may not be escaped here";
    /// A backslash as the last character.
    EscapeAtEnd => Rule::Escape, "backslash at the end";
    /// A quote in OpenMetrics' HELP without a backslash.
    QuoteInHelp => Rule::Escape, "a quote in HELP must be escaped";
    /// A backslash in an exemplar's labels.
    EscapeInExemplar => Rule::Escape, "a backslash in an exemplar's labels is read in different ways";

    /// A sample without a value.
    NoValue => Rule::Value, "no value";
    /// A value that is not a number.
    NotANumber { text: String } => Rule::Value, "{text:?} is not a number";
    /// A number that some consumer does not read.
    UnusualNumber { text: String } => Rule::Value, "{text:?} is not a number that every consumer reads";
    /// A number beyond the range of 64-bit floats.
    NumberRange { text: String } => Rule::Value, "{text} is beyond the range of a 64-bit float";

    /// A timestamp of text that is not digits within 64 bits.
    NotMilliseconds { text: String } => Rule::Timestamp, "timestamp {text:?} is not a plain whole number";
    /// A timestamp of OpenMetrics that is not digits with or without a fraction.
    NotSeconds { text: String } => Rule::Timestamp, "timestamp {text:?} is not plain decimal seconds";
    /// More behind a timestamp.
    AfterTimestamp { text: String } => Rule::Timestamp, "unexpected {text:?} after the timestamp";
    /// The lines of one histogram have different timestamps.
    TimestampsDiffer { name: String } => Rule::Timestamp, "{name}: the timestamps of one histogram differ";
    /// The timestamps of one label set fall.
    TimestampsFall { name: String } => Rule::Timestamp, "{name}: the timestamps of one label set fall";
    /// A label set has lines with and without a timestamp.
    TimestampsMixed { name: String } => Rule::Timestamp,
        "{name}: some samples of one label set have a timestamp and some do not";

    /// An exemplar in text.
    ExemplarInText => Rule::Exemplar, "text 0.0.4 has no exemplars";
    /// An exemplar that does not begin with `# {`.
    ExemplarStart => Rule::Exemplar, "an exemplar starts with '# {{'";
    /// An exemplar without a value.
    ExemplarValue => Rule::Exemplar, "an exemplar needs a blank and a value after its labels";
    /// An exemplar with more than 128 code points in its labels.
    ExemplarTooLong { points: usize } => Rule::Exemplar, "{points} code points in an exemplar's labels, 128 are allowed";
    /// An exemplar of a sample that may not have one.
    ExemplarMisplaced { name: String } => Rule::Exemplar, "{name}: only _total of counters and _bucket may have an exemplar";
    /// An exemplar whose value is not in its bucket.
    ExemplarOutside { name: String, text: String } => Rule::Exemplar, "{name}: exemplar {text} is not in the bucket";

    /// A sample without a suffix, of a type that has none such.
    NoSuffix { kind: Kind, name: String } => Rule::SampleName, "{kind} {name} has a sample without suffix";
    /// A family whose lines do not stand together.
    FamilyReturns { name: String } => Rule::Grouping, "the lines of {name} do not stand together";
    /// A label set of a family whose lines do not stand together.
    LabelSetReturns { name: String } => Rule::Grouping, "{name}: the lines of one label set do not stand together";
    /// Two families claim one sample name.
    Claimed { kind: Kind, claimer: String, claimed: String } => Rule::Clash,
        "{kind} {claimer} claims the samples of the family {claimed}";
    /// One series twice.
    SeriesTwice { name: String } => Rule::Duplicate, "series of {name} is there twice";
    /// One series twice, in two spellings of one number.
    BoundTwice { name: String, own: &'static str, text: String, before: String } => Rule::Duplicate,
        "series of {name} is there twice, because {own}={text:?} is the same number as {own}={before:?}: expose one of them";
    /// A counter that is negative or NaN.
    CounterValue { name: String, text: String } => Rule::Counter, "counter {name} is {text}";

    /// A sample without the label that tells it apart, `le` or `quantile`.
    LacksLabel { name: String, own: &'static str } => Rule::of_label(own), "{name}: lacks the label {own}";
    /// A sample with `le` or `quantile` that is neither bucket nor quantile.
    HasLabel { name: String, own: &'static str } => Rule::of_label(own), "{name}: must not have the label {own}";
    /// A `le` or `quantile` that is not a number.
    BoundNumber { own: &'static str, text: String } => Rule::of_label(own), "{own}={text:?} is not a number that every consumer reads";
    /// A `le` or `quantile` that is NaN or out of range.
    BoundRange { own: &'static str, text: String } => Rule::of_label(own), "{own}={text:?} is out of range";
    /// A `le` or `quantile` that is not in canonical form.
    NotCanonical { own: &'static str, text: String } => Rule::Canonical, "{own}={text:?} is not in canonical form";
    /// A bucket whose bound is not above the one before it.
    BucketOrder { name: String, bound: String, below: String } => Rule::Histogram, "{name}: le {bound} comes after {below}";
    /// A bucket that counts less than the one below it.
    BucketFalls { name: String } => Rule::Histogram, "{name}: bucket is less than the one below it";
    /// One quantile twice.
    QuantileTwice { name: String, text: String } => Rule::Summary, "{name}: quantile {text} is there twice";
    /// A quantile's value below zero.
    QuantileValue { name: String } => Rule::Summary, "{name}: the value of a quantile is negative";
    /// A count that is negative or not whole.
    NotACount { kind: Kind, name: String, text: String } => Rule::of_kind(*kind), "{name}: {text} is not a count";
    /// A sum that is negative or NaN, of what only grows.
    SumValue { kind: Kind, name: String, text: String } => Rule::of_kind(*kind), "{name}: {text} is not a sum of values that only grow";
    /// A sum that is NaN.
    SumNan { name: String } => Rule::Histogram, "{name}: the sum is NaN";
    /// A histogram or summary without `_sum`.
    NoSum { kind: Kind, name: String } => Rule::of_kind(*kind), "{name}: a label set lacks _sum";
    /// A histogram or summary without `_count`.
    NoCount { kind: Kind, name: String } => Rule::of_kind(*kind), "{name}: a label set lacks _count";
    /// A histogram without its last bucket.
    NoInf { name: String } => Rule::Histogram, "{name}: a label set lacks the +Inf bucket";
    /// A histogram whose last bucket and count differ.
    CountDiffers { name: String } => Rule::Histogram, "{name}: the +Inf bucket and the count differ";
    /// A histogram with one of sum and count.
    SumOrCount { name: String } => Rule::Histogram, "{name}: a label set has one of sum and count, not both";
    /// A histogram with a sum and negative bounds.
    SumOfNegatives { name: String } => Rule::Histogram, "{name}: with negative buckets there is no sum";
    /// A gauge histogram with a negative sum and no negative bound.
    NegativeSum { name: String } => Rule::Histogram, "{name}: the sum is negative and no bucket is";

    /// No `# EOF` at the end.
    NoEof => Rule::Eof, "the last line is not '# EOF'";
    /// A `# EOF` that is spelled otherwise.
    BadEof => Rule::Eof, "expected exactly '# EOF'";
    /// More behind `# EOF`.
    AfterEof => Rule::Eof, "a line after '# EOF'";
    /// A comment in OpenMetrics.
    Comment => Rule::Comment, "OpenMetrics has no comments";
    /// A unit that is not the end of the family's name.
    UnitSuffix { name: String, unit: String } => Rule::Unit, "{name} does not end in _{unit}";
    /// A unit of a type that has none.
    UnitOfType { kind: Kind, name: String } => Rule::Unit, "{kind} {name} may not have a unit";
    /// A `_created` that is no time.
    CreatedTime { name: String } => Rule::Created, "{name}: the value is not a time in seconds";
    /// A `_created` before the samples that it is about.
    CreatedFirst { name: String } => Rule::Created, "{name}: comes after _created, which Prometheus reads only behind the samples";
    /// A `_created` without a sample that it is about.
    CreatedAlone { name: String } => Rule::Created, "{name}: a label set has nothing but _created";
    /// An info that is not 1.
    InfoValue { name: String } => Rule::Info, "{name}: an info is always 1";
    /// A state without the label that names it.
    StateLabel { name: String } => Rule::StateSet, "{name}: lacks the label {name} of the state";
    /// A state that is neither 0 nor 1.
    StateValue { name: String } => Rule::StateSet, "{name}: a state is 0 or 1";
}

impl Fault {
    /// The fault of a text that is not a number that every consumer reads.
    pub(crate) fn of_number(text: &str) -> Fault {
        let (read, text) = (number::go(text), text.to_owned());
        match read {
            Ok(_) => Fault::UnusualNumber { text },
            Err(NoNumber::Range) => Fault::NumberRange { text },
            Err(NoNumber::Syntax) => Fault::NotANumber { text },
        }
    }
}

/// The rules of both formats, each a group of faults.
///
/// ```
/// use dynamo_metrics_parser::{Rule, parse};
///
/// let problems = parse(b"a 1\r\n").unwrap_err();
/// assert_eq!(problems[0].rule(), Rule::LineEnd);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A line is not valid UTF-8.
    Utf8,
    /// A line ends in CR LF, is empty, or the last one lacks its LF.
    LineEnd,
    /// A blank too many, or one that is missing.
    Blank,
    /// A HELP or TYPE line is malformed, comes twice, or comes after the family's samples.
    Metadata,
    /// A metric name is not `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    Name,
    /// A label is malformed, named twice, or may not be named so.
    Label,
    /// A backslash before anything but what may be escaped there.
    Escape,
    /// A number is not spelled in a way that every consumer reads.
    Value,
    /// A timestamp is not a plain whole number of milliseconds (text) or a plain decimal number of seconds
    /// (OpenMetrics), or does not fit the other timestamps of its metric.
    Timestamp,
    /// An exemplar, which text 0.0.4 does not have; in OpenMetrics one that is malformed, misplaced, too
    /// long, or outside of its bucket.
    Exemplar,
    /// A sample's name does not fit the type of its family.
    SampleName,
    /// A family's, histogram's or summary's lines do not stand together.
    Grouping,
    /// Two families claim one sample name.
    Clash,
    /// One series is there twice.
    Duplicate,
    /// A counter is negative or not a number.
    Counter,
    /// A histogram's buckets, sum and count do not fit together.
    Histogram,
    /// A summary's quantiles, sum and count do not fit together.
    Summary,
    /// OpenMetrics: `# EOF` is missing, misspelt, or not the end.
    Eof,
    /// OpenMetrics: a comment, which it does not have.
    Comment,
    /// OpenMetrics: a unit is not the end of the family's name, or the type may have none.
    Unit,
    /// OpenMetrics: `le` or `quantile` is a number, but not in canonical form.
    Canonical,
    /// OpenMetrics: a `_created` sample comes before what it is about, stands alone, or is no time.
    Created,
    /// OpenMetrics: an info sample is not 1.
    Info,
    /// OpenMetrics: a state set's sample lacks the label that names the state, or is not 0 or 1.
    StateSet,
}

impl Rule {
    /// The rule of the samples that a label tells apart.
    fn of_label(own: &str) -> Rule {
        if own == "le" { Rule::Histogram } else { Rule::Summary }
    }

    /// The rule of a type that is a distribution.
    fn of_kind(kind: Kind) -> Rule {
        if kind == Kind::Summary { Rule::Summary } else { Rule::Histogram }
    }
}
