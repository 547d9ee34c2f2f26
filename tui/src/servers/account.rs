//! The account that Postgres runs as when we are root: Postgres refuses uid 0.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// `postgres` if this machine has it, else `nobody`, which each has.
    pub fn for_postgres() -> Option<Account> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Account::find(&passwd, "postgres").or_else(|| Account::find(&passwd, "nobody"))
    }

    /// The account that owns a folder which an earlier start made; root is never the answer.
    pub fn owner_of(dir: &Path) -> Option<Account> {
        let metadata = fs::metadata(dir).ok().filter(|metadata| metadata.uid() != 0)?;
        let name = format!("uid {}", metadata.uid());
        Some(Account {
            name,
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }

    /// Looks an account up in the text of `/etc/passwd`.
    fn find(passwd: &str, name: &str) -> Option<Account> {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [found, _, uid, gid, ..] = fields[..] else {
                return None;
            };
            // macOS writes the id of nobody as -2.
            let id = |text: &str| {
                text.parse::<u32>()
                    .ok()
                    .or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
            };
            (found == name).then_some(Account {
                name: name.to_owned(),
                uid: id(uid)?,
                gid: id(gid)?,
            })
        })
    }

    /// The outermost folder on the way to `path`, itself included, that this account cannot enter.
    pub fn barred_from(&self, path: &Path) -> Option<PathBuf> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut folders: Vec<&Path> = path.ancestors().collect();
        folders.reverse();
        let barred =
            |folder: &&Path| fs::metadata(folder).map_or(true, |metadata| !self.may_enter(&metadata));
        folders.into_iter().find(barred).map(Path::to_owned)
    }

    /// Whether the permissions of a folder let this account through.
    fn may_enter(&self, folder: &Metadata) -> bool {
        let bit = match (folder.uid() == self.uid, folder.gid() == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        folder.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\n\
        nobody:*:-2:-2:Unprivileged User:/var/empty:/usr/bin/false\n\
        postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn accounts_are_found_by_name() {
        let found = |name| Account::find(PASSWD, name).map(|account| (account.uid, account.gid));
        assert_eq!(found("postgres"), Some((101, 104)));
        assert_eq!(found("nobody"), Some((u32::MAX - 1, u32::MAX - 1)));
        assert_eq!(found("post"), None);
    }

    #[test]
    fn a_folder_that_bars_an_account_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 4_000_000,
            gid: 4_000_000,
        };
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert!(stranger.barred_from(folder.path()).is_some());
        mode(0o711);
        let barred = stranger.barred_from(folder.path());
        assert_ne!(
            barred.as_deref(),
            Some(fs::canonicalize(folder.path()).unwrap().as_path())
        );
    }
}
