//! Carries out what an operator orders, one order after the other, and tells what came of each.
//!
//! The ids come with the order; nothing here knows of rows or cursors. A console that may only look has no operator
//! here at all, so that nothing can be written by a mistake of a key handler.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use millstream::clock;
use millstream::domain::{DeadFilter, JobRef, RunId};

use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Consent, Count, MOST_IDS, Mode, Operator, Outcome, Plan, Selection, Submitter};
use millstream::queue::Queue;
use millstream::store::Store;
use millstream::store::actions::ActionId;
use millstream::store::dead::Exported;
use millstream::untrusted::{Untrusted, visible};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use super::drive;
use super::export::export;
use super::plan::{planned, terms};
use crate::failure::Failure;
use crate::model::connection::{Sent, Server};
use crate::model::order::{Came, Order, Subject, Typed, Verb};
use crate::msg::Msg;
use crate::verbs::submit::source_of;

/// Plans that are kept: one question is open at a time.
const PLANS: usize = 4;
/// How long a patch may take to be read from a disk.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Runs that are driven from here at a time.
const DRIVES: usize = 4;

/// Who may write, and by what.
#[derive(Debug)]
pub struct Pen {
    /// Whoever sits at the console.
    pub operator: Operator,
    /// By which reviews are accepted.
    pub submitter: Submitter,
    /// The largest diff that is taken.
    pub max_patch: usize,
}

/// What is asked of the office.
#[derive(Debug)]
pub enum Ask {
    /// What would come of it?
    Foresee(Order),
    /// Let it come.
    Carry(Order),
}

/// Where orders are carried out.
pub struct Office {
    /// Nothing, where the console only looks.
    pub pen: Option<Pen>,
    /// The queue.
    pub queue: Queue,
    /// The store.
    pub store: Store,
    /// Where exports are written.
    pub folder: PathBuf,
    /// The orders.
    pub asks: mpsc::Receiver<Ask>,
    /// Who is told.
    pub sender: mpsc::Sender<Msg>,
    /// Frozen lists, by the order that froze them.
    pub plans: BTreeMap<u64, Plan>,
    /// Runs that are driven here. They go on for as long as the console does, and can be resumed after.
    pub drives: JoinSet<Vec<Msg>>,
}

