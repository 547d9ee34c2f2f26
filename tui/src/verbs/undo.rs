//! `millstream undo`: an action is taken back, as far as that goes.

use clap::Args;
use millstream::domain::RunId;
use millstream::ops::{Mode, Operator, Outcome, Undoing};
use millstream::store::actions::ActionId;

use super::moved::{self, Words};
use super::names::operator;
use super::scale::with_fleet;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Which action, and how the answer is wanted.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// An action's number, as `activity` lists it, or a run; without one your last that has something left
    #[arg(value_name = "ID", value_parser = what)]
    id: Option<What>,
    /// Say what would come back, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// What is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Action(ActionId),
    Run(RunId),
}

fn what(text: &str) -> Result<What, String> {
    if let Ok(number) = text.parse::<u32>() {
        return Ok(What::Action(ActionId(i64::from(number))));
    }
    text.parse()
        .map(What::Run)
        .map_err(|_| "an action's number or a run is wanted, like 17 or r-41".to_owned())
}

const WORDS: Words = Words {
    verb: "undo",
    done: "taken back",
    nothing: "nothing can come back",
};

/// Takes it back.
///
/// # Errors
/// When there is nothing to take back, or Postgres is away.
pub async fn run(args: &UndoArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let operator = with_fleet(&operator(&reach), &reach)?;
    let undoing = operator.undoing(action(&operator, args.id).await?).await?;
    if args.dry_run {
        output::answer(args.json, &undoing, |undoing| vec![in_words(undoing)])?;
        return Ok(if undoing.left.back > 0 {
            0
        } else {
            millstream::exit::Exit::Refused.code()
        });
    }
    if !args.json {
        eprintln!("millstream: {}", in_words(&undoing));
    }
    let outcome: Outcome = operator.undo(ActionId(undoing.action)).await?;
    moved::print(args.json, Mode::Real, WORDS, &outcome)
}

async fn action(operator: &Operator, what: Option<What>) -> Result<Option<ActionId>, Failure> {
    Ok(match what {
        None => None,
        Some(What::Action(action)) => Some(action),
        Some(What::Run(run)) => Some(operator.run_row(run).await?.action),
    })
}

fn in_words(undoing: &Undoing) -> String {
    let what = undoing
        .run
        .map_or_else(|| undoing.verb.clone(), |run| run.to_string());
    format!("{} ({what}): {}", undoing.action, undoing.in_words())
}
