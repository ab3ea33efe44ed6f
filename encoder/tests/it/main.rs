//! The encoder from outside: the text, OpenMetrics and protobuf formats, negotiation, and engine text passed through.

mod concurrent;
mod decode;
mod kinds;
mod negotiate;
mod negotiate_properties;
mod openmetrics;
mod openmetrics_properties;
mod passthrough;
mod protobuf;
mod text;
