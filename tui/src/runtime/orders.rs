//! Carries out what an operator orders, one order after the other, and tells what came of each.
//!
//! The ids come with the order; nothing here knows of rows or cursors. A console that may only look has no operator
//! here at all, so that nothing can be written by a mistake of a key handler.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::clock;
use millstream::domain::{DeadFilter, JobId, JobRef};
use millstream::ops::submit::Submission;
use millstream::ops::{MOST_IDS, Mode, Operator, Outcome, Selection, Submitter};
use millstream::queue::Queue;
use millstream::reports::{self, DeadExport, Inputs};
use millstream::store::Store;
use millstream::untrusted::Untrusted;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;

use crate::failure::Failure;
use crate::model::connection::{Sent, Server};
use crate::model::order::{Came, Order, Subject, Verb};
use crate::msg::Msg;
use crate::verbs::submit::source_of;

/// The most jobs in one export: a file of some ten megabytes.
const MOST_EXPORTED: usize = 10_000;
/// Letters without a job in one export.
const MOST_LETTERS: usize = 10_000;

/// Who may write, and by what.
#[derive(Debug)]
pub struct Pen {
    /// Whoever sits at the console.
    pub operator: Operator,
    /// By which reviews are accepted.
    pub submitter: Submitter,
    /// Who the book says it was.
    pub actor: String,
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
}

