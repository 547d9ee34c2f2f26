//! The `millstream` binary: every verb of the product on one command line, and the demo.
//!
//! * [`cli`] is the command line, [`failure`] what its exit codes mean, [`reach`] where the servers
//!   are when nobody says so, [`profiles`] which of them have names, [`output`] how answers are printed.
//! * [`verbs`] has a file for each verb; what they change, they change through `millstream::ops`.
//! * [`demo`] runs the whole system on this machine; [`servers`] finds or fetches and starts Valkey and
//!   Postgres, [`process`] sees to it that nothing outlives us, [`runtime_file`] is how the other
//!   verbs find a running demo.
//! * The console: [`msg`] comes in, [`update`] changes the [`model`] and answers each [`effect`], [`runtime`]
//!   does them. [`command`] is its vocabulary, [`keymap`] its keys, [`sample`] its story for frames and tests.
//! * [`view`] draws the console's model in the styles of [`theme`], the figures of [`mod@format`] and the glyphs of
//!   [`glyph`], its clocks in a [`zone`]; [`frame`] draws it without a terminal.
//! * [`recording`] is the file that a console records into, and what plays it.
//! * [`git`] reads diffs out of a local repository.

pub mod cli;
pub mod command;
pub mod demo;
pub mod effect;
pub mod failure;
pub mod format;
pub mod frame;
pub mod git;
pub mod glyph;
pub mod keymap;
pub mod model;
pub mod msg;
pub mod output;
pub mod process;
pub mod profiles;
pub mod reach;
pub mod recording;
pub mod render_api;
pub mod runtime;
pub mod runtime_file;
pub mod sample;
pub mod servers;
pub mod theme;
pub mod update;
pub mod verbs;
pub mod view;
pub mod zone;
