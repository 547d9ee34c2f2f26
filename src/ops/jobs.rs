//! An operator's moves of jobs: run now, call off, give up, take from who holds it.
//!
//! Each changes the row first, under its lock, and the entry after it. When Valkey is away in between, the row
//! stands: a start on a job that has ended runs nothing and acknowledges its entry.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::enqueue::{enqueue, entry_of};
use super::error::OpsError;
use super::operator::{Operator, patient, sort_out, texts};
use super::outcome::{Mode, Outcome, Why};
use crate::domain::{EntryId, FailureClass, JobId, JobRef, JobState, Lane};
use crate::queue::{Claimed, Holder, NewEntry, NewLetter, QueueError};
use crate::store::StoreError;
use crate::store::moves::{Ended, HandEnd, Standing};

/// Jobs in one transaction: they are locked together, so not too many.
const CHUNK: usize = 200;
/// The longest reason that is kept.
pub const LONGEST_REASON: usize = 500;

impl Operator {
    /// Retrying and scheduled jobs run now.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn retry(&self, names: &[JobRef], mode: Mode) -> Result<Outcome, OpsError> {
        let (jobs, refused) = self.resolve(names).await?;
        let detail = json!({ "unresolved": refused });
        let mut outcome = Outcome {
            refused,
            ..Outcome::default()
        };
        if mode == Mode::DryRun {
            self.foresee(&jobs, &mut outcome, |one| {
                matches!(one.state, JobState::Retrying | JobState::Scheduled) && !one.foreign_done
            })
            .await?;
            return Ok(outcome);
        }
        self.may_move(jobs.len())?;
        let jobs = &jobs[..];
        let effect = async |action| {
            for (at, chunk) in jobs.chunks(CHUNK).enumerate() {
                match self
                    .store
                    .bounded(self.store.run_now(self.name(), chunk, Some(action)))
                    .await
                {
                    Ok(judged) => {
                        let hastened = self.hasten(&judged.moved, &mut outcome).await;
                        sort_out_but(chunk, &hastened, &judged.moved, &judged.left, &mut outcome);
                    }
                    Err(error) => return give_up(error, &jobs[at * CHUNK..], outcome),
                }
            }
            Ok(outcome)
        };
        let intent = self.intent("retry", texts(jobs), detail);
        self.recorded(intent, effect).await
    }

    /// Brings the entries of jobs that run now to the workers; answers the jobs for which that is arranged.
    async fn hasten(&self, moved: &[Standing], outcome: &mut Outcome) -> HashSet<JobId> {
        let mut arranged = HashSet::new();
        let promoted: Vec<NewEntry> = moved
            .iter()
            .filter(|one| one.state == JobState::Scheduled)
            .map(|one| entry_of(one.owed()))
            .collect();
        arranged.extend(promoted.iter().map(|entry| entry.job));
        if !promoted.is_empty()
            && let Err(error) = enqueue(&self.store, &self.queue, &promoted).await
        {
            outcome.notes.push(owed_note(&error, promoted.len()));
        }
        let retrying: Vec<&Standing> = moved
            .iter()
            .filter(|one| one.state == JobState::Retrying)
            .collect();
        for lane in Lane::ALL {
            let of_lane: Vec<(EntryId, JobId)> = retrying
                .iter()
                .filter(|one| one.lane == lane)
                .filter_map(|one| Some((one.entry?, one.job)))
                .collect();
            let entries: Vec<EntryId> = of_lane.iter().map(|(entry, _)| *entry).collect();
            match patient(self.queue.hasten(lane, &entries)).await {
                Ok(due) => {
                    let due = of_lane.iter().zip(due).filter(|(_, due)| *due);
                    arranged.extend(due.map(|((_, job), _)| *job));
                }
                Err(error) => {
                    for (_, job) in of_lane {
                        outcome.refuse(&job, Why::ValkeyAway(error.to_string()));
                    }
                }
            }
        }
        if !retrying.is_empty()
            && let Err(error) = patient(self.queue.wake_workers()).await
        {
            tracing::debug!("failed to {error}; the workers look for themselves every second");
        }
        arranged
    }

    /// Calls jobs off that have not ended.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn cancel(&self, names: &[JobRef], mode: Mode) -> Result<Outcome, OpsError> {
        let reason = format!("cancelled by {}", self.who.actor);
        let end = HandEnd {
            state: JobState::Cancelled,
            reason: &reason,
            class: None,
            action: None,
        };
        self.end("cancel", names, &end, mode).await
    }

    /// Gives jobs up that have not ended: they are dead, for this reason.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn bury(&self, names: &[JobRef], reason: &str, mode: Mode) -> Result<Outcome, OpsError> {
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let end = HandEnd {
            state: JobState::Dead,
            reason: &reason,
            class: Some(FailureClass::Operator),
            action: None,
        };
        self.end("bury", names, &end, mode).await
    }

    async fn end(
        &self,
        verb: &str,
        names: &[JobRef],
        end: &HandEnd<'_>,
        mode: Mode,
    ) -> Result<Outcome, OpsError> {
        let (jobs, refused) = self.resolve(names).await?;
        let detail = json!({ "unresolved": refused, "reason": end.reason });
        let mut outcome = Outcome {
            refused,
            ..Outcome::default()
        };
        if mode == Mode::DryRun {
            self.foresee(&jobs, &mut outcome, |one| {
                !one.state.is_final() && !one.foreign_done
            })
            .await?;
            return Ok(outcome);
        }
        self.may_move(jobs.len())?;
        let jobs = &jobs[..];
        let effect = async |action| {
            let end = &HandEnd {
                action: Some(action),
                ..*end
            };
            for (at, chunk) in jobs.chunks(CHUNK).enumerate() {
                match self
                    .store
                    .bounded(self.store.end_by_hand(self.name(), chunk, end))
                    .await
                {
                    Ok(judged) => {
                        if let Err(error) = self.let_go(&judged.moved, end).await {
                            let count = judged.moved.len();
                            outcome.notes.push(format!(
                                "failed to {error}; left to the workers, which acknowledge them unrun: {count} entries"
                            ));
                        }
                        if let Err(error) = self.catch_up(&judged.left, end).await {
                            tracing::debug!("failed to {error}; the workers acknowledge the entries in time");
                        }
                        let moved = judged.moved.iter().map(|one| one.was.job).collect();
                        sort_out(chunk, &moved, &judged.left, &mut outcome);
                    }
                    Err(error) => return give_up(error, &jobs[at * CHUNK..], outcome),
                }
            }
            Ok(outcome)
        };
        let mut intent = self.intent(verb, texts(jobs), detail);
        if end.state == JobState::Dead {
            intent.reason = Some(end.reason.to_owned());
        }
        self.recorded(intent, effect).await
    }

    /// Valkey's half of an end whose reply was lost: who repeats the move finds the rows as they were to be, and the
    /// entries as they were before. Due at once, they are acknowledged by whoever is delivered them, who also writes
    /// the letter of a dead one; a handler that still runs loses its lease.
    async fn catch_up(&self, left: &[Standing], end: &HandEnd<'_>) -> Result<(), QueueError> {
        let mut found = false;
        for one in left.iter().filter(|one| one.state == end.state) {
            let Some(entry) = one.entry else { continue };
            match patient(self.queue.holder(one.lane, entry)).await? {
                Holder::Nobody => continue,
                Holder::Parked => drop(patient(self.queue.hasten(one.lane, &[entry])).await?),
                Holder::Consumer(consumer) => {
                    patient(self.queue.claim(one.lane, entry, &consumer)).await?;
                }
            }
            found = true;
        }
        if found {
            patient(self.queue.wake_workers()).await?;
            self.call_leases_in().await?;
        }
        Ok(())
    }

    /// Valkey's half of an end by hand: the letter of a dead one, the entry, the last event, and a call to
    /// whoever still runs it.
    async fn let_go(&self, ended: &[Ended], end: &HandEnd<'_>) -> Result<(), QueueError> {
        if ended.is_empty() {
            return Ok(());
        }
        let mut left_alone: HashSet<JobId> = HashSet::new();
        for lane in Lane::ALL {
            let of_lane = ended.iter().filter(|one| one.was.lane == lane);
            let entries: Vec<(EntryId, JobId)> = of_lane
                .filter_map(|one| Some((one.was.entry?, one.was.job)))
                .collect();
            let withdrawn = match patient(self.queue.withdraw(lane, &entries)).await {
                // Its reply may be all that was lost. Those that are gone are not withdrawn a second time, and stand
                // for nothing either: their letters are written here.
                Err(error) if error.is_passing() => patient(self.queue.withdraw(lane, &entries)).await?,
                other => other?,
            };
            let stands = patient(self.queue.stands(lane, &entries))
                .await
                .unwrap_or_default();
            // Whoever is delivered an entry of a dead job that was left alone writes its letter.
            let left = withdrawn.iter().zip(stands).zip(&entries);
            left_alone.extend(
                left.filter(|((withdrawn, stands), _)| !**withdrawn && *stands)
                    .map(|(_, (_, job))| *job),
            );
        }
        if end.state == JobState::Dead {
            let without = ended.iter().filter(|one| !left_alone.contains(&one.was.job));
            let letters: Vec<_> = without.map(|one| self.letter(&one.was, end)).collect();
            patient(self.queue.add_letters(&letters)).await?;
        }
        let told: Vec<(JobId, String)> = ended
            .iter()
            .filter_map(|one| Some((one.was.job, one.event.as_ref()?.to_string())))
            .collect();
        patient(self.queue.publish(&told)).await?;
        self.call_leases_in().await
    }

    /// The dead letter, as a worker writes it.
    fn letter(&self, was: &Standing, end: &HandEnd<'_>) -> NewLetter {
        let wire = self.queue.wire();
        let raw = |field: &str, value: String| (field.as_bytes().to_vec(), value.into_bytes());
        NewLetter {
            entry: was.entry,
            lane: was.lane,
            worker: was.worker.clone().unwrap_or_default(),
            died_at: crate::clock::now(),
            job: Some(was.job),
            attempt: Some(was.attempt),
            class: end.class.map(|class| class.word().to_owned()),
            error: Some(end.reason.to_owned()),
            raw: vec![
                raw(wire.id, was.job.to_string()),
                raw(wire.payload, was.payload.clone()),
            ],
        }
    }
}

