//! A window onto pending lists of any length: some rows from a place on, whichever streams they stand on.
//!
//! A list is entered by entry id and never counted through, so the millionth row costs as much as the first. The
//! server reads a pending list forwards only; what stands before a place is found by halving the ids between.

use std::collections::HashMap;
use std::time::Duration;

use redis::{RedisError, Value, from_redis_value};

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use crate::domain::EntryId;

/// The most rows of one window: a reply of some 100 us for each stream.
pub const MOST_ROWS: usize = 1_000;
/// Halvings of all ids there can be: 128 bits, and a few at the edges.
const HALVINGS: usize = 136;
/// Payloads that are fetched one by one, when they lie far apart.
const SINGLES: usize = 40;
/// Fields of an entry that are kept.
const FIELDS: usize = 24;
/// Bytes of a field that are kept.
const FIELD_BYTES: usize = 512;

/// A stream with one of its groups. Their names are bytes: others may have given them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spot {
    /// The stream's key.
    pub stream: Vec<u8>,
    /// The group's name.
    pub group: Vec<u8>,
}

/// Where a window begins, or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Place {
    /// At the first entry.
    #[default]
    First,
    /// At this entry, or the next one there is.
    At(EntryId),
    /// It ends before this entry.
    Before(EntryId),
    /// It ends with the last entry.
    Last,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Its fields, as many and as much of each as a screen shows.
    There {
        /// The fields, in order.
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        /// The bytes of all of them in full.
        bytes: usize,
    },
    /// Nothing: it was deleted or trimmed while it was pending.
    Gone,
    /// It lies too far from the others to be read with them.
    Unread,
}

/// An entry that some consumer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which of the spots that were asked for.
    pub spot: usize,
    /// Its id.
    pub entry: EntryId,
    /// The consumer.
    pub consumer: Vec<u8>,
    /// Since its last delivery or renewal, by the server's clock.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
    /// What it holds.
    pub payload: Payload,
}

/// Rows of pending lists, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// The rows.
    pub rows: Vec<Held>,
    /// Whether there are rows before them.
    pub before: bool,
    /// Whether there are rows behind them.
    pub after: bool,
    /// How many commands it took.
    pub commands: u32,
}

/// A row of the server's list: entry, consumer, idle time in ms, deliveries.
type Row = (String, Vec<u8>, u64, u64);
/// An entry of the server: its id and its fields, flat.
type Flat = (String, Vec<Vec<u8>>);

/// A look under way.
struct Look<'a> {
    queue: &'a Queue,
    spots: &'a [Spot],
    limit: usize,
    commands: u32,
}

/// Rows of all spots between two ids.
struct Stretch {
    rows: Vec<Held>,
    /// Whether some spot had as many as were asked for, and may have more.
    full: bool,
}

impl Queue {
    /// Looks at a window of at most `limit` rows.
    ///
    /// # Errors
    /// When the server is away. A stream or a group that does not exist holds nothing.
    pub async fn window(&self, spots: &[Spot], place: Place, limit: usize) -> Result<Window, QueueError> {
        let limit = limit.clamp(1, MOST_ROWS);
        let mut look = Look {
            queue: self,
            spots,
            limit,
            commands: 0,
        };
        let mut window = match place {
            Place::First => look.onwards(0).await?,
            Place::At(id) => look.onwards(number(id)).await?,
            Place::Before(id) => look.backwards(Some(number(id))).await?,
            Place::Last => look.backwards(None).await?,
        };
        if let (Some(first), false) = (window.rows.first().map(|row| row.entry), place == Place::First) {
            let earliest = look.earliest().await?;
            window.before = earliest.is_some_and(|earliest| earliest < first);
        }
        look.read_payloads(&mut window.rows).await?;
        window.commands = look.commands;
        Ok(window)
    }
}

