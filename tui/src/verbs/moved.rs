//! How the outcome of a move is printed, and what exit code it has.

use millstream::exit::Exit;
use millstream::ops::{Mode, Outcome, Refusal};
use millstream::untrusted::visible;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// The outcome as scripts read it.
#[derive(Serialize)]
struct Moved<'a> {
    verb: &'a str,
    dry_run: bool,
    done: &'a [String],
    refused: &'a [Refusal],
}

/// What the lines of a move say: `cancelled  ID`, or `would be cancelled  ID`.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// The verb, as it was typed.
    pub verb: &'static str,
    /// What the thing is after it.
    pub done: &'static str,
    /// What is said when nothing was found.
    pub nothing: &'static str,
}

/// The mode behind `--dry-run`.
pub const fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::DryRun } else { Mode::Real }
}

/// Prints what was done on standard output, what was not on standard error; answers the exit code.
///
/// # Errors
/// When standard output fails.
pub fn print(as_json: bool, mode: Mode, words: Words, outcome: &Outcome) -> Result<u8, Failure> {
    let moved = Moved {
        verb: words.verb,
        dry_run: mode == Mode::DryRun,
        done: &outcome.done,
        refused: &outcome.refused,
    };
    let would = if mode == Mode::DryRun { "would be " } else { "" };
    output::answer(as_json, &moved, |moved| {
        let line = |id: &String| format!("{would}{}  {}", words.done, visible(id));
        moved.done.iter().map(line).collect()
    })?;
    if !as_json {
        for Refusal { id, why } in &outcome.refused {
            output::say(format_args!("{id}: {why}"));
        }
    }
    for note in &outcome.notes {
        output::say(note);
    }
    if outcome.is_complete() {
        return Ok(0);
    }
    if outcome.refused.is_empty() {
        output::say(words.nothing);
    }
    Ok(Exit::Refused.code())
}
