//! The metadata that all series of a family share.

use super::Reporter;
use crate::arena::Pool;
use crate::clock::Clock;
use crate::descriptor::Descriptor;
use std::sync::{Arc, OnceLock};

/// Properties that all series of a family share.
#[derive(Debug)]
pub(crate) struct FamilyMetadata {
    /// A number that is unique in the process, so that a cache of rendered text can tell families apart.
    pub(crate) id: u64,
    pub(crate) descriptor: Descriptor,
    /// The help text of a family that was registered without one and described later.
    pub(crate) late_help: OnceLock<Box<str>>,
    pub(crate) pool: Arc<Pool>,
    /// `None` for the metrics that the reports themselves are counted in.
    pub(crate) reporter: Option<Arc<dyn Reporter>>,
    pub(crate) clock: Option<Clock>,
}

impl FamilyMetadata {
    /// Returns the help text; empty if there is none.
    pub(crate) fn help(&self) -> &str {
        match &*self.descriptor.help {
            "" => self.late_help.get().map_or("", |help| help),
            help => help,
        }
    }

    /// Returns the number of buckets of a histogram: one for each bound, and one for `+Inf`.
    pub(crate) fn buckets_len(&self) -> u32 {
        self.descriptor.buckets().map_or(0, |buckets| buckets.bounds().len() as u32 + 1)
    }
}
