//! The routes: each reads its request, asks the core, and shapes the answer.

pub mod fallback;
pub mod health;
pub mod reviews;
