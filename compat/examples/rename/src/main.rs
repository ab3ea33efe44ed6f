//! A program with one module on the shards, and the rest on the published crate. The types of the two are different, so the
//! compiler finds each place where they meet; the page is the text of one behind the text of the other.

/// The module that records most: `use sharded::...` instead of `use prometheus::...`.
mod tokens {
    use sharded::{IntCounter, Registry};

    pub struct Tokens {
        pub registry: Registry,
        pub generated: IntCounter,
    }

    impl Tokens {
        pub fn new() -> sharded::Result<Self> {
            let registry = Registry::new();
            let generated = IntCounter::new("tokens_total", "Generated tokens.")?;
            registry.register(Box::new(generated.clone()))?;
            Ok(Self { registry, generated })
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let depth = prometheus::register_int_gauge!("queue_depth", "Requests that wait.")?;
    let tokens = tokens::Tokens::new()?;
    depth.set(4);
    tokens.generated.inc_by(500);

    let mut page = prometheus::TextEncoder::new().encode_to_string(&prometheus::gather())?;
    sharded::TextEncoder::new().encode_utf8(&tokens.registry.gather(), &mut page)?;
    print!("{page}");
    assert!(page.contains("\nqueue_depth 4\n") && page.ends_with("\ntokens_total 500\n"));
    Ok(())
}
