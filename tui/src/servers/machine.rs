//! What the environment says about this machine: where programs are looked for, where the cache may be, and
//! who we are. Read once, through a lookup function, so that a test can make a machine of its own.

use std::path::{Path, PathBuf};

use super::error::ServersError;

/// Where servers may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Installed ones first, then the cache, then a fetch.
    Any,
    /// `MILLSTREAM_SERVERS=installed`: installed ones, or none.
    Installed,
    /// `MILLSTREAM_SERVERS=fetched`: the cache, then a fetch; installed ones are not looked at.
    Fetched,
}

/// This machine, as far as the servers are concerned.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) path: Vec<PathBuf>,
    pub(super) caches: Vec<PathBuf>,
    pub(super) temp: PathBuf,
    pub(super) choice: Choice,
    pub(super) uid: u32,
}

impl Machine {
    /// Reads `PATH`, `HOME`, `XDG_CACHE_HOME`, `TMPDIR` and `MILLSTREAM_SERVERS` through `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Machine, ServersError> {
        let uid = rustix::process::geteuid().as_raw();
        let folder = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let temp = folder("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let path = lookup("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
        Ok(Machine {
            path: std::env::split_paths(&path)
                .filter(|dir| dir.is_absolute())
                .collect(),
            caches: caches(folder("XDG_CACHE_HOME"), folder("HOME"), &temp, uid),
            temp,
            choice: choice(lookup("MILLSTREAM_SERVERS").as_deref().unwrap_or_default())?,
            uid,
        })
    }

    /// A folder to make a data folder in: the temporary folder, or `/tmp` if we are root, since the account
    /// that runs Postgres may not be able to enter a temporary folder of root's own.
    pub fn data_root(&self) -> &Path {
        if self.is_root() {
            Path::new("/tmp")
        } else {
            &self.temp
        }
    }

    /// Whether we run as root, which Postgres refuses to do.
    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The program of this name on `PATH`.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        self.path
            .iter()
            .map(|dir| dir.join(program))
            .find(|path| path.is_file())
    }
}

/// The folders that may hold the cache, best first. `HOME` can be unset or read-only; the temporary folder
/// with our uid in its name is there on every machine.
fn caches(cache_home: Option<PathBuf>, home: Option<PathBuf>, temp: &Path, uid: u32) -> Vec<PathBuf> {
    let named = cache_home
        .or_else(|| home.map(|home| home.join(".cache")))
        .map(|dir| dir.join("millstream"));
    let mut caches: Vec<PathBuf> = named.into_iter().collect();
    for temp in [temp, Path::new("/tmp")] {
        let cache = temp.join(format!("millstream-cache-{uid}"));
        if !caches.contains(&cache) {
            caches.push(cache);
        }
    }
    caches
}

fn choice(word: &str) -> Result<Choice, ServersError> {
    match word {
        "" => Ok(Choice::Any),
        "installed" => Ok(Choice::Installed),
        "fetched" => Ok(Choice::Fetched),
        other => Err(ServersError::UnknownChoice(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_from_its_variables() {
        let lookup = |name: &str| match name {
            "PATH" => Some("/opt/x/bin:relative:/usr/bin".to_owned()),
            "HOME" => Some("/home/ada".to_owned()),
            "MILLSTREAM_SERVERS" => Some("fetched".to_owned()),
            _ => None,
        };
        let machine = Machine::read(&lookup).unwrap();
        assert_eq!(machine.path, [Path::new("/opt/x/bin"), Path::new("/usr/bin")]);
        assert_eq!(machine.caches[0], Path::new("/home/ada/.cache/millstream"));
        assert_eq!(machine.choice, Choice::Fetched);
    }

    #[test]
    fn the_cache_falls_back_to_the_temporary_folder() {
        let temp = Path::new("/tmp");
        assert_eq!(
            caches(None, None, temp, 7),
            [Path::new("/tmp/millstream-cache-7")]
        );
        let named = caches(Some("/c".into()), Some("/home/ada".into()), Path::new("/t"), 7);
        let want = [
            "/c/millstream",
            "/t/millstream-cache-7",
            "/tmp/millstream-cache-7",
        ];
        assert_eq!(named, want.map(PathBuf::from));
    }

    #[test]
    fn a_word_that_means_nothing_is_refused_with_what_to_type() {
        let refused = choice("docker").unwrap_err().to_string();
        assert_eq!(
            refused,
            r#"MILLSTREAM_SERVERS is "docker": set it to installed or fetched, or unset it"#
        );
    }
}
