//! Streams of the whole server: names a step at a time, a few of them looked into, one of them closely.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use millstream::clock;
use millstream::domain::Lane;
use millstream::queue::QueueError;
use millstream::queue::streams::{self, ConsumerFacts, EntryFacts, GroupFacts, LOOKED_INTO, StreamFacts};
use millstream::queue::window::{Held, Place, Spot};
use millstream::untrusted::Untrusted;
use tokio::time::Instant;

use super::pending::{payload, text};
use super::{Feed, within};
use crate::model::connection::Server;
use crate::model::streams::{
    ConsumerLine, Consumers, Detail, HeldLine, Lag, StreamKey, StreamLine, StreamPane, Streams, StreamsPage,
};
use crate::msg::{Answer, Topic};

/// Names that are kept; a server with more streams is a server for something else.
const NAMES: usize = 1_000;
/// Steps of a search in one round: 200 keys each.
const STEPS: usize = 4;
/// When all names have been seen they are looked for again after this.
const SEARCH_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Many consumers are asked for this often.
const CONSUMERS_AGAIN: std::time::Duration = std::time::Duration::from_secs(30);

/// What is known of the server's streams.
#[derive(Debug, Default)]
pub struct Search {
    /// What was read of each, with the time of it; nothing before that.
    known: BTreeMap<Vec<u8>, Option<(StreamFacts, DateTime<Utc>)>>,
    /// Names that this search has met: the others are gone at its end.
    met: BTreeSet<Vec<u8>>,
    cursor: u64,
    capped: bool,
    done_at: Option<(Instant, DateTime<Utc>)>,
    /// The many consumers of the row that was looked at last.
    many: Option<(StreamKey, Instant, Consumers)>,
}

impl Search {
    fn is_due(&self) -> bool {
        self.cursor != 0 || self.done_at.is_none_or(|(at, _)| at.elapsed() >= SEARCH_AGAIN)
    }

    fn meet(&mut self, cursor: u64, names: Vec<Vec<u8>>) {
        for name in names {
            if self.known.contains_key(&name) || self.known.len() < NAMES {
                self.known.entry(name.clone()).or_default();
                self.met.insert(name);
            } else {
                self.capped = true;
            }
        }
        self.cursor = cursor;
        if cursor == 0 {
            let met = std::mem::take(&mut self.met);
            self.known.retain(|name, _| met.contains(name));
            self.done_at = Some((Instant::now(), clock::now()));
        }
    }

    /// The names to look into now: those that nobody has, then those about the cursor.
    fn next(&self, near: Option<&Vec<u8>>) -> Vec<Vec<u8>> {
        let all: Vec<&Vec<u8>> = self.known.keys().collect();
        let here = near.map_or(0, |near| all.partition_point(|name| *name < near));
        let from = here.saturating_sub(LOOKED_INTO / 4);
        let fresh = self.known.iter().filter(|(_, facts)| facts.is_none());
        let mut names: Vec<Vec<u8>> = near.into_iter().cloned().collect();
        names.extend(fresh.map(|(name, _)| name.clone()));
        names.extend(all.iter().skip(from).map(|name| (*name).clone()));
        let mut taken = BTreeSet::new();
        names.retain(|name| taken.insert(name.clone()));
        names.truncate(LOOKED_INTO);
        names
    }

    fn learn(&mut self, asked: &[Vec<u8>], found: Vec<StreamFacts>) {
        let now = clock::now();
        let gone: Vec<&Vec<u8>> = asked
            .iter()
            .filter(|name| !found.iter().any(|facts| facts.name == **name))
            .collect();
        for name in gone {
            self.known.remove(name);
        }
        for facts in found {
            self.known.insert(facts.name.clone(), Some((facts, now)));
        }
    }
}

