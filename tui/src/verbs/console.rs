//! `millstream` and `millstream console`: the console on the system that runs.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::settings::{EngineSettings, Reader, process_environment};
use millstream::untrusted::Untrusted;

use crate::cli::{ConsoleArgs, OpenArgs};
use crate::failure::Failure;
use crate::model::look::Look;
use crate::model::view::Size;
use crate::model::{Access, Model, Profile};
use crate::reach::{Needs, Reach};
use crate::recording::{Tape, TapeError};
use crate::runtime::{self, Console, log};
use crate::theme;

/// Opens the console, and returns when its user leaves it.
///
/// # Errors
/// When there is no terminal, or no system to look at.
pub async fn run(args: &OpenArgs) -> Result<u8, Failure> {
    let OpenArgs {
        console: args,
        replay: file,
    } = args;
    if let Some(file) = file {
        return replay(file, args).await;
    }
    needs_terminal()?;
    let (attempts_allowed, lease) = rules()?;
    let reach = Reach::find(Needs::Either).await?;
    // The log is whole once this is dropped, after the screen is given back.
    let log = log::start(&log_folder(&reach));
    let mut model = model(&reach);
    model.look = look(args);
    if args.read_only {
        model.access = Access::ReadOnly;
    }
    let console = Console {
        model,
        queue: reach.queue,
        store: reach.store,
        attempts_allowed,
        lease,
        link: None,
        log: log.as_ref().map(|log| log.path.clone()),
        recordings: recordings(),
    };
    runtime::run(console).await?;
    Ok(0)
}

fn needs_terminal() -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    let text = "the console needs a terminal; `millstream status` and `millstream jobs` print";
    Err(Failure::Usage(text.to_owned()))
}

/// Plays a recording; no server is asked for anything.
async fn replay(file: &Path, args: &ConsoleArgs) -> Result<u8, Failure> {
    // A file that cannot be played is told wherever it is tried.
    let tape = Tape::open(file).map_err(|error| {
        let text = format!("failed to play {}: {error}", file.display());
        match error {
            TapeError::Io(_) => Failure::Refused(text),
            _ => Failure::Usage(text),
        }
    })?;
    needs_terminal()?;
    let log = log::start(&state_folder());
    let shown = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    runtime::replay::run(
        tape,
        Untrusted::new(shown),
        look(args),
        log.as_ref().map(|log| log.path.clone()),
    )
    .await?;
    Ok(0)
}

/// How often a job may be started, and how long a silent worker keeps it: a worker's settings, which are usually
/// the same here.
///
/// # Errors
/// When a setting is wrong.
pub fn rules() -> Result<(u32, Duration), Failure> {
    let mut reader = Reader::new(&process_environment);
    let settings = EngineSettings::read(&mut reader);
    let settings = reader.finish(settings)?;
    Ok((settings.max_attempts, settings.visibility_timeout))
}

/// How the terminal wants it, and how its user does.
pub fn look(args: &ConsoleArgs) -> Look {
    let detected = theme::detect(args.theme, process_environment);
    Look {
        ascii: detected.ascii || args.ascii,
        still: args.still,
        ..detected
    }
}

fn model(reach: &Reach) -> Model {
    let is_local = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|host| reach.valkey_place.starts_with(host));
    let name = match &reach.demo {
        Some(_) => "demo",
        None if is_local => "local",
        None => "remote",
    };
    let keys = reach.queue.keys();
    let profile = Profile {
        name: name.into(),
        queue: Untrusted::new(keys.shared.clone()),
        group: Untrusted::new(keys.group.clone()),
    };
    // The first message of the terminal tells the true size.
    let size = Size {
        width: 80,
        height: 24,
    };
    let mut model = Model::new(size, profile, millstream::clock::now());
    model.connection.valkey.place = Untrusted::new(reach.valkey_place.clone());
    model.connection.postgres.place = Untrusted::new(reach.postgres_place.clone());
    model
}

/// Beside the demo's other logs, else where this account keeps such things.
fn log_folder(reach: &Reach) -> PathBuf {
    if let Some(demo) = &reach.demo {
        return demo.data_dir.clone();
    }
    state_folder()
}

/// Recordings outlive the demo that was recorded, whose folder goes with it.
pub fn recordings() -> PathBuf {
    state_folder().join("recordings")
}

/// Where this account keeps what a program leaves behind.
fn state_folder() -> PathBuf {
    let folder = |name: &str| {
        process_environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("millstream")
}
