//! The web producer: takes requests for reviews over HTTP and shows what became of them.
//!
//! It promises that a review answered with 202 is a committed row, whatever happens next; that
//! nothing is submitted by a page in somebody's browser; and that every error is a problem body
//! (RFC 9457) that also carries the reference's `error` member. It never runs a review.
//!
//! Reading order: [`settings`], [`service`] (start, listen, drain), [`listen`] (connections), [`mod@app`] (routes and what
//! is around them), [`state`], then who may: [`access`], [`cookie`], [`origin`], [`proxies`], [`limits`], [`shares`]; then `routes`. The parts that
//! read a request are pure: [`body`] collects it within bounds, [`submission`], [`headers`] and [`query`] say what it
//! asks for, [`caching`] what its sender knows already. [`hub`] hears what happens to reviews, [`follow`] tells it to one
//! client. `page` is the page. [`shapes`] is what answers look like, [`problem`] what refusals do, [`contract`] the document of both,
//! [`metrics`] what is counted.

pub mod access;
pub mod app;
pub mod body;
pub mod caching;
pub mod contract;
pub mod cookie;
pub mod follow;
pub mod headers;
pub mod hub;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod origin;
mod page;
pub mod problem;
pub mod proxies;
pub mod query;
mod routes;
pub mod service;
pub mod settings;
pub mod shapes;
pub mod shares;
pub mod state;
pub mod submission;

pub use app::{app, openapi};
pub use service::{WebError, run, serve};
pub use settings::Settings;
pub use state::State;