impl Office {
    /// Works until the console lets go.
    pub async fn run(mut self) {
        loop {
            let told = tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.answer(ask).await,
                    None => return,
                },
                Some(ended) = self.drives.join_next() => match ended {
                    Ok(told) => told,
                    Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
                    Err(_) => Vec::new(),
                },
            };
            for msg in told {
                if self.sender.send(msg).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn answer(&mut self, ask: Ask) -> Vec<Msg> {
        let begun = Instant::now();
        let (order, mode) = match ask {
            Ask::Foresee(order) => (order, Mode::DryRun),
            Ask::Carry(order) => (order, Mode::Real),
        };
        let came = match mode {
            Mode::DryRun => self.foresee(&order).await.map(Some),
            Mode::Real => self.carry(&order).await,
        };
        info!("order {}: {:?} {mode:?}", order.number, order.verb);
        let sent = Msg::Sent(sent(&order, mode, came.is_ok().then(|| begun.elapsed())));
        let told = match (came, mode) {
            (Ok(Some(came)), Mode::DryRun) => Msg::Foreseen {
                order,
                came: Ok(came),
            },
            (Ok(Some(came)), Mode::Real) => Msg::Carried {
                order,
                came: Ok(came),
            },
            // A run that has begun tells of itself.
            (Ok(None), _) => return vec![sent],
            (Err(failure), mode) => {
                let came = Err(Untrusted::new(failure.to_string()));
                match mode {
                    Mode::DryRun => Msg::Foreseen { order, came },
                    Mode::Real => Msg::Carried { order, came },
                }
            }
        };
        vec![sent, told]
    }

    fn pen(&self) -> Result<&Pen, Failure> {
        let refused = || Failure::Refused("read-only: start with --write".to_owned());
        self.pen.as_ref().ok_or_else(refused)
    }

    async fn foresee(&mut self, order: &Order) -> Result<Came, Failure> {
        let operator = self.pen()?.operator.clone();
        match (&order.subject, order.verb) {
            (Subject::These { ids, matching }, Verb::Requeue) => {
                self.plan(&operator, order, (ids, matching)).await
            }
            (Subject::Action(action), _) => {
                let undoing = operator.undoing(action.map(ActionId)).await?;
                let text = format!(
                    "{} (action {}): {}",
                    undoing.verb,
                    undoing.action,
                    undoing.in_words()
                );
                Ok(Came {
                    notes: vec![text.into()],
                    action: Some(undoing.action),
                    ..Came::default()
                })
            }
            (Subject::Workers(count), _) => {
                let scaled = operator.scale(*count, Mode::DryRun).await?;
                let what = match scaled.from.cmp(&scaled.to) {
                    std::cmp::Ordering::Less => "more start.",
                    std::cmp::Ordering::Equal => "nothing changes.",
                    std::cmp::Ordering::Greater => "some finish what they have, and leave.",
                };
                let text = format!("{} > {} workers: {what}", scaled.from, scaled.to);
                Ok(Came {
                    notes: vec![text.into()],
                    ..Came::default()
                })
            }
            (Subject::Run(run), _) => {
                let row = operator.run_row(run_id(run)?).await?;
                Ok(Came {
                    notes: drive::in_words(&row),
                    ..Came::default()
                })
            }
            (Subject::These { ids, matching }, _) => {
                these(&operator, order, (ids, matching), Mode::DryRun).await
            }
            (Subject::Queue | Subject::Input(_), _) => Ok(Came::default()),
        }
    }

    /// Freezes a list and judges it, or judges the frozen one once more.
    async fn plan(
        &mut self,
        operator: &Operator,
        order: &Order,
        which: (&[String], &[String]),
    ) -> Result<Came, Failure> {
        let number = order.frozen.unwrap_or(order.number);
        let plan = match self.plans.remove(&number) {
            Some(mut plan) => {
                operator.judge_again(&mut plan).await?;
                plan
            }
            None => {
                let (selection, filter) = selection(operator, which).await?;
                operator.plan_requeue(&selection, filter).await?
            }
        };
        let came = planned(&plan);
        self.plans.insert(number, plan);
        while self.plans.len() > PLANS {
            self.plans.pop_first();
        }
        Ok(came)
    }

    /// Carries an order out; nothing when it is a run, which tells of itself.
    async fn carry(&mut self, order: &Order) -> Result<Option<Came>, Failure> {
        if order.verb == Verb::Export {
            return export(self, &order.subject).await.map(Some);
        }
        let pen = self.pen()?;
        let operator = pen.operator.with(consent(&order.typed));
        let came = match (&order.subject, order.verb) {
            (Subject::Queue, Verb::Pause) => {
                let reason = order.typed.reason.as_deref();
                came(operator.pause(reason, Mode::Real).await?)
            }
            (Subject::Queue, _) => came(operator.resume(Mode::Real).await?),
            (Subject::Input(input), _) => submit(pen, input).await?,
            (Subject::These { ids, .. }, Verb::Edit) => edit(pen, order, ids).await?,
            (Subject::Action(action), _) => {
                let Some(action) = *action else {
                    return Err(Failure::Refused("no action is named".to_owned()));
                };
                came(operator.undo(ActionId(action)).await?)
            }
            (Subject::Workers(count), _) => {
                let scaled = operator.scale(*count, Mode::Real).await?;
                Came {
                    done: vec![format!("{} > {} workers", scaled.from, scaled.to)],
                    ..Came::default()
                }
            }
            (Subject::Run(run), verb) => {
                let run = run_id(run)?;
                match verb {
                    Verb::PauseRun => drop(operator.pause_run(run).await?),
                    Verb::AbortRun => drop(operator.abort_run(run).await?),
                    _ => {
                        operator.resume_run(run).await?;
                        return self.drive(operator, run, order);
                    }
                }
                Came {
                    done: vec![run.to_string()],
                    ..Came::default()
                }
            }
            (Subject::These { .. }, Verb::Requeue) if order.frozen.is_some() => {
                let plan = order.frozen.and_then(|number| self.plans.remove(&number));
                let gone = || Failure::Refused("the plan is gone: look again".to_owned());
                let run = operator
                    .begin_run(&plan.ok_or_else(gone)?, terms(&order.typed)?)
                    .await?;
                return self.drive(operator, run, order);
            }
            (Subject::These { ids, matching }, _) => {
                these(&operator, order, (ids, matching), Mode::Real).await?
            }
        };
        Ok(Some(came))
    }

    /// Drives a run beside everything else.
    fn drive(&mut self, operator: Operator, run: RunId, order: &Order) -> Result<Option<Came>, Failure> {
        if self.drives.len() >= DRIVES {
            let text =
                format!("{run} waits: {DRIVES} runs are driven from here; :resume {run} when one is over");
            return Err(Failure::Refused(text));
        }
        let (sender, order) = (self.sender.clone(), order.clone());
        self.drives.spawn(drive::to_the_end(operator, run, order, sender));
        Ok(None)
    }
}

/// The order as the list of what was sent has it.
fn sent(order: &Order, mode: Mode, took: Option<Duration>) -> Sent {
    let what = match &order.subject {
        Subject::Queue => "the queue".to_owned(),
        Subject::Input(_) => "a review".to_owned(),
        Subject::Action(action) => {
            action.map_or_else(|| "the last action".to_owned(), |id| format!("action {id}"))
        }
        Subject::Run(run) => run.clone(),
        Subject::Workers(count) => format!("{count} workers"),
        Subject::These { ids, matching } => {
            let named = (!ids.is_empty()).then(|| format!("{} ids", ids.len()));
            let found = matching.iter().map(|filter| format!("all of {filter}"));
            named.into_iter().chain(found).collect::<Vec<_>>().join(", ")
        }
    };
    let dry = if mode == Mode::DryRun { ", dry run" } else { "" };
    Sent {
        at: clock::now(),
        server: Server::Postgres,
        text: Untrusted::new(format!("order: {:?} {what}{dry}", order.verb).to_lowercase()),
        count: 1,
        took,
    }
}

/// A filter as it was typed.
pub(super) fn filter(text: &str) -> Result<DeadFilter, Failure> {
    DeadFilter::parse(text).map_err(|error| Failure::Refused(error.to_string()))
}

/// What a person typed, as the ladder asks for it.
fn consent(typed: &Typed) -> Consent {
    Consent {
        reason: typed.reason.clone(),
        count: typed.count.map_or(Count::Untold, Count::Typed),
        name: typed.name.clone(),
    }
}

fn run_id(text: &str) -> Result<RunId, Failure> {
    text.parse()
        .map_err(|error| Failure::Refused(format!("{text}: {error}")))
}

/// Which of the dead are meant. What several filters find is named one by one.
async fn selection<'a>(
    operator: &Operator,
    (ids, matching): (&[String], &'a [String]),
) -> Result<(Selection, Option<&'a str>), Failure> {
    if let ([], [only]) = (ids, matching) {
        return Ok((Selection::Matching(filter(only)?), Some(only)));
    }
    let mut names = names(ids)?;
    for text in matching {
        let found = operator
            .plan_requeue(&Selection::Matching(filter(text)?), Some(text))
            .await?;
        names.extend(found.items.iter().map(|one| JobRef::Id(one.death.job)));
    }
    if names.len() > MOST_IDS {
        let text = format!(
            "{} are meant, and one plan takes {MOST_IDS} by their names: take one cause",
            names.len()
        );
        return Err(Failure::Refused(text));
    }
    Ok((Selection::Named(names), None))
}

fn names(ids: &[String]) -> Result<Vec<JobRef>, Failure> {
    let read = |id: &String| {
        let name = JobRef::parse_entry_too(id);
        name.map_err(|error| Failure::Refused(format!("`{id}`: {error}")))
    };
    ids.iter().map(read).collect()
}

/// What an address or a plain file stands for. Neither the terminal itself nor a pipe is read, and a disk that does not
/// answer is not waited for: both would hold up every order behind this one.
async fn source(input: &str, limit: usize) -> Result<Source, Failure> {
    let name = input.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let other = std::fs::metadata(&name).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
        if other {
            return Err(Failure::Refused(format!("{}: no plain file", visible(&name))));
        }
        source_of(&name, limit)
    });
    match tokio::time::timeout(READ_WITHIN, reading).await {
        Ok(Ok(source)) => source,
        Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Err(_elapsed) => Err(Failure::Refused(format!(
            "{}: not read within {} s",
            visible(input),
            READ_WITHIN.as_secs()
        ))),
    }
}

