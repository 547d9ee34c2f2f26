//! The web producer: takes requests for reviews over HTTP and shows what became of them.
//!
//! It promises that a review answered with 202 is a committed row, whatever happens next; that
//! nothing is submitted by a page in somebody's browser; and that every error is a problem body
//! (RFC 9457) that also carries the reference's `error` member. It never runs a review.
//!
//! Reading order: [`settings`], [`service`] (start, listen, drain), [`mod@app`] (routes and what is around
//! them), [`state`], [`access`] (who may), then `routes`. The parts that read a request are pure:
//! [`body`] collects it within bounds, [`submission`] and [`headers`] say what it asks for. [`shapes`]
//! is what answers look like, [`problem`] what refusals do.

pub mod access;
pub mod app;
pub mod body;
pub mod headers;
pub mod problem;
mod routes;
pub mod service;
pub mod settings;
pub mod shapes;
pub mod state;
pub mod submission;

pub use app::app;
pub use service::{WebError, run, serve};
pub use settings::Settings;
pub use state::State;
