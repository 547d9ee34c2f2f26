//! Asking for entries: one question at a time, and a server that is far away several.
//!
//! A question goes out as soon as a slot is free. When jobs are shorter than the way to the server, many more slots
//! become free while the answer is on its way, and would wait for the answer before they are asked for. So they are asked
//! for at once, with a few questions on their way, each for a good part of the slots: with longer jobs, whose slots become
//! free one after the other, there is one question as ever. What an answer brings waits for no other answer, and neither
//! do the slots that it makes free again, until an answer brings less than it was asked for.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::{Lane, WorkerId};
use crate::queue::fetch::{Fetched, Want};
use crate::queue::{Entry, Queue, QueueError};

/// A server whose answers all take longer is far away.
const FAR: Duration = Duration::from_micros(400);
/// Questions that are on their way at a time.
const AT_A_TIME: usize = 3;
/// Questions after which whoever asks looks up from them.
const IN_ONE_GO: usize = 128;
/// Answers after which a single fast one is half forgotten, about.
const REMEMBERED: u32 = 64;

/// What the questions of one go came to.
#[derive(Debug, Default)]
pub struct Asked {
    /// Whether they brought anything.
    pub has_entries: bool,
    /// Whether the queue is paused.
    pub is_paused: bool,
    /// How long until the next parked entry is due.
    pub next_due: Option<Duration>,
    /// Why one of them brought nothing.
    pub failed: Option<QueueError>,
    /// Whoever runs entries is gone.
    pub is_over: bool,
}

/// For how many entries each of the streams without priority was asked first, less what all of them were. Questions
/// differ in size, and a stream that is asked first for the large ones would get the most.
#[derive(Debug, Default)]
struct Turns([usize; Lane::EQUALS.len()]);

impl Turns {
    /// The stream that is to be asked first for so many entries: the one that was for the fewest.
    fn next(&mut self, slots: usize) -> Lane {
        let (at, _) = (0..)
            .zip(self.0)
            .min_by_key(|(_, asked)| *asked)
            .unwrap_or_default();
        self.0[at] += slots;
        let fewest = self.0.into_iter().min().unwrap_or_default();
        self.0 = self.0.map(|asked| asked - fewest);
        Lane::EQUALS[at]
    }
}

/// An answer, and how long it took until it was looked at.
type Timed = (Result<Fetched, QueueError>, Duration);

/// Asks for a worker.
#[derive(Debug)]
pub struct Asker {
    queue: Queue,
    worker: WorkerId,
    way: Way,
    turns: Turns,
}

/// What is known of the way to the server, and of the slots.
#[derive(Debug, Default)]
struct Way {
    /// The fastest answer, as far as it is remembered.
    fastest: Option<Duration>,
    /// The most slots that were ever free.
    slots: usize,
}

impl Way {
    fn took(&mut self, time: Duration) {
        let fastest = self.fastest.map_or(time, |known| known + known / REMEMBERED);
        self.fastest = Some(fastest.min(time));
    }

    fn is_far(&self) -> bool {
        self.fastest.is_some_and(|time| time > FAR)
    }

    /// Whether so many more slots are worth a question beside those on their way: a quarter of all beside one, half beside
    /// two.
    fn is_worth(&self, more: usize, questions: usize) -> bool {
        more > 0 && (1..AT_A_TIME).contains(&questions) && more << (AT_A_TIME - questions) >= self.slots
    }
}

impl Asker {
    /// One that has asked for nothing yet.
    pub fn new(queue: Queue, worker: WorkerId) -> Self {
        Self {
            queue,
            worker,
            way: Way::default(),
            turns: Turns::default(),
        }
    }