async fn submit(pen: &Pen, input: &str) -> Result<Came, Failure> {
    let submission = Submission::now(source(input, pen.max_patch).await?);
    let submitted = pen.submitter.submit_as(&pen.operator, submission).await?;
    Ok(Came {
        done: vec![submitted.id.to_string()],
        ..Came::default()
    })
}

async fn edit(pen: &Pen, order: &Order, ids: &[String]) -> Result<Came, Failure> {
    let input = order.typed.input.as_deref().unwrap_or_default();
    let submission = Submission::now(source(input, pen.max_patch).await?);
    let names = names(ids)?;
    let [name] = &names[..] else {
        return Err(Failure::Refused("one job at a time is edited".to_owned()));
    };
    let edited = pen
        .operator
        .edit_dead(&pen.submitter, name, submission, Mode::Real)
        .await?;
    let mut came = came(edited.outcome);
    came.notes.extend(
        edited
            .job
            .map(|job| Untrusted::new(format!("it is job {job} now"))),
    );
    Ok(came)
}

/// Moves what was named, as many at a time as one call takes, and then what filters find.
async fn these(
    operator: &Operator,
    order: &Order,
    (ids, matching): (&[String], &[String]),
    mode: Mode,
) -> Result<Came, Failure> {
    let mut all = Outcome::default();
    let names = names(ids)?;
    let told = order.typed.count;
    for (nth, chunk) in names.chunks(MOST_IDS).enumerate() {
        // The number that was typed is that of all chunks together.
        let whole = told == Some(names.len() as u64);
        let count = if whole { Some(chunk.len() as u64) } else { told };
        let operator = operator.with(consent(&Typed {
            count,
            ..order.typed.clone()
        }));
        match named(&operator, order, chunk, mode).await {
            Ok(more) => add(&mut all, more),
            // What went before has happened, and is told with what has not.
            Err(failure) if !all.done.is_empty() => {
                let text = format!("not moved: {failure}");
                all.notes.push(text.clone());
                let left = names.iter().skip(nth * MOST_IDS).map(ToString::to_string);
                let mut came = came(all);
                came.refused
                    .extend(left.map(|id| (id, Untrusted::new(text.clone()))));
                return Ok(came);
            }
            Err(failure) => return Err(failure),
        }
    }
    for text in matching {
        let which = Selection::Matching(filter(text)?);
        let found = match order.verb {
            Verb::Drop => {
                operator
                    .drop_dead(&which, Some(text), Exported::Wanted, mode)
                    .await?
            }
            _ => return Err(Failure::Refused("only the dead are found by a filter".to_owned())),
        };
        add(&mut all, found);
    }
    Ok(came(all))
}

