//! Counts the words of its input through the `metrics` facade, and serves the counts:
//!
//! ```text
//! yes to be or not to be | cargo run --manifest-path compat/metrics/Cargo.toml --example serve -- 127.0.0.1:9000
//! ```

use dynamo_metrics_facade::{Buckets, Builder, Matcher};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9000".into());
    let handle = Builder::new()
        .listen(address)
        .buckets_for(Matcher::Suffix("_bytes".into()), &Buckets::exponential(1.0, 2.0, 12)?)
        .global_label("program", "serve")
        .install()?;
    describe_counter!("words_total", "Words of standard input, by their length.");
    describe_histogram!("line_bytes", Unit::Bytes, "Length of a line.");
    if let Some(address) = handle.local_addr() {
        println!("http://{address}/metrics, until the input ends");
    }
    let bytes = histogram!("line_bytes"); // looked up once
    for line in std::io::stdin().lines() {
        let line = line?;
        bytes.record(line.len() as f64);
        for word in line.split_whitespace() {
            let length = if word.len() < 4 { "short" } else { "long" };
            counter!("words_total", "length" => length).increment(1);
        }
    }
    print!("{}", handle.render());
    handle.problems().iter().for_each(|problem| eprintln!("{problem}"));
    Ok(())
}
