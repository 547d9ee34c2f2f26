//! The review agent: a change goes in, a verdict with its reasons comes out.
//!
//! Read [`diff`] for what is reviewed, [`review`] for the stages, [`agent`] for how an agent talks
//! to a model and its tools, [`tools`] for what can be proven without a model, [`reach`] for what stands beyond the diff,
//! [`model`] for who answers, [`fault`] for what follows what can go wrong, [`github`] for where pull requests come from,
//! [`otlp`] for how spans leave, [`posting`] for how a verdict comes back to its pull request, and [`webhook`] for who is
//! told of it.

pub mod agent;
mod aside;
pub use millstream::domain::diff;
pub mod eval;
pub mod fault;
pub mod github;
pub mod http;
pub mod job;
pub mod model;
pub mod otlp;
pub mod posting;
pub mod reach;
pub mod review;
pub mod service;
pub mod settings;
pub mod tools;
pub mod webhook;
