//! Where messages of Postgres' protocol begin and end, and which statement a cycle of them runs.
//!
//! A cycle begins with a simple query, or with what the extended protocol needs up to its sync, and ends with
//! `ReadyForQuery`. Each cycle is a step.

use std::collections::HashMap;

use super::lossy::Frames;

/// What asks for TLS; answered with one bare byte.
const TLS_ASKED: u32 = 80_877_103;

/// One connection to Postgres.
#[derive(Default)]
pub struct Postgres {
    begun: bool,
    byte_due: bool,
    /// The text of each prepared statement.
    statements: HashMap<String, String>,
    parsed: Option<String>,
    bound: Option<String>,
    /// The first statement of the open transaction, once it is known.
    transaction: Option<String>,
    in_transaction: bool,
}

impl Postgres {
    fn begin(&mut self, buffer: &[u8]) -> Option<(usize, Option<String>)> {
        let length = number(buffer)?;
        let code = number(buffer.get(4..)?)?;
        if buffer.len() < length as usize {
            return None;
        }
        self.byte_due = code == TLS_ASKED;
        self.begun = !self.byte_due;
        Some((length as usize, self.begun.then(|| "connect".to_owned())))
    }

    /// What a message adds to its cycle; the name of the cycle if it ends it.
    fn note(&mut self, kind: u8, body: &[u8]) -> Option<String> {
        let mut texts = body
            .split(|byte| *byte == 0)
            .map(|text| one_line(&String::from_utf8_lossy(text)));
        match kind {
            b'Q' => {
                let sql = texts.next().unwrap_or_default();
                Some(self.step(sql))
            }
            b'P' => {
                let (name, sql) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
                self.statements.insert(name, sql.clone());
                self.parsed = Some(sql);
                None
            }
            b'B' => {
                let name = texts.nth(1).unwrap_or_default();
                self.bound = self.statements.get(&name).cloned();
                None
            }
            b'S' => Some(match (self.parsed.take(), self.bound.take()) {
                (_, Some(sql)) => self.step(sql),
                (Some(sql), None) => format!("prepare: {sql}"),
                (None, None) => "sync".to_owned(),
            }),
            _ => None,
        }
    }

    /// The end of a transaction is called after the first statement in it.
    fn step(&mut self, sql: String) -> String {
        match sql.as_str() {
            "BEGIN" => {
                self.in_transaction = true;
                sql
            }
            "COMMIT" | "ROLLBACK" => {
                self.in_transaction = false;
                format!("{sql}: {}", self.transaction.take().unwrap_or_default())
            }
            _ => {
                if self.in_transaction && self.transaction.is_none() {
                    self.transaction = Some(sql.clone());
                }
                sql
            }
        }
    }
}

impl Frames for Postgres {
    fn request(&mut self, buffer: &[u8]) -> Option<(usize, Option<String>)> {
        if !self.begun {
            return self.begin(buffer);
        }
        let length = message(buffer)?;
        Some((length, self.note(buffer[0], &buffer[5..length])))
    }

    fn reply(&mut self, buffer: &[u8]) -> Option<(usize, bool)> {
        if std::mem::take(&mut self.byte_due) {
            self.byte_due = buffer.is_empty();
            return (!buffer.is_empty()).then_some((1, false));
        }
        let length = message(buffer)?;
        Some((length, buffer[0] == b'Z'))
    }
}

/// The length of the first whole message.
fn message(buffer: &[u8]) -> Option<usize> {
    let length = 1 + number(buffer.get(1..)?)? as usize;
    (length <= buffer.len()).then_some(length)
}

fn number(buffer: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(buffer.get(..4)?.try_into().ok()?))
}

/// A statement on one line, as it stands in the book.
pub fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
