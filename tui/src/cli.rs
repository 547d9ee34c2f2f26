//! The command line: parses, runs the verb, and turns what came of it into an exit code.
//!
//! Data goes to standard output, talk to standard error.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use millstream::domain::{JobId, JobState, Priority};
use millstream::exit::Exit;
use millstream::untrusted::visible;

use crate::demo::{self, DemoArgs};
use crate::failure::Failure;
use crate::model::look::ThemeName;
use crate::theme;
use crate::verbs;
use crate::verbs::activity::ActivityArgs;
use crate::verbs::bench::BenchArgs;
use crate::verbs::burst::BurstArgs;
use crate::verbs::dead::DeadVerb;
use crate::verbs::eval::EvalArgs;
use crate::verbs::frame::FrameArgs;
use crate::verbs::operate::{BuryArgs, ClaimArgs, MoveArgs};
use crate::verbs::pause::{PauseArgs, ResumeArgs};
use crate::verbs::pending::PendingArgs;
use crate::verbs::runs::{RunVerb, RunsArgs};
use crate::verbs::scale::ScaleArgs;
use crate::verbs::token::TokenVerb;
use crate::verbs::undo::UndoArgs;
use crate::zone::Zone;

/// The job stream for AI agents.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    args_conflicts_with_subcommands = true,
    propagate_version = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 our fault, 2 not found or refused, 64 usage or settings, \
                        69 a server is unreachable;\nsubmit --wait: 3 not approved, 4 dead or cancelled, 5 time-out.\nWith no VALKEY_URL and no DATABASE_URL set, every verb \
                        uses the demo that was started last on this machine."
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    open: OpenArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Open the console on the running system; so does no verb at all
    Console(OpenArgs),
    /// Run the whole system on this machine: servers, producer, workers, real diffs
    Demo(DemoArgs),
    /// Run a review worker until SIGTERM
    Worker,
    /// Run the web producer until SIGTERM
    Web,
    /// Submit a pull request, a patch file, standard input or a git range for review
    Submit(SubmitArgs),
    /// Show the queue in figures
    Status(JsonArgs),
    /// List the newest jobs
    Jobs(JobsArgs),
    /// List the workers
    Workers(JsonArgs),
    /// List the entries that some worker holds
    Pending(PendingArgs),
    /// Run retrying and scheduled jobs now
    Retry(MoveArgs),
    /// Call jobs off that have not ended
    Cancel(MoveArgs),
    /// Give jobs up that have not ended
    Bury(BuryArgs),
    /// Take jobs or entries from the workers that hold them, for others
    Claim(ClaimArgs),
    /// List, put back, throw away or export the jobs that were given up
    #[command(subcommand)]
    Dead(DeadVerb),
    /// Let nothing new start; what runs goes on
    Pause(PauseArgs),
    /// Let jobs start again
    Resume(ResumeArgs),
    /// Make, list or revoke tokens for the web producer
    #[command(subcommand)]
    Token(TokenVerb),
    /// List the runs that put dead jobs back by a plan
    Runs(RunsArgs),
    /// Show, pause, end or go on with a run
    #[command(subcommand)]
    Run(RunVerb),
    /// Submit many of the demo's diffs at once
    Burst(BurstArgs),
    /// Set how many workers there are: processes of the demo, or instances on Render
    Scale(ScaleArgs),
    /// Take an action back, as far as that goes
    Undo(UndoArgs),
    /// List what operators did, and what came of it
    Activity(ActivityArgs),
    /// Show the attempts and spans of a review
    Trace(TraceArgs),
    /// Measure the engine beside the raw limit of the same server
    Bench(BenchArgs),
    /// Measure the reviewers on labelled changes: what they find, miss and cost
    Eval(EvalArgs),
    /// Draw a picture of the console without a terminal
    Frame(FrameArgs),
}

/// Which system the console is opened on, and what it may do there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct OpenArgs {
    /// Let things be changed from this console: retry, cancel, re-queue, pause, submit
    #[arg(long, conflicts_with = "read_only")]
    pub write: bool,
    /// The servers of that name in the file of profiles
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// How it looks and listens
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// Play what a console recorded (Ctrl-r in it); no server is needed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["read_only", "write", "profile", "mouse", "keys", "tz"])]
    pub replay: Option<PathBuf>,
}

/// How the console looks and listens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct ConsoleArgs {
    /// Only look: nothing can be changed from this console
    #[arg(long)]
    pub read_only: bool,
    /// dark, light, colour-blind or mono
    #[arg(long, value_name = "NAME", value_parser = theme::named, default_value = "dark")]
    pub theme: ThemeName,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
    /// Let nothing move but values
    #[arg(long)]
    pub still: bool,
    /// Hear the mouse: its wheel moves the cursor, a click chooses, another opens
    #[arg(long)]
    pub mouse: bool,
    /// Keys of your own; without it keys.toml beside the file of profiles, if there is one
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// The zone of the clocks, by its name in the IANA database: Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub tz: Zone,
}

