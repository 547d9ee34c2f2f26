//! Any stream on the server with its groups, whoever made them: how long, who lags, and how far that is to be believed.
//!
//! Names are found by `SCAN`, a step at a time, and looked into a few at a time: nothing here grows with the server.
//! A group's lag is the server's own where it has one. Where it has none (entries were deleted in the middle, or the
//! group was made there) one slice is counted, and a longer backlog is told as "at least".

use std::collections::HashMap;
use std::time::Duration;

use redis::{RedisError, Value, from_redis_value};

use super::connect::Queue;
use super::error::QueueError;
use super::window::{Payload, there};
use crate::domain::{EntryId, Lane};

/// Keys that the server looks at in one step.
const SCANNED: usize = 200;
/// Streams that are looked into at a time: two commands each.
pub const LOOKED_INTO: usize = 20;
/// Groups of one stream that are told.
const GROUPS: usize = 100;
/// Entries that are counted where the server does not know the lag.
const COUNTED: usize = 500;
/// Groups whose entries are counted in one look.
const COUNTS: usize = 4;
/// Groups whose oldest entries are asked for in one look, the first ones of it.
const AGED: usize = 12;
/// So many consumers of a group may be listed as often as one likes: the server tells all of them or none.
pub const CONSUMERS: u64 = 500;
/// So many may be listed once in a while; it takes the server some milliseconds.
pub const CONSUMERS_SELDOM: u64 = 20_000;

/// How many entries a group has not been given, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// By the server's own counters.
    Counter(u64),
    /// Of our own queue: what is there less what is pending.
    Ours(u64),
    /// One by one.
    Counted(u64),
    /// There are more than were counted.
    AtLeast(u64),
    /// Nobody has counted them.
    Unknown,
}

/// A group of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its name.
    pub name: Vec<u8>,
    /// How many consumers it has.
    pub consumers: u64,
    /// Entries that they hold.
    pub pending: u64,
    /// The last entry that was given out.
    pub last_delivered: Option<EntryId>,
    /// Entries that were ever given out, if the server can tell.
    pub read: Option<u64>,
    /// Entries that are not given out yet.
    pub lag: Lag,
    /// Since the oldest entry that they hold was given out last; nothing when it was not asked for.
    pub oldest_idle: Option<Duration>,
    /// The first entry that is not given out yet; nothing when it was not asked for.
    pub next: Option<EntryId>,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its key.
    pub name: Vec<u8>,
    /// Its entries.
    pub length: u64,
    /// The first one.
    pub first: Option<EntryId>,
    /// The last one.
    pub last: Option<EntryId>,
    /// Entries that were ever added, if the server can tell.
    pub added: Option<u64>,
    /// Its groups, the first hundred.
    pub groups: Vec<GroupFacts>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFacts {
    /// Its id.
    pub id: EntryId,
    /// What it holds.
    pub payload: Payload,
}

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerFacts {
    /// Its name.
    pub name: Vec<u8>,
    /// Entries that it holds.
    pub pending: u64,
    /// Since it last asked for anything.
    pub idle: Duration,
}

/// A reply in pairs of name and value.
type Map = HashMap<String, Value>;

impl Queue {
    /// One step through the names of all streams: where to go on, nought at the end, and the names it met.
    ///
    /// # Errors
    /// When the server is away, or does not allow it.
    pub async fn scan_streams(&self, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), QueueError> {
        let found = redis::cmd("SCAN")
            .arg(cursor)
            .arg("COUNT")
            .arg(SCANNED)
            .arg("TYPE")
            .arg("stream")
            .query_async(&mut self.connection())
            .await?;
        Ok(found)
    }

