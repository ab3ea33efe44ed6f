//! Cost of a smaller body: bytes against time for the gzip of the server, which knows lines, for gzip levels 1 to 9 (by
//! zlib-rs, and by libdeflate, which is in C) and zstd 1 to 3, on the body of a realistic frontend, and the size below which compressing is not worth it.
//!
//! `cargo run --release -p dynamo-metrics-benches --features compression
//! --bin compression [-- --rounds N]`
//!
//! Encoders and output are reused, as the server reuses them. All rows are interleaved; the median of the rounds is
//! shown, and the ratio to the encoder's own time, which is what a scrape costs without compression.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use dynamo_metrics_benches::{ours, shape};
use dynamo_metrics_encoder::Encoder as Exposer;
use dynamo_metrics_server::GzipLines;
use flate2::{Compress, Compression, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor};
use std::hint::black_box;
use std::time::Instant;
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

/// Base-two logarithm of the window, the same as gzip's largest, which the server uses.
const WINDOW_BITS: u8 = 15;
/// Levels of libdeflate, which has twelve.
const LIBDEFLATE: [i32; 4] = [1, 2, 6, 12];
/// Prefixes of the body, for the least size.
const SIZES: [usize; 8] = [128, 256, 512, 1024, 2048, 4096, 16384, 65536];

