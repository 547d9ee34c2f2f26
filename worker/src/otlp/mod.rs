//! Spans on their way to a collector, by OTLP over HTTP with protobuf, beside those in Postgres.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Names and attributes are those of OpenTelemetry's
//! conventions for messaging and GenAI. Neither prompts nor answers nor arguments of tools are sent:
//! the conventions make them an option, and they are other people's text. A review never waits for a
//! collector: what does not fit is dropped and counted.
//!
//! [`traceparent`] reads whose trace a review is part of, [`attempt`] turns what happens in it into
//! spans, [`shipper`] sends them, [`settings`] says where to.

pub mod attempt;
pub mod settings;
pub mod shipper;
pub mod traceparent;

pub use attempt::Traced;
pub use settings::OtlpSettings;
pub use shipper::{Exporter, Shipper};

#[cfg(test)]
mod tests;
