//! `millstream dead list|requeue|drop|export`: the jobs that were given up.

use clap::{Args, Subcommand};
use millstream::clock;
use millstream::domain::{DeadFilter, JobId};
use millstream::exit::Exit;
use millstream::ops::{Mode, Refusal, Selection};
use millstream::reports::{self, DeadExport, DeadReport, Inputs};
use millstream::store::assess::Death;
use millstream::store::dead::Exported;
use millstream::untrusted::visible;

use super::edit::{self, EditArgs};
use super::moved::{self, Words};
use super::names::{self, May, operator};
use super::requeue::{self, ConsentArgs, RequeueArgs};
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Letters without a job in one export.
const LETTERS: usize = 10_000;

/// What is done about the dead.
#[derive(Debug, Subcommand)]
pub enum DeadVerb {
    /// List them, newest first
    List(ListArgs),
    /// Let them wait again, with their failures forgotten
    Requeue(RequeueArgs),
    /// Give one of them another input: a new review takes its place
    Edit(EditArgs),
    /// Throw them away; their rows stay, as dropped
    Drop(DropArgs),
    /// Print everything that is known about them, one JSON object a line
    Export(ExportArgs),
}

/// Which of them are meant.
#[derive(Debug, Args)]
pub struct Which {
    /// Jobs: whole ids, or the first 6 digits or more; - reads them from standard input, one a line
    #[arg(value_name = "ID", conflicts_with = "matching")]
    ids: Vec<String>,
    /// Those that match: words, and error: class: worker: id: older: newer: fingerprint:
    #[arg(long = "match", value_name = "QUERY", id = "matching", value_parser = filter)]
    matching: Option<Typed>,
}

/// A filter, and how it was typed.
#[derive(Debug, Clone)]
struct Typed {
    filter: DeadFilter,
    text: String,
}

fn filter(text: &str) -> Result<Typed, String> {
    let filter = DeadFilter::parse(text).map_err(|error| error.to_string())?;
    if filter == DeadFilter::default() {
        return Err("it matches everything: use --all where that is meant".to_owned());
    }
    Ok(Typed {
        filter,
        text: text.to_owned(),
    })
}

impl Which {
    /// Those that are meant, and the filter as it was typed.
    ///
    /// # Errors
    /// When nothing was said, or a name is none.
    pub fn selection(&self, all: bool, verb: &str, may: May) -> Result<(Selection, Option<String>), Failure> {
        match (&self.matching, all) {
            (Some(typed), _) => {
                let selection = Selection::Matching(typed.filter.clone());
                Ok((selection, Some(typed.text.clone())))
            }
            (None, true) => Ok((Selection::Matching(DeadFilter::default()), Some("all".to_owned()))),
            (None, false) if self.ids.is_empty() => {
                Err(Failure::Usage(format!("{verb} wants ids, --match or --all")))
            }
            (None, false) => Ok((Selection::Named(names::read(&self.ids, may)?), None)),
        }
    }

    fn filter(&self) -> DeadFilter {
        let typed = self.matching.as_ref();
        typed.map(|typed| typed.filter.clone()).unwrap_or_default()
    }
}

/// What is listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// What is thrown away.
#[derive(Debug, Args)]
pub struct DropArgs {
    #[command(flatten)]
    which: Which,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "matching"])]
    all: bool,
    #[command(flatten)]
    consent: ConsentArgs,
    /// Also those that --match or --all finds and nobody has exported since they died
    #[arg(long)]
    without_export: bool,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// What is exported.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// With the diffs that were submitted
    #[arg(long)]
    with_input: bool,
}

/// Runs the verb.
///
/// # Errors
/// When a name is none, or Postgres is away.
pub async fn run(verb: &DeadVerb) -> Result<u8, Failure> {
    match verb {
        DeadVerb::List(args) => list(args).await,
        DeadVerb::Requeue(args) => requeue::run(args).await,
        DeadVerb::Edit(args) => edit::run(args).await,
        DeadVerb::Drop(args) => drop_dead(args).await,
        DeadVerb::Export(args) => export(args).await,
    }
}

/// What the lines of a drop say.
const DROPPED: Words = Words {
    verb: "dead drop",
    done: "dropped",
    nothing: "nothing dead was found",
};

async fn drop_dead(args: &DropArgs) -> Result<u8, Failure> {
    let (which, filter) = args.which.selection(args.all, DROPPED.verb, May::BeEntry)?;
    // Who names a job knows it; what a filter finds nobody may have seen.
    let exported = match which {
        Selection::Matching(_) if !args.without_export => Exported::Wanted,
        _ => Exported::Waived,
    };
    let reach = Reach::find(Needs::Postgres).await?;
    let (operator, mode) = (operator(&reach), moved::mode(args.dry_run));
    let look = |mode| operator.drop_dead(&which, filter.as_deref(), exported, mode);
    let moves = match which {
        Selection::Matching(_) if mode == Mode::Real => look(Mode::DryRun).await?.done.len(),
        _ => 0,
    };
    let operator = operator.with(args.consent.consent(moves)?);
    let outcome = operator
        .drop_dead(&which, filter.as_deref(), exported, mode)
        .await?;
    moved::print(args.json, mode, DROPPED, &outcome)
}