enum Codec {
    Encode(Box<Exposer>),
    Lines(GzipLines, BytesMut),
    Gzip(u32, Box<Compress>),
    Libdeflate(i32, Compressor),
    Zstd(i32, Encoder<'static>),
}

fn main() {
    let rounds = std::env::args().skip_while(|arg| arg != "--rounds").nth(1);
    let rounds: usize = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(101);
    let registry = ours::registry(&shape::realistic());
    let mut body = BytesMut::new();
    Exposer::new().encode(&registry, &mut body);
    let body = body.freeze();

    let mut codecs =
        vec![Codec::Encode(Box::default()), Codec::Lines(GzipLines::new(), BytesMut::new())];
    codecs.extend((1..=9).map(|level| {
        Codec::Gzip(level, Box::new(Compress::new_gzip(Compression::new(level), WINDOW_BITS)))
    }));
    codecs.extend(LIBDEFLATE.map(|level| {
        Codec::Libdeflate(level, Compressor::new(CompressionLvl::new(level).expect("a level")))
    }));
    codecs.extend((1..=3).map(|level| Codec::Zstd(level, Encoder::new(level).expect("a level"))));
    let mut times = vec![Vec::new(); codecs.len()];
    let mut sizes = vec![0; codecs.len()];
    let mut text = BytesMut::new();
    let mut output = vec![0; body.len() + 1024];
    for _ in 0..rounds {
        for (at, codec) in codecs.iter_mut().enumerate() {
            let begin = Instant::now();
            sizes[at] = match codec {
                Codec::Encode(encoder) => {
                    text.clear();
                    encoder.encode(&registry, &mut text);
                    text.len()
                }
                Codec::Lines(gzip, output) => {
                    output.clear();
                    gzip.compress(&body, output).expect("memory");
                    output.len()
                }
                Codec::Gzip(_, gzip) => compress_gzip(gzip, &body, &mut output),
                Codec::Libdeflate(_, compressor) => compressor
                    .gzip_compress(&body, &mut output)
                    .expect("the output is large enough"),
                Codec::Zstd(_, zstd) => compress_zstd(zstd, &body, &mut output),
            };
            times[at].push(begin.elapsed().as_secs_f64() * 1e6);
            black_box(&output);
        }
    }
    println!("| what | bytes | smaller | us | times the encoding |\n|---|---|---|---|---|");
    let encoding = median(&mut times[0].clone());
    for (at, codec) in codecs.iter().enumerate() {
        let what = match codec {
            Codec::Encode(_) => "(encoding the text)".to_owned(),
            Codec::Lines(..) => "gzip by lines".to_owned(),
            Codec::Gzip(level, _) => format!("gzip {level}"),
            Codec::Libdeflate(level, _) => format!("gzip {level} by libdeflate"),
            Codec::Zstd(level, _) => format!("zstd {level}"),
        };
        let us = median(&mut times[at]);
        let smaller = body.len() as f64 / sizes[at] as f64;
        println!("| {what} | {} | {smaller:.1} | {us:.0} | {:.1} |", sizes[at], us / encoding);
    }

    println!(
        "\n| page | bytes | gzip by lines | us | gzip 1 | us | text, us |\n|---|---|---|---|---|---|---|"
    );
    for (name, shape) in [
        ("realistic", shape::realistic()),
        ("histograms", shape::histograms(1000)),
        ("counters", shape::counters(10_000)),
        ("1 M counters", shape::counters(1_000_000)),
    ] {
        let rounds = if name == "1 M counters" { 5 } else { rounds };
        println!("| {name} {} |", by_lines(&shape, rounds));
    }

    println!("\n| body, bytes | gzip 1 | us | zstd 1 | us |\n|---|---|---|---|---|");
    let mut gzip = Compress::new_gzip(Compression::new(1), WINDOW_BITS);
    let mut zstd = Encoder::new(1).expect("a level");
    for size in SIZES {
        let part = &body[..size];
        let (mut gzip_us, mut zstd_us) = (Vec::new(), Vec::new());
        let (mut gzip_bytes, mut zstd_bytes) = (0, 0);
        for _ in 0..rounds {
            let begin = Instant::now();
            gzip_bytes = compress_gzip(&mut gzip, part, &mut output);
            gzip_us.push(begin.elapsed().as_secs_f64() * 1e6);
            let begin = Instant::now();
            zstd_bytes = compress_zstd(&mut zstd, part, &mut output);
            zstd_us.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        let (gzip_us, zstd_us) = (median(&mut gzip_us), median(&mut zstd_us));
        println!("| {size} | {gzip_bytes} | {gzip_us:.1} | {zstd_bytes} | {zstd_us:.1} |");
    }
}

/// Bytes and least times of a page of its own: text, by lines and at level 1, in turn.
fn by_lines(shape: &shape::Shape, rounds: usize) -> String {
    let registry = ours::registry(shape);
    let (mut encoder, mut lines) = (Exposer::new(), GzipLines::new());
    let mut level_1 = Compress::new_gzip(Compression::new(1), WINDOW_BITS);
    let (mut text, mut member) = (BytesMut::new(), BytesMut::new());
    encoder.encode(&registry, &mut text);
    let mut output = vec![0; text.len() + 1024];
    let mut least = [f64::INFINITY; 3];
    let mut of_level_1 = 0;
    for _ in 0..rounds {
        for (what, least) in least.iter_mut().enumerate() {
            let begin = Instant::now();
            match what {
                0 => {
                    text.clear();
                    encoder.encode(&registry, &mut text);
                }
                1 => {
                    member.clear();
                    lines.compress(&text, &mut member).expect("memory");
                }
                _ => of_level_1 = compress_gzip(&mut level_1, &text, &mut output),
            }
            *least = least.min(begin.elapsed().as_secs_f64() * 1e6);
        }
    }
    let [text_us, lines_us, level_1_us] = least;
    format!(
        "| {} | {} | {lines_us:.0} | {of_level_1} | {level_1_us:.0} | {text_us:.0}",
        text.len(),
        member.len(),
    )
}

fn compress_gzip(gzip: &mut Compress, body: &[u8], output: &mut [u8]) -> usize {
    gzip.reset();
    let status = gzip.compress(body, output, FlushCompress::Finish).expect("no dictionary");
    assert_eq!(status, Status::StreamEnd, "the output is large enough");
    usize::try_from(gzip.total_out()).expect("no more than there is room")
}

fn compress_zstd(zstd: &mut Encoder<'_>, body: &[u8], output: &mut [u8]) -> usize {
    zstd.reinit().expect("a fresh frame");
    let mut input = InBuffer::around(body);
    let mut output = OutBuffer::around(output);
    while input.pos() < body.len() {
        zstd.run(&mut input, &mut output).expect("no limit is set");
    }
    assert_eq!(zstd.finish(&mut output, true).expect("no limit is set"), 0);
    output.pos()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