/// The one option that every verb that only looks has.
#[derive(Debug, Args)]
pub struct JsonArgs {
    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

/// What is to be reviewed.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// A pull request (github.com/OWNER/REPO/pull/N), a patch file, or - for standard input
    #[arg(value_name = "URL|FILE|-", required_unless_present = "git")]
    pub target: Option<String>,
    /// A range of a local git repository (HEAD~3..HEAD), or one commit
    #[arg(long, value_name = "RANGE", conflicts_with = "target")]
    pub git: Option<String>,
    /// The git repository
    #[arg(long, value_name = "FOLDER", default_value = ".", requires = "git")]
    pub repo: PathBuf,
}

/// What is to be reviewed, and how the answer is wanted.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    /// What is to be reviewed
    pub input: InputArgs,
    /// Wait for the result; exits with 0 approve, 3 anything else, 4 dead or cancelled, 5 time-out
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "15m", requires = "wait")]
    pub timeout: Duration,
    /// A key that makes a repeat of the same submission safe for a day
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    pub idempotency_key: Option<String>,
    /// Do not start before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<DateTime<Utc>>,
    /// An address that is told of the end by a signed webhook (docs/webhooks.md)
    #[arg(long, value_name = "URL")]
    pub callback: Option<String>,
    /// normal, or high: before everything that is not
    #[arg(long, value_name = "PRIORITY", default_value = "normal")]
    pub priority: Priority,
    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

/// Which jobs are listed.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    pub state: Option<JobState>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

/// Whose trace is shown.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The review
    #[arg(value_name = "ID")]
    pub id: JobId,
    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

/// Runs the command line of this process and answers its exit code.
pub async fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report_usage(&error),
    };
    match run(cli.verb.unwrap_or(Verb::Console(cli.open))).await {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit().code()
        }
    }
}

async fn run(verb: Verb) -> Result<u8, Failure> {
    match verb {
        Verb::Console(args) => verbs::console::run(&args).await,
        Verb::Demo(args) => demo::run(args).await,
        Verb::Worker => verbs::service::worker().await,
        Verb::Web => verbs::service::web().await,
        Verb::Submit(args) => verbs::submit::run(args).await,
        Verb::Status(args) => verbs::status::run(&args).await,
        Verb::Jobs(args) => verbs::jobs::run(&args).await,
        Verb::Workers(args) => verbs::workers::run(&args).await,
        Verb::Pending(args) => verbs::pending::run(&args).await,
        Verb::Retry(args) => verbs::operate::retry(&args).await,
        Verb::Cancel(args) => verbs::operate::cancel(&args).await,
        Verb::Bury(args) => verbs::operate::bury(&args).await,
        Verb::Claim(args) => verbs::operate::claim(&args).await,
        Verb::Dead(verb) => verbs::dead::run(&verb).await,
        Verb::Pause(args) => verbs::pause::pause(&args).await,
        Verb::Resume(args) => verbs::pause::resume(&args).await,
        Verb::Token(verb) => verbs::token::run(&verb).await,
        Verb::Runs(args) => verbs::runs::list(&args).await,
        Verb::Run(verb) => verbs::runs::run(&verb).await,
        Verb::Burst(args) => verbs::burst::run(&args).await,
        Verb::Scale(args) => verbs::scale::run(&args).await,
        Verb::Undo(args) => verbs::undo::run(&args).await,
        Verb::Activity(args) => verbs::activity::run(&args).await,
        Verb::Trace(args) => verbs::trace::run(&args).await,
        Verb::Bench(args) => verbs::bench::run(&args).await,
        Verb::Eval(args) => verbs::eval::run(&args).await,
        Verb::Frame(args) => verbs::frame::run(&args),
    }
}

/// Help and version are answers; everything else is a usage error.
fn report_usage(error: &clap::Error) -> u8 {
    // A closed pipe is no reason for another message.
    let _unheard = print_usage(error);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => Exit::Usage.code(),
    }
}

/// A duration as people write it: `20s`, `1m 30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let spoken = humantime::parse_duration(text).ok();
    let bare = || {
        text.parse::<u32>()
            .ok()
            .map(|seconds| Duration::from_secs(u64::from(seconds)))
    };
    spoken
        .or_else(bare)
        .filter(|time| !time.is_zero() && *time <= Duration::from_secs(30 * 86_400))
        .ok_or_else(|| "a duration is wanted, like 20s, 5m or 1m30s, up to 30 days".to_owned())
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.map_err(|_| "a time is wanted, like 2026-11-22T18:00:00Z".to_owned())
}

fn idempotency_key(text: &str) -> Result<String, String> {
    let right = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if right {
        Ok(text.to_owned())
    } else {
        Err("1 to 255 visible ASCII characters are wanted".to_owned())
    }
}

/// Prints it as clap does, unless it quotes what a terminal would obey: then without its colours, and that shown.
fn print_usage(error: &clap::Error) -> io::Result<()> {
    let plain = error.render().to_string();
    let shown: Vec<String> = plain.lines().map(visible).collect();
    if plain.lines().eq(&shown) {
        return error.print();
    }
    writeln!(io::stderr(), "{}", shown.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_bounded_and_never_zero() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("20"), Ok(Duration::from_secs(20)));
        for wrong in ["", "0", "0s", "-1s", "31d", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
