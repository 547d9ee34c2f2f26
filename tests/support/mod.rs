//! What the tests share: servers for the run, a world for each test, jobs with gates.

pub mod gated;
pub mod servers;
pub mod wait;
pub mod world;

pub use gated::{Gated, TestJob};
pub use wait::until;
pub use world::World;
