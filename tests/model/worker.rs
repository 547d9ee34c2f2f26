//! A worker whose process the test plays: the real dispatcher decides, and what it wants done waits as a duty
//! until a step does it. Between two duties it can be killed, frozen, or robbed.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream::backoff::Backoff;
use millstream::domain::{Failure, FailureClass, JobId, WorkerId};
use millstream::engine::dispatcher::{Action, Answer, Dispatcher, Event, Release, Ticket, Written};
use millstream::engine::outcome::RetryRules;
use millstream::engine::release::{How, Order};
use millstream::queue::entry::Carried;
use millstream::queue::{Entry, NewLetter, Wire};
use millstream::store::telemetry::{EventRow, event_seq};
use millstream::store::{Asked, AtWork, Died, Issued, Lease, Record, Start, StoreError};
use sqlx::PgConnection;

use super::step::End;

/// Jobs at a time.
const SLOTS: usize = 2;
/// Workers that may vanish with a job.
const MAX_CRASHES: u32 = 4;
/// A job with which so many workers vanished runs alone.
const SUSPECT_CRASHES: u32 = 2;
/// When a failure is followed by another attempt. Waits are so long that only a step makes anything due.
pub const RULES: RetryRules = RetryRules {
    max_attempts: 3,
    backoff: Backoff {
        first: Duration::from_secs(200),
        most: Duration::from_secs(200),
    },
};

/// Something that the dispatcher wants done.
#[derive(Debug, Clone)]
pub enum Duty {
    /// Ask for starts; those without a job are answered here.
    Ask(Vec<(Ticket, Option<Asked>)>),
    /// Let the handler end.
    Run(Ticket),
    /// Take down how it ended: many at a time, as long as nobody has said that it is to be looked at alone.
    Record {
        ticket: Ticket,
        lease: Lease,
        failures: u32,
        end: Ended,
        plain: bool,
    },
    HandBack(Ticket, Lease),
    Release(Order, Option<JobId>),
    Leave,
}

/// How a handler has ended.
#[derive(Debug, Clone)]
pub enum Ended {
    Nothing,
    Result,
    Failed(Failure),
}

/// What is known of a ticket.
struct Held {
    entry: Entry,
    carried: Option<Carried>,
    run: Option<(Lease, u32)>,
    end: Option<Ended>,
    delay: Duration,
    died: Option<Died>,
}

/// One worker.
pub struct Worker {
    pub id: WorkerId,
    dispatcher: Dispatcher,
    held: BTreeMap<Ticket, Held>,
    pub duties: Vec<Duty>,
    /// What a renewal was told to ask for, the last time.
    renewals: Vec<Ticket>,
    serial: u64,
    pub frozen: bool,
    /// A read failed: what it was given may never arrive.
    pub may_have_lost: bool,
}

impl Worker {
    pub fn new() -> Self {
        Self {
            id: WorkerId::fresh(),
            dispatcher: Dispatcher::new(SLOTS),
            held: BTreeMap::new(),
            duties: Vec::new(),
            renewals: Vec::new(),
            serial: 0,
            frozen: false,
            may_have_lost: false,
        }
    }

    pub fn free(&self) -> usize {
        self.dispatcher.free()
    }

    /// What it says it holds when it asks for starts.
    pub fn at_work(&self) -> AtWork {
        let carried = self.held.values().filter_map(|held| held.carried.as_ref());
        AtWork {
            serial: i64::try_from(self.serial).unwrap_or(i64::MAX),
            jobs: carried.map(|carried| carried.job).collect(),
        }
    }

    /// Takes entries in; those whose payload is gone are not among them.
    pub fn deliver(&mut self, entries: Vec<Entry>) {
        let mut tickets = Vec::new();
        for entry in entries {
            self.serial += 1;
            let ticket = Ticket {
                serial: self.serial,
                lane: entry.lane,
                entry: entry.id,
            };
            let held = Held {
                carried: entry.carried(Wire::JOB).ok(),
                entry,
                run: None,
                end: None,
                delay: Duration::ZERO,
                died: None,
            };
            self.held.insert(ticket, held);
            tickets.push(ticket);
        }
        self.tell(Event::Delivered(tickets));
    }