impl Operator {
    /// Takes entries from the consumers that hold them now, ours or foreign; they are due at once.
    ///
    /// # Errors
    /// When a server is away.
    pub async fn claim(&self, names: &[JobRef], mode: Mode) -> Result<Outcome, OpsError> {
        let mut outcome = Outcome::default();
        let mut seen = HashSet::new();
        let names: Vec<&JobRef> = names.iter().filter(|name| seen.insert(*name)).collect();
        let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        let of_names = names.clone();
        let effect = async || {
            let mut taken = HashSet::new();
            for name in names {
                let held = match self.held(name).await? {
                    Ok(held) => held,
                    Err(why) => {
                        outcome.refuse(name, why);
                        continue;
                    }
                };
                // The same entry under a second name.
                if !taken.insert((held.lane, held.entry)) {
                    continue;
                }
                if mode == Mode::DryRun {
                    outcome.done.push(held.shown);
                } else {
                    self.take(held, &mut outcome).await?;
                }
            }
            if mode == Mode::Real && !outcome.done.is_empty() {
                let called = async {
                    patient(self.queue.wake_workers()).await?;
                    self.call_leases_in().await
                };
                if let Err(error) = called.await {
                    tracing::debug!("failed to {error}; the workers look for themselves within seconds");
                }
            }
            Ok(outcome)
        };
        if mode == Mode::DryRun {
            return effect().await;
        }
        self.may_move(texts.len())?;
        let intent = self.intent("claim", texts, Value::default());
        self.recorded_or_noted(intent, effect, || self.claim_by_valkey(&of_names))
            .await
    }

