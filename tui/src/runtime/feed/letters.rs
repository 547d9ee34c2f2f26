//! Letters of entries that no row knows: they are counted by one walk through the dead-letter stream, a few pages a
//! round, which then follows its end. When letters were taken out it begins anew, and what it found before stays until
//! it is through again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use millstream::clock;
use millstream::domain::EntryId;
use millstream::queue::letters::Letter;
use millstream::queue::{QueueError, window};
use millstream::untrusted::{Untrusted, one_line};
use tokio::time::Instant;

use super::pending::payload;
use super::{Feed, within};
use crate::model::connection::Server;
use crate::model::dead::{Cause, Dead, LETTERS, LetterLine, LettersPage, TREND};
use crate::msg::{Answer, Topic};

/// Pages of 500 letters that are read in one round: some milliseconds of the server.
const PAGES: usize = 4;
/// Groups that are told apart; letters of more are counted together, and none of them is kept.
const GROUPS: usize = 200;
/// A line holds no more of a failure.
const LONGEST: usize = 2_000;

/// A group while letters are counted.
#[derive(Debug, Clone)]
struct Group {
    cause: Cause,
    workers: BTreeSet<String>,
    died: VecDeque<DateTime<Utc>>,
    newest: VecDeque<LetterLine>,
}

/// A walk through the letters.
#[derive(Debug, Default)]
pub struct Walk {
    groups: BTreeMap<String, Group>,
    /// Letters whose group is one too many.
    ungrouped: u64,
    /// Letters that were seen, those with a row included.
    seen: u64,
    after: Option<EntryId>,
    whole: bool,
    /// What an earlier walk came to.
    before: Option<LettersPage>,
}

impl Walk {
    /// Takes a page; answers whether there may be more behind it.
    fn take(&mut self, letters: Vec<Letter>, count: u64) -> bool {
        let found = letters.len();
        if let Some(last) = letters.last() {
            self.after = Some(last.id);
        }
        self.seen += found as u64;
        for letter in letters.into_iter().filter(Letter::has_no_row) {
            self.count(&letter);
        }
        if self.seen > count {
            // Letters were taken out, and nobody says which.
            let before = self.whole.then(|| self.page(None));
            *self = Self {
                before: before.or(self.before.take()),
                ..Self::default()
            };
            return false;
        }
        self.whole = self.seen == count;
        !self.whole && found > 0
    }

    fn count(&mut self, letter: &Letter) {
        let name = letter.fingerprint();
        if !self.groups.contains_key(&name) && self.groups.len() >= GROUPS {
            self.ungrouped += 1;
            return;
        }
        let died_at = letter.died_at();
        let line = line(letter);
        let worker = letter.text("worker").unwrap_or_default();
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group {
            cause: cause(&name, letter, died_at),
            workers: BTreeSet::new(),
            died: VecDeque::new(),
            newest: VecDeque::new(),
        });
        group.cause.count += 1;
        group.cause.last_at = died_at;
        group.cause.sample = line.error.clone();
        if group.workers.len() < GROUPS {
            group.workers.insert(worker);
        }
        group.died.push_back(died_at);
        group.newest.push_front(line);
        group.newest.truncate(Dead::MEMBERS as usize);
    }

    /// What is known so far, with the letters of the group that is unfolded.
    fn page(&mut self, unfolded: Option<&str>) -> LettersPage {
        let now = clock::now();
        let mut causes = Vec::new();
        for group in self.groups.values_mut() {
            let mut cause = group.cause.clone();
            cause.workers = group.workers.len() as u64;
            cause.lately = lately(&mut group.died, now);
            causes.push(cause);
        }
        let name = unfolded.and_then(|name| name.strip_prefix(LETTERS));
        let members = name.and_then(|name| self.groups.get(name));
        LettersPage {
            total: causes.iter().map(|cause| cause.count).sum::<u64>() + self.ungrouped,
            ungrouped: self.ungrouped,
            causes,
            whole: self.whole,
            members: members.map_or_else(Vec::new, |group| group.newest.iter().cloned().collect()),
        }
    }
}

/// How many died in each half minute of the last five; older ones are forgotten.
fn lately(died: &mut VecDeque<DateTime<Utc>>, now: DateTime<Utc>) -> [u64; TREND] {
    let mut lately = [0; TREND];
    let slot = |at: &DateTime<Utc>| usize::try_from((now - at).num_seconds().max(0) / 30).unwrap_or(TREND);
    while died.front().is_some_and(|at| slot(at) >= TREND) {
        died.pop_front();
    }
    for at in died.iter() {
        if let Some(count) = TREND
            .checked_sub(1 + slot(at))
            .and_then(|nth| lately.get_mut(nth))
        {
            *count += 1;
        }
    }
    lately
}

