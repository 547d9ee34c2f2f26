//! What the tests share: servers for the run, a world for each test, jobs with gates, the real reviews,
//! a GitHub to post them on, a reference worker, and the built binary.

pub mod browser;
pub mod gated;
pub mod hostile;
pub mod hub;
pub mod line;
pub mod lossy;
pub mod pg_frames;
pub mod private;
pub mod processes;
pub mod python;
pub mod reference;
pub mod resp_frames;
pub mod reviews;
pub mod servers;
pub mod terminal;
pub mod wait;
pub mod world;

pub use gated::{Gated, TestJob};
pub use line::Line;
pub use processes::{Home, Ran, Started};
pub use reference::ReferenceWorker;
pub use wait::{PATIENCE, until, until_within, within};
pub use world::{Running, World, first_parking};