    /// The half of a claim that Valkey can do: entries by their own ids. Whoever ran one finds its fence closed once
    /// another worker has started it.
    async fn claim_by_valkey(&self, names: &[&JobRef]) -> Result<Outcome, OpsError> {
        let mut outcome = Outcome::default();
        for name in names {
            if !matches!(name, JobRef::Entry(_)) {
                outcome.refuse(name, Why::NeedsPostgres);
                continue;
            }
            match self.held(name).await? {
                Ok(held) => match patient(self.queue.claim(held.lane, held.entry, &held.consumer)).await? {
                    Claimed::Taken | Claimed::Gone => outcome.done.push(held.shown),
                    Claimed::Moved => outcome.refuse(&held.shown, Why::Moved),
                },
                Err(why) => outcome.refuse(name, why),
            }
        }
        patient(self.queue.wake_workers()).await?;
        Ok(outcome)
    }

    /// The entry that is meant, and who holds it.
    async fn held(&self, name: &JobRef) -> Result<Result<Held, Why>, OpsError> {
        let (shown, at) = match name {
            JobRef::Entry(entry) => {
                let lanes = Lane::ALL.into_iter().map(|lane| (lane, *entry));
                (entry.to_string(), lanes.collect())
            }
            name => match self.entry_of(name).await? {
                Ok((job, lane, entry)) => (job.to_string(), vec![(lane, entry)]),
                Err(why) => return Ok(Err(why)),
            },
        };
        let mut found: Vec<(Lane, EntryId, Holder)> = Vec::new();
        for (lane, entry) in at {
            match patient(self.queue.holder(lane, entry)).await? {
                Holder::Nobody => {}
                holder => found.push((lane, entry, holder)),
            }
        }
        Ok(match (found.pop(), found.is_empty()) {
            (None, _) => Err(Why::NotPending),
            (Some(_), false) => Err(Why::TwoEntries),
            (Some((lane, entry, Holder::Consumer(consumer))), true) => Ok(Held {
                shown,
                lane,
                entry,
                consumer,
            }),
            (Some(_), true) => Err(Why::Parked),
        })
    }

