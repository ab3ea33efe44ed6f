//! The limit on the samples of one source: a text with more is cut, if possible between two families.

/// Samples of one source. A text with more is cut at the end of a family, and the rest is counted as withheld for the
/// reason `samples_max`. A vLLM worker has about 600 samples; a page takes ten sources of this size.
pub const ENGINE_SAMPLES_MAX: usize = 100_000;

/// Bytes of the shortest sample, `a 1` and its line feed: a text below `max` times this has no sample too many.
const SAMPLE_BYTES_MIN: usize = 4;

/// Cuts a text after `max` samples, at the last begin of a family before that if there is one, and
/// returns the number of samples that were cut.
pub(super) fn cut_samples(text: &mut Vec<u8>, max: usize) -> u64 {
    if text.len() / SAMPLE_BYTES_MIN < max {
        return 0;
    }
    let (mut samples, mut at) = (0, 0);
    // The begin of the present family, and the number of samples before it; the first family is cut at a line.
    let mut family = None;
    let mut in_samples = false;
    let mut cut = None;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match line.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'#') if in_samples => (family, in_samples) = (Some((at, samples)), false),
            None | Some(b'#') => {}
            Some(_) => {
                if samples == max {
                    cut = Some(family.unwrap_or((at, samples)));
                }
                (samples, in_samples) = (samples + 1, true);
            }
        }
        at += line.len();
    }
    let Some((end, kept)) = cut else { return 0 };
    text.truncate(end);
    (samples - kept) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_families() {
        let cut = |text: &str, max| {
            let mut text = text.as_bytes().to_vec();
            let gone = cut_samples(&mut text, max);
            (String::from_utf8(text).unwrap(), gone)
        };
        let two = "# TYPE a gauge\na 1\na{b=\"1\"} 1\n# TYPE b gauge\nb 1\n\n b 2\n# EOF\n";
        assert_eq!(cut(two, 4), (two.into(), 0));
        let one = "# TYPE a gauge\na 1\na{b=\"1\"} 1\n";
        assert_eq!(cut(two, 3), (one.into(), 2));
        assert_eq!(cut(two, 2), (one.into(), 2));
        assert_eq!(cut(two, 1), ("# TYPE a gauge\na 1\n".into(), 3));
        assert_eq!(cut("a 1\nb 1\nc 1", 2), ("a 1\nb 1\n".into(), 1));
        assert_eq!(cut("", 1), (String::new(), 0));
    }
}
