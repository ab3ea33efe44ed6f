//! Counts the lines of its input, and serves the count at <http://localhost:9090/metrics>.
use dynamo_metrics_exporter::{Exporter, Registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("0.0.0.0:9090".into());
    let registry = Registry::new();
    let lines = registry.counter(("lines_total", "Lines of standard input."))?;
    let server = Exporter::new(&registry).listen(&address)?;
    println!("http://{}/metrics", server.local_addr());
    std::io::stdin().lines().for_each(|_| lines.inc());
    Ok(())
}
