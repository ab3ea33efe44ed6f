//! A program that was written for the `prometheus` crate. One section of `Cargo.toml` puts it, and all of its dependencies, on the
//! shards.

use prometheus::{Encoder, TextEncoder, register_int_counter_vec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let requests =
        register_int_counter_vec!("requests_total", "Requests.", &["model", "endpoint"])?;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| requests.with_label_values(&["llama3", "8b/chat"]).inc());
        }
    });
    requests.with_label_values(&["llama38b", "/chat"]).inc_by(3);

    let mut page = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut page)?;
    let page = String::from_utf8(page)?;
    print!("{page}");
    // The published crate has one series here, because together the values are the same text.
    let lines: Vec<_> = page.lines().filter(|line| line.starts_with("requests_total")).collect();
    assert_eq!(
        lines,
        [
            "requests_total{endpoint=\"/chat\",model=\"llama38b\"} 3",
            "requests_total{endpoint=\"8b/chat\",model=\"llama3\"} 2",
        ]
    );
    Ok(())
}
