//! Named servers in a file: where they are, how the header shows them, and whether a console may write there.
//!
//! ```toml
//! [production]
//! valkey_url = "rediss://console:${PROD_VALKEY_PASSWORD}@valkey.example:6379"
//! database_url = "postgres://console:${PROD_PG_PASSWORD}@db.example/millstream"
//! queue = "reviews:queue"
//! group = "reviewers"
//! colour = "red"
//! production = true
//! write = false
//! ```
//!
//! `${NAME}` stands for a variable of the environment, so that no secret has to be in the file; a file with one must be
//! its owner's alone. All that is wrong with the file is told at once, and no fault repeats an address.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::failure::Failure;
use crate::model::look::Tint;

/// Larger than a thousand profiles.
const LONGEST: u64 = 256 * 1024;
/// What a profile may say.
const KNOWN: &str = "valkey_url, database_url, queue, group, colour, production, write";

/// A lookup of variables.
type Vars<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Named servers.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerProfile {
    /// Their name.
    pub name: String,
    /// What stands in for variables: `VALKEY_URL`, `DATABASE_URL`, `QUEUE`, `QUEUE_GROUP`.
    vars: Vec<(&'static str, String)>,
    /// How the header shows the name.
    pub tint: Option<Tint>,
    /// Whether people depend on them.
    pub is_production: bool,
    /// Whether anything may be changed there.
    pub may_write: bool,
}

impl std::fmt::Debug for ServerProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The addresses may hold passwords.
        f.debug_struct("ServerProfile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ServerProfile {
    /// The profile that was asked for, by its name or by `MILLSTREAM_PROFILE`.
    ///
    /// # Errors
    /// When it is not there, or anything in the file is wrong.
    pub fn find(asked: Option<&str>, vars: Vars<'_>) -> Result<Option<Self>, Failure> {
        let set = |name: &str| {
            vars(name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let Some(name) = asked.map(ToOwned::to_owned).or_else(|| set("MILLSTREAM_PROFILE")) else {
            return Ok(None);
        };
        let Some(path) = path(vars) else {
            let text = "set MILLSTREAM_PROFILES to the file of the profiles: there is no home to look in";
            return Err(Failure::Usage(text.to_owned()));
        };
        let shown = path.display();
        let text = load(&path)?;
        let is_private = std::fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o077 == 0);
        let all = read(&text, is_private, &name, vars).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|fault| format!("{shown}: {fault}")).collect();
            Failure::Usage(lines.join("\n"))
        })?;
        let names: Vec<String> = all.iter().map(|profile| profile.name.clone()).collect();
        let found = all.into_iter().find(|profile| profile.name == name);
        found.map(Some).ok_or_else(|| {
            let there = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            Failure::Usage(format!("{shown}: no profile is called {name}; there are {there}"))
        })
    }

    /// A variable: what the profile says, or what is set.
    pub fn lookup(&self, name: &str, vars: Vars<'_>) -> Option<String> {
        // One of the servers from here and the other from there would be two systems.
        if name == "REDIS_URL" {
            return None;
        }
        let own = self.vars.iter().find(|(known, _)| *known == name);
        own.map(|(_, value)| value.clone()).or_else(|| vars(name))
    }
}

/// Where the file is.
fn path(vars: Vars<'_>) -> Option<PathBuf> {
    if let Some(named) = vars("MILLSTREAM_PROFILES").filter(|path| !path.trim().is_empty()) {
        return Some(PathBuf::from(named));
    }
    Some(config_folder(vars)?.join("profiles.toml"))
}