    /// Takes in what the ledger says to a start, as the runtime does.
    pub fn answer(&mut self, ticket: Ticket, start: Start) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let answer = match (start, &held.carried) {
            (Start::Begin(issued), Some(carried)) => {
                let lease = Lease {
                    job: carried.job,
                    attempt: issued.attempt,
                    worker: self.id,
                };
                held.run = Some((lease, issued.failures));
                held.end = given_up(&issued);
                if issued.crashes >= SUSPECT_CRASHES && held.end.is_none() {
                    Answer::BeginAlone
                } else {
                    Answer::Begin
                }
            }
            (Start::Dead(died), Some(_)) => {
                held.died = Some(died);
                Answer::Dead
            }
            (Start::Finished | Start::Stale, _) => Answer::NothingToDo,
            (Start::Late, _) => Answer::Late,
            (Start::Unknown, _) | (_, None) => Answer::Unreadable,
        };
        self.tell(Event::Answered(ticket, answer));
    }

    /// The handler has ended.
    pub fn ended(&mut self, ticket: Ticket, end: End) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.end.get_or_insert_with(|| Ended::of(end));
        }
        self.tell(Event::Ended(ticket));
    }

    /// The ledger has taken an end down.
    pub fn written(&mut self, ticket: Ticket, written: Written, delay: Duration, failure: Option<&Failure>) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.delay = delay;
            held.died = failure.zip(held.run).map(|(failure, (lease, _))| Died {
                attempt: lease.attempt,
                class: failure.class.word().to_owned(),
                error: failure.message.clone(),
            });
        }
        self.tell(Event::Written(ticket, written));
    }

    /// What a renewal must ask for now.
    pub fn renewal(&mut self) -> Vec<Ticket> {
        self.tell(Event::RenewDue);
        std::mem::take(&mut self.renewals)
    }

    /// Tells the dispatcher, and keeps what it wants done.
    pub fn tell(&mut self, event: Event) {
        for action in self.dispatcher.on(event) {
            match action {
                Action::Ask(tickets) => {
                    let duty = self.ask(&tickets);
                    self.duties.push(duty);
                }
                Action::Run(ticket) => self.duties.push(Duty::Run(ticket)),
                Action::Record(ticket) => {
                    let duty = self.record(ticket);
                    self.duties.extend(duty);
                }
                Action::HandBack(ticket) => {
                    let run = self.held.get(&ticket).and_then(|held| held.run);
                    self.duties
                        .extend(run.map(|(lease, _)| Duty::HandBack(ticket, lease)));
                }
                Action::Release(ticket, release) => {
                    let duty = self.release(ticket, release);
                    self.duties.extend(duty);
                }
                Action::Renew(tickets) => self.renewals = tickets,
                Action::Abort(ticket) => {
                    self.duties
                        .retain(|duty| !matches!(duty, Duty::Run(run) if *run == ticket));
                }
                Action::Forget(ticket) => drop(self.held.remove(&ticket)),
                Action::Exit => self.duties.push(Duty::Leave),
            }
        }
    }

    fn ask(&self, tickets: &[Ticket]) -> Duty {
        let asked = |ticket: &Ticket| {
            let held = &self.held[ticket];
            let asked = held.carried.as_ref().map(|carried| Asked {
                job: carried.job,
                entry: ticket.entry,
                lane: ticket.lane,
                payload: carried.payload.clone(),
                delivery: held.entry.deliveries,
            });
            (*ticket, asked)
        };
        Duty::Ask(tickets.iter().map(asked).collect())
    }

    fn record(&mut self, ticket: Ticket) -> Option<Duty> {
        let held = self.held.get_mut(&ticket)?;
        let ((lease, failures), end) = (held.run?, held.end.take()?);
        let plain = matches!(end, Ended::Nothing) && lease.attempt == 1;
        Some(Duty::Record {
            ticket,
            lease,
            failures,
            end,
            plain,
        })
    }

    fn release(&self, ticket: Ticket, release: Release) -> Option<Duty> {
        let held = self.held.get(&ticket)?;
        let how = match release {
            Release::Settle => How::Settle,
            Release::HandBack => How::Park(Duration::ZERO),
            Release::Park => How::Park(held.delay),
            Release::Bury => How::Bury(self.letter(held).fields()),
        };
        let job = held.carried.as_ref().map(|carried| carried.job);
        let order = Order {
            ticket,
            delivery: held.entry.deliveries,
            how,
        };
        Some(Duty::Release(order, job))
    }

    fn letter(&self, held: &Held) -> NewLetter {
        let letter = NewLetter::about(&held.entry, self.id.to_string());
        match (&held.carried, &held.died) {
            (Some(carried), Some(died)) => NewLetter {
                job: Some(carried.job),
                attempt: Some(died.attempt),
                class: Some(died.class.clone()),
                error: Some(died.error.clone()),
                ..letter
            },
            (carried, _) => NewLetter {
                job: carried.as_ref().map(|carried| carried.job),
                ..letter.unreadable("it carries no job".to_owned())
            },
        }
    }
}

/// Why an attempt is not run at all: too many workers vanished with its job.
fn given_up(issued: &Issued) -> Option<Ended> {
    let text = || format!("{} workers vanished while they ran this job", issued.crashes);
    (issued.crashes >= MAX_CRASHES).then(|| Ended::Failed(Failure::lasting(FailureClass::Crash, text())))
}

impl Ended {
    fn of(end: End) -> Self {
        let passing = || Failure::passing(FailureClass::Model, "503");
        match end {
            End::Plain => Self::Nothing,
            End::Result => Self::Result,
            End::Passing => Self::Failed(passing()),
            End::Paused => Self::Failed(passing().not_before(Duration::from_secs(3_600))),
            End::Waiting => Self::Failed(Failure::waiting(
                FailureClass::Model,
                "no answer",
                Duration::from_secs(160),
            )),
            End::Lasting => Self::Failed(Failure::lasting(FailureClass::Input, "no such pull request")),
        }
    }
}

/// A result: a row of its own that nothing keeps from being written twice, except the fence.
pub struct Trace;

impl Record for Trace {
    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            sqlx::query("insert into model_results (job, attempt) values ($1, $2)")
                .bind(lease.job.0)
                .bind(lease.attempt)
                .execute(transaction)
                .await?;
            Ok(())
        }
        .boxed()
    }
}

/// The last event of an attempt.
pub fn last_event(lease: Lease) -> EventRow {
    EventRow {
        lease,
        seq: event_seq(lease.attempt, 0),
        at: millstream::clock::now(),
        body: serde_json::json!({ "type": "phase", "phase": "done" }),
    }
}
