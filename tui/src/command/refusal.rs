//! Why a command cannot be done now: what the console may do, what the row allows, which server is away.

use millstream::domain::JobState;

use super::{CommandId, Danger, Group};
use crate::model::order::{Chosen, Standing, Verb};
use crate::model::pending::Hold;
use crate::model::view::View;
use crate::model::workers::WorkerState;
use crate::model::{Access, Model};

/// Why a command cannot be done now; nothing when it can.
pub fn of(id: CommandId, model: &Model) -> Option<&'static str> {
    let command = id.command();
    if model.replayed
        && (command.danger > Danger::Look
            || matches!(
                id,
                CommandId::Record | CommandId::Export | CommandId::CopyId | CommandId::CopyJson
            ))
    {
        return Some("this was recorded: nothing can be done about it here");
    }
    if command.danger > Danger::Look
        && let Some(why) = no_order(model)
    {
        return Some(why);
    }
    if command.group == Group::Demo && model.fleet.is_none() {
        return Some("only the demo starts and feeds workers: ./demo");
    }
    if let Some(verb) = verb(id) {
        return no_row(model, verb);
    }
    match id {
        CommandId::KillWorker | CommandId::DrainWorker => no_worker(model),
        CommandId::Pause if model.is_paused() == Some(true) => Some("it is paused already"),
        CommandId::Resume if model.is_paused() == Some(false) => Some("it is not paused"),
        CommandId::Abort => Some("name a run: :abort r-41"),
        CommandId::Undo => no_way_back(model),
        CommandId::ShowTrace | CommandId::ShowJob if model.chosen_job().is_none() => {
            Some("no job is under the cursor")
        }
        CommandId::Mark | CommandId::MarkAll | CommandId::Unmark if !can_mark(model) => {
            Some("rows are marked in 2 Jobs, 3 Pending and 5 Dead")
        }
        CommandId::CopyId | CommandId::CopyJson if model.copied_id().is_none() => {
            Some("nothing is under the cursor")
        }
        CommandId::Trace if model.trace.id.is_none() && model.chosen_job().is_none() => {
            Some("no job is chosen: 2, a row, t")
        }
        _ => None,
    }
}

/// Why nothing at all can be ordered; nothing when something can.
pub fn no_order(model: &Model) -> Option<&'static str> {
    match model.access {
        Access::ReadOnly => Some("read-only: start with --write"),
        Access::OnlyRead => Some("read-only: this profile says write = false"),
        // A move writes its intent into the one and tells the workers by the other.
        Access::ReadWrite if model.connection.valkey.is_lost() => Some("off while Valkey is away"),
        Access::ReadWrite if model.connection.postgres.is_lost() => Some("off while Postgres is away"),
        Access::ReadWrite => None,
    }
}

/// The verb of a command that is about rows.
const fn verb(id: CommandId) -> Option<Verb> {
    match id {
        CommandId::Retry => Some(Verb::Retry),
        CommandId::Requeue => Some(Verb::Requeue),
        CommandId::Cancel => Some(Verb::Cancel),
        CommandId::Bury => Some(Verb::Bury),
        CommandId::Claim => Some(Verb::Claim),
        CommandId::Export => Some(Verb::Export),
        CommandId::Drop => Some(Verb::Drop),
        CommandId::Edit => Some(Verb::Edit),
        _ => None,
    }
}

/// Whether a command would be about more than one thing.
pub fn means_many(id: CommandId, model: &Model) -> bool {
    if verb(id).is_none() {
        return false;
    }
    let chosen = model.chosen();
    let is_many = |one: &Chosen| matches!(one.standing, Standing::Cause(_));
    chosen.len() > 1 || chosen.iter().any(is_many)
}

/// Of several rows one is enough: the dry run tells what becomes of each.
fn no_row(model: &Model, verb: Verb) -> Option<&'static str> {
    let chosen = model.chosen();
    let Some(first) = chosen.first() else {
        return Some(match verb {
            Verb::Requeue | Verb::Drop | Verb::Export | Verb::Edit => "go to 5 Dead",
            Verb::Claim => "go to 3 Pending",
            _ => "no job is under the cursor",
        });
    };
    if verb == Verb::Edit && chosen.len() > 1 {
        return Some("one job at a time: u takes the marks away");
    }
    let fits = |one: &Chosen| why_not(verb, one.standing).is_none();
    if chosen.iter().any(fits) {
        return None;
    }
    why_not(verb, first.standing)
}

/// Why a verb does not fit a row that stands so.
pub const fn why_not(verb: Verb, standing: Standing) -> Option<&'static str> {
    match verb {
        Verb::Retry => no_retry(standing),
        Verb::Cancel => no_end(standing),
        Verb::Bury => match standing {
            Standing::Entry(Hold::Running) => Some("its worker renews it: X calls it off"),
            other => no_end(other),
        },
        Verb::Claim => match standing {
            Standing::Entry(hold) | Standing::Nameless(hold) => match hold {
                Hold::Lost | Hold::Stuck | Hold::Foreign => None,
                Hold::Running => Some("its worker renews the lease"),
                Hold::Due | Hold::Retrying => Some("it is parked, nobody holds it: R runs it now"),
            },
            Standing::Job(JobState::Running) => Some("go to 3 Pending: who holds it stands there"),
            Standing::Job(_) | Standing::Cause(_) | Standing::NoCause | Standing::Letters => {
                Some("nothing is pending here")
            }
        },
        Verb::Requeue | Verb::Drop | Verb::Export => match standing {
            Standing::Job(JobState::Dead) | Standing::Cause(_) => None,
            Standing::NoCause => Some("its cause is not known yet: a worker sorts it soon"),
            Standing::Letters => Some(NO_ROW),
            Standing::Job(_) | Standing::Entry(_) | Standing::Nameless(_) => Some("it is not dead"),
        },
        Verb::Edit => match standing {
            Standing::Job(JobState::Dead) => None,
            Standing::Cause(_) | Standing::NoCause => Some("one job at a time: Enter unfolds the cause"),
            Standing::Letters => Some(NO_ROW),
            Standing::Job(_) | Standing::Entry(_) | Standing::Nameless(_) => Some("it is not dead"),
        },
        Verb::Pause
        | Verb::Resume
        | Verb::Submit
        | Verb::Scale
        | Verb::Undo
        | Verb::ResumeRun
        | Verb::PauseRun
        | Verb::AbortRun => None,
    }
}