/// Where this account keeps settings of programs.
pub fn config_folder(vars: Vars<'_>) -> Option<PathBuf> {
    let folder = |name: &str| vars(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    base.map(|base| base.join("millstream"))
}

/// Reads a file of settings, up to a bound.
///
/// # Errors
/// When it cannot be read, or is too large.
pub fn load(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if size > LONGEST {
        return Err(failed(format!("it is larger than {LONGEST} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// All profiles of a file. Variables are asked for those of the profile that is wanted alone.
fn read(
    text: &str,
    is_private: bool,
    wanted: &str,
    vars: Vars<'_>,
) -> Result<Vec<ServerProfile>, Vec<String>> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let error: toml::de::Error = error;
            // The whole message would repeat the line, and with it what may be a secret.
            return Err(vec![format!("it is no TOML: {}", error.message())]);
        }
    };
    let mut faults = Vec::new();
    let mut profiles = Vec::new();
    for (name, value) in &table {
        let Value::Table(said) = value else {
            faults.push(format!("{name}: a table is wanted, [{name}]"));
            continue;
        };
        let mut reading = Reading {
            name,
            faults: &mut faults,
            is_private,
            vars: (name == wanted).then_some(vars),
        };
        profiles.push(reading.profile(said));
    }
    if faults.is_empty() {
        Ok(profiles)
    } else {
        Err(faults)
    }
}

/// One profile, while it is read.
struct Reading<'a> {
    name: &'a str,
    faults: &'a mut Vec<String>,
    is_private: bool,
    vars: Option<Vars<'a>>,
}

impl Reading<'_> {
    fn fault(&mut self, key: &str, why: impl std::fmt::Display) {
        self.faults.push(format!("{}.{key}: {why}", self.name));
    }

    fn profile(&mut self, said: &Table) -> ServerProfile {
        let mut profile = ServerProfile {
            name: self.name.to_owned(),
            vars: Vec::new(),
            tint: None,
            is_production: false,
            may_write: true,
        };
        for (key, value) in said {
            match key.as_str() {
                "valkey_url" => {
                    let address = self.address(key, value, &["redis", "rediss", "valkey", "valkeys"]);
                    profile
                        .vars
                        .extend(address.map(|address| ("VALKEY_URL", address)));
                }
                "database_url" => {
                    let address = self.address(key, value, &["postgres", "postgresql"]);
                    profile
                        .vars
                        .extend(address.map(|address| ("DATABASE_URL", address)));
                }
                "queue" => profile
                    .vars
                    .extend(self.text(key, value).map(|text| ("QUEUE", text))),
                "group" => profile
                    .vars
                    .extend(self.text(key, value).map(|text| ("QUEUE_GROUP", text))),
                "colour" => profile.tint = self.tint(key, value),
                "production" => profile.is_production = self.flag(key, value),
                "write" => profile.may_write = self.flag(key, value),
                _ => self.fault(key, format!("nothing is called so; there are {KNOWN}")),
            }
        }
        for key in ["valkey_url", "database_url"] {
            if !said.contains_key(key) {
                self.fault(key, "it is missing");
            }
        }
        profile
    }

    fn text(&mut self, key: &str, value: &Value) -> Option<String> {
        let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
        if text.is_none() {
            self.fault(key, "a text is wanted");
        }
        text.map(ToOwned::to_owned)
    }

    fn flag(&mut self, key: &str, value: &Value) -> bool {
        value.as_bool().unwrap_or_else(|| {
            self.fault(key, "true or false is wanted");
            false
        })
    }

    fn tint(&mut self, key: &str, value: &Value) -> Option<Tint> {
        let found = Tint::ALL
            .into_iter()
            .find(|tint| value.as_str() == Some(tint.word()));
        if found.is_none() {
            let words: Vec<&str> = Tint::ALL.iter().map(|tint| tint.word()).collect();
            self.fault(key, format!("one of {} is wanted", words.join(", ")));
        }
        found
    }

    /// An address, with variables put in. Its faults never say what it is.
    fn address(&mut self, key: &str, value: &Value, schemes: &[&str]) -> Option<String> {
        let text = self.text(key, value)?;
        let filled = self.filled(key, &text)?;
        if self.vars.is_none() && text.contains("${") {
            // Of a profile that nobody asked for, what its variables say is not known.
            return None;
        }
        let url = url::Url::parse(&filled).ok();
        if !url.is_some_and(|url| schemes.contains(&url.scheme())) {
            self.fault(
                key,
                format!("an address is wanted that begins with {}://", schemes[0]),
            );
            return None;
        }
        // What comes by a variable is not in the file.
        let bare = without_variables(&text);
        let literal =
            url::Url::parse(&bare).is_ok_and(|url| url.password().is_some_and(|word| !word.is_empty()));
        if literal && !self.is_private {
            self.fault(
                key,
                "it holds a password and others may read the file: chmod 600, or write ${NAME}",
            );
        }
        Some(filled)
    }

    /// The text with each `${NAME}` replaced. For a profile that nobody asked for a word stands in.
    fn filled(&mut self, key: &str, text: &str) -> Option<String> {
        let (mut out, mut rest, mut whole) = (String::new(), text, true);
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((name, after)) = behind.split_once('}') else {
                self.fault(key, "a ${ is never closed");
                return None;
            };
            out.push_str(before);
            match self.vars.map(|vars| vars(name).filter(|value| !value.is_empty())) {
                Some(Some(value)) => out.push_str(&value),
                Some(None) => {
                    self.fault(key, format!("the variable {name} is not set"));
                    whole = false;
                }
                None => out.push('x'),
            }
            rest = after;
        }
        out.push_str(rest);
        whole.then_some(out)
    }
}

