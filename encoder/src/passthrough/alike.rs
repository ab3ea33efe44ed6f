//! A line that is like the one before it, as a histogram's buckets are: only the bytes that differ are read.

use super::arena::{Arena, Span};
use super::cursor::{Braces, Cursor, Label};
use super::line::Reading;

/// A sample as it was read, if its braces can be copied as they stand.
#[derive(Clone, Copy)]
pub(super) struct Before {
    pub(super) name: Span,
    /// At once behind the name.
    pub(super) braces: Span,
    /// The index of its first label in the list, and its number of labels.
    pub(super) first_label: usize,
    pub(super) labels: usize,
}

/// Reads a line that differs from the one `before` only in the value of one label and behind the braces, as one bucket
/// and the next: only the differing bytes are read. Returns the position of that label, too, and `None` for any other
/// line. The source must be valid UTF-8.
pub(super) fn read(
    arena: &Arena,
    line: Span,
    before: &Before,
    labels: &mut Vec<Label>,
) -> Option<(Reading, usize)> {
    let start = before.name.start;
    let old = arena.get(Span { start, end: before.braces.end });
    let mut cursor = Cursor::new(arena, line);
    let same = common_prefix(cursor.bytes, old);
    let name_len = (before.name.end - start) as usize;
    if same <= name_len {
        return None;
    }
    let mark = labels.len();
    let known = &labels[before.first_label..][..before.labels];
    // The first whose closing quote is not in the same place.
    let which = known.iter().position(|label| (label.value.end - start) as usize >= same)?;
    let Label { value, .. } = known[which];
    let (from, old_end) = ((value.start - start) as usize, (value.end - start) as usize);
    if from > same {
        return None;
    }
    let rest = &cursor.bytes[from..];
    let len = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    let tail = &old[old_end..];
    if len == 0 || !rest[len..].starts_with(tail) {
        return None;
    }
    cursor.at = from + len + tail.len();
    let name = cursor.span(0, name_len);
    let span = cursor.span(name_len, cursor.at);
    let reading = cursor.after_braces(name, Braces { span, ..Braces::default() })?;
    labels.extend_from_within(before.first_label..before.first_label + before.labels);
    let moved = line.start.wrapping_sub(start);
    let moved_behind = moved.wrapping_add((from + len) as u32).wrapping_sub(old_end as u32);
    for (at, Label { name, value }) in labels[mark..].iter_mut().enumerate() {
        *name = name.moved(if at <= which { moved } else { moved_behind });
        *value = Span {
            start: value.start.wrapping_add(if at <= which { moved } else { moved_behind }),
            end: value.end.wrapping_add(if at < which { moved } else { moved_behind }),
        };
    }
    Some((reading, which))
}

/// Returns the number of bytes at the front that are the same.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let mut at = 0;
    for (x, y) in a_words.iter().zip(b_words) {
        let differs = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differs != 0 {
            return at + differs.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}
