//! Recordings of the console: a file that holds the model of one moment and every message since.
//!
//! A recording is text, a line of JSON each: the head with the model, the messages in their order, and a last line
//! that says why it ends there. Time is what the ticks among the messages say. Played again, the same messages make
//! the same model, so a file is a test as well. What servers and people wrote stays [`Untrusted`] in it.
//!
//! [`tape`] writes and reads the file, [`player`] follows it to and fro.
//!
//! [`Untrusted`]: millstream::untrusted::Untrusted

pub mod player;
pub mod tape;

pub use player::Player;
pub use tape::{Tape, TapeError, Writer};