/// The text with nothing in the places of its variables.
fn without_variables(text: &str) -> String {
    let mut parts = text.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('}').map_or("", |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(name: &str) -> Option<String> {
        match name {
            "PASSWORD" => Some("hunter2".to_owned()),
            "QUEUE" => Some("others".to_owned()),
            _ => None,
        }
    }

    const WHOLE: &str = "[production]\nvalkey_url = 'rediss://c:${PASSWORD}@valkey.example:6379'\n\
                         database_url = 'postgres://c:${PASSWORD}@db.example/m'\ncolour = 'red'\nproduction = true\n\
                         write = false\n[staging]\nvalkey_url = 'redis://s:${UNSET}@s'\ndatabase_url = 'postgres://s/m'\n";

    #[test]
    fn a_secret_comes_from_the_environment_and_is_never_shown() {
        let all = read(WHOLE, false, "production", &vars).unwrap();
        let profile = all.iter().find(|profile| profile.name == "production").unwrap();
        let url = profile.lookup("VALKEY_URL", &vars).unwrap();
        assert_eq!(url, "rediss://c:hunter2@valkey.example:6379");
        assert_eq!(profile.lookup("QUEUE", &vars).as_deref(), Some("others"));
        assert!(profile.is_production && !profile.may_write);
        assert!(!format!("{profile:?}").contains("hunter2"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_a_fault_of_the_profile_that_is_used_alone() {
        let faults = read(WHOLE, false, "staging", &vars).unwrap_err();
        assert_eq!(faults, ["staging.valkey_url: the variable UNSET is not set"]);
    }

    #[test]
    fn all_faults_are_told_together_and_none_repeats_a_secret() {
        let text = "top = 1\n[a]\nvalkey_url = 'http://u:topsecret@h'\ndatabase_url = 'postgres://u:topsecret@h/m'\n\
                    colour = 'mauve'\nproduction = 'yes'\npasword = 'topsecret'\n[b]\nqueue = ''\n";
        let faults = read(text, false, "a", &vars).unwrap_err().join("\n");
        for fault in [
            "top: a table is wanted",
            "a.valkey_url: an address is wanted that begins with redis://",
            "a.database_url: it holds a password and others may read the file",
            "a.colour: one of blue",
            "a.production: true or false",
            "a.pasword: nothing is called so",
            "b.queue: a text is wanted",
            "b.valkey_url: it is missing",
        ] {
            assert!(faults.contains(fault), "{fault} is not in\n{faults}");
        }
        assert!(!faults.contains("topsecret"), "{faults}");
        let broken = read("[a]\nurl = 'topsecret\n", false, "a", &vars)
            .unwrap_err()
            .join("\n");
        assert!(!broken.contains("topsecret"), "{broken}");
    }

    #[test]
    fn a_password_may_stand_in_a_file_that_nobody_else_can_read() {
        let text = "[a]\nvalkey_url = 'redis://h'\ndatabase_url = 'postgres://u:pw1234@h/m'\n";
        assert!(read(text, true, "a", &vars).is_ok());
        assert!(read(text, false, "a", &vars).is_err());
    }
}
