//! The verbs, a file each.

pub mod activity;
pub mod bench;
pub mod burst;
pub mod console;
pub mod dead;
pub mod edit;
pub mod eval;
pub mod frame;
pub mod jobs;
pub mod moved;
pub mod names;
pub mod operate;
pub mod pause;
pub mod pending;
pub mod requeue;
pub mod runs;
pub mod scale;
pub mod service;
pub mod status;
pub mod submit;
pub mod token;
pub mod trace;
pub mod undo;
pub mod workers;
