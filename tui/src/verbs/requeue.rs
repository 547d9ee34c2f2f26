//! `millstream dead requeue`: dead jobs are put back, by name at once, or by a plan at a pace.

use std::io::{IsTerminal, Write};

use clap::Args;
use millstream::domain::{RunId, RunState, Terms};
use millstream::exit::Exit;
use millstream::ops::plan::Plan;
use millstream::ops::{Consent, Count, DriveEnd, Mode, Operator, Outcome, Refusal, Selection, Tally};
use millstream::store::assess::{Estimate, Verdict};
use millstream::store::runs::RunRow;
use millstream::untrusted::visible;
use serde::Serialize;

use super::dead::Which;
use super::moved::{self, Words};
use super::names::{May, operator};
use super::operate::reason;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// What the lines of this verb say.
const WORDS: Words = Words {
    verb: "dead requeue",
    done: "requeued",
    nothing: "nothing dead was found",
};

/// What is put back, and how.
#[derive(Debug, Args)]
pub struct RequeueArgs {
    #[command(flatten)]
    which: Which,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "matching"])]
    all: bool,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    terms: TermsArgs,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// What has to be said before many jobs move.
#[derive(Debug, Args)]
pub struct ConsentArgs {
    /// Why; wanted with --match and --all
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// How many will move, as --dry-run says; another number moves nothing
    #[arg(long, value_name = "N", conflicts_with = "yes")]
    count: Option<u64>,
    /// Any number is meant
    #[arg(long)]
    yes: bool,
}

impl ConsentArgs {
    /// What was said; somebody at a terminal is asked for the number.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub fn consent(&self, moves: usize) -> Result<Consent, Failure> {
        let count = match (self.count, self.yes) {
            (Some(count), _) => Count::Typed(count),
            (None, true) => Count::Any,
            (None, false) if moves > 0 && self.reason.is_some() => ask(moves)?,
            (None, false) => Count::Untold,
        };
        Ok(Consent {
            reason: self.reason.clone(),
            count,
            name: None,
        })
    }
}

/// Asks a person for the number; a script is asked nothing.
fn ask(moves: usize) -> Result<Count, Failure> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(Count::Untold);
    }
    eprint!("millstream: {moves} will move; type {moves} to confirm: ");
    let mut line = String::new();
    let unreadable = |error: std::io::Error| Failure::Refused(format!("standard input: {error}"));
    // What is not seen is not answered.
    std::io::stderr().flush().map_err(unreadable)?;
    std::io::stdin().read_line(&mut line).map_err(unreadable)?;
    Ok(line.trim().parse().map_or(Count::Untold, Count::Typed))
}

/// How a run goes about its list.
#[derive(Debug, Args)]
struct TermsArgs {
    /// So many go first, alone; the rest only when all of them are done
    #[arg(long, value_name = "K")]
    canary: Option<u32>,
    /// At most so many a second
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// At most so many on their way at a time
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// Stop when more than this share of them fails
    #[arg(long, value_name = "PERCENT")]
    stop_over: Option<f64>,
}

impl TermsArgs {
    fn terms(&self) -> Terms {
        Terms {
            canary: self.canary.unwrap_or(0),
            rate: self.rate,
            in_flight: self.in_flight,
            stop_over: self.stop_over.map(|percent| percent / 100.0),
        }
    }
}

/// What a dry run of a plan says, and a run at its end.
#[derive(Serialize)]
struct Planned<'a> {
    verb: &'a str,
    dry_run: bool,
    done: &'a [String],
    refused: &'a [Refused],
    run: Option<RunId>,
    plan: Summary<'a>,
}

/// A plan in figures.
#[derive(Serialize)]
struct Summary<'a> {
    filter: Option<&'a str>,
    hash: String,
    counts: Tally,
    estimate: Option<Estimate>,
    more: bool,
}

/// A job that is not put back.
#[derive(Serialize)]
struct Refused {
    id: String,
    why: String,
    reason: &'static str,
}

/// Puts dead jobs back.
///
/// # Errors
/// When a name is none, when the ladder refuses it, or when Postgres is away.
pub async fn run(args: &RequeueArgs) -> Result<u8, Failure> {
    let terms = args.terms.terms();
    let (which, filter) = args.which.selection(args.all, WORDS.verb, May::BeJob)?;
    let reach = Reach::find(Needs::Postgres).await?;
    let operator = operator(&reach);
    let plain = args.terms.canary.is_none() && terms == Terms::AT_ONCE;
    if let (Selection::Named(names), true) = (&which, plain) {
        let consent = args.consent.consent(0)?;
        let mode = moved::mode(args.dry_run);
        let outcome = operator.with(consent).requeue_dead(names, mode).await?;
        return moved::print(args.json, mode, WORDS, &outcome);
    }
    let plan = operator.plan_requeue(&which, filter.as_deref()).await?;
    if args.dry_run {
        return dry_run(args.json, &plan);
    }
    if plan.items.is_empty() && plan.unresolved.is_empty() {
        return moved::print(args.json, Mode::Real, WORDS, &Outcome::default());
    }
    if !args.json {
        explain(&plan);
    }
    let operator = operator.with(args.consent.consent(plan.tally().eligible)?);
    let run = operator.begin_run(&plan, terms).await?;
    eprintln!("millstream: run {run}");
    drive(&operator, run, args.json, Some(&plan)).await
}

