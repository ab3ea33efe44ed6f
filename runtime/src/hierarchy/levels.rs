//! The levels below the runtime: namespace, component and endpoint.
//!
//! Each is a handle on its scope of the registry, and knows its original name and the level above.

use super::runtime::DistributedRuntime;
use crate::error::MetricsError;
use crate::metrics::Metrics;
use crate::names::{labels, sanitize_label};
use dynamo_metrics_exporter::{Engine, EngineSource};
use std::sync::Arc;

/// A namespace of the runtime. Metrics made here have the label `dynamo_namespace`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Namespace {
    runtime: DistributedRuntime,
    name: Arc<str>,
    metrics: Metrics,
}

impl Namespace {
    pub(super) fn new(runtime: &DistributedRuntime, name: &str) -> Result<Self, MetricsError> {
        let metrics = below(runtime.metrics(), labels::NAMESPACE, name)?;
        Ok(Self { runtime: runtime.clone(), name: name.into(), metrics })
    }

    /// Returns the component of this name, which is created by the first call. An empty name adds no label.
    ///
    /// # Errors
    /// The name consists of underscores alone, once characters that scrapers refuse are replaced.
    pub fn component(&self, name: &str) -> Result<Component, MetricsError> {
        let metrics = below(&self.metrics, labels::COMPONENT, name)?;
        Ok(Component { namespace: self.clone(), name: name.into(), metrics })
    }

    /// Returns the metrics of the namespace.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the original name; its label value may differ.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the runtime of this level.
    pub fn runtime(&self) -> &DistributedRuntime {
        &self.runtime
    }
}

/// A component of a namespace. Metrics made here have the labels `dynamo_namespace` and `dynamo_component`.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Component {
    namespace: Namespace,
    name: Arc<str>,
    metrics: Metrics,
}

impl Component {
    /// Returns the endpoint of this name, which is created by the first call. An empty name adds no label.
    ///
    /// # Errors
    /// The name consists of underscores alone, once characters that scrapers refuse are replaced.
    pub fn endpoint(&self, name: &str) -> Result<Endpoint, MetricsError> {
        let metrics = below(&self.metrics, labels::ENDPOINT, name)?;
        Ok(Endpoint { component: self.clone(), name: name.into(), metrics })
    }

    /// Returns the metrics of the component.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the original name; its label value may differ.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the namespace of the component.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the runtime of this level.
    pub fn runtime(&self) -> &DistributedRuntime {
        &self.namespace.runtime
    }

    /// Registers an engine of this component; its errors are counted with the component's labels.
    ///
    /// # Errors
    /// The runtime has an engine of this name, or [`ENGINES_MAX`](crate::engine::ENGINES_MAX) of them; the name is too long for
    /// a label value; the labels that the source asks for cannot be added; or the registry refuses the metrics about the
    /// engine. See [`Exporter::engine`](dynamo_metrics_exporter::Exporter::engine).
    pub fn add_engine_source(&self, source: EngineSource) -> Result<Arc<Engine>, MetricsError> {
        Ok(self.metrics.exporter().engine(source)?)
    }
}

/// An endpoint of a component. Metrics made here have all three automatic labels. Cheap to clone.
///
/// Two endpoints of one component may have a metric of the same name with other labels and another help text:
///
/// ```
/// # use dynamo_metrics::DistributedRuntime;
/// let worker = DistributedRuntime::new()?.namespace("default")?.component("worker")?;
/// let generate = worker.endpoint("generate")?;
/// let clear = worker.endpoint("clear_kv_blocks")?;
/// generate.metrics().counter_family(("calls_total", "Calls by model."), ["model"])?;
/// clear.metrics().counter(("calls_total", "Calls."))?.inc();
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Endpoint {
    component: Component,
    name: Arc<str>,
    metrics: Metrics,
}

impl Endpoint {
    /// Returns the metrics of the endpoint.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the original name, which `/health` lists; its label value may differ.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the component of the endpoint.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Returns the runtime of this level.
    pub fn runtime(&self) -> &DistributedRuntime {
        self.component.runtime()
    }

    /// Registers an engine of this endpoint; its errors are counted with the endpoint's labels.
    ///
    /// # Errors
    /// The runtime has an engine of this name, or [`ENGINES_MAX`](crate::engine::ENGINES_MAX) of them; the name is too long for
    /// a label value; the labels that the source asks for cannot be added; or the registry refuses the metrics about the
    /// engine. See [`Exporter::engine`](dynamo_metrics_exporter::Exporter::engine).
    pub fn add_engine_source(&self, source: EngineSource) -> Result<Arc<Engine>, MetricsError> {
        Ok(self.metrics.exporter().engine(source)?)
    }
}

fn below(metrics: &Metrics, label: &str, name: &str) -> Result<Metrics, MetricsError> {
    // Dynamo leaves an automatic label out when its part of the path is empty.
    let value = if name.is_empty() { None } else { Some(sanitize_label(name)?) };
    metrics.below(label, value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Snapshot, snapshot::Value};

    fn labels_of(metrics: &Metrics) -> Vec<(&str, &str)> {
        metrics.registry().labels().collect()
    }

    #[test]
    fn each_level_adds_its_label_and_values_are_sanitized() {
        let runtime = DistributedRuntime::new().unwrap();
        let namespace = runtime.namespace("my-ns.v1").unwrap();
        let component = namespace.component("back-end").unwrap();
        let endpoint = component.endpoint("gen.erate").unwrap();
        assert_eq!(labels_of(runtime.metrics()), []);
        assert_eq!(
            labels_of(endpoint.metrics()),
            [
                ("dynamo_namespace", "my_ns_v1"),
                ("dynamo_component", "back_end"),
                ("dynamo_endpoint", "gen_erate"),
            ]
        );
        assert_eq!(endpoint.name(), "gen.erate");
        let bare = runtime.namespace("").unwrap().component("worker").unwrap();
        assert_eq!(labels_of(bare.metrics()), [("dynamo_component", "worker")]);
        assert!(matches!(namespace.component("--"), Err(MetricsError::Name(_))));
    }

    #[test]
    fn a_second_request_returns_the_same_level() {
        let runtime = DistributedRuntime::new().unwrap();
        for _ in 0..2 {
            let component = runtime.namespace("ns").unwrap().component("worker").unwrap();
            component.metrics().counter(("steps_total", "Steps.")).unwrap().inc();
        }
        let component = runtime.namespace("ns").unwrap().component("worker").unwrap();
        let steps = component.metrics().counter(("steps_total", "Steps.")).unwrap();
        assert_eq!(steps.get(), 2);
    }

    #[test]
    fn endpoints_of_one_component_may_differ_in_labels_and_help() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("worker").unwrap();
        let a = component.endpoint("a").unwrap();
        let b = component.endpoint("b").unwrap();
        a.metrics().counter_family(("x_total", "One help."), ["model"]).unwrap().with(["m"]).inc();
        b.metrics().counter(("x_total", "Another help.")).unwrap().add(2);
        // Dynamo 0.8 refused to start with these two.
        a.serve(&[("model", "m")]).unwrap();
        b.serve(&[]).unwrap();
        let mut snapshot = Snapshot::new();
        snapshot.take(component.metrics().registry());
        let family = snapshot.families().find(|f| f.name() == "dynamo_component_x_total").unwrap();
        let values: Vec<Value> =
            family.parts().map(|part| part.series(0).unwrap().value()).collect();
        assert_eq!(values, [Value::Unsigned(1), Value::Unsigned(2)]);
    }
}
