//! Asking for entries: one question at a time, and a server that is far away several.
//!
//! A question goes out as soon as a slot is free. When jobs are shorter than the way to the server, many more slots
//! become free while the answer is on its way, and would wait for the answer before they are asked for. So they are asked
//! for at once, with a few questions at the most, each for a good part of the slots: with longer jobs, whose slots become
//! free one after the other, there is one question as ever. What an answer brings waits for no other answer.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::WorkerId;
use crate::queue::fetch::{Fetched, Want};
use crate::queue::{Entry, Queue, QueueError};

/// A server whose answers all take longer is far away.
const FAR: Duration = Duration::from_micros(400);
/// Questions that are on their way at a time.
const AT_A_TIME: u32 = 3;
/// Answers after which a single fast one is half forgotten, about.
const REMEMBERED: u32 = 64;

/// What the questions of one time came to.
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

/// Asks for a worker.
#[derive(Debug)]
pub struct Asker {
    queue: Queue,
    worker: WorkerId,
    way: Way,
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

    /// Whether so many more slots are worth another question: a quarter of all for the second, half for the third.
    fn is_worth(&self, more: usize, questions: u32) -> bool {
        more > 0 && questions < AT_A_TIME && more << (AT_A_TIME - questions) >= self.slots
    }
}

impl Asker {
    /// One that has asked for nothing yet.
    pub fn new(queue: Queue, worker: WorkerId) -> Self {
        Self {
            queue,
            worker,
            way: Way::default(),
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
        let (queue, worker, turn) = (&self.queue, self.worker, self.queue.next_turn());
        let fetch = |slots| queue.fetch_in_turn(worker, slots, want, turn);
        ask(slots, free, want, &mut self.way, fetch, hand_over).await
    }
}

async fn ask<F, H>(
    slots: usize,
    free: &mut watch::Receiver<usize>,
    want: Want,
    way: &mut Way,
    fetch: impl Fn(usize) -> F,
    hand_over: impl Fn(Vec<Entry>) -> H,
) -> Asked
where
    F: Future<Output = Result<Fetched, QueueError>>,
    H: Future<Output = bool>,
{
    way.slots = way.slots.max(slots);
    let begun = Instant::now();
    let (mut asked, mut questions, mut answers) = (slots, 1, 0);
    let mut on_the_way = FuturesUnordered::from_iter([fetch(slots)]);
    let mut all = Asked::default();
    loop {
        // What is handed over is neither free nor on its way any more: after the first answer there is nothing to add.
        let asks_again = want == Want::Anything && way.is_far() && answers == 0 && questions < AT_A_TIME;
        tokio::select! {
            biased;
            answer = on_the_way.next() => {
                let Some(answer) = answer else { return all };
                if answers == 0 {
                    way.took(begun.elapsed());
                }
                answers += 1;
                match answer {
                    Ok(fetched) => {
                        all.is_paused |= fetched.paused;
                        all.next_due = fetched.next_due;
                        if !fetched.entries.is_empty() {
                            all.has_entries = true;
                            all.is_over |= !hand_over(fetched.entries).await;
                        }
                    }
                    Err(error) => all.failed = Some(error),
                }
            }
            Ok(()) = free.changed(), if asks_again => {
                // What is asked for is free until it arrives.
                let more = free.borrow_and_update().saturating_sub(asked);
                if way.is_worth(more, questions) {
                    on_the_way.push(fetch(more));
                    asked += more;
                    questions += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::{EntryId, Lane};

    type Answer = oneshot::Sender<Result<Fetched, QueueError>>;

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
            std::future::ready(true)
        });
        let answering = async {
            for step in steps {
                free.send_replace(*step);
                tokio::task::yield_now().await;
            }
            let questions: Vec<(usize, Answer)> = asked.take();
            let counts = questions.iter().map(|(slots, _)| *slots).collect();
            for (slots, answer) in questions {
                let _asked = answer.send(brings(slots as u64, 1));
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
                answer
            }
        };
        let handed_over = Cell::new(0);
        let hand_over = |entries: Vec<Entry>| {
            handed_over.update(|count| count + entries.len());
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
