//! What needs a person, found anew with every answer: the gravest first.

use millstream::untrusted::Untrusted;

use crate::command::CommandId;
use crate::model::Model;
use crate::model::figures::Drain;
use crate::model::happening::HappeningKind;
use crate::model::jobs::short_input;
use crate::model::need::{Harm, Need, Target};
use crate::model::time::since;
use crate::model::trouble::{self, Trouble};
use crate::model::workers::{WorkerLine, WorkerState};

/// A run must be so many times longer than 95 of 100 before it is called slow.
const SLOW: u32 = 2;
/// A queue under this length that grows is no news.
const GROWING: u64 = 20;

/// Finds them.
pub fn find(model: &mut Model) {
    let mut needs = Vec::new();
    if let Some(page) = model.workers.page.value() {
        needs.extend(page.rows.iter().filter_map(|worker| lost(model, worker)));
        needs.extend(page.live().filter_map(|worker| slow(model, worker)));
        let usual = trouble::usual_cost(&page.rows);
        needs.extend(page.live().filter_map(|worker| costly(model, worker, usual)));
    }
    needs.extend(dead(model));
    needs.extend(growing(model));
    needs.sort_by_key(|need| need.harm);
    model.overview.needs = needs;
}

fn lost(model: &Model, worker: &WorkerLine) -> Option<Need> {
    if worker.state != WorkerState::Lost || worker.busy == 0 {
        return None;
    }
    let now = model.server_now();
    let how = worker
        .ended
        .as_ref()
        .map_or_else(String::new, |how| format!(", {how}"));
    let silent = since(worker.beat_at, now).as_secs();
    let detail = match worker.moves_in(now) {
        Some(left) => format!("its {} jobs move in ~{} s", worker.busy, left.as_secs().max(1)),
        None => format!("its {} jobs are being moved", worker.busy),
    };
    Some(Need {
        harm: Harm::Lost,
        what: Untrusted::new(format!("{} lost {silent} s{how}", worker.name.short())),
        detail: Untrusted::new(detail),
        command: CommandId::Enter,
        target: Target::Worker(worker.name.clone()),
    })
}

fn slow(model: &Model, worker: &WorkerLine) -> Option<Need> {
    let (job, p95) = (worker.longest()?, worker.p95?);
    let ran = since(job.started_at, model.server_now());
    if ran < p95 * SLOW {
        return None;
    }
    let phase = job
        .phase
        .as_ref()
        .map_or_else(String::new, |phase| format!(" {phase}"));
    Some(Need {
        harm: Harm::Slow,
        what: Untrusted::new(format!("{}{phase} is slow", short_input(&job.input).raw())),
        detail: Untrusted::new(format!(
            "{:.1} s, p95 of {} is {:.1} s",
            ran.as_secs_f64(),
            worker.name.short(),
            p95.as_secs_f64()
        )),
        command: CommandId::ShowTrace,
        target: Target::Job(job.id),
    })
}

/// A run whose cost runs away: it goes on paying until somebody looks.
fn costly(model: &Model, worker: &WorkerLine, usual: Option<f64>) -> Option<Need> {
    let Some(Trouble::Costly { usd, usual }) = worker.trouble(model.server_now(), usual) else {
        return None;
    };
    let job = worker.dearest()?;
    Some(Need {
        harm: Harm::Slow,
        what: Untrusted::new(format!("{} is costly", short_input(&job.input).raw())),
        detail: Untrusted::new(format!("${usd:.3} so far, usual is ${usual:.3}")),
        command: CommandId::ShowTrace,
        target: Target::Job(job.id),
    })
}

fn dead(model: &Model) -> Option<Need> {
    let ledger = model.overview.ledger.value()?;
    let dead = ledger.counts.dead;
    if dead == 0 {
        return None;
    }
    let last = model
        .happenings
        .iter()
        .find(|happening| happening.kind == HappeningKind::Dead);
    let detail = match last {
        Some(last) => {
            let note = last.note.as_ref().map_or("", Untrusted::raw);
            format!("last: {} {note}", last.subject.raw())
        }
        None => "none of them lately".to_owned(),
    };
    Some(Need {
        harm: Harm::Dead,
        what: Untrusted::new(match ledger.died_last_minute {
            0 => format!("{dead} dead"),
            fresh => format!("{dead} dead, {fresh} in the last minute"),
        }),
        detail: Untrusted::new(detail),
        command: CommandId::Dead,
        target: Target::Jobs("status:dead".to_owned()),
    })
}

fn growing(model: &Model) -> Option<Need> {
    let ledger = model.overview.ledger.fresh()?;
    if ledger.drains() != Drain::Never || ledger.counts.waiting < GROWING {
        return None;
    }
    Some(Need {
        harm: Harm::Growing,
        what: Untrusted::new(format!("{} wait and more come than go", ledger.counts.waiting)),
        detail: Untrusted::new(format!(
            "in {:.1}, out {:.1} a second",
            ledger.in_lately_per_s, ledger.out_per_s
        )),
        command: CommandId::AddWorker,
        target: Target::Jobs("status:waiting".to_owned()),
    })
}
