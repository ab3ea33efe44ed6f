//! The migration tables of `docs/swap.md`: each cell is code of a function here, so each is compiled and run.

const DOCUMENT: &str = include_str!("../../../../docs/swap.md");
const SOURCE: &str = include_str!("rows.rs");

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// From `prometheus-client` to `dynamo-metrics-exporter`.
mod prometheus_client {
    use super::Result;

    #[test]
    fn there() -> Result {
        use prometheus_client::encoding::text::encode;
        use prometheus_client::metrics::counter::Counter;
        use prometheus_client::metrics::family::Family;
        use prometheus_client::metrics::gauge::Gauge;
        use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
        use prometheus_client::metrics::info::Info;
        use prometheus_client::registry::Registry;
        type Labels = [(&'static str, &'static str); 1];

        let mut registry = Registry::default();
        let tokens = Counter::<u64>::default();
        registry.register("tokens", "Tokens.", tokens.clone());
        let requests = Family::<Labels, Counter>::default();
        registry.register("requests", "Requests.", requests.clone());
        let depth = Gauge::<i64>::default();
        registry.register("depth", "Depth.", depth.clone());
        let latency = Histogram::new(exponential_buckets(0.001, 2.0, 12));
        registry.register("latency_seconds", "Latency.", latency.clone());
        registry.register("build", "Build.", Info::new([("version", "1")]));
        let scope = registry.sub_registry_with_label(("zone".into(), "a".into()));
        scope.register("jobs", "Jobs.", Counter::<u64>::default());

        tokens.inc_by(5);
        requests.get_or_create(&[("model", "m")]).inc();
        requests.remove(&[("model", "m")]);
        depth.set(3);
        latency.observe(0.02);
        let mut page = String::new();
        encode(&mut page, &registry)?;
        assert!(page.contains("\ntokens_total 5\n"));
        Ok(())
    }

    #[test]
    fn here() -> Result {
        use dynamo_metrics_exporter::bytes::BytesMut;
        use dynamo_metrics_exporter::{Buckets, Counter, Exporter, Registry};

        let registry = Registry::new();
        let tokens = registry.counter(("tokens_total", "Tokens."))?;
        let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
        let depth = registry.gauge(("depth", "Depth."))?;
        let buckets = Buckets::exponential(0.001, 2.0, 12)?;
        let latency = registry.histogram(("latency_seconds", "Latency."), &buckets)?;
        registry.info(("build_info", "Build."), &[("version", "1")])?;
        let scope = registry.scope(&[("zone", "a")])?;
        scope.counter(("jobs_total", "Jobs."))?;

        tokens.add(5);
        requests.visit(["m"], Counter::inc);
        requests.remove(["m"]);
        depth.set(3.0);
        latency.observe(0.02);
        let mut page = BytesMut::new();
        Exporter::new(&registry).exposition().write(&mut page);
        assert!(std::str::from_utf8(&page)?.contains("\ntokens_total 5\n"));
        Ok(())
    }
}

/// From `metrics-exporter-prometheus` to `dynamo-metrics-facade`. Macros of the facade stay as they are.
mod metrics_exporter_prometheus {
    use super::Result;
    use metrics::with_local_recorder;

    fn record() {
        metrics::counter!("tokens_total").increment(5);
        metrics::histogram!("latency_seconds").record(0.02);
    }

    #[test]
    fn there() -> Result {
        use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
        use metrics_util::MetricKindMask;
        use std::time::Duration;

        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets(&[0.01, 0.1, 1.0])?;
        let builder =
            builder.set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &[1e3, 1e6])?;
        let builder = builder.add_global_label("zone", "a");
        let builder = builder.idle_timeout(MetricKindMask::ALL, Some(Duration::from_secs(60)));
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, record);
        let page = handle.render();
        assert!(page.contains("tokens_total{zone=\"a\"} 5\n"), "{page}");
        Ok(())
    }

    #[test]
    fn here() -> Result {
        use dynamo_metrics_facade::{Buckets, Builder, Matcher, MetricKinds};
        use std::time::Duration;

        let builder = Builder::new();
        let builder = builder.buckets(&Buckets::new([0.01, 0.1, 1.0])?);
        let builder =
            builder.buckets_for(Matcher::Suffix("_bytes".into()), &Buckets::new([1e3, 1e6])?);
        let builder = builder.global_label("zone", "a");
        let builder = builder.idle_timeout(MetricKinds::ALL, Some(Duration::from_secs(60)));
        let recorder = builder.build()?;
        let handle = recorder.handle();
        with_local_recorder(&recorder, record);
        let page = handle.render();
        assert!(page.contains("tokens_total{zone=\"a\"} 5\n"), "{page}");
        Ok(())
    }
}

/// Returns the cells of the tables whose heads name these crates.
fn rows<'a>(there: &str, here: &str) -> Vec<[&'a str; 2]> {
    let head = format!("| `{there}` | `{here}` |");
    let (_, table) = DOCUMENT.split_once(&head).unwrap_or_else(|| panic!("no table {head}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, there, here, _] = cells[..] else { panic!("not two cells: {row}") };
        [there, here]
    })
    .collect()
}

#[test]
fn each_row_of_the_document_is_compiled_here() {
    // One line each, as the formatter may break them.
    let spaces = |text: &str| text.split_whitespace().collect::<String>();
    let source = spaces(SOURCE);
    for (there, here, module) in [
        ("prometheus-client", "dynamo-metrics-exporter", "modprometheus_client{"),
        ("metrics-exporter-prometheus", "dynamo-metrics-facade", "modmetrics_exporter_prometheus{"),
    ] {
        let (_, module) = source.split_once(module).unwrap();
        let (of_there, module) = module.split_once("fnhere()").unwrap();
        let (of_here, _) = module.split_once("}///").unwrap();
        let rows = rows(there, here);
        assert!(rows.len() >= 5, "{there}");
        for row in rows {
            for (cell, code) in row.into_iter().zip([of_there, of_here]) {
                for statement in cell.split("` `").map(|part| part.trim_matches('`')) {
                    let found = !statement.is_empty() && code.contains(&spaces(statement));
                    assert!(found, "not compiled: {statement}");
                }
            }
        }
    }
}
