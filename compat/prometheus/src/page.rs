//! The text of one family, kept from one encoding to the next: only numbers that differ are formatted.
//!
//! ```text
//! requests_total{model="llama"} 41\n        prefix, value, end of the line; a line for each number of a reading
//! ```
//!
//! A value that is as long as the one before is replaced in place. At the first that is not, the rest of the page is copied into a
//! new text. Lines are not padded, so the text is that of a page which was never kept.

use crate::encoder::push_number;

/// A text and the places of its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    text: String,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// The number that is printed.
    number: u64,
    /// True if it is the bits of a float.
    float: bool,
    /// The positions at which its text begins and ends.
    start: usize,
    end: usize,
}

impl Line {
    fn push(&self, text: &mut String) {
        let value = if self.float { f64::from_bits(self.number) } else { self.number as f64 };
        push_number(text, value);
    }
}

impl Page {
    /// Returns a page that begins with these lines and has no values.
    pub(crate) fn new(head: String) -> Self {
        Self { text: head, lines: Vec::new() }
    }

    /// Returns the text, to append what stands before the next value.
    pub(crate) fn prefix(&mut self) -> &mut String {
        &mut self.text
    }

    /// Appends a value, the bits of a float or a count, and ends the line.
    pub(crate) fn push(&mut self, number: u64, float: bool) {
        let start = self.text.len();
        let mut line = Line { number, float, start, end: start };
        line.push(&mut self.text);
        line.end = self.text.len();
        self.lines.push(line);
        self.text.push('\n');
    }

    /// Releases memory that was taken in advance.
    pub(crate) fn finish(&mut self) {
        self.text.shrink_to_fit();
        self.lines.shrink_to_fit();
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether the values are these.
    pub(crate) fn has(&self, numbers: &[u64]) -> bool {
        self.lines.len() == numbers.len()
            && self.lines.iter().zip(numbers).all(|(line, number)| line.number == *number)
    }

    /// Replaces the values.
    pub(crate) fn set(&mut self, numbers: &[u64]) {
        let mut value = String::new();
        for (at, (line, &number)) in self.lines.iter_mut().zip(numbers).enumerate() {
            if line.number == number {
                continue;
            }
            line.number = number;
            value.clear();
            line.push(&mut value);
            if value.len() != line.end - line.start {
                self.copy(at, numbers);
                return;
            }
            self.text.replace_range(line.start..line.end, &value);
        }
    }

    /// Replaces the values from this line on, of whatever length.
    fn copy(&mut self, from: usize, numbers: &[u64]) {
        let mut text = String::with_capacity(self.text.len() + self.text.len() / 16);
        // The end of the last value in the old text.
        let mut copied = 0;
        for (line, &number) in self.lines.iter_mut().zip(numbers).skip(from) {
            text.push_str(&self.text[copied..line.start]);
            copied = line.end;
            line.number = number;
            line.start = text.len();
            line.push(&mut text);
            line.end = text.len();
        }
        text.push_str(&self.text[copied..]);
        self.text = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(numbers: &[f64]) -> Page {
        let mut page = Page::new("# TYPE a gauge\n".to_owned());
        for (at, number) in numbers.iter().enumerate() {
            page.prefix().push_str(&format!("a{{é=\"{at}\"}} "));
            page.push(number.to_bits(), true);
        }
        page
    }

    #[test]
    fn a_page_whose_values_are_replaced_is_that_of_the_new_values() {
        let values = [1.0, 9.0, 10.0, 0.5, -0.0, f64::NAN, 1e300, f64::INFINITY];
        let mut kept = page(&[0.0; 4]);
        for (step, a) in values.iter().enumerate() {
            for b in values {
                let numbers = [*a, b, values[step / 2], *a];
                let bits = numbers.map(f64::to_bits);
                kept.set(&bits);
                assert!(kept.has(&bits));
                assert_eq!(kept.text(), page(&numbers).text());
            }
        }
        assert!(!kept.has(&[0; 4]) && !kept.has(&[]));
    }

    #[test]
    fn counts_are_printed_as_numbers_and_not_as_bits() {
        let mut page = Page::default();
        page.push(3, false);
        page.set(&[1_000]);
        assert_eq!(page.text(), "1000\n");
    }
}
