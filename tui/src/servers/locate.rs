//! Servers that are installed on this machine.
//!
//! A candidate counts once it has told its version: a broken link, a program for another processor, or one
//! that the account may not run fails there and not later.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::account::Account;
use super::cache::{Cached, entries};
use super::machine::Machine;
use super::program::{Kind, Origin, Program};
use super::tool;
use super::version::Version;

/// A server prints its version in some milliseconds; a wrapper that asks the network would not.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// Where package managers put servers although a short `PATH` does not name them.
const USUAL: [&str; 6] = [
    "/usr/bin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/bin",
    "/opt/local/bin",
];

/// Where package managers keep several versions of Postgres side by side: a parent folder and how the names
/// in it start.
const POSTGRES_HOMES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// The first installed server that runs and is new enough.
pub(super) async fn installed(kind: Kind, machine: &Machine, account: Option<&Account>) -> Option<Program> {
    let candidates = match kind {
        Kind::Valkey => valkey_candidates(&machine.path),
        Kind::Postgres => postgres_candidates(&machine.path),
    };
    for server in candidates {
        let found = Cached {
            server,
            libraries: None,
        };
        if let Some(program) = probe(kind, found, Origin::Installed, account).await {
            return Some(program);
        }
    }
    None
}

/// Asks a server for its version, as the account that will run it.
pub(super) async fn probe(
    kind: Kind,
    found: Cached,
    origin: Origin,
    account: Option<&Account>,
) -> Option<Program> {
    let mut command = Command::new(&found.server);
    command.arg("--version").current_dir("/");
    if let Some(libraries) = &found.libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    if let (Kind::Postgres, Some(account)) = (kind, account) {
        command.uid(account.uid).gid(account.gid);
    }
    let line = tool::run(&mut command, VERSION_LIMIT).await.ok()?;
    let (name, version) = identify(kind, &line)?;
    let Cached { server, libraries } = found;
    Some(Program {
        server,
        libraries,
        name,
        version,
        origin,
    })
}

/// Which server printed this line, if it is new enough.
fn identify(kind: Kind, line: &str) -> Option<(&'static str, Version)> {
    let (name, version) = match kind {
        Kind::Valkey if line.starts_with("Valkey") => ("valkey", Version::of_valkey(line)?),
        Kind::Valkey => ("redis", Version::of_valkey(line)?),
        Kind::Postgres => ("postgres", Version::of_postgres(line)?),
    };
    (version >= kind.floor()).then_some((name, version))
}

/// Valkey anywhere before Redis anywhere. The paths are not resolved: Debian's `redis-server` is a link to
/// `redis-check-rdb`, which looks at the name it was called by.
fn valkey_candidates(path: &[PathBuf]) -> Vec<PathBuf> {
    let usual = USUAL.iter().map(PathBuf::from);
    let folders: Vec<PathBuf> = path.iter().cloned().chain(usual).collect();
    let named = ["valkey-server", "redis-server"];
    let paths = named
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    unique(paths.filter(|path| path.is_file()))
}

/// What `PATH` names, then every version that a package manager keeps, newest first. Each is resolved, since
/// `initdb` stands beside the real program and not beside a link to it.
fn postgres_candidates(path: &[PathBuf]) -> Vec<PathBuf> {
    let kept = POSTGRES_HOMES
        .iter()
        .flat_map(|(parent, prefix)| newest_first(Path::new(parent), prefix));
    let usual = USUAL.iter().map(PathBuf::from);
    let folders = path.iter().cloned().chain(kept).chain(usual);
    let resolved = folders.filter_map(|folder| fs::canonicalize(folder.join("postgres")).ok());
    unique(resolved.filter(|server| server.with_file_name("initdb").is_file()))
}

/// The `bin` folders of the versions in a parent folder, newest first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let version = |home: &PathBuf| {
        let name = home.file_name()?.to_str()?;
        Version::parse(name.strip_prefix(prefix)?)
    };
    let mut homes: Vec<(Version, PathBuf)> = entries(parent)
        .into_iter()
        .filter_map(|home| Some((version(&home)?, home)))
        .collect();
    homes.sort();
    homes
        .into_iter()
        .rev()
        .map(|(_, home)| home.join("bin"))
        .collect()
}

fn unique(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    for path in paths {
        if !seen.contains(&path) {
            seen.push(path);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn valkey_anywhere_comes_before_redis_anywhere() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("a"), root.path().join("b"));
        touch(&first.join("redis-server"));
        touch(&second.join("valkey-server"));
        let found = valkey_candidates(&[first.clone(), second.clone()]);
        assert_eq!(
            found[..2],
            [second.join("valkey-server"), first.join("redis-server")]
        );
    }

    #[test]
    fn postgres_is_resolved_and_needs_its_initdb() {
        let root = fs::canonicalize(tempfile::tempdir().unwrap().keep()).unwrap();
        let (links, lonely, real) = (root.join("links"), root.join("lonely"), root.join("15/bin"));
        for path in [
            lonely.join("postgres"),
            real.join("postgres"),
            real.join("initdb"),
            links.join("x"),
        ] {
            touch(&path);
        }
        symlink(real.join("postgres"), links.join("postgres")).unwrap();
        let found = postgres_candidates(&[lonely, links]);
        assert_eq!(found[0], real.join("postgres"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_newest_of_several_kept_versions_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for home in [
            "postgresql@9",
            "postgresql@16",
            "postgresql@15",
            "postgresql",
            "openssl@3",
        ] {
            fs::create_dir_all(root.path().join(home)).unwrap();
        }
        let want =
            ["postgresql@16/bin", "postgresql@15/bin", "postgresql@9/bin"].map(|bin| root.path().join(bin));
        assert_eq!(newest_first(root.path(), "postgresql@"), want);
    }

    #[test]
    fn a_server_that_is_too_old_is_none() {
        let cases = [
            (Kind::Valkey, "Redis server v=6.2.14 sha=0", None),
            (Kind::Valkey, "Redis server v=7.0.15 sha=0", Some("redis")),
            (Kind::Valkey, "Valkey server v=8.1.8 sha=0", Some("valkey")),
            (Kind::Postgres, "postgres (PostgreSQL) 13.9", None),
            (Kind::Postgres, "postgres (PostgreSQL) 14.0", Some("postgres")),
        ];
        for (kind, line, want) in cases {
            assert_eq!(identify(kind, line).map(|(name, _)| name), want, "{line}");
        }
    }
}
