//! Who asks, and which jobs they name: on the command line, or one a line on standard input.

use std::io::{BufRead, Read};

use clap::Args;
use millstream::domain::JobRef;
use millstream::ops::{MOST_IDS, Operator, Rights, Who};
use millstream::untrusted::one_line;

use crate::failure::Failure;
use crate::reach::Reach;

/// More than a thousand ids with their line ends.
const LONGEST_INPUT: u64 = 256 * 1024;

/// Jobs by name.
#[derive(Debug, Args)]
pub struct Names {
    /// Jobs: whole ids, or the first 6 digits or more; - reads them from standard input, one a line
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// What a name may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// A job only.
    BeJob,
    /// A job, or an entry of a stream.
    BeEntry,
}

/// Reads names; standard input where a `-` stands.
///
/// # Errors
/// When one is none, or there are too many.
pub fn read(words: &[String], may: May) -> Result<Vec<JobRef>, Failure> {
    let mut names = Vec::new();
    for word in words {
        if word == "-" {
            for line in lines()? {
                names.push(name(&line, may)?);
            }
        } else {
            names.push(name(word, may)?);
        }
        if names.len() > MOST_IDS {
            return Err(Failure::Usage(format!(
                "at most {MOST_IDS} ids are taken in one call"
            )));
        }
    }
    if names.is_empty() {
        return Err(Failure::Usage("no ids were given".to_owned()));
    }
    Ok(names)
}

fn name(text: &str, may: May) -> Result<JobRef, Failure> {
    let read = match may {
        May::BeJob => text.parse(),
        May::BeEntry => JobRef::parse_entry_too(text),
    };
    read.map_err(|error| Failure::Usage(format!("`{}`: {error}", one_line(text, 64))))
}

fn lines() -> Result<Vec<String>, Failure> {
    let unreadable = |error: std::io::Error| Failure::Refused(format!("standard input: {error}"));
    let mut lines = Vec::new();
    let mut input = std::io::stdin().lock().take(LONGEST_INPUT);
    let mut line = String::new();
    while input.read_line(&mut line).map_err(unreadable)? > 0 {
        let id = line.trim();
        if !id.is_empty() {
            lines.push(id.to_owned());
        }
        line.clear();
    }
    if input.limit() == 0 {
        return Err(Failure::Usage(format!(
            "at most {MOST_IDS} ids are taken in one call"
        )));
    }
    Ok(lines)
}

/// Who is asking, for the book of actions: `cli:ada@laptop`.
pub fn actor() -> String {
    acting("cli")
}

/// Somebody on this machine who acts through something.
pub fn acting(through: &str) -> String {
    let user = millstream::settings::process_environment("USER").unwrap_or_else(|| "unknown".to_owned());
    let host = millstream_worker::service::host_name();
    format!("{through}:{}@{}", one_line(&user, 60), one_line(&host, 60))
}

/// Whoever runs this command, as an operator of the system that was found. A command is explicit enough: the ids that
/// it names are meant.
pub fn operator(reach: &Reach) -> Operator {
    let rights = match &reach.profile {
        Some(profile) if !profile.may_write => Rights::ReadOnly,
        _ => Rights::Explicit,
    };
    acting_as(reach, "cli", rights)
}

/// Somebody who acts on the system that was found, through something, with these rights.
pub fn acting_as(reach: &Reach, through: &str, rights: Rights) -> Operator {
    let who = Who {
        actor: acting(through),
        profile: reach.profile.as_ref().map(|profile| profile.name.clone()),
    };
    Operator::new(reach.store.clone(), reach.queue.clone(), who, rights)
}