impl Feed {
    /// One round: steps of the search, streams about the cursor, and what is told of the row under it.
    pub(super) async fn streams(&mut self, near: (Option<&StreamKey>, bool), pane: StreamPane) {
        let started = Instant::now();
        let answered = within(self.look_around(near, pane)).await;
        let took = started.elapsed();
        let text = "SCAN COUNT 200 TYPE stream, XINFO STREAM, GROUPS, XRANGE COUNT, XPENDING COUNT";
        match answered {
            Ok((page, commands)) => {
                self.valkey_lost = false;
                self.sent(Server::Valkey, text, commands, Some(took)).await;
                self.up(Server::Valkey, took / 4, None).await;
                self.answer(Answer::Streams(page)).await;
            }
            Err(why) => {
                self.sent(Server::Valkey, text, 1, None).await;
                self.down(Server::Valkey, &why).await;
                self.miss(Topic::Streams, &why).await;
            }
        }
    }

    async fn look_around(
        &mut self,
        (near, open): (Option<&StreamKey>, bool),
        pane: StreamPane,
    ) -> Result<(StreamsPage, u32), QueueError> {
        let mut commands = 0;
        for _ in 0..STEPS {
            // Who looks at one stream does not pay for the others.
            if open || !self.search.is_due() {
                break;
            }
            let (cursor, names) = self.queue.scan_streams(self.search.cursor).await?;
            self.search.meet(cursor, names);
            commands += 1;
        }
        let asked = match near {
            Some((stream, _)) if open => vec![stream.clone()],
            _ => self.search.next(near.map(|(stream, _)| stream)),
        };
        let (found, more) = self.queue.streams(&asked).await?;
        self.search.learn(&asked, found);
        commands += more;
        let mut page = self.streams_page();
        // The row may be gone since the cursor was put on it.
        if let Some(line) = near.and_then(|key| page.rows.iter().find(|line| line.key == *key)) {
            let limit = if open { Streams::LINES } else { Streams::FEW_LINES };
            if let Some((detail, more)) = self.detail(line, pane, limit).await? {
                page.detail = Some((line.key.clone(), detail));
                commands += more;
            }
        }
        Ok((page, commands))
    }

    fn streams_page(&self) -> StreamsPage {
        let keys = self.queue.keys();
        let ours = |name: &[u8]| {
            Lane::ALL.iter().any(|lane| keys.stream(*lane).as_bytes() == name) || keys.dead.as_bytes() == name
        };
        let known = self.search.known.values().flatten();
        StreamsPage {
            rows: known
                .flat_map(|(facts, at)| lines(facts, ours(&facts.name), *at))
                .collect(),
            names: self.search.known.len() as u64,
            capped: self.search.capped,
            scanned_at: self.search.done_at.map(|(_, at)| at),
            detail: None,
        }
    }

    /// What is told of a row; its groups are rows themselves and need no answer.
    async fn detail(
        &mut self,
        line: &StreamLine,
        pane: StreamPane,
        limit: usize,
    ) -> Result<Option<(Detail, u32)>, QueueError> {
        let (stream, group) = &line.key;
        match (pane, group) {
            (StreamPane::Groups, _) => Ok(None),
            (StreamPane::Entries, _) | (_, None) => {
                let entries = self.queue.last_entries(stream, limit).await?;
                Ok(Some((
                    Detail::Entries(entries.into_iter().map(entry).collect()),
                    1,
                )))
            }
            (StreamPane::Consumers, Some(group)) => self.consumers(line, group, limit).await.map(Some),
            (StreamPane::Pending, Some(group)) => {
                let spot = Spot {
                    stream: stream.clone(),
                    group: group.clone(),
                };
                let window = self.queue.window(&[spot], Place::First, limit).await?;
                let rows = window.rows.into_iter().map(held).collect();
                Ok(Some((Detail::Pending(rows), window.commands)))
            }
        }
    }