    /// Asks for as many entries as there are slots, and for more as more become free; `hand_over` takes what comes, and
    /// says whether to go on.
    pub async fn ask<H: Future<Output = bool>>(
        &mut self,
        slots: usize,
        free: &mut watch::Receiver<usize>,
        want: Want,
        hand_over: impl Fn(Vec<Entry>) -> H,
    ) -> Asked {
        let Self {
            queue,
            worker,
            way,
            turns,
        } = self;
        way.slots = way.slots.max(slots);
        let fetch = |slots| {
            // What is due has a place of its own, before all that is new.
            let turn = turns.next(if want == Want::Anything { slots } else { 0 });
            let (answer, begun) = (queue.fetch_in_turn(*worker, slots, want, turn), Instant::now());
            async move { (answer.await, begun.elapsed()) }
        };
        ask(slots, free, want, way, fetch, hand_over).await
    }
}

async fn ask<F, H>(
    slots: usize,
    free: &mut watch::Receiver<usize>,
    want: Want,
    way: &mut Way,
    mut fetch: impl FnMut(usize) -> F,
    hand_over: impl Fn(Vec<Entry>) -> H,
) -> Asked
where
    F: Future<Output = Timed>,
    H: Future<Output = bool>,
{
    let mut question = |slots| {
        let answer = fetch(slots);
        async move { (slots, answer.await) }
    };
    let mut on_the_way = FuturesUnordered::from_iter([question(slots)]);
    // What is asked for is free until it arrives.
    let (mut asked, mut questions) = (slots, 1);
    let mut all = Asked::default();
    let mut is_dry = false;
    loop {
        let may_ask = want == Want::Anything && way.is_far() && !is_dry && questions < IN_ONE_GO;
        tokio::select! {
            biased;
            answer = on_the_way.next() => {
                let Some((slots, (answer, time))) = answer else { return all };
                way.took(time);
                is_dry |= !answer.as_ref().is_ok_and(|fetched| fetched.entries.len() >= slots);
                match answer {
                    Ok(fetched) => {
                        all.is_paused |= fetched.paused;
                        all.next_due = fetched.next_due;
                        if !fetched.entries.is_empty() {
                            all.has_entries = true;
                            all.is_over |= !hand_over(fetched.entries).await;
                            is_dry |= all.is_over;
                        }
                    }
                    // A missing group has given nothing; after any other error something may be lost.
                    Err(QueueError::NoGroup(_)) if all.failed.is_some() => {}
                    Err(error) => all.failed = Some(error),
                }
                // What it has brought is not free any more, and nobody has asked for the others.
                asked -= slots;
            }
            Ok(()) = free.changed(), if may_ask => {}
        }
        if may_ask && !is_dry {
            let more = free.borrow_and_update().saturating_sub(asked);
            if way.is_worth(more, on_the_way.len()) {
                on_the_way.push(question(more));
                asked += more;
                questions += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::EntryId;

    type Answer = oneshot::Sender<Timed>;

    /// What a far server's answers take.
    const LONG: Duration = Duration::from_millis(1);

    fn brings(count: u64, first: u64) -> Result<Fetched, QueueError> {
        let entry = |ms| Entry {
            lane: Lane::Own,
            id: EntryId { ms, seq: 0 },
            fields: Vec::new(),
            deliveries: 1,
        };
        Ok(Fetched {
            paused: false,
            entries: (first..first + count).map(entry).collect(),
            next_due: None,
        })
    }

    fn away(fastest: Duration) -> Way {
        Way {
            fastest: Some(fastest),
            slots: 8,
        }
    }

    /// Whoever asks has seen what there is: both sides of a join are polled at each turn, in either order.
    async fn settled() {
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }

    /// Asks for one slot, has more become free one step after the other, and answers how many each question was for.
    async fn questions(way: &mut Way, want: Want, steps: &[usize]) -> Vec<usize> {
        let (free, mut watched) = watch::channel(1);
        let asked: RefCell<Vec<(usize, Answer)>> = RefCell::default();
        let fetch = |slots| {
            let (answer, answered) = oneshot::channel();
            asked.borrow_mut().push((slots, answer));
            async move { answered.await.expect("it is answered") }
        };
        let handed_over = Cell::new(0);
        let asking = ask(1, &mut watched, want, way, fetch, |entries| {
            handed_over.update(|count| count + entries.len());
            free.send_modify(|free| *free -= entries.len());
            std::future::ready(true)
        });
        let answering = async {
            for step in steps {
                free.send_replace(*step);
                settled().await;
            }
            let questions: Vec<(usize, Answer)> = asked.take();
            let counts = questions.iter().map(|(slots, _)| *slots).collect();
            for (slots, answer) in questions {
                let _asked = answer.send((brings(slots as u64, 1), LONG));
            }
            counts
        };
        let (_all, counts): (Asked, Vec<usize>) = tokio::join!(asking, answering);
        assert_eq!(handed_over.get(), counts.iter().sum::<usize>());
        counts
    }

    #[tokio::test]
    async fn a_near_server_is_asked_once() {
        let mut way = away(FAR / 2);
        assert_eq!(questions(&mut way, Want::Anything, &[2, 8]).await, [1]);
    }

    #[tokio::test]
    async fn a_far_server_is_asked_for_slots_that_become_free_meanwhile_when_they_are_many() {
        let mut way = away(FAR * 2);
        assert_eq!(
            questions(&mut way, Want::Anything, &[2, 3, 5, 8]).await,
            [1, 2, 5]
        );
        let mut way = away(FAR * 2);
        assert_eq!(questions(&mut way, Want::Anything, &[8, 8]).await, [1, 7]);
        let mut way = away(FAR * 2);
        assert_eq!(
            questions(&mut way, Want::Anything, &[2, 1, 2]).await,
            [1],
            "long jobs"
        );
        let mut way = away(FAR * 2);
        assert_eq!(questions(&mut way, Want::DueOnly, &[8]).await, [1]);
    }

    /// A server whose answers are given one by one.
    struct Slow {
        free: watch::Sender<usize>,
        asked: RefCell<VecDeque<(usize, Answer)>>,
        /// Whether what is handed over is over at once, and its slots free again before they are counted.
        is_instant: Cell<bool>,
    }

    impl Slow {
        fn new() -> Self {
            Self {
                free: watch::Sender::new(4),
                asked: RefCell::default(),
                is_instant: Cell::new(false),
            }
        }

        /// Asks for four of eight slots while something happens.
        async fn during(&self, happens: impl Future<Output = ()>) -> Asked {
            let (mut way, mut free) = (away(FAR * 2), self.free.subscribe());
            let fetch = |slots| {
                let (answer, answered) = oneshot::channel();
                self.asked.borrow_mut().push_back((slots, answer));
                async move { answered.await.expect("it is answered") }
            };
            let asking = ask(4, &mut free, Want::Anything, &mut way, fetch, |entries| {
                if !self.is_instant.get() {
                    self.free.send_modify(|free| *free -= entries.len());
                }
                std::future::ready(true)
            });
            tokio::join!(asking, happens).0
        }

        /// So many slots are free; answers how many each question on its way is for.
        async fn frees(&self, slots: usize) -> Vec<usize> {
            self.free.send_replace(slots);
            self.sizes().await
        }

        /// The oldest question is answered; answers how many each of the others is for.
        async fn answers(&self, answer: impl FnOnce(u64) -> Result<Fetched, QueueError>) -> Vec<usize> {
            let (slots, asked) = self.asked.borrow_mut().pop_front().expect("one is on its way");
            let _asked = asked.send((answer(slots as u64), LONG));
            self.sizes().await
        }

        async fn sizes(&self) -> Vec<usize> {
            settled().await;
            self.asked.borrow().iter().map(|(slots, _)| *slots).collect()
        }
    }

    fn all(slots: u64) -> Result<Fetched, QueueError> {
        brings(slots, 1)
    }

    #[tokio::test]
    async fn a_far_server_is_asked_on_while_answers_come_until_one_brings_less() {
        let slow = Slow::new();
        let asked = slow.during(async {
            assert_eq!(slow.frees(8).await, [4, 4]);
            assert_eq!(slow.answers(all).await, [4], "what it brought is not free");
            assert_eq!(slow.frees(7).await, [4, 3], "free again");
            assert_eq!(slow.answers(|slots| brings(slots - 1, 1)).await, [3]);
            assert_eq!(slow.frees(8).await, [3], "there is no more");
            assert!(slow.answers(all).await.is_empty());
        });
        let asked = asked.await;
        assert!(asked.has_entries && asked.failed.is_none());
    }

    #[tokio::test]
    async fn slots_that_are_free_again_before_they_are_counted_are_asked_for() {
        let slow = Slow::new();
        slow.is_instant.set(true);
        let asked = slow.during(async {
            assert_eq!(slow.frees(8).await, [4, 4]);
            assert_eq!(slow.answers(all).await, [4, 4], "nothing was told");
            slow.is_instant.set(false);
            while !slow.answers(all).await.is_empty() {}
        });
        assert!(asked.await.has_entries);
    }

    #[tokio::test]
    async fn after_an_error_nothing_is_asked_beside_what_is_on_its_way() {
        let slow = Slow::new();
        let asked = slow.during(async {
            assert_eq!(slow.frees(8).await, [4, 4]);
            let lost = |_| Err(QueueError::Answer("none".to_owned()));
            assert_eq!(slow.answers(lost).await, [4]);
            let gone = |_| Err(QueueError::NoGroup("none".to_owned()));
            assert!(slow.answers(gone).await.is_empty());
        });
        let failed = asked.await.failed;
        assert!(
            matches!(failed, Some(QueueError::Answer(_))),
            "something may be lost"
        );
    }

    #[test]
    fn streams_are_asked_first_for_as_many_entries_each() {
        let mut turns = Turns::default();
        let mut first = [0; 2];
        for slots in [50, 14, 50, 14, 1, 1, 64, 1, 63] {
            let lane = turns.next(slots);
            first[usize::from(lane == Lane::EQUALS[1])] += slots;
            assert!(first[0].abs_diff(first[1]) <= 64, "{first:?}");
        }
        let mut turns = Turns::default();
        let in_turn: Vec<Lane> = std::iter::repeat_with(|| turns.next(1)).take(4).collect();
        assert_eq!(in_turn, [Lane::EQUALS, Lane::EQUALS].concat(), "one by one");
    }

    #[tokio::test]
    async fn what_one_question_brings_is_kept_when_another_fails() {
        let (free, mut watched) = watch::channel(1);
        free.send_replace(8);
        let mut way = away(FAR * 2);
        let number = RefCell::new(0);
        let fetch = |_| {
            let mut number = number.borrow_mut();
            *number += 1;
            let answer = if *number == 1 {
                Err(QueueError::NoGroup("none".to_owned()))
            } else {
                brings(7, 1)
            };
            async move {
                // Not before both are on their way.
                tokio::task::yield_now().await;
                (answer, LONG)
            }
        };
        let handed_over = Cell::new(0);
        let hand_over = |entries: Vec<Entry>| {
            handed_over.update(|count| count + entries.len());
            free.send_modify(|free| *free -= entries.len());
            std::future::ready(true)
        };
        let all = ask(1, &mut watched, Want::Anything, &mut way, fetch, hand_over).await;
        assert_eq!(
            (all.has_entries, all.failed.is_some(), handed_over.get()),
            (true, true, 7)
        );
    }

    #[test]
    fn the_fastest_answer_of_late_says_how_far_the_server_is() {
        let mut way = Way::default();
        assert!(!way.is_far(), "nothing is known");
        way.took(FAR * 3);
        assert!(way.is_far());
        way.took(FAR / 2);
        way.took(FAR * 3);
        assert!(!way.is_far(), "one was slow");
        for _ in 0..REMEMBERED {
            way.took(FAR * 3);
        }
        assert!(way.is_far(), "it has moved away");
    }
}
