//! `millstream` and `millstream console`: the console on the system that runs.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::ops::{Rights, Submitter};
use millstream::settings::{EngineSettings, Reader, process_environment};
use millstream::untrusted::Untrusted;

use crate::cli::{ConsoleArgs, OpenArgs};
use crate::failure::Failure;
use crate::keymap::{self, Keys};
use crate::model::look::Look;
use crate::model::view::Size;
use crate::model::{Access, Model, Profile};
use crate::profiles::{config_folder, load};
use crate::reach::{Needs, Reach};
use crate::recording::{Tape, TapeError};
use crate::runtime::orders::Pen;
use crate::runtime::{self, Console, log};
use crate::theme;
use crate::verbs::names::acting_as;
use crate::verbs::scale::with_fleet;

/// Opens the console, and returns when its user leaves it.
///
/// # Errors
/// When there is no terminal, or no system to look at.
pub async fn run(args: &OpenArgs) -> Result<u8, Failure> {
    if let Some(file) = &args.replay {
        return replay(file, &args.console).await;
    }
    needs_terminal()?;
    let (attempts_allowed, lease) = rules()?;
    let keys = keys(&args.console)?;
    let reach = Reach::find_as(Needs::Either, args.profile.as_deref()).await?;
    // The log is whole once this is dropped, after the screen is given back.
    let log = log::start(&log_folder(&reach));
    let mut model = model(&reach);
    model.look = look(&args.console);
    (model.keys, model.zone) = (keys, args.console.tz);
    model.access = match &reach.profile {
        _ if !args.write => Access::ReadOnly,
        Some(profile) if !profile.may_write => Access::OnlyRead,
        _ => Access::ReadWrite,
    };
    let pen = model.access.may_write().then(|| pen(&reach)).transpose()?;
    let console = Console {
        model,
        pen,
        folder: state_folder().join("exports"),
        queue: reach.queue,
        store: reach.store,
        attempts_allowed,
        lease,
        link: None,
        log: log.as_ref().map(|log| log.path.clone()),
        mouse: args.console.mouse,
        recordings: recordings(),
    };
    runtime::run(console).await?;
    Ok(0)
}

/// Whoever sits at this console, with the right to write.
fn pen(reach: &Reach) -> Result<Pen, Failure> {
    Ok(Pen {
        operator: with_fleet(&acting_as(reach, "console", Rights::Guarded), reach)?,
        submitter: Submitter::new(
            reach.store.clone(),
            reach.queue.clone(),
            reach.settings.clone(),
            reach.max_patch,
        ),
        max_patch: reach.max_patch,
    })
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

/// The keys of whoever sits here: the table as it comes, with what their file wants otherwise.
///
/// # Errors
/// When the file was named and cannot be read, or anything in it is wrong.
pub fn keys(args: &ConsoleArgs) -> Result<Keys, Failure> {
    let usual = config_folder(&process_environment).map(|folder| folder.join("keys.toml"));
    let path = match (&args.keys, usual) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) if path.exists() => path,
        (None, _) => return Ok(Keys::default()),
    };
    keymap::file::read(&load(&path)?).map_err(|faults| {
        let lines: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}: {fault}", path.display()))
            .collect();
        Failure::Usage(lines.join("\n"))
    })
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
    let named = reach.profile.as_ref();
    let name = match (&reach.demo, named) {
        (_, Some(profile)) => profile.name.as_str(),
        (Some(_), None) => "demo",
        (None, None) if is_local => "local",
        (None, None) => "remote",
    };
    let keys = reach.queue.keys();
    let profile = Profile {
        name: name.into(),
        queue: Untrusted::new(keys.shared.clone()),
        group: Untrusted::new(keys.group.clone()),
        tint: named.and_then(|profile| profile.tint),
        is_production: named.is_some_and(|profile| profile.is_production),
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

/// Beside the demo's other logs, else with what is kept.
fn log_folder(reach: &Reach) -> PathBuf {
    match &reach.demo {
        Some(demo) => demo.data_dir.clone(),
        None => state_folder(),
    }
}

/// Recordings outlive the demo that was recorded, whose folder goes with it.
pub fn recordings() -> PathBuf {
    state_folder().join("recordings")
}

/// Where this account keeps what outlives a program.
pub fn state_folder() -> PathBuf {
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
