use super::*;
use proptest::prelude::*;
use std::io::Read;

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).expect("a gzip member");
    text
}

fn compressed(gzip: &mut GzipLines, text: &[u8]) -> Vec<u8> {
    let mut output = BytesMut::new();
    gzip.compress(text, &mut output).expect("memory");
    output.to_vec()
}

/// A page of histograms and counters, whose values depend on the scrape.
fn page(series: u64, scrape: u64) -> Vec<u8> {
    let mut text =
        String::from("# HELP wait_seconds Time in \"queue\".\n# TYPE wait_seconds histogram\n");
    for n in 0..series {
        let value =
            |line: u64| (n + 1).wrapping_mul(line + 7).wrapping_mul(scrape * scrape) % 100_003;
        for (at, le) in ["0.005", "0.01", "0.25", "1", "+Inf"].iter().enumerate() {
            let value = value(at as u64);
            text += &format!(
                "wait_seconds_bucket{{model=\"m/{n}\",stream=\"true\",le=\"{le}\"}} {value}\n"
            );
        }
        text += &format!("wait_seconds_sum{{model=\"m/{n}\",stream=\"true\"}} {}.5\n", value(9));
        text += &format!("wait_seconds_count{{model=\"m/{n}\",stream=\"true\"}} {}\n", value(10));
    }
    text.into_bytes()
}

#[test]
fn a_page_is_read_back_while_values_grow_and_series_come_and_go() {
    let mut gzip = GzipLines::default();
    for (scrape, series) in [3, 3, 3, 40, 40, 39, 0, 500, 500, 1].into_iter().enumerate() {
        let text = page(series, scrape as u64);
        assert!(inflated(&compressed(&mut gzip, &text)) == text, "scrape {scrape}");
    }
}

#[test]
fn a_page_that_was_seen_before_is_smaller_than_at_level_1() {
    let mut gzip = GzipLines::default();
    compressed(&mut gzip, &page(300, 1));
    let text = page(300, 2);
    let mut level_1 = flate2::read::GzEncoder::new(&text[..], flate2::Compression::new(1));
    let mut of_level_1 = Vec::new();
    level_1.read_to_end(&mut of_level_1).expect("in memory");
    let bytes = compressed(&mut gzip, &text).len();
    assert!(bytes < of_level_1.len(), "{bytes}, {} at level 1", of_level_1.len());
    assert!(bytes * 7 < text.len(), "{bytes} of {}", text.len());
}

#[test]
fn a_page_that_has_grown_is_as_small_as_one_that_was_never_smaller() {
    let size = |series: &[u64]| {
        let mut gzip = GzipLines::default();
        let pages = (1..).zip(series).map(|(scrape, series)| page(*series, scrape));
        pages.map(|page| compressed(&mut gzip, &page).len()).last().expect("a page")
    };
    let (grown, fresh) = (size(&[300, 301, 301]), size(&[301, 301, 301]));
    assert!(grown * 100 <= fresh * 101, "{grown}, {fresh}");
}

#[test]
fn pages_of_several_beginnings_keep_their_own_hints() {
    let mut gzip = GzipLines::default();
    let pages = (0..6u64).map(|n| [format!("# page {n}\n").as_bytes(), &page(50, n)].concat());
    let pages: Vec<Vec<u8>> = pages.collect();
    for text in pages.iter().cycle().take(20) {
        assert!(inflated(&compressed(&mut gzip, text)) == *text);
        assert!(gzip.pages.len() <= PAGES_MAX);
    }
}

#[test]
fn bytes_of_any_kind_and_lines_of_any_length_are_read_back() {
    let mut gzip = GzipLines::default();
    let long = [b"a{x=\"".as_slice(), &[b'z'; 200_000], b"\"} 1\n"].concat();
    let binary: Vec<u8> =
        (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let far: Vec<u8> =
        (0..9000).flat_map(|n| format!("far{{n=\"{n}\"}} {n}\n").into_bytes()).collect();
    let cases = [
        &b""[..],
        b"\n",
        b"x",
        b"x 1",
        b"\n\n\n",
        &long,
        &binary,
        &far,
        b"aaaaaaaaaaaa 1\naaaaaaaaaaaa 1",
    ];
    for _ in 0..2 {
        for text in cases {
            let twice = [text, text].concat();
            assert!(inflated(&compressed(&mut gzip, text)) == text);
            assert!(inflated(&compressed(&mut gzip, &twice)) == twice);
        }
    }
}

#[test]
fn a_copy_whose_distance_grows_beyond_the_window_is_not_made() {
    let page = |value: &str| {
        let far = format!("far_from_its_copy{{model=\"m\"}} {value}\n");
        // Each is a copy of the one before, so the search forgets nothing.
        let between = format!("between {value}\n").repeat(1500);
        ["# the page\n", &far, &between, &far].concat()
    };
    let mut gzip = GzipLines::default();
    let [short, long] = ["1", "1234567890123456"].map(page);
    assert!(short.len() < 32 * 1024 && long.len() > 32 * 1024, "{} {}", short.len(), long.len());
    for text in [&short, &long, &short, &long, &long] {
        assert!(inflated(&compressed(&mut gzip, text.as_bytes())) == text.as_bytes());
    }
}

#[test]
fn bits_that_no_longer_fit_are_not_written_from_memory() {
    // Lines of some copies each, whose distances need more or fewer bits as the values before them grow and shrink.
    let mut state = 1u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let parts = ["model=", "endpoint", "stream=\"", "status", "worker"];
    let labels: Vec<String> = (0..400)
        .map(|_| {
            (0..1 + random(5))
                .map(|_| parts[random(5) as usize].to_owned() + &random(9).to_string())
                .collect()
        })
        .collect();
    let mut gzip = GzipLines::default();
    for _ in 0..40 {
        let digits = 1 + random(30) as usize;
        let line =
            |label: &String| format!("{label} {}\n", "7".repeat(1 + random(2) as usize * digits));
        let text = "# the page\n".to_owned() + &labels.iter().map(line).collect::<String>();
        for _ in 0..2 {
            assert!(inflated(&compressed(&mut gzip, text.as_bytes())) == text.as_bytes());
        }
    }
}

/// Lines that share parts, with values of any bytes.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof!["[ab]{1,6}", Just("wait_seconds_bucket".to_owned())];
    let labels = prop_oneof![Just(String::new()), "\\{l=\"[ab} ]{0,9}\",le=\"[0-9.]{1,4}\"\\}"];
    let value = prop_oneof!["[0-9]{1,6}", "[0-9]{1,3}\\.[0-9]{1,17}", "[^\n]{0,30}"];
    let line =
        (name, labels, value).prop_map(|(name, labels, value)| format!("{name}{labels} {value}\n"));
    prop::collection::vec(line, 0..60).prop_map(|lines| lines.concat().into_bytes())
}

proptest! {
    #[test]
    fn whatever_was_compressed_before_a_page_is_read_back(
        pages in prop::collection::vec(lines(), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let mut gzip = GzipLines::default();
        for (text, cut) in pages.iter().zip(cuts) {
            // The same lines, some of them gone or cut.
            let cut = if text.is_empty() { text } else { &text[cut.index(text.len())..] };
            for text in [text, cut, text] {
                prop_assert!(inflated(&compressed(&mut gzip, text)) == *text);
            }
        }
    }
}
