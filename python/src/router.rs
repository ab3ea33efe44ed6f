//! The KV router's statistics of its workers, and its choice between them.

use crate::errors::{self, value_error};
use crate::fork::Origin;
use crate::hierarchy::Component;
use crate::worker::kv_stats;
use dynamo_metrics as native;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The statistics of all workers of a router: `dynamo_component_router_worker_*` by worker, and their sum as `kvstats_*`, unless the
/// page has a worker's own.
///
/// >>> from dynamo_metrics import DistributedRuntime, KvRouter
/// >>> router = KvRouter(DistributedRuntime().namespace("default").component("router"))
/// >>> router.publish(7, active_blocks=40, total_blocks=100, gpu_cache_usage=0.4)
/// True
/// >>> router.publish(9, active_blocks=20, total_blocks=100, gpu_cache_usage=0.2)
/// True
/// >>> router.pick(), router.aggregate()["active_blocks"]
/// (9, 60)
#[pyclass(frozen, module = "dynamo_metrics")]
#[derive(Debug)]
pub(crate) struct KvRouter(native::KvRouter, Origin);

#[pymethods]
impl KvRouter {
    /// Registers the metrics at a component. Without `worker_series` only the sum of the workers is on the page.
    #[new]
    #[pyo3(signature = (component, *, worker_series=true))]
    fn new(component: &Component, worker_series: bool) -> PyResult<Self> {
        let Component(component, origin) = component;
        origin.check("the component")?;
        let router = match worker_series {
            true => native::KvRouter::new(component),
            false => native::KvRouter::without_worker_series(component),
        };
        Ok(Self(router.map_err(value_error)?, *origin))
    }

    /// Sets the statistics of a worker; returns whether the router takes it: 10,000 at most. Blocks are integers from 0 to
    /// 2**64 - 1. `gpu_cache_usage` and `gpu_prefix_cache_hit_rate` are shares from 0 to 1 and are limited to that range; the
    /// hit rate is 0 unless given.
    #[pyo3(signature = (worker_id, *, active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate=None))]
    fn publish(
        &self,
        #[pyo3(from_py_with = errors::worker_id)] worker_id: u64,
        active_blocks: &Bound<'_, PyAny>,
        total_blocks: &Bound<'_, PyAny>,
        gpu_cache_usage: &Bound<'_, PyAny>,
        gpu_prefix_cache_hit_rate: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        self.1.check("the router")?;
        let stats =
            kv_stats(active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate)?;
        Ok(self.0.publish(worker_id, &stats))
    }

    /// Removes a worker and its series; returns whether the router knew it.
    fn remove(&self, #[pyo3(from_py_with = errors::worker_id)] worker_id: u64) -> PyResult<bool> {
        self.1.check("the router")?;
        Ok(self.0.remove(worker_id))
    }

    /// Returns the worker with the least used share, of these the one with the fewest blocks in use; `None` without workers.
    fn pick(&self) -> Option<u64> {
        self.0.pick()
    }

    /// Returns the blocks of all workers, their used share and the mean of their hit rates, by the names of `KvStats.publish`.
    fn aggregate<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.0.aggregate();
        let by_name = PyDict::new(py);
        by_name.set_item("active_blocks", stats.active_blocks)?;
        by_name.set_item("total_blocks", stats.total_blocks)?;
        by_name.set_item("gpu_cache_usage", stats.gpu_cache_usage)?;
        by_name.set_item("gpu_prefix_cache_hit_rate", stats.gpu_prefix_cache_hit_rate)?;
        Ok(by_name)
    }

    fn __len__(&self) -> usize {
        self.0.workers()
    }
}
