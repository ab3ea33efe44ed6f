//! A gauge that a function computes.

use crate::desc::Desc;
use crate::error::Result;
use crate::family::Family;
use crate::metric::Collector;
use crate::proto::{Gauge, Metric, MetricFamily, MetricType};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A gauge whose value a function computes whenever it is collected.
///
/// ```
/// use prometheus::{PullingGauge, Registry, TextEncoder};
///
/// let registry = Registry::new();
/// let gauge = PullingGauge::new("answer", "The answer.", Box::new(|| 42.0))?;
/// registry.register(Box::new(gauge))?;
/// assert!(TextEncoder::new().encode_to_string(&registry.gather())?.ends_with("\nanswer 42\n"));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Clone)]
pub struct PullingGauge {
    family: Arc<Family>,
    value: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl fmt::Debug for PullingGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullingGauge").field("desc", &self.family.desc).finish_non_exhaustive()
    }
}

impl PullingGauge {
    /// Returns a gauge with this function.
    ///
    /// # Errors
    /// As [`Desc::new`].
    pub fn new<S1: Into<String>, S2: Into<String>>(
        name: S1,
        help: S2,
        value: Box<dyn Fn() -> f64 + Send + Sync>,
    ) -> Result<Self> {
        let desc = Desc::new(name.into(), help.into(), Vec::new(), HashMap::new())?;
        Ok(Self { family: Arc::new(Family::new(desc)), value: value.into() })
    }
}

impl Collector for PullingGauge {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.family.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut gauge = Gauge::default();
        gauge.set_value((self.value)());
        vec![self.family.collect(MetricType::GAUGE, vec![Metric::from_gauge(gauge)])]
    }
}