/// Why nothing is done about a letter that stands alone: what could not be read cannot be run.
const NO_ROW: &str = "no row knows it: `millstream dead` exports it or throws it away";

const fn no_retry(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Job(JobState::Retrying | JobState::Scheduled) | Standing::Entry(Hold::Retrying) => None,
        Standing::Job(JobState::Waiting) | Standing::Entry(Hold::Due) => {
            Some("it waits for a worker already")
        }
        Standing::Job(JobState::Running) | Standing::Entry(Hold::Running | Hold::Foreign) => {
            Some("a worker runs it now")
        }
        Standing::Job(JobState::Done) => Some("it is done"),
        Standing::Job(JobState::Cancelled) => Some("it is cancelled"),
        Standing::Job(JobState::Dropped) => Some("it is dropped"),
        Standing::Job(JobState::Dead) | Standing::Cause(_) | Standing::NoCause => {
            Some("it is dead: it is re-queued")
        }
        Standing::Letters => Some(NO_ROW),
        Standing::Entry(Hold::Lost | Hold::Stuck) => Some("a worker holds it: C takes it away"),
        Standing::Nameless(_) => Some("no job can be read from this entry"),
    }
}

const fn no_end(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Job(JobState::Waiting | JobState::Scheduled | JobState::Running | JobState::Retrying)
        | Standing::Entry(_) => None,
        Standing::Job(JobState::Done) => Some("it is done"),
        Standing::Job(JobState::Cancelled) => Some("it is cancelled"),
        Standing::Job(JobState::Dropped) => Some("it is dropped"),
        Standing::Job(JobState::Dead) | Standing::Cause(_) | Standing::NoCause | Standing::Letters => {
            Some("it is buried already")
        }
        Standing::Nameless(_) => Some("no job can be read from this entry"),
    }
}

/// In the book the action under the cursor is meant, elsewhere one's own last one.
fn no_way_back(model: &Model) -> Option<&'static str> {
    if model.view() != View::Activity {
        return None;
    }
    match model.activity.selected() {
        None => Some("no action is under the cursor"),
        Some(action) if !action.has_way_back() => Some("nothing of this action can come back"),
        Some(_) => None,
    }
}

fn can_mark(model: &Model) -> bool {
    matches!(model.view(), View::Jobs | View::Pending | View::Dead)
}

fn no_worker(model: &Model) -> Option<&'static str> {
    if !matches!(model.view(), View::Overview | View::Workers) {
        return Some("go to 1 Overview or 4 Workers");
    }
    match model.workers.selected() {
        None => Some("no worker is under the cursor"),
        Some(worker) if worker.state == WorkerState::Lost => Some("that worker is gone already"),
        Some(worker) if !worker.is_ours => Some("that worker is no process of this demo"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_job_is_offered_until_it_has_ended() {
        for state in JobState::ALL {
            let cancel = why_not(Verb::Cancel, Standing::Job(state));
            let bury = why_not(Verb::Bury, Standing::Job(state));
            assert_eq!(cancel.is_none(), !state.is_final(), "{state}");
            assert_eq!(bury.is_none(), !state.is_final(), "{state}");
            let retry = why_not(Verb::Retry, Standing::Job(state));
            let held_back = matches!(state, JobState::Retrying | JobState::Scheduled);
            assert_eq!(retry.is_none(), held_back, "{state}");
            let requeue = why_not(Verb::Requeue, Standing::Job(state));
            assert_eq!(requeue.is_none(), state == JobState::Dead, "{state}");
        }
    }

    #[test]
    fn a_claim_wants_a_lease_that_nobody_renews() {
        for hold in Hold::ALL {
            let claim = why_not(Verb::Claim, Standing::Entry(hold));
            let is_left = matches!(hold, Hold::Lost | Hold::Stuck | Hold::Foreign);
            assert_eq!(claim.is_none(), is_left, "{hold:?}");
        }
    }

    #[test]
    fn a_console_that_may_not_write_says_what_lifts_it() {
        let mut model = crate::sample::dead();
        assert_eq!(CommandId::Requeue.refusal(&model), None);
        model.access = Access::ReadOnly;
        let why = Some("read-only: start with --write");
        assert_eq!(CommandId::Requeue.refusal(&model), why);
        assert_eq!(
            CommandId::Export.refusal(&model),
            None,
            "an export changes nothing"
        );
        model.access = Access::OnlyRead;
        assert!(
            CommandId::Pause
                .refusal(&model)
                .is_some_and(|why| why.contains("write = false"))
        );
        let lost = Model {
            access: Access::ReadWrite,
            ..crate::sample::valkey_lost()
        };
        assert_eq!(CommandId::Burst.refusal(&lost), Some("off while Valkey is away"));
    }
}
