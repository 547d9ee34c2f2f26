//! The verbs, a file each.

pub mod console;
pub mod frame;
pub mod jobs;
pub mod service;
pub mod status;
pub mod submit;
pub mod trace;
pub mod workers;