    /// The consumers of a row: a few as often as the screen is refreshed, many once in a while, too many never.
    async fn consumers(
        &mut self,
        line: &StreamLine,
        group: &[u8],
        limit: usize,
    ) -> Result<(Detail, u32), QueueError> {
        if line.consumers > streams::CONSUMERS_SELDOM {
            return Ok((Detail::Consumers(None), 0));
        }
        let is_many = line.consumers > streams::CONSUMERS;
        let mut asked = 0;
        let mut told = match &self.search.many {
            Some((key, at, told)) if is_many && *key == line.key && at.elapsed() < CONSUMERS_AGAIN => {
                told.clone()
            }
            _ => {
                asked = 1;
                let mut found = self.queue.consumers(&line.key.0, group).await?;
                found.sort_by(|a, b| b.pending.cmp(&a.pending).then_with(|| a.name.cmp(&b.name)));
                let of = found.len() as u64;
                found.truncate(Streams::LINES);
                let rows = found.iter().map(consumer).collect();
                let told = Consumers {
                    rows,
                    of,
                    at: clock::now(),
                };
                self.search.many = is_many.then(|| (line.key.clone(), Instant::now(), told.clone()));
                told
            }
        };
        told.rows.truncate(limit);
        Ok((Detail::Consumers(Some(told)), asked))
    }
}

/// A row for each group, or one for a stream that has none.
fn lines(facts: &StreamFacts, ours: bool, at: DateTime<Utc>) -> Vec<StreamLine> {
    let line = |group: Option<&GroupFacts>| StreamLine {
        key: (facts.name.clone(), group.map(|group| group.name.clone())),
        stream: Untrusted::new(text(&facts.name)),
        group: group.map(|group| Untrusted::new(text(&group.name))),
        ours,
        length: facts.length,
        first: facts.first,
        last: facts.last,
        added: facts.added,
        read: group.and_then(|group| group.read),
        lag: group.map_or(Lag::None, |group| lag(group.lag)),
        pending: group.map_or(0, |group| group.pending),
        consumers: group.map_or(0, |group| group.consumers),
        at,
        in_per_s: None,
        out_per_s: None,
        oldest: group.and_then(|group| group.oldest_idle),
        next: group.and_then(|group| group.next),
    };
    if facts.groups.is_empty() {
        return vec![line(None)];
    }
    facts.groups.iter().map(|group| line(Some(group))).collect()
}

const fn lag(lag: streams::Lag) -> Lag {
    match lag {
        streams::Lag::Counter(lag) => Lag::Counter(lag),
        streams::Lag::Ours(lag) => Lag::Ours(lag),
        streams::Lag::Counted(lag) => Lag::Counted(lag),
        streams::Lag::AtLeast(lag) => Lag::AtLeast(lag),
        streams::Lag::Unknown => Lag::Unknown,
    }
}

fn held(row: Held) -> HeldLine {
    HeldLine {
        entry: row.entry,
        consumer: Untrusted::new(text(&row.consumer)),
        idle: row.idle,
        reads: row.deliveries,
        payload: payload(row.payload),
    }
}

fn consumer(row: &ConsumerFacts) -> ConsumerLine {
    ConsumerLine {
        name: Untrusted::new(text(&row.name)),
        pending: row.pending,
        idle: row.idle,
    }
}

fn entry(row: EntryFacts) -> (millstream::domain::EntryId, crate::model::pending::Payload) {
    (row.id, payload(row.payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|nth| format!("s{nth:05}").into_bytes()).collect()
    }

    #[test]
    fn a_search_is_bounded_and_forgets_what_is_gone() {
        let mut search = Search::default();
        search.meet(7, names(1_500));
        assert!((search.known.len(), search.capped) == (NAMES, true) && search.is_due());
        assert_eq!(search.next(None).len(), LOOKED_INTO);
        search.meet(0, Vec::new());
        assert!(!search.is_due());
        search.meet(0, names(3));
        assert_eq!(search.known.len(), 3, "the others were not met again");
    }
}
