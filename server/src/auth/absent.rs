//! The room's types in a crate that is built without the feature `auth`: none of them has a value.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::error::StartError;
use crate::limits::Limits;
use crate::telemetry::ServerTelemetry;

/// No settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthSettings {}

pub(crate) enum Loaded {}
pub(crate) enum Guard {}
pub(crate) enum Watch {}

impl AuthSettings {
    pub(crate) fn load(&self) -> Result<Option<Loaded>, StartError> {
        Ok(None)
    }

    pub(crate) fn protect(
        &self,
        loaded: Loaded,
        _: &Limits,
        _: &Arc<ServerTelemetry>,
    ) -> Result<(Guard, Watch), StartError> {
        match loaded {}
    }
}

impl Loaded {
    pub(crate) fn scheme(&self) -> &'static str {
        match *self {}
    }
}

impl Guard {
    pub(crate) async fn check(
        &self,
        _: &HeaderMap,
        _is_probe: bool,
        _: Option<IpAddr>,
    ) -> Option<Response<Bytes>> {
        match *self {}
    }

    pub(crate) fn add_headers(&self, _: &mut HeaderMap) {
        match *self {}
    }
}
