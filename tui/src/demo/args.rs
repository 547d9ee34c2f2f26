//! What a demo can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::{ConsoleArgs, duration};

/// What a demo can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DemoArgs {
    /// Show no console: print figures while it runs and the counts at its end
    #[arg(long)]
    pub headless: bool,
    /// How many worker processes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// How long it runs; without it until Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
    /// Keep data and logs in this folder, and go on with what is there
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Print the counts as JSON on one line
    #[arg(long)]
    pub json: bool,
    /// How the console in front looks
    #[command(flatten)]
    pub console: ConsoleArgs,
}
