//! The promises, asked of both servers after every step without the model's help.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use millstream::domain::{JobId, JobState};
use millstream::queue::keys::PARKED;

use super::case::Case;
use super::ledger::Row;
use super::site::Seen;
use super::step::Step;

/// Holds what was seen against the promises.
pub fn hold(case: &Case, seen: &Seen, before: &BTreeMap<JobId, Row>, step: Step) -> Result<()> {
    let counted =
        seen.rows.len() == case.jobs.len() && case.jobs.iter().all(|job| seen.rows.contains_key(job));
    ensure!(
        counted,
        "{} jobs were accepted, and {} have rows",
        case.jobs.len(),
        seen.rows.len()
    );
    for (id, row) in &seen.rows {
        let name = case.name(*id);
        one_attempt_is_open(&name, row)?;
        one_result_is_recorded(&name, row)?;
        it_can_be_reached(case, seen, *id, row)?;
        let was = before
            .get(id)
            .map(|row| row.state)
            .filter(|state| state.is_final());
        let by_hand = matches!(step, Step::Operate { .. });
        ensure!(
            was.is_none_or(|was| was == row.state || by_hand),
            "job {name} was {was:?} and is {}",
            row.state
        );
    }
    for (lane, stream) in &seen.streams.lanes {
        for (entry, held) in &stream.pending {
            let due = seen.streams.due.contains_key(&(*lane, *entry));
            ensure!(
                held.consumer != PARKED || due || case.dues_lost,
                "{entry} is parked and never due"
            );
        }
    }
    Ok(())
}

/// The engine's own count against the rows.
pub async fn counts_add_up(case: &Case, seen: &Seen) -> Result<()> {
    let counts = case.site.store.counts(&case.site.name).await?;
    ensure!(counts.add_up(), "the counts do not add up: {counts:?}");
    let accepted = i64::try_from(case.jobs.len())?;
    ensure!(
        counts.accepted == accepted,
        "{accepted} jobs were accepted, and {} are counted",
        counts.accepted
    );
    let in_state = |state: JobState| seen.rows.values().filter(|row| row.state == state).count();
    let counted = [
        (JobState::Scheduled, counts.scheduled),
        (JobState::Waiting, counts.waiting),
        (JobState::Running, counts.running),
        (JobState::Retrying, counts.retrying),
        (JobState::Dead, counts.dead),
        (JobState::Dropped, counts.dropped),
        (JobState::Cancelled, counts.cancelled),
        (JobState::Done, counts.done),
    ];
    for (state, count) in counted {
        let are = i64::try_from(in_state(state))?;
        ensure!(count == are, "{are} jobs are {state}, and {count} are counted");
    }
    Ok(())
}

fn one_attempt_is_open(name: &str, row: &Row) -> Result<()> {
    let attempts = i32::try_from(row.attempts.len())?;
    ensure!(
        attempts == row.attempt,
        "job {name} was started {} times and has {attempts} attempts",
        row.attempt
    );
    let (last, earlier) = match row.attempts.split_last() {
        Some((last, earlier)) => (last.1.is_none(), earlier),
        None => (false, &[][..]),
    };
    ensure!(
        earlier.iter().all(|(_, end)| end.is_some()),
        "job {name} has an early attempt open"
    );
    let running = row.state == JobState::Running;
    ensure!(
        last == running,
        "job {name} is {}, and its last attempt is open: {last}",
        row.state
    );
    Ok(())
}

fn one_result_is_recorded(name: &str, row: &Row) -> Result<()> {
    let done = row
        .attempts
        .iter()
        .filter(|(_, end)| end.as_deref() == Some("done"))
        .count();
    let must = usize::from(row.state == JobState::Done);
    ensure!(
        done == must,
        "job {name} is {} and has {done} attempts that are done",
        row.state
    );
    ensure!(
        row.results <= i64::try_from(must)?,
        "job {name} is {} and has {} results",
        row.state,
        row.results
    );
    Ok(())
}

/// A job that has not ended is held in Postgres until its time, owed an entry, or has one that stands for it; else
/// something was lost in Valkey, and a full pass finds it.
fn it_can_be_reached(case: &Case, seen: &Seen, id: JobId, row: &Row) -> Result<()> {
    if row.state.is_final() || case.lossy {
        return Ok(());
    }
    let name = case.name(id);
    let Some(entry) = row.entry else {
        let held = matches!(row.state, JobState::Scheduled | JobState::Waiting);
        ensure!(held, "job {name} is {} without an entry", row.state);
        return Ok(());
    };
    let stands = seen.streams.stands(case.ledger.jobs[&id].lane, entry, id);
    ensure!(
        stands,
        "job {name} is {}, and {entry} does not stand for it",
        row.state
    );
    Ok(())
}