impl Look<'_> {
    /// A window from an id on.
    async fn onwards(&mut self, from: u128) -> Result<Window, QueueError> {
        // One more than is shown says whether there are more.
        let Stretch { mut rows, full } = self.stretch(from, None, self.limit + 1).await?;
        let after = full || rows.len() > self.limit;
        rows.truncate(self.limit);
        Ok(Window {
            rows,
            after,
            ..Window::default()
        })
    }

    /// A window that ends before an id, or with the last entry.
    async fn backwards(&mut self, end: Option<u128>) -> Result<Window, QueueError> {
        let Some(first) = self.earliest().await? else {
            return Ok(Window::default());
        };
        let (mut early, mut late) = (number(first), end.unwrap_or(self.latest().await?));
        let whole = self.stretch(early, end, self.limit).await?;
        let mut found = whole.rows;
        // From `early` on there are more than are wanted, from `late` on too few.
        let mut step = self.limit as u128;
        for _ in 0..HALVINGS {
            let middle = between(early, late, step);
            if !whole.full || middle == early {
                break;
            }
            let Stretch { rows, full } = self.stretch(middle, end, self.limit).await?;
            if full {
                (early, step) = (middle, step.saturating_mul(2));
                continue;
            }
            let enough = rows.len() * 2 >= self.limit;
            (found, late) = (rows, middle);
            if enough {
                break;
            }
        }
        let surplus = surplus(&found, self.limit);
        found.drain(..surplus);
        Ok(Window {
            rows: found,
            after: end.is_some(),
            ..Window::default()
        })
    }

    /// Rows from an id on, up to another one; at most `limit` of each spot.
    async fn stretch(&mut self, from: u128, end: Option<u128>, limit: usize) -> Result<Stretch, QueueError> {
        let end = end.map_or_else(|| "+".to_owned(), |end| format!("({}", id(end)));
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for spot in self.spots {
            pipe.cmd("XPENDING")
                .arg(&spot.stream)
                .arg(&spot.group)
                .arg(id(from).to_string())
                .arg(&end)
                .arg(limit);
        }
        let answers: Vec<Vec<Row>> = self.ask(&pipe).await?;
        let full = answers.iter().any(|rows| rows.len() >= limit);
        let mut rows = Vec::new();
        for (spot, answer) in answers.into_iter().enumerate() {
            for row in answer {
                rows.push(held(spot, row)?);
            }
        }
        rows.sort_by_key(|row| (row.entry, row.spot));
        if full {
            // Behind the last row of a spot that has more, others would stand with gaps between them.
            let ends = (0..self.spots.len()).filter_map(|spot| {
                let own = rows.iter().filter(|row| row.spot == spot);
                let (count, last) = own.fold((0, None), |(count, _), row| (count + 1, Some(row.entry)));
                last.filter(|_| count >= limit)
            });
            if let Some(whole) = ends.min() {
                rows.retain(|row| row.entry <= whole);
            }
        }
        Ok(Stretch { rows, full })
    }

    /// The first pending entry of all spots.
    async fn earliest(&mut self) -> Result<Option<EntryId>, QueueError> {
        let first = self.stretch(0, None, 1).await?.rows;
        Ok(first.first().map(|row| row.entry))
    }

    /// An id that no pending entry is likely to be behind: the last one that was given out. Entries that
    /// somebody claimed by force may be; then it is the greatest id there can be.
    async fn latest(&mut self) -> Result<u128, QueueError> {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for spot in self.spots {
            pipe.cmd("XINFO").arg("GROUPS").arg(&spot.stream);
        }
        let answers: Vec<Vec<HashMap<String, Value>>> = self.ask(&pipe).await?;
        let bytes = |group: &HashMap<String, Value>, field: &str| -> Option<Vec<u8>> {
            from_redis_value(group.get(field)?.clone()).ok()
        };
        let given = self.spots.iter().zip(&answers).filter_map(|(spot, groups)| {
            let own = groups
                .iter()
                .find(|group| bytes(group, "name").as_ref() == Some(&spot.group))?;
            let id = String::from_utf8(bytes(own, "last-delivered-id")?).ok()?;
            Some(number(id.parse().ok()?))
        });
        let last = given.max().unwrap_or(0).saturating_add(1);
        let behind = self.stretch(last, None, 1).await?.rows;
        Ok(if behind.is_empty() { last } else { u128::MAX })
    }

    /// Runs a pipeline; what is refused for a stream or a group that is not there is an empty answer.
    async fn ask<T: redis::FromRedisValue + Default>(
        &mut self,
        pipe: &redis::Pipeline,
    ) -> Result<Vec<T>, QueueError> {
        self.commands += u32::try_from(pipe.len()).unwrap_or(u32::MAX);
        let answers: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.queue.connection()).await?;
        let read = |answer: Result<Value, RedisError>| match answer.map_err(QueueError::from) {
            Ok(value) => from_redis_value(value).map_err(|error| QueueError::from(RedisError::from(error))),
            Err(QueueError::NoGroup(_)) => Ok(T::default()),
            Err(error) => Err(error),
        };
        answers.into_iter().map(read).collect()
    }

    /// Reads what the entries hold: neighbours together, a few others one by one.
    async fn read_payloads(&mut self, rows: &mut [Held]) -> Result<(), QueueError> {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        let mut asked = Vec::new();
        for (spot, names) in self.spots.iter().enumerate() {
            let mut own = rows.iter().filter(|row| row.spot == spot);
            let Some(first) = own.next() else { continue };
            let (count, last) = own.fold((1, first), |(count, _), row| (count + 1, row));
            // Entries that were settled and left lie between them.
            let most: usize = count * 2 + 16;
            pipe.cmd("XRANGE")
                .arg(&names.stream)
                .arg(first.entry.to_string())
                .arg(last.entry.to_string())
                .arg("COUNT")
                .arg(most);
            asked.push((spot, most));
        }
        if asked.is_empty() {
            return Ok(());
        }
        let answers: Vec<Vec<Flat>> = self.ask(&pipe).await?;
        for ((spot, most), entries) in asked.into_iter().zip(answers) {
            let whole = entries.len() < most;
            let seen = entries.last().and_then(|(id, _)| id.parse::<EntryId>().ok());
            let mut found: HashMap<String, Vec<Vec<u8>>> = entries.into_iter().collect();
            for row in rows.iter_mut().filter(|row| row.spot == spot) {
                row.payload = match found.remove(&row.entry.to_string()) {
                    Some(flat) => there(flat),
                    None if whole || seen.is_some_and(|seen| row.entry <= seen) => Payload::Gone,
                    None => Payload::Unread,
                };
            }
        }
        self.read_singles(rows).await
    }

    /// Reads the first few that neighbours have not brought.
    async fn read_singles(&mut self, rows: &mut [Held]) -> Result<(), QueueError> {
        let unread = |row: &&mut Held| row.payload == Payload::Unread;
        let mut left: Vec<&mut Held> = rows.iter_mut().filter(unread).take(SINGLES).collect();
        if left.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for row in &left {
            let id = row.entry.to_string();
            pipe.cmd("XRANGE")
                .arg(&self.spots[row.spot].stream)
                .arg(&id)
                .arg(&id);
        }
        let answers: Vec<Vec<Flat>> = self.ask(&pipe).await?;
        for (row, entries) in left.iter_mut().zip(answers) {
            let entry = entries.into_iter().next();
            row.payload = entry.map_or(Payload::Gone, |(_, flat)| there(flat));
        }
        Ok(())
    }
}

