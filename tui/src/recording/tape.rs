//! The file of a recording: how it is written, within a bound, and how it is read and refused.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::replay::Ending;
use crate::model::view::Size;
use crate::model::{Model, Profile};
use crate::msg::Msg;

/// What the head calls itself.
const KIND: &str = "console recording";
/// The shape of the file. A change that makes older files mean something else counts it up.
const FORMAT: u32 = 1;
/// A recording is never larger: an hour or more of a busy console, and what a player may hold in memory.
pub const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// The room that is kept for the last line.
const END_BYTES: u64 = 512;
/// No console was recorded before or after: a file that says so is damaged, and its times could not be reckoned with.
const YEARS: Range<i32> = 2020..2200;

/// Why a file is not played.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no recording.
    #[error("it is no recording of a console")]
    Foreign,
    /// A later version wrote it.
    #[error("millstream {0} recorded it, in a shape that this version does not know")]
    Newer(String),
    /// It is larger than any recording.
    #[error("it is larger than any recording is")]
    TooLarge,
    /// A line is not what it should be.
    #[error("line {line} is damaged: {why}")]
    Damaged {
        /// Which line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
    /// It ends in the middle of a line.
    #[error("it is cut off in line {0}")]
    CutOff(usize),
}

/// What every head has had and will have.
#[derive(Deserialize)]
struct Label {
    millstream: String,
    format: u32,
    made_by: String,
}

/// The first line.
#[derive(Serialize)]
struct HeadOut<'a> {
    millstream: &'a str,
    format: u32,
    made_by: &'a str,
    model: &'a Model,
}

#[derive(Deserialize)]
struct HeadIn {
    model: Value,
}

/// A line behind the head, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum LineOut<'a> {
    Msg(&'a Msg),
    End(&'a End),
}

/// The same, as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineIn {
    Msg(Box<Msg>),
    End(End),
}

/// The last line: why it ends, and what came before it, so that damage is found.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    why: Ending,
    lines: u64,
    sha256: String,
}

/// What became of a message that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It is written.
    Left,
    /// There was no room for it: the recording has ended with its last line.
    Used,
}

/// Writes a recording, line by line; a line is handed on whole or not at all.
pub struct Writer<W: Write> {
    output: W,
    digest: Sha256,
    bytes: u64,
    lines: u64,
    most: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a recording of at most so many bytes with a model.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(output: W, model: &Model, most: u64) -> io::Result<Self> {
        let mut writer = Self {
            output,
            digest: Sha256::new(),
            bytes: 0,
            lines: 0,
            most,
        };
        let head = HeadOut {
            millstream: KIND,
            format: FORMAT,
            made_by: env!("CARGO_PKG_VERSION"),
            model,
        };
        writer.put(&serde_json::to_vec(&head)?)?;
        Ok(writer)
    }

    /// Writes a message, or the end when there is no room for it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, msg: &Msg) -> io::Result<Room> {
        let line = serde_json::to_vec(&LineOut::Msg(msg))?;
        if self.bytes + line.len() as u64 + END_BYTES > self.most {
            self.end(Ending::Bound)?;
            return Ok(Room::Used);
        }
        self.put(&line)?;
        Ok(Room::Left)
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&mut self, why: Ending) -> io::Result<()> {
        let end = End {
            why,
            lines: self.lines,
            sha256: hex(&self.digest.clone().finalize()),
        };
        let line = serde_json::to_vec(&LineOut::End(&end))?;
        self.put(&line)?;
        self.output.flush()
    }

    /// Hands on what waits in the output's buffer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// The bytes so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        self.digest.update(&whole);
        self.bytes += whole.len() as u64;
        self.lines += 1;
        self.output.write_all(&whole)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A recording in memory, every line of it checked.
pub struct Tape {
    text: Vec<u8>,
    /// The model at its beginning.
    pub model: Model,
    /// Its messages.
    pub messages: Vec<Moment>,
    /// Why it ends.
    pub ending: Ending,
}

/// A message on the tape.
#[derive(Debug, Clone)]
pub struct Moment {
    /// When, since the beginning.
    pub at: Duration,
    /// Where its line stands.
    line: Range<usize>,
}

