//! The tool `scan_for_secrets`, and the mask that hides what it knows.
//!
//! The scanner reports keys by their form and passwords by the name they are given to. It leaves
//! alone what nobody would mistake for a secret: placeholders, look-ups of the environment, text
//! without variety. What it reports is always masked: the kind and a few leading characters are
//! enough to find the line, and too few to use. [`mask()`] works on any text, so whatever leaves a
//! review (prompts, spans, notes, findings, checkpoints) goes through it; [`mask_diff()`] reads a diff
//! side by side too.
//!
//! `rules` lists the forms, `plausible` sorts out what only looks like a secret, `scan` finds, `mask`
//! hides, `report` is the tool.

mod mask;
mod plausible;
mod report;
mod rules;
mod scan;

pub use mask::{mask, mask_diff, mask_json};
pub use report::{Leak, leaks};
pub(super) use report::{call, describe};
pub use scan::{Hit, scan};

#[cfg(test)]
mod tests;