    /// Looks into streams, at most [`LOOKED_INTO`]; those that are gone are left out. Answers how many commands it
    /// took.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn streams(&self, names: &[Vec<u8>]) -> Result<(Vec<StreamFacts>, u32), QueueError> {
        let names = &names[..names.len().min(LOOKED_INTO)];
        if names.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for name in names {
            pipe.cmd("XINFO").arg("STREAM").arg(name);
            pipe.cmd("XINFO").arg("GROUPS").arg(name);
        }
        let mut commands = u32::try_from(pipe.len()).unwrap_or(0);
        let answers: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.connection()).await?;
        let mut found = Vec::new();
        for (name, pair) in names.iter().zip(answers.chunks_exact(2)) {
            let (Some(stream), Some(groups)) = (read::<Map>(&pair[0])?, read::<Vec<Map>>(&pair[1])?) else {
                continue;
            };
            found.push(self.facts(name, &stream, &groups));
        }
        commands += self.ask_of_groups(&mut found).await?;
        Ok((found, commands))
    }

    fn facts(&self, name: &[u8], stream: &Map, groups: &[Map]) -> StreamFacts {
        let length = number(stream, "length").unwrap_or(0);
        let of_entry = |field: &str| -> Option<EntryId> {
            let entry: Vec<Value> = from_redis_value(stream.get(field)?.clone()).ok()?;
            let id: String = from_redis_value(entry.into_iter().next()?).ok()?;
            id.parse().ok()
        };
        let ours = Lane::ALL
            .iter()
            .any(|lane| self.keys().stream(*lane).as_bytes() == name);
        let (alone, first) = (groups.len() == 1, of_entry("first-entry"));
        let group = |group: &Map| {
            let name: Vec<u8> = group
                .get("name")
                .and_then(|name| from_redis_value(name.clone()).ok())
                .unwrap_or_default();
            let pending = number(group, "pending").unwrap_or(0);
            // What is settled on our own streams is deleted: all that is there and not held is new.
            let is_ours = ours && alone && name == self.keys().group.as_bytes();
            let last: Option<String> = group
                .get("last-delivered-id")
                .and_then(|id| from_redis_value(id.clone()).ok());
            let last_delivered: Option<EntryId> = last.and_then(|id| id.parse().ok());
            // Some servers go on counting entries that were trimmed before anybody read them.
            let counter = if length == 0 || last_delivered.is_some_and(|last| Some(last) < first) {
                Some(length)
            } else {
                number(group, "lag").filter(|lag| *lag <= length)
            };
            let lag = match counter {
                _ if is_ours => Lag::Ours(length.saturating_sub(pending)),
                Some(lag) => Lag::Counter(lag),
                None => Lag::Unknown,
            };
            GroupFacts {
                name,
                consumers: number(group, "consumers").unwrap_or(0),
                pending,
                last_delivered,
                read: number(group, "entries-read"),
                lag,
                oldest_idle: None,
                next: None,
            }
        };
        StreamFacts {
            name: name.to_vec(),
            length,
            first,
            last: of_entry("last-entry"),
            added: number(stream, "entries-added"),
            groups: groups.iter().take(GROUPS).map(group).collect(),
        }
    }

    /// Asks the first few groups how old their backlogs are, and counts what the server cannot tell, in one slice.
    async fn ask_of_groups(&self, found: &mut [StreamFacts]) -> Result<u32, QueueError> {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        let mut asked: Vec<(&mut GroupFacts, Vec<Question>)> = Vec::new();
        let mut counts = 0;
        for stream in found {
            for group in &mut stream.groups {
                let near = asked.len() < AGED;
                let mut questions = Vec::new();
                if near && group.pending > 0 {
                    pipe.cmd("XPENDING").arg(&stream.name).arg(&group.name);
                    pipe.arg("-").arg("+").arg(1);
                    questions.push(Question::Oldest);
                }
                let slice = match group.lag {
                    Lag::Unknown if counts < COUNTS => Some(COUNTED + 1),
                    Lag::Counter(0) | Lag::Ours(0) => None,
                    _ if near => Some(1),
                    _ => None,
                };
                if let (Some(slice), Some(last)) = (slice, group.last_delivered) {
                    counts += usize::from(slice > 1);
                    pipe.cmd("XRANGE").arg(&stream.name).arg(format!("({last}"));
                    pipe.arg("+").arg("COUNT").arg(slice);
                    questions.push(if slice > 1 {
                        Question::Count
                    } else {
                        Question::Next
                    });
                }
                if !questions.is_empty() {
                    asked.push((group, questions));
                }
            }
        }
        if asked.is_empty() {
            return Ok(0);
        }
        let answers: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.connection()).await?;
        let commands = u32::try_from(answers.len()).unwrap_or(0);
        let mut answers = answers.iter();
        for (group, questions) in asked {
            for (question, answer) in questions.into_iter().zip(answers.by_ref()) {
                question.learn(group, answer)?;
            }
        }
        Ok(commands)
    }

    /// The last entries of a stream, the newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn last_entries(&self, stream: &[u8], limit: usize) -> Result<Vec<EntryFacts>, QueueError> {
        let rows: Vec<(String, Vec<Vec<u8>>)> = redis::cmd("XREVRANGE")
            .arg(stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(limit)
            .query_async(&mut self.connection())
            .await?;
        let wrong = |id: &str| QueueError::Answer(format!("entry id {id}"));
        rows.into_iter()
            .map(|(id, flat)| {
                Ok(EntryFacts {
                    id: id.parse().map_err(|_| wrong(&id))?,
                    payload: there(flat),
                })
            })
            .collect()
    }

    /// The consumers of a group: the server tells all of them, so ask only where there are at most [`CONSUMERS`], or
    /// seldom where there are at most [`CONSUMERS_SELDOM`].
    ///
    /// # Errors
    /// When the server is away, or the group is gone.
    pub async fn consumers(&self, stream: &[u8], group: &[u8]) -> Result<Vec<ConsumerFacts>, QueueError> {
        let rows: Vec<Map> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg(stream)
            .arg(group)
            .query_async(&mut self.connection())
            .await?;
        let consumer = |row: &Map| ConsumerFacts {
            name: row
                .get("name")
                .and_then(|name| from_redis_value(name.clone()).ok())
                .unwrap_or_default(),
            pending: number(row, "pending").unwrap_or(0),
            idle: Duration::from_millis(number(row, "idle").unwrap_or(0)),
        };
        Ok(rows.iter().map(consumer).collect())
    }
}

