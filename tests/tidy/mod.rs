//! The repository itself: who imports whom, files that nobody reads, what is generated, what documents claim.

mod docs;
mod files;
mod generated;
mod imports;
mod render;
pub mod source;