    /// The entry that stands for a job.
    async fn entry_of(&self, name: &JobRef) -> Result<Result<(JobId, Lane, EntryId), Why>, OpsError> {
        let (jobs, mut refused) = self.resolve(std::slice::from_ref(name)).await?;
        let standing = self
            .store
            .bounded(self.store.standing(self.name(), &jobs))
            .await?;
        Ok(match (standing.into_iter().next(), refused.pop()) {
            (_, Some(refusal)) => Err(refusal.why),
            (None, None) => Err(Why::Unknown),
            (Some(one), None) => match (one.state, one.entry) {
                (JobState::Dead, _) => Err(Why::Dead),
                (state, _) if state.is_final() || state == JobState::Scheduled => Err(Why::State(state)),
                (_, None) => Err(Why::NotPending),
                (_, Some(entry)) => Ok((one.job, one.lane, entry)),
            },
        })
    }

    async fn take(&self, held: Held, outcome: &mut Outcome) -> Result<(), OpsError> {
        let Held {
            shown,
            lane,
            entry,
            consumer,
        } = held;
        // The fence closes first: whoever runs it can write nothing from here on, whatever becomes of the entry.
        let reason = format!("claimed by {}", self.who.actor);
        let at = (self.name(), lane, entry);
        let job = self
            .store
            .bounded(self.store.take_from(at, &consumer, &reason))
            .await?;
        match patient(self.queue.claim(lane, entry, &consumer)).await {
            Ok(Claimed::Taken) => outcome.done.push(shown),
            Ok(Claimed::Gone) => {
                self.store
                    .bounded(self.store.reset_entry(self.name(), lane, entry))
                    .await?;
                outcome.notes.push(format!(
                    "the payload of {shown} was gone; its job is enqueued again"
                ));
                outcome.done.push(shown);
            }
            Ok(Claimed::Moved) => outcome.refuse(&shown, Why::Moved),
            Err(error) if job.is_some() => {
                outcome.notes.push(format!(
                    "failed to {error}; {shown} was taken from its worker, which lets its entry go by itself"
                ));
                outcome.done.push(shown);
            }
            Err(error) => outcome.refuse(&shown, Why::ValkeyAway(error.to_string())),
        }
        Ok(())
    }
}

/// An entry that a consumer holds.
struct Held {
    /// As it is reported.
    shown: String,
    lane: Lane,
    entry: EntryId,
    consumer: String,
}

/// Sorts out a chunk of retries: a job whose row was changed and whose entry was not parked is refused for that,
/// unless it was refused for more already.
fn sort_out_but(
    chunk: &[JobId],
    arranged: &HashSet<JobId>,
    moved: &[Standing],
    left: &[Standing],
    outcome: &mut Outcome,
) {
    let refused: HashSet<String> = outcome.refused.iter().map(|one| one.id.clone()).collect();
    let moved: HashSet<JobId> = moved.iter().map(|one| one.job).collect();
    let mut rest = Vec::new();
    for job in chunk {
        if moved.contains(job) && !arranged.contains(job) {
            if !refused.contains(&job.to_string()) {
                outcome.refuse(job, Why::NotParked);
            }
        } else {
            rest.push(*job);
        }
    }
    sort_out(&rest, arranged, left, outcome);
}

/// Postgres went away between two chunks: what was done is told, and the rest is refused.
pub(super) fn give_up(error: StoreError, rest: &[JobId], mut outcome: Outcome) -> Result<Outcome, OpsError> {
    if outcome.done.is_empty() {
        return Err(error.into());
    }
    for job in rest {
        outcome.refuse(job, Why::PostgresAway(error.to_string()));
    }
    Ok(outcome)
}

/// What is said when entries are owed.
pub(super) fn owed_note(error: &QueueError, count: usize) -> String {
    format!("failed to {error}; owed until Valkey is back, when a worker adds them: {count} entries")
}
