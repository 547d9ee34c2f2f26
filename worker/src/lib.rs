//! The review agent: a change goes in, a verdict with its reasons comes out.
//!
//! Read [`diff`] for what is reviewed, [`review`] for the stages, [`agent`] for how an agent talks
//! to a model and its tools, [`tools`] for what can be proven without a model, [`model`] for who
//! answers, [`github`] for where pull requests come from, and [`webhook`] for who is told.

pub mod agent;
mod aside;
pub use millstream::domain::diff;
pub mod github;
pub mod http;
pub mod job;
pub mod model;
pub mod review;
pub mod service;
pub mod settings;
pub mod tools;
pub mod webhook;
