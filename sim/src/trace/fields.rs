//! The fields of a line of CSV, by RFC 4180: a field in quotes may hold commas, and `""` for a quote.
//!
//! A quote begins such a field only where the field begins, blanks aside; elsewhere it is a byte like any other, as spreadsheets and
//! Python read it. **A field in quotes ends on its line**: a reader that went on would swallow the rows up to the next quote when one is
//! missing, so the crate `csv`, which does, is no choice here.

use super::Fault;
use super::lines::excerpt;

/// The fields of a line, without blanks and quotes around them.
pub(super) fn fields(line: &[u8]) -> Fields<'_> {
    Fields { line, rest: Some(line) }
}

/// An iterator over fields; the bytes of a field in quotes are as they stand, two quotes for one.
#[derive(Clone, Debug)]
pub(super) struct Fields<'l> {
    line: &'l [u8],
    /// The line from the next field on; `None` after the last.
    rest: Option<&'l [u8]>,
}

impl<'l> Iterator for Fields<'l> {
    type Item = Result<&'l [u8], Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(quoted) = rest.trim_ascii_start().strip_prefix(b"\"") else {
            let (field, rest) = split_at_comma(rest);
            self.rest = rest;
            return Some(Ok(field.trim_ascii()));
        };
        let Some(end) = closing_quote(quoted) else {
            return Some(Err(self.fault("a quote does not end on its line")));
        };
        let (after, rest) = split_at_comma(&quoted[end + 1..]);
        if !after.trim_ascii().is_empty() {
            return Some(Err(self.fault("text follows a field in quotes")));
        }
        self.rest = rest;
        Some(Ok(quoted[..end].trim_ascii()))
    }
}

impl Fields<'_> {
    fn fault(&self, reason: &str) -> Fault {
        let reason = format!("{reason} in `{}`", excerpt(self.line));
        Fault::new(reason, "fields by RFC 4180, each on one line, with \"\" for a quote in quotes")
    }
}

/// The place of the quote that ends a field: the first that is not one of two.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut place = 0;
    loop {
        place += quoted[place..].iter().position(|byte| *byte == b'"')?;
        if quoted.get(place + 1) != Some(&b'"') {
            return Some(place);
        }
        place += 2;
    }
}

fn split_at_comma(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b',') {
        Some(comma) => (&text[..comma], Some(&text[comma + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<String>, String> {
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).unwrap();
        fields(line.as_bytes())
            .map(|field| field.map(text).map_err(|fault| fault.to_string()))
            .collect()
    }

    #[test]
    fn commas_and_quotes_in_quotes_are_part_of_their_field() {
        for (line, expected) in [
            ("", vec![""]),
            (",", vec!["", ""]),
            ("a, b ,", vec!["a", "b", ""]),
            ("5,\"x,10,20\",100", vec!["5", "x,10,20", "100"]),
            (" \" 7 \" ,8", vec!["7", "8"]),
            ("\"\",1", vec!["", "1"]),
            ("\"a\"\",\"\"b\",1", vec!["a\"\",\"\"b", "1"]),
            ("\"\"\"\",\"\"\"x\"", vec!["\"\"", "\"\"x"]),
            ("5\" disk,1", vec!["5\" disk", "1"]),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(split(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_quote_that_does_not_end_on_its_line_or_before_a_comma_is_a_fault() {
        for line in ["\"", "1,\"a", "1,\"a\"\"", "\"a,1\n"] {
            let fault = split(line).unwrap_err();
            assert!(fault.starts_with("a quote does not end on its line in `"), "{line}: {fault}");
        }
        let fault = split("1,\"a\"b,2").unwrap_err();
        assert!(fault.starts_with("text follows a field in quotes in `1,\"a\"b,2`;"), "{fault}");
    }
}