impl Tape {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no recording, or is damaged.
    pub fn open(path: &Path) -> Result<Self, TapeError> {
        let meta = std::fs::metadata(path)?;
        if meta.is_dir() {
            return Err(TapeError::Foreign);
        }
        if meta.len() > MOST_BYTES {
            return Err(TapeError::TooLarge);
        }
        // What is no plain file has no length: it is read to the bound as well.
        let mut text = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(std::fs::File::open(path)?, MOST_BYTES + 1),
            &mut text,
        )?;
        if text.len() as u64 > MOST_BYTES {
            return Err(TapeError::TooLarge);
        }
        Self::read(text)
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// When it is none, or is damaged.
    pub fn read(text: Vec<u8>) -> Result<Self, TapeError> {
        let lines = whole_lines(&text);
        let (head, rest) = lines.split_first().ok_or(TapeError::Foreign)?;
        let label: Label = serde_json::from_slice(&text[head.clone()]).map_err(|_| TapeError::Foreign)?;
        if label.millstream != KIND {
            return Err(TapeError::Foreign);
        }
        if label.format > FORMAT {
            return Err(TapeError::Newer(millstream::untrusted::one_line(
                &label.made_by,
                40,
            )));
        }
        if text.last() != Some(&b'\n') {
            return Err(TapeError::CutOff(
                lines.len() + usize::from(!ends_whole(&text, &lines)),
            ));
        }
        let model = whole_model(parse::<HeadIn>(&text, head, 1)?.model)?;
        in_our_time(model.now, 1)?;
        let (messages, ending) = messages(&text, rest, model.now)?;
        Ok(Self {
            text,
            model,
            messages,
            ending,
        })
    }

    /// A message of it.
    pub fn message(&self, nth: usize) -> Option<Msg> {
        let line = self.text.get(self.messages.get(nth)?.line.clone())?;
        // Each line has been read once before.
        match serde_json::from_slice(line).ok()? {
            LineIn::Msg(msg) => Some(*msg),
            LineIn::End(_) => None,
        }
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.messages.last().map_or(Duration::ZERO, |last| last.at)
    }
}

/// The model of a head. What an earlier version did not know of yet is as it is in a console that has just begun, so
/// that a recording can be played for as long as its fields mean the same.
fn whole_model(recorded: Value) -> Result<Model, TapeError> {
    let damaged = |error: serde_json::Error| TapeError::Damaged {
        line: 1,
        why: millstream::untrusted::one_line(&error.to_string(), 120),
    };
    let size = Size {
        width: 80,
        height: 24,
    };
    let profile = Profile {
        name: "".into(),
        queue: "".into(),
        group: "".into(),
        tint: None,
        is_production: false,
    };
    let fresh = Model::new(size, profile, DateTime::UNIX_EPOCH);
    let mut whole = serde_json::to_value(fresh).map_err(damaged)?;
    if let (Value::Object(whole), Value::Object(recorded)) = (&mut whole, recorded) {
        for (name, value) in recorded {
            match (whole.get_mut(&name), value) {
                (Some(Value::Object(fields)), Value::Object(known)) => fields.extend(known),
                (_, value) => {
                    whole.insert(name, value);
                }
            }
        }
    }
    serde_json::from_value(whole).map_err(damaged)
}

/// Where each line stands, without its end.
fn whole_lines(text: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'\n' {
            lines.push(from..at);
            from = at + 1;
        }
    }
    if lines.is_empty() && !text.is_empty() {
        // A head without its end still says what it is.
        lines.push(0..text.len());
    }
    lines
}

fn ends_whole(text: &[u8], lines: &[Range<usize>]) -> bool {
    lines.last().is_some_and(|last| last.end == text.len())
}

fn messages(
    text: &[u8],
    lines: &[Range<usize>],
    began_at: DateTime<Utc>,
) -> Result<(Vec<Moment>, Ending), TapeError> {
    let mut messages = Vec::with_capacity(lines.len());
    let mut at = Duration::ZERO;
    for (nth, line) in lines.iter().enumerate() {
        let number = nth + 2;
        match parse::<LineIn>(text, line, number)? {
            LineIn::Msg(msg) => {
                if let Msg::Tick { now } = *msg {
                    in_our_time(now, number)?;
                    // A clock that was put back does not turn the recording round.
                    at = at.max((now - began_at).to_std().unwrap_or_default());
                }
                let line = line.clone();
                messages.push(Moment { at, line });
            }
            LineIn::End(end) => {
                let is_last = nth + 1 == lines.len();
                let whole = Sha256::digest(&text[..line.start]);
                if !is_last || end.lines != number as u64 - 1 || end.sha256 != hex(&whole) {
                    let why = "the last line does not fit what stands before it".to_owned();
                    return Err(TapeError::Damaged { line: number, why });
                }
                return Ok((messages, end.why));
            }
        }
    }
    Ok((messages, Ending::Unknown))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8], line: &Range<usize>, number: usize) -> Result<T, TapeError> {
    serde_json::from_slice(&text[line.clone()]).map_err(|error| TapeError::Damaged {
        line: number,
        why: millstream::untrusted::one_line(&error.to_string(), 120),
    })
}