/// The jobs that were named, or nothing when a filter speaks.
async fn named(which: &Which, reach: &Reach) -> Result<Option<(Vec<JobId>, Vec<Refusal>)>, Failure> {
    if which.ids.is_empty() {
        return Ok(None);
    }
    let names = names::read(&which.ids, May::BeJob)?;
    Ok(Some(operator(reach).resolve(&names).await?))
}

/// Says which of the named are not among the found; answers the exit code.
fn complain(jobs: &[JobId], refused: &[Refusal], found: &[&DeadReport]) -> u8 {
    let missing = jobs
        .iter()
        .map(ToString::to_string)
        .filter(|id| !found.iter().any(|row| row.id.as_ref() == Some(id)));
    let mut all_found = refused.is_empty();
    for Refusal { id, why } in refused {
        output::say(format_args!("{id}: {why}"));
    }
    for id in missing {
        all_found = false;
        output::say(format_args!("{id}: it is not dead, or there is no such job"));
    }
    if all_found { 0 } else { Exit::Refused.code() }
}

async fn list(args: &ListArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    if let Some((jobs, refused)) = named(&args.which, &reach).await? {
        let rows = reports::dead_of(&reach.store, &reach.settings.name, &jobs).await?;
        output::answer(args.json, &rows, |rows| in_columns(rows))?;
        return Ok(complain(&jobs, &refused, &rows.iter().collect::<Vec<_>>()));
    }
    let filter = args.which.filter();
    let limit = args.limit as usize;
    let list = reports::dead(&reach.store, &reach.queue, &filter, clock::now(), limit).await?;
    output::answer(args.json, &list.rows, |rows| in_columns(rows))?;
    if let Some(error) = list.without_letters {
        output::say(format_args!(
            "failed to {error}; entries that could not be read are not listed"
        ));
    }
    Ok(0)
}

async fn export(args: &ExportArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let inputs = if args.with_input {
        Inputs::Carried
    } else {
        Inputs::Left
    };
    let queue = &reach.settings.name;
    if let Some((jobs, refused)) = named(&args.which, &reach).await? {
        let (mut found, mut deaths) = (Vec::new(), Vec::new());
        // One at a time: a diff can have megabytes.
        for job in &jobs {
            let rows = reports::export_of(&reach.store, queue, &[*job], inputs).await?;
            print(&rows)?;
            deaths.extend(rows.iter().filter_map(|row| row.death));
            found.extend(rows.into_iter().map(|row| row.dead));
        }
        note_export(&reach, &deaths).await;
        return Ok(complain(&jobs, &refused, &found.iter().collect::<Vec<_>>()));
    }
    let filter = args.which.filter();
    let (now, mut after) = (clock::now(), None);
    loop {
        let page = reports::export_page(&reach.store, queue, &filter, now, (after, inputs)).await?;
        print(&page.rows)?;
        let deaths: Vec<Death> = page.rows.iter().filter_map(|row| row.death).collect();
        note_export(&reach, &deaths).await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match reports::export_letters(&reach.queue, &filter, now, LETTERS).await {
        Ok(letters) => print(&letters)?,
        Err(error) => output::say(format_args!(
            "{error}; entries that could not be read are not in it"
        )),
    }
    Ok(0)
}

/// Notes what somebody has a copy of by now. Who may only read has it all the same.
async fn note_export(reach: &Reach, deaths: &[Death]) {
    if let Err(error) = operator(reach).note_export(deaths).await {
        eprintln!("millstream: {error}; the export is not noted, and `dead drop` asks for one");
    }
}

fn print(rows: &[DeadExport]) -> Result<(), Failure> {
    for row in rows {
        output::answer(true, row, |_| Vec::new())?;
    }
    Ok(())
}

fn in_columns(rows: &[DeadReport]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    output::table(
        &[
            "ID OR LETTER",
            "DIED",
            "TRY",
            "CLASS",
            "FINGERPRINT",
            "WORKER",
            "ERROR",
        ],
        &rows,
    )
}

fn row(one: &DeadReport) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        one.id.clone().or_else(|| one.letter.clone()).unwrap_or_else(dash),
        one.died_at.clone(),
        one.attempts.to_string(),
        one.class.clone().unwrap_or_else(dash),
        one.fingerprint.clone(),
        one.worker
            .as_ref()
            .map_or_else(dash, |worker| worker.chars().take(6).collect()),
        one.error
            .as_ref()
            .map_or_else(dash, |error| visible(error).chars().take(100).collect()),
    ]
}