/// What is asked about one group.
#[derive(Clone, Copy)]
enum Question {
    /// How long its oldest pending entry has waited.
    Oldest,
    /// Which entry it will be given next.
    Next,
    /// The same, and how many follow it.
    Count,
}

impl Question {
    /// Takes the answer; a group that is gone meanwhile has none.
    fn learn(self, group: &mut GroupFacts, answer: &Result<Value, RedisError>) -> Result<(), QueueError> {
        if let Self::Oldest = self {
            let rows: Vec<(String, Vec<u8>, u64, u64)> = read(answer)?.unwrap_or_default();
            group.oldest_idle = rows.first().map(|(_, _, idle, _)| Duration::from_millis(*idle));
            return Ok(());
        }
        let entries: Vec<Value> = read(answer)?.unwrap_or_default();
        group.next = entries.first().and_then(|entry| {
            let parts: Vec<Value> = from_redis_value(entry.clone()).ok()?;
            let id: String = from_redis_value(parts.into_iter().next()?).ok()?;
            id.parse().ok()
        });
        if let Self::Count = self {
            group.lag = match entries.len() {
                all if all > COUNTED => Lag::AtLeast(COUNTED as u64),
                all => Lag::Counted(all as u64),
            };
        }
        Ok(())
    }
}

/// A number of a reply; nothing when the server has none.
fn number(map: &Map, field: &str) -> Option<u64> {
    from_redis_value(map.get(field)?.clone()).ok()
}

/// An answer of a pipeline; nothing when the key is gone, or holds no stream any more.
fn read<T: redis::FromRedisValue>(answer: &Result<Value, RedisError>) -> Result<Option<T>, QueueError> {
    match answer {
        Ok(value) => {
            let value = from_redis_value(value.clone()).map_err(RedisError::from)?;
            Ok(Some(value))
        }
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        Err(error) => match QueueError::from(error.clone()) {
            QueueError::NoGroup(_) => Ok(None),
            other => Err(other),
        },
    }
}