fn dry_run(as_json: bool, plan: &Plan) -> Result<u8, Failure> {
    let done: Vec<String> = plan.eligible().map(|job| job.to_string()).collect();
    let refused: Vec<Refused> = not_eligible(plan);
    print(as_json, (true, None), &done, &refused, plan)?;
    if !as_json {
        explain(plan);
    }
    Ok(code(&done, &refused))
}

fn not_eligible(plan: &Plan) -> Vec<Refused> {
    let judged = plan.items.iter().filter(|one| one.verdict != Verdict::Eligible);
    let judged = judged.map(|one| Refused {
        id: one.death.job.to_string(),
        why: one.verdict.to_string(),
        reason: one.verdict.word(),
    });
    let unresolved = plan.unresolved.iter().map(|Refusal { id, why }| Refused {
        id: id.clone(),
        why: why.to_string(),
        reason: "unknown",
    });
    judged.chain(unresolved).collect()
}

fn print(
    as_json: bool,
    (dry_run, run): (bool, Option<RunId>),
    done: &[String],
    refused: &[Refused],
    plan: &Plan,
) -> Result<(), Failure> {
    let planned = Planned {
        verb: WORDS.verb,
        dry_run,
        done,
        refused,
        run,
        plan: Summary {
            filter: plan.filter.as_deref(),
            hash: plan.hash(),
            counts: plan.tally(),
            estimate: plan.estimate,
            more: plan.more,
        },
    };
    let would = if dry_run { "would be " } else { "" };
    output::answer(as_json, &planned, |planned| {
        let line = |id: &String| format!("{would}{}  {}", WORDS.done, visible(id));
        planned.done.iter().map(line).collect()
    })?;
    if !as_json {
        for Refused { id, why, .. } in refused {
            eprintln!("millstream: {}: {}", visible(id), visible(why));
        }
    }
    Ok(())
}

/// A plan in a line or two.
fn explain(plan: &Plan) {
    let tally = plan.tally();
    eprintln!(
        "millstream: list {}, {} jobs: {} eligible, {} already re-queued, {} payload gone, {} tries used up, {} no longer dead",
        &plan.hash()[..4],
        tally.total,
        tally.eligible,
        tally.already_requeued,
        tally.payload_gone,
        tally.tries_used_up,
        tally.no_longer_dead
    );
    if let Some(Estimate { tokens, cost_usd }) = plan.estimate.filter(|_| tally.eligible > 0) {
        eprintln!(
            "millstream: about {tokens:.0} tokens, ${cost_usd:.3}, by the mean of the turns still owed"
        );
    }
    if plan.more {
        eprintln!("millstream: one plan takes at most 10,000 jobs; there are more: ask again");
    }
}

fn code(done: &[String], refused: &[Refused]) -> u8 {
    if done.is_empty() && refused.is_empty() {
        eprintln!("millstream: {}", WORDS.nothing);
    }
    if refused.is_empty() && !done.is_empty() {
        0
    } else {
        Exit::Refused.code()
    }
}

/// Drives a run to its end, and tells what became of its list.
///
/// # Errors
/// When a server stays away.
pub async fn drive(
    operator: &Operator,
    run: RunId,
    as_json: bool,
    plan: Option<&Plan>,
) -> Result<u8, Failure> {
    let mut said = String::new();
    let talks = !as_json && std::io::stderr().is_terminal();
    let end = operator
        .drive_run(run, |row| {
            let line = line(row);
            if talks && line != said {
                eprintln!("millstream: {line}");
                said = line;
            }
        })
        .await?;
    let row = operator.run_row(run).await?;
    if let Some(plan) = plan {
        let (done, refused) = operator.run_results(run).await?;
        let refused: Vec<Refused> = refused.into_iter().map(told).collect();
        print(as_json, (false, Some(run)), &done, &refused, plan)?;
        if end == DriveEnd::Over(RunState::Done) {
            return Ok(code(&done, &refused));
        }
    } else {
        super::runs::print(&row, as_json)?;
        if end == DriveEnd::Over(RunState::Done) {
            return Ok(0);
        }
    }
    eprintln!("millstream: {}", halted(end, &row));
    Ok(Exit::Refused.code())
}

fn told(refusal: (String, String)) -> Refused {
    let (id, why) = refusal;
    Refused {
        id,
        why,
        reason: "skipped",
    }
}

fn line(row: &RunRow) -> String {
    let counts = row.counts;
    let of = counts.total - counts.skipped;
    format!(
        "{}: {} of {of} put back, {} done, {} failed, {} on their way",
        row.id,
        counts.requeued,
        counts.done,
        counts.failed,
        counts.open()
    )
}

fn halted(end: DriveEnd, row: &RunRow) -> String {
    let why = row.why.as_deref().map(visible).unwrap_or_default();
    match end {
        DriveEnd::Elsewhere => format!("{} is driven by somebody else by now", row.id),
        DriveEnd::Over(state) if state.is_over() => format!("{} is {state}: {why}", row.id),
        DriveEnd::Over(state) => {
            format!(
                "{} is {state}: {why}; `millstream run resume {}` goes on",
                row.id, row.id
            )
        }
    }
}
