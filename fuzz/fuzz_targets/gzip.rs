//! A page is read back from its gzip, byte by byte, whatever pages were compressed before it, and the same page again is
//! read back too, when all of it is known. Pages are separated by a byte of zero.
#![no_main]

use bytes::BytesMut;
use dynamo_metrics_server::GzipLines;
use flate2::read::GzDecoder;
use libfuzzer_sys::fuzz_target;
use std::io::Read;

fuzz_target!(|pages: &[u8]| {
    let mut gzip = GzipLines::new();
    for page in pages.split(|byte| *byte == 0) {
        for _ in 0..2 {
            let mut member = BytesMut::new();
            gzip.compress(page, &mut member).expect("memory");
            let mut text = Vec::new();
            GzDecoder::new(&member[..]).read_to_end(&mut text).expect("a gzip member");
            assert!(text == page, "{} bytes for {}", text.len(), page.len());
        }
    }
});
