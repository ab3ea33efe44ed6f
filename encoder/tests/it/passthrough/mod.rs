//! Engine text passed through, in every format.

mod bounds;
mod judge;
mod labels;
mod merge;
mod openmetrics;
mod partial;
mod properties;
mod protobuf;
mod repair;
mod repeated;
mod support;
mod types;
mod withhold;