impl Office {
    /// Works until the console lets go.
    pub async fn run(mut self) {
        while let Some(ask) = self.asks.recv().await {
            let begun = Instant::now();
            let (order, mode) = match ask {
                Ask::Foresee(order) => (order, Mode::DryRun),
                Ask::Carry(order) => (order, Mode::Real),
            };
            let came = self.carry(&order, mode).await;
            info!("order {}: {:?} {mode:?}", order.number, order.verb);
            let came = came.map_err(|failure| Untrusted::new(failure.to_string()));
            let sent = sent(&order, mode, came.is_ok().then(|| begun.elapsed()));
            let told = match mode {
                Mode::DryRun => Msg::Foreseen { order, came },
                Mode::Real => Msg::Carried { order, came },
            };
            for msg in [Msg::Sent(sent), told] {
                if self.sender.send(msg).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn carry(&self, order: &Order, mode: Mode) -> Result<Came, Failure> {
        if order.verb == Verb::Export {
            return self.export(&order.subject).await;
        }
        let Some(pen) = &self.pen else {
            return Err(Failure::Refused("read-only: start with --write".to_owned()));
        };
        match (&order.subject, order.verb) {
            (Subject::Queue, Verb::Pause) => {
                let reason = order.typed.reason.as_deref();
                Ok(came(pen.operator.pause(reason, mode).await?))
            }
            (Subject::Queue, _) => Ok(came(pen.operator.resume(mode).await?)),
            (Subject::Input(input), _) => submit(pen, input).await,
            (Subject::These { ids, matching }, _) => these(pen, order, (ids, matching), mode).await,
        }
    }

    /// Writes the dead to a file of their own, one JSON object a line.
    async fn export(&self, subject: &Subject) -> Result<Came, Failure> {
        let Subject::These { ids, matching } = subject else {
            return Err(Failure::Refused("nothing is chosen".to_owned()));
        };
        let queue = &self.queue.keys().shared;
        let (mut rows, mut cut) = (Vec::new(), false);
        let jobs: Vec<JobId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        rows.extend(reports::export_of(&self.store, queue, &jobs, Inputs::Left).await?);
        for text in matching {
            let (filter, now, mut after) = (filter(text)?, clock::now(), None);
            while rows.len() < MOST_EXPORTED {
                let page =
                    reports::export_page(&self.store, queue, &filter, now, (after, Inputs::Left)).await?;
                rows.extend(page.rows);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            cut |= after.is_some();
            rows.extend(reports::export_letters(&self.queue, &filter, now, MOST_LETTERS).await?);
        }
        let done = rows
            .iter()
            .filter_map(|row| row.dead.id.clone().or_else(|| row.dead.letter.clone()));
        let done: Vec<String> = done.collect();
        if rows.is_empty() {
            return Err(Failure::Refused("nothing dead was found".to_owned()));
        }
        let path = write_lines(&self.folder, &rows)?;
        let mut notes = vec![Untrusted::new(format!("in {}", path.display()))];
        if cut {
            notes.push(format!("one file takes {MOST_EXPORTED}; there are more").into());
        }
        Ok(Came {
            done,
            refused: Vec::new(),
            notes,
        })
    }
}

/// The order as the list of what was sent has it.
fn sent(order: &Order, mode: Mode, took: Option<Duration>) -> Sent {
    let what = match &order.subject {
        Subject::Queue => "the queue".to_owned(),
        Subject::Input(_) => "a review".to_owned(),
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

fn filter(text: &str) -> Result<DeadFilter, Failure> {
    DeadFilter::parse(text).map_err(|error| Failure::Refused(error.to_string()))
}

async fn submit(pen: &Pen, input: &str) -> Result<Came, Failure> {
    let source = source_of(input, pen.max_patch)?;
    let submitted = pen
        .submitter
        .submit_as(&pen.actor, Submission::now(source))
        .await?;
    Ok(Came {
        done: vec![submitted.id.to_string()],
        ..Came::default()
    })
}

/// Moves what was named, as many at a time as one call takes, and then what filters find.
async fn these(
    pen: &Pen,
    order: &Order,
    (ids, matching): (&[String], &[String]),
    mode: Mode,
) -> Result<Came, Failure> {
    let mut all = Outcome::default();
    let names = ids.iter().map(|id| {
        let name = JobRef::parse_entry_too(id);
        name.map_err(|error| Failure::Refused(format!("`{id}`: {error}")))
    });
    let names: Vec<JobRef> = names.collect::<Result<_, _>>()?;
    for chunk in names.chunks(MOST_IDS) {
        add(&mut all, named(&pen.operator, order, chunk, mode).await?);
    }
    for text in matching {
        let which = Selection::Matching(filter(text)?);
        let found = match order.verb {
            Verb::Requeue => pen.operator.requeue_dead(&which, mode).await?,
            Verb::Drop => pen.operator.drop_dead(&which, mode).await?,
            _ => return Err(Failure::Refused("only the dead are found by a filter".to_owned())),
        };
        add(&mut all, found);
    }
    Ok(came(all))
}

async fn named(operator: &Operator, order: &Order, names: &[JobRef], mode: Mode) -> Result<Outcome, Failure> {
    let selection = || Selection::Named(names.to_vec());
    Ok(match order.verb {
        Verb::Retry => operator.retry(names, mode).await?,
        Verb::Cancel => operator.cancel(names, mode).await?,
        Verb::Bury => {
            let reason = order.typed.reason.as_deref().unwrap_or_default();
            operator.bury(names, reason, mode).await?
        }
        Verb::Claim => operator.claim(names, mode).await?,
        Verb::Requeue => operator.requeue_dead(&selection(), mode).await?,
        Verb::Drop => operator.drop_dead(&selection(), mode).await?,
        Verb::Export | Verb::Pause | Verb::Resume | Verb::Submit => {
            return Err(Failure::Refused("this verb takes no ids".to_owned()));
        }
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
    }
}

/// A file for whoever runs the console alone: payloads are nobody else's.
fn write_lines(folder: &Path, rows: &[DeadExport]) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = format!("dead-{}.jsonl", clock::now().format("%Y%m%dT%H%M%S%.3fZ"));
    let path = folder.join(name);
    let failed = |error: std::io::Error| Failure::Refused(format!("write {}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    let mut file = std::io::BufWriter::new(file.map_err(failed)?);
    for row in rows {
        let line = serde_json::to_string(row).map_err(|error| failed(error.into()))?;
        writeln!(file, "{line}").map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    Ok(path)
}
