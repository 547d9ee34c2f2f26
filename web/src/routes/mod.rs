//! The routes: each reads its request, asks the core, and shapes the answer.

pub mod assets;
pub mod fallback;
pub mod health;
pub mod pages;
pub mod reviews;
pub mod stream;