fn cause(name: &str, letter: &Letter, died_at: DateTime<Utc>) -> Cause {
    Cause {
        fingerprint: format!("{LETTERS}{name}"),
        class: Untrusted::new(letter.text("class").unwrap_or_default()),
        sample: Untrusted::default(),
        count: 0,
        first_at: died_at,
        last_at: died_at,
        workers: 0,
        tries: (0, 0),
        kinds: vec!["entries that no row knows".into()],
        lately: [0; TREND],
    }
}

fn line(letter: &Letter) -> LetterLine {
    let raw = |(name, value): &(Vec<u8>, Vec<u8>)| {
        let name = name.strip_prefix(b"raw:")?;
        Some((name.to_vec(), value.clone()))
    };
    let fields: Vec<(Vec<u8>, Vec<u8>)> = letter.fields.iter().filter_map(raw).collect();
    let bytes = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    LetterLine {
        id: letter.id,
        entry: Untrusted::new(letter.text("entry").unwrap_or_default()),
        worker: Untrusted::new(letter.text("worker").unwrap_or_default()),
        error: Untrusted::new(one_line(&letter.text("error").unwrap_or_default(), LONGEST)),
        payload: payload(window::Payload::There { fields, bytes }),
        died_at: letter.died_at(),
    }
}

impl Feed {
    /// A few more pages of the letters, and what they come to.
    pub(super) async fn letters(&mut self, unfolded: Option<&str>) {
        let started = Instant::now();
        let read = within(self.read_letters()).await;
        let took = started.elapsed();
        let text = "XRANGE COUNT 500, XLEN of the dead letters";
        match read {
            Ok(commands) => {
                self.valkey_lost = false;
                self.sent(Server::Valkey, text, commands, Some(took)).await;
                self.up(Server::Valkey, took / (commands / 2).max(1), None).await;
                let mut page = self.walk.page(unfolded);
                if let (false, Some(before)) = (page.whole, &self.walk.before) {
                    page = before.clone();
                }
                self.answer(Answer::Letters(page)).await;
            }
            Err(why) => {
                self.sent(Server::Valkey, text, 2, None).await;
                self.down(Server::Valkey, &why).await;
                self.miss(Topic::Letters, &why).await;
            }
        }
    }

    async fn read_letters(&mut self) -> Result<u32, QueueError> {
        let mut commands = 0;
        for _ in 0..PAGES {
            let (letters, count) = self.queue.letters_after(self.walk.after).await?;
            commands += 2;
            if !self.walk.take(letters, count) {
                break;
            }
        }
        Ok(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(seq: u64, class: &str, error: &str) -> Letter {
        let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        Letter {
            id: EntryId {
                ms: clock::now().timestamp_millis().unsigned_abs(),
                seq,
            },
            fields: vec![field("class", class), field("error", error), field("raw:x", "1")],
        }
    }

    #[test]
    fn letters_are_counted_exactly_and_anew_when_some_are_gone() {
        let mut walk = Walk::default();
        let page = |range: std::ops::Range<u64>| {
            let letters = range.map(|seq| match seq % 3 {
                0 => letter(seq, "unreadable", "entry has no reviewId"),
                1 => letter(seq, "unreadable", "no job with this id is known"),
                _ => letter(seq, "timeout", "no reply"),
            });
            letters.collect::<Vec<Letter>>()
        };
        assert!(walk.take(page(0..500), 900), "there is more behind it");
        assert!(!walk.page(None).whole);
        assert!(!walk.take(page(500..900), 900));
        let whole = walk.page(None);
        assert_eq!((whole.whole, whole.total, whole.causes.len()), (true, 600, 2));
        let name = whole.causes[0].fingerprint.clone();
        let unfolded = walk.page(Some(&name)).members;
        assert_eq!(unfolded.len(), Dead::MEMBERS as usize);
        assert!(unfolded[0].id > unfolded[1].id, "the newest first");
        assert_eq!(whole.causes[0].lately[TREND - 1], 300);
        // Five were taken out meanwhile: what was counted stays until it is counted again.
        assert!(!walk.take(Vec::new(), 895));
        assert_eq!(walk.before.as_ref().map(|page| page.total), Some(600));
        assert!(!walk.take(page(5..900), 895));
        assert_eq!(walk.page(None).total, 596);
    }

    #[test]
    fn letters_of_a_cause_too_many_are_in_the_total_and_told_apart() {
        let mut walk = Walk::default();
        // A failure of its own for each of them, and ten letters more of the last; figures alone make no difference.
        let error = |nth: u64| {
            let letter = |part: u64| char::from(b'a' + (part % 26) as u8);
            format!("the field {}{} is missing", letter(nth / 26), letter(nth))
        };
        let unreadable = |seq: u64, nth: u64| letter(seq, "unreadable", &error(nth));
        let mut letters: Vec<Letter> = (0..250).map(|seq| unreadable(seq, seq)).collect();
        letters.extend((250..260).map(|seq| unreadable(seq, 249)));
        let count = letters.len() as u64;
        assert!(!walk.take(letters, count));
        let page = walk.page(None);
        assert!(page.whole);
        assert_eq!((page.total, page.causes.len(), page.ungrouped), (260, GROUPS, 60));
    }
}