/// How many rows at the beginning are too many. Entries of several streams that have one id stay together: whoever goes
/// on before the first id of a window would pass over those of them that were cut off.
fn surplus(rows: &[Held], limit: usize) -> usize {
    let least = rows.len().saturating_sub(limit);
    let cuts_none = |at: &usize| *at == 0 || rows[at - 1].entry != rows[*at].entry;
    (least..rows.len()).find(cuts_none).unwrap_or(least)
}

fn held(spot: usize, (entry, consumer, idle_ms, deliveries): Row) -> Result<Held, QueueError> {
    let wrong = |_| QueueError::Answer(format!("entry id {entry}"));
    Ok(Held {
        spot,
        entry: entry.parse().map_err(wrong)?,
        consumer,
        idle: Duration::from_millis(idle_ms),
        deliveries,
        payload: Payload::Unread,
    })
}

/// As much of an entry as is kept.
pub(super) fn there(flat: Vec<Vec<u8>>) -> Payload {
    let bytes = flat.iter().map(Vec::len).sum();
    let fields = Entry::paired(flat)
        .into_iter()
        .take(FIELDS)
        .map(|(mut name, mut value)| {
            name.truncate(FIELD_BYTES);
            value.truncate(FIELD_BYTES);
            (name, value)
        })
        .collect();
    Payload::There { fields, bytes }
}

/// A place between two ids: half way in time, and within a millisecond, where ids are dense at the beginning of what
/// can be counted, by steps.
const fn between(early: u128, late: u128, step: u128) -> u128 {
    let (from, to) = (id(early).ms, id(late).ms);
    if to.saturating_sub(from) > 1 {
        let ms = from + (to - from) / 2;
        return number(EntryId { ms, seq: 0 });
    }
    let edge = number(EntryId { ms: to, seq: 0 });
    if early < edge && edge < late {
        return edge;
    }
    let half = late.saturating_sub(early) / 2;
    early + if half < step { half } else { step }
}

/// An id as one number, in the same order.
const fn number(id: EntryId) -> u128 {
    (id.ms as u128) << 64 | id.seq as u128
}

/// The id of a number.
const fn id(number: u128) -> EntryId {
    EntryId {
        ms: (number >> 64) as u64,
        seq: number as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_crowd_within_a_millisecond_is_found_in_few_steps() {
        // A million entries in bursts of 2,000: the place where the last 100 begin.
        let wanted = number(EntryId { ms: 499, seq: 1_900 });
        let (mut early, mut late) = (0, number(EntryId { ms: 500, seq: 7 }));
        let (mut step, mut steps) = (200, 0);
        while late - early > 1 {
            let middle = between(early, late, step);
            assert!((early..late).contains(&middle));
            if middle <= wanted {
                (early, step) = (middle, step * 2);
            } else {
                late = middle;
            }
            steps += 1;
        }
        assert_eq!(early, wanted);
        assert!(steps < 40, "{steps} steps");
    }

    proptest! {
        #[test]
        fn ids_and_numbers_are_in_the_same_order(a: (u64, u64), b: (u64, u64)) {
            let [left, right] = [a, b].map(|(ms, seq)| EntryId { ms, seq });
            prop_assert_eq!(id(number(left)), left);
            prop_assert_eq!(number(left).cmp(&number(right)), left.cmp(&right));
        }
    }
}
