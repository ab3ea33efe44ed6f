//! The settings of the frontend's metrics from the environment.

use super::FrontendEnvironment;
use crate::frontend::FrontendConfig;

impl From<&FrontendEnvironment> for FrontendConfig {
    fn from(environment: &FrontendEnvironment) -> Self {
        Self {
            prefix: environment.metrics_prefix.clone(),
            buckets: environment.buckets.clone(),
            native_histograms: environment.native_histograms,
            ..Self::default()
        }
    }
}