fn in_our_time(at: DateTime<Utc>, line: usize) -> Result<(), TapeError> {
    if YEARS.contains(&chrono::Datelike::year(&at)) {
        return Ok(());
    }
    Err(TapeError::Damaged {
        line,
        why: "no console was recorded at that time".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keymap::Key;
    use crate::sample;
    use chrono::TimeDelta;

    fn tick(ms: i64) -> Msg {
        Msg::Tick {
            now: sample::now() + TimeDelta::milliseconds(ms),
        }
    }

    fn recorded(most: u64, ticks: i64) -> Vec<u8> {
        let mut text = Vec::new();
        let mut writer = Writer::begin(&mut text, &sample::story(), most).unwrap();
        for nth in 0..ticks {
            if writer.write(&tick(nth * 250)).unwrap() == Room::Used {
                return text;
            }
        }
        writer.write(&Msg::Key(Key::Char('2'))).unwrap();
        writer.end(Ending::Stopped).unwrap();
        text
    }

    #[test]
    fn what_was_written_is_read_with_its_times() {
        let tape = Tape::read(recorded(MOST_BYTES, 5)).unwrap();
        assert_eq!(tape.ending, Ending::Stopped);
        assert_eq!(tape.length(), Duration::from_secs(1));
        assert_eq!(tape.message(5), Some(Msg::Key(Key::Char('2'))));
        assert_eq!(tape.message(6), None);
        let (read, written) = (&tape.model, sample::story());
        assert_eq!(
            (&read.path, &read.jobs.list, &read.sent),
            (&written.path, &written.jobs.list, &written.sent)
        );
        assert_eq!(
            (&read.pending, &read.history),
            (&written.pending, &written.history)
        );
    }

    #[test]
    fn a_recording_ends_at_its_bound_and_says_so() {
        let head = recorded(MOST_BYTES, 0).len() as u64;
        let text = recorded(head + 2_000, 10_000);
        assert!(text.len() as u64 <= head + 2_000, "{}", text.len());
        let tape = Tape::read(text).unwrap();
        assert_eq!(tape.ending, Ending::Bound);
        assert!(tape.messages.len() > 10);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_refused_or_told() {
        let text = recorded(MOST_BYTES, 5);
        for cut in (1..text.len()).step_by(97).chain([text.len() - 1]) {
            match Tape::read(text[..cut].to_vec()) {
                Ok(tape) => {
                    assert_eq!(text[cut - 1], b'\n', "{cut}");
                    assert_eq!(tape.ending, Ending::Unknown);
                }
                Err(TapeError::CutOff(_) | TapeError::Foreign) => {}
                Err(other) => panic!("{cut}: {other}"),
            }
        }
    }

    #[test]
    fn a_byte_that_has_changed_is_found() {
        let text = recorded(MOST_BYTES, 5);
        let digit = text.iter().rposition(u8::is_ascii_digit).unwrap();
        for at in [digit, text.len() / 2, text.len() - 300] {
            let mut broken = text.clone();
            broken[at] ^= 1;
            assert!(Tape::read(broken).is_err(), "{at}");
        }
    }

    #[test]
    fn a_model_of_an_earlier_version_is_filled_up() {
        let text = String::from_utf8(recorded(MOST_BYTES, 5)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let mut head: Value = serde_json::from_str(lines[0]).unwrap();
        let model = head["model"].as_object_mut().unwrap();
        assert!(model.remove("sent").is_some());
        assert!(
            model["trace"]
                .as_object_mut()
                .unwrap()
                .remove("critical")
                .is_some()
        );
        let tape = Tape::read(format!("{head}\n{}\n", lines[1]).into_bytes()).unwrap();
        assert!(tape.model.sent.is_empty() && tape.model.trace.critical);
        assert_eq!(tape.model.jobs, sample::story().jobs);
    }

    #[test]
    fn what_is_no_recording_of_ours_is_refused() {
        let refused = |text: &[u8]| Tape::read(text.to_vec()).err().unwrap().to_string();
        for foreign in [&b""[..], b"\n", b"hello\n", b"{}\n", b"\0\0\0", b"[1,2]\n"] {
            assert_eq!(refused(foreign), "it is no recording of a console");
        }
        let newer = br#"{"millstream":"console recording","format":2,"made_by":"9.1.0","more":1}"#;
        assert!(refused(newer).contains("millstream 9.1.0 recorded it"));
        let times = String::from_utf8(recorded(MOST_BYTES, 5))
            .unwrap()
            .replace("2026-11-21T14:03:28", "9999-11-21T14:03:28");
        assert!(refused(times.as_bytes()).contains("no console was recorded at that time"));
    }
}
