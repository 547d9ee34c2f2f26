//! What screens are made of: pure functions over plain arguments, each in its own file.

pub mod bar;
pub mod chart;
pub mod lane;
pub mod popup;
pub mod section;
pub mod split;
pub mod table;
pub mod title;