async fn named(operator: &Operator, order: &Order, names: &[JobRef], mode: Mode) -> Result<Outcome, Failure> {
    Ok(match order.verb {
        Verb::Retry => operator.retry(names, mode).await?,
        Verb::Cancel => operator.cancel(names, mode).await?,
        Verb::Bury => {
            let reason = order.typed.reason.as_deref().unwrap_or_default();
            operator.bury(names, reason, mode).await?
        }
        Verb::Claim => operator.claim(names, mode).await?,
        Verb::Requeue => operator.requeue_dead(names, mode).await?,
        Verb::Drop => {
            let which = Selection::Named(names.to_vec());
            operator.drop_dead(&which, None, Exported::Wanted, mode).await?
        }
        _ => return Err(Failure::Refused("this verb takes no ids".to_owned())),
    })
}

fn add(all: &mut Outcome, more: Outcome) {
    all.done.extend(more.done);
    all.refused.extend(more.refused);
    all.notes.extend(more.notes);
}

fn came(outcome: Outcome) -> Came {
    let refused = outcome.refused.into_iter();
    Came {
        done: outcome.done,
        refused: refused
            .map(|refusal| (refusal.id, Untrusted::new(refusal.why.to_string())))
            .collect(),
        notes: outcome.notes.into_iter().map(Untrusted::new).collect(),
        ..Came::default()
    }
}
