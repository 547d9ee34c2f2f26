//! The suite: one binary, against real servers that it finds or starts itself.
//!
//! `support` has the servers, worlds and gates; the other modules are named after what they hold to
//! its promises. Nothing in here sleeps: a test waits for a signal, or moves a clock.

mod chaos;
mod console;
mod engine;
mod lost_replies;
mod model;
mod ops;
mod queue;
mod reference;
mod store;
mod support;
mod system;
mod tidy;
mod web;
mod webhooks;
mod worker;
