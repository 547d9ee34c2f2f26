//! Fetching a server as Debian packages, for a Debian or Ubuntu machine that has no pip.
//!
//! `apt-get download` and `dpkg -x` into our cache, also as root: `apt-get install` would start a system
//! service on the default port, make a Postgres cluster in `/var/lib`, and stay after us. The package lists
//! are our own too, so a machine whose lists are empty or old is no special case, and no right to write to the
//! system is needed. apt verifies the signatures of the lists and the hashes of the packages.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::cache::{Cache, Cached, entries, server_of_debian};
use super::machine::Machine;
use super::options::Say;
use super::program::Kind;
use super::tool::{self, ToolError};

/// The lists of a Debian release are some 10 MB, the packages of Postgres as much again.
const LIMIT: Duration = Duration::from_secs(300);

/// Packages that a server names and does not need: LLVM (100 MB) only compiles large queries, and we turn that
/// off; the rest makes system services and certificates.
const LEFT_OUT: [&str; 6] = [
    "libllvm",
    "libz3",
    "ssl-cert",
    "postgresql-common",
    "postgresql-client-common",
    "perl",
];

/// An apt with folders of its own.
struct Apt<'a> {
    machine: &'a Machine,
    lists: PathBuf,
    cache: PathBuf,
    packages: PathBuf,
}

/// Whether this machine can fetch Debian packages.
pub(super) fn is_here(machine: &Machine) -> bool {
    machine.find("apt-get").is_some() && machine.find("dpkg").is_some()
}

/// Fetches servers into the cache, with one look at the package lists for all. The error says why, in one line.
pub(super) async fn fetch(
    kinds: &[Kind],
    cache: &Cache,
    machine: &Machine,
    say: Say<'_>,
) -> Result<(), String> {
    let workshop = cache.workshop().map_err(|error| error.to_string())?;
    let folder = |name: &str| workshop.path().join(name);
    let (lists, packages) = (folder("lists"), folder("packages"));
    let apt = Apt {
        machine,
        lists,
        cache: folder("apt"),
        packages,
    };
    for folder in [
        apt.lists.join("partial"),
        apt.cache.join("archives/partial"),
        apt.packages.clone(),
    ] {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    say("reading Debian's package lists");
    apt.get(&["update"]).await?;
    for kind in kinds {
        say(&format!("fetching {} as Debian packages", kind.debian()));
        fetch_one(*kind, &apt, cache).await?;
    }
    Ok(())
}

async fn fetch_one(kind: Kind, apt: &Apt<'_>, cache: &Cache) -> Result<Cached, String> {
    let plan = apt
        .get(&["--simulate", "--no-install-recommends", "install", kind.debian()])
        .await?;
    let names = packages_to_fetch(&plan);
    if names.is_empty() {
        return Err(format!(
            "the Debian package {} is installed already and does not run",
            kind.debian()
        ));
    }
    let mut arguments = vec!["download"];
    arguments.extend(names.iter().map(String::as_str));
    apt.get(&arguments).await?;

    let laid = cache.workshop().map_err(|error| error.to_string())?;
    let package = laid.path().join("package");
    let tree = package.join("tree");
    fs::create_dir_all(&tree).map_err(|error| error.to_string())?;
    for archive in entries(&apt.packages) {
        apt.unpack(&archive, &tree).await?;
        fs::remove_file(&archive).map_err(|error| error.to_string())?;
    }
    server_of_debian(kind, &tree).ok_or(format!("the Debian package {} holds no server", kind.debian()))?;
    // Whoever runs Postgres must be able to enter, however strict the umask.
    fs::set_permissions(&package, Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let place = cache
        .keep(&package, &format!("debian-{}", kind.debian()))
        .map_err(|error| error.to_string())?;
    server_of_debian(kind, &place.join("tree")).ok_or("the cache lost what was put into it".to_owned())
}

impl Apt<'_> {
    /// Runs `apt-get` on our own lists, in the folder that packages are downloaded to.
    async fn get(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.machine.find("apt-get").ok_or("apt-get is not installed")?);
        command
            .arg("--quiet=2")
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
            .arg("-o")
            .arg(format!("Dir::State::Lists={}", self.lists.display()));
        command
            .arg("-o")
            .arg(format!("Dir::Cache={}", self.cache.display()));
        // As root apt would drop to an account that cannot enter our folders.
        command.args([
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Debug::NoLocking=1",
            "-o",
            "Acquire::Retries=5",
        ]);
        command.args(arguments).current_dir(&self.packages);
        tool::run(&mut command, LIMIT)
            .await
            .map_err(|error| excuse("apt-get", &error))
    }

    /// Unpacks a package without installing it.
    async fn unpack(&self, archive: &Path, tree: &Path) -> Result<(), String> {
        let mut command = Command::new(self.machine.find("dpkg").ok_or("dpkg is not installed")?);
        command.arg("-x").arg(archive).arg(tree);
        tool::run(&mut command, LIMIT)
            .await
            .map(drop)
            .map_err(|error| excuse("dpkg", &error))
    }
}

fn excuse(program: &str, error: &ToolError) -> String {
    format!("{program}: {error}")
}

/// The packages that a simulated installation would bring (`Inst libpq5 (15.18-0+deb12u1 Debian ..)`), without
/// those that only an installation needs.
fn packages_to_fetch(plan: &str) -> Vec<String> {
    let names = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
    names
        .filter(|name| !LEFT_OUT.iter().any(|left| name.starts_with(left)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_installation_is_read_for_what_the_server_needs() {
        let plan = "Inst libjemalloc2 (5.3.0-1 Debian:12.13/oldstable [amd64])\n\
            Inst libllvm14 (1:14.0.6-12 Debian:12.13/oldstable [amd64])\n\
            Inst libssl3 [3.0.15-1] (3.0.20-1 Debian-Security:12 [amd64])\n\
            Conf libjemalloc2 (5.3.0-1 Debian:12.13/oldstable [amd64])\n\
            Inst postgresql-common (248 Debian:12.13/oldstable [all])\n\
            Inst postgresql-15 (15.18-0+deb12u1 Debian-Security:12 [amd64])\n";
        assert_eq!(
            packages_to_fetch(plan),
            ["libjemalloc2", "libssl3", "postgresql-15"]
        );
    }
}
