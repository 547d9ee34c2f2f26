//! What is typed behind `--match`: which of the dead are meant.
//!
//! Words and qualifiers, all of which must hold: `error:timeout class:model worker:w-7 id:469158 older:10m
//! newer:1h fingerprint:0a1b`. A value with spaces stands in double quotes. A qualifier that nobody knows is a
//! mistake and never a word, since the moves that take a filter cannot be taken back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// The longest filter that is read.
const LONGEST: usize = 2_000;
/// The qualifiers, for the message that lists them.
const KNOWN: &str = "error, class, worker, id, older, newer, fingerprint";

/// Which dead jobs are meant; the empty filter means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeadFilter {
    /// The error has all of these, whatever the case of ASCII letters.
    pub errors: Vec<String>,
    /// The class is this one.
    pub class: Option<String>,
    /// The worker's name begins so.
    pub worker: Option<String>,
    /// The id begins so.
    pub id: Option<String>,
    /// It died at least so long ago.
    pub older: Option<Duration>,
    /// It died at most so long ago.
    pub newer: Option<Duration>,
    /// The fingerprint begins so.
    pub fingerprint: Option<String>,
    /// Each stands in the id, the input, the error, the class or the worker's name.
    pub words: Vec<String>,
}

/// What is known about a dead job when it is held against a filter.
#[derive(Debug, Clone, Copy)]
pub struct DeadFacts<'a> {
    /// The job's id; nothing for an entry that carried none.
    pub id: Option<&'a str>,
    /// What it worked on.
    pub input: &'a str,
    /// Its last error.
    pub error: &'a str,
    /// The class of that.
    pub class: &'a str,
    /// Who ran it last.
    pub worker: &'a str,
    /// The fingerprint of class and error.
    pub fingerprint: &'a str,
    /// When it died.
    pub died_at: DateTime<Utc>,
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAFilter {
    /// A qualifier that nobody knows.
    #[error("there is no qualifier `{0}:`; there are {KNOWN}")]
    Unknown(String),
    /// A qualifier without a value.
    #[error("`{0}:` has no value")]
    Empty(String),
    /// A qualifier that can stand only once.
    #[error("`{0}:` stands twice")]
    Twice(String),
    /// A time that cannot be read.
    #[error("`{0}:` takes a duration, like 10m or 1h30m")]
    NotATime(String),
    /// A quote is opened and not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// Too long.
    #[error("a filter has at most {LONGEST} bytes")]
    TooLong,
}

impl DeadFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When a qualifier is unknown, empty or doubled, or a time is none.
    pub fn parse(text: &str) -> Result<Self, NotAFilter> {
        if text.len() > LONGEST {
            return Err(NotAFilter::TooLong);
        }
        let mut filter = Self::default();
        for (name, value) in tokens(text)? {
            match name {
                None => filter.words.push(value.to_ascii_lowercase()),
                Some(name) => filter.qualify(&name, value)?,
            }
        }
        Ok(filter)
    }

    fn qualify(&mut self, name: &str, value: String) -> Result<(), NotAFilter> {
        if value.is_empty() {
            return Err(NotAFilter::Empty(name.to_owned()));
        }
        let lower = value.to_ascii_lowercase();
        match name {
            "error" => {
                self.errors.push(lower);
                Ok(())
            }
            "class" => once(&mut self.class, name, lower),
            "worker" => once(&mut self.worker, name, value),
            "id" => once(&mut self.id, name, lower),
            "fingerprint" => once(&mut self.fingerprint, name, lower),
            "older" => once(&mut self.older, name, time(name, &value)?),
            "newer" => once(&mut self.newer, name, time(name, &value)?),
            _ => Err(NotAFilter::Unknown(name.chars().take(32).collect())),
        }
    }

    /// Whether a dead job is meant.
    #[must_use]
    pub fn matches(&self, facts: &DeadFacts<'_>, now: DateTime<Utc>) -> bool {
        let age = (now - facts.died_at).to_std().unwrap_or_default();
        let error = facts.error.to_ascii_lowercase();
        let begins = |wanted: &Option<String>, text: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| text.starts_with(wanted.as_str()))
        };
        let everything = || {
            let parts = [
                facts.id.unwrap_or_default(),
                facts.input,
                facts.error,
                facts.class,
                facts.worker,
            ];
            parts.join("\n").to_ascii_lowercase()
        };
        self.errors.iter().all(|wanted| error.contains(wanted))
            && self.class.as_ref().is_none_or(|class| facts.class == class)
            && begins(&self.worker, facts.worker)
            && begins(&self.id, facts.id.unwrap_or_default())
            && begins(&self.fingerprint, facts.fingerprint)
            && self.older.is_none_or(|older| age >= older)
            && self.newer.is_none_or(|newer| age <= newer)
            && (self.words.is_empty() || {
                let everything = everything();
                self.words.iter().all(|word| everything.contains(word))
            })
    }
}

fn once<T>(field: &mut Option<T>, name: &str, value: T) -> Result<(), NotAFilter> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(NotAFilter::Twice(name.to_owned())),
    }
}

fn time(name: &str, text: &str) -> Result<Duration, NotAFilter> {
    let most = Duration::from_secs(100 * 366 * 86_400);
    humantime::parse_duration(text)
        .ok()
        .filter(|time| *time <= most)
        .ok_or_else(|| NotAFilter::NotATime(name.to_owned()))
}

/// Splits at spaces outside quotes. A token is a word, or a qualifier's name and its value.
fn tokens(text: &str) -> Result<Vec<(Option<String>, String)>, NotAFilter> {
    let mut tokens = Vec::new();
    let (mut name, mut value, mut begun, mut quoted) = (None, String::new(), false, false);
    for c in text.chars().chain([' ']) {
        match c {
            '"' => {
                quoted = !quoted;
            }
            ':' if !quoted && name.is_none() && !value.is_empty() && is_name(&value) => {
                name = Some(std::mem::take(&mut value));
            }
            c if c.is_whitespace() && !quoted => {
                if begun {
                    tokens.push((name.take(), std::mem::take(&mut value)));
                }
                begun = false;
                continue;
            }
            c => value.push(c),
        }
        begun = true;
    }
    if quoted {
        return Err(NotAFilter::OpenQuote);
    }
    tokens.retain(|(name, value)| name.is_some() || !value.is_empty());
    Ok(tokens)
}

/// Letters only: `10:30` and `a/b:c` are words.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(now: DateTime<Utc>) -> DeadFacts<'static> {
        DeadFacts {
            id: Some("469158fd-3a28-4a20-94da-ff62f3c15321"),
            input: "https://github.com/acme/ledger/pull/7",
            error: "GitHub answered 502: Rate limit",
            class: "github",
            worker: "w-7f3a000000000000",
            fingerprint: "0a1b2c3d4e5f",
            died_at: now - chrono::TimeDelta::minutes(30),
        }
    }

    #[test]
    fn all_parts_must_hold() {
        let now = fixed_now();
        let meant = |text: &str| DeadFilter::parse(text).expect(text).matches(&facts(now), now);
        for text in [
            "",
            "error:502",
            "error:\"rate limit\" error:github",
            "class:github worker:w-7 id:469158",
            "older:10m newer:1h",
            "fingerprint:0a1b",
            "LEDGER rate",
            "\"answered 502\"",
        ] {
            assert!(meant(text), "{text}");
        }
        for text in [
            "error:503",
            "class:git",
            "worker:w-8",
            "id:58fd",
            "older:1h",
            "newer:10m",
            "fingerprint:ff",
            "ledger timeout",
            "error:502 class:model",
        ] {
            assert!(!meant(text), "{text}");
        }
    }

    /// A fixed time: nothing here reads a clock.
    fn fixed_now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_763_800_000, 0).expect("a time")
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        let why = |text: &str| DeadFilter::parse(text).expect_err(text);
        assert_eq!(why("status:dead"), NotAFilter::Unknown("status".into()));
        assert_eq!(why("class:"), NotAFilter::Empty("class".into()));
        assert_eq!(why("class:a class:b"), NotAFilter::Twice("class".into()));
        assert_eq!(why("older:soon"), NotAFilter::NotATime("older".into()));
        assert_eq!(why("error:\"a b"), NotAFilter::OpenQuote);
        assert_eq!(why(&"a".repeat(2_001)), NotAFilter::TooLong);
    }

    #[test]
    fn a_colon_in_an_address_makes_no_qualifier() {
        let filter = DeadFilter::parse("10:30 \"https://x\" a/b:c").expect("words");
        assert_eq!(filter.words, ["10:30", "https://x", "a/b:c"]);
        // Unquoted it looks like one, and a wrong guess would mean more than was typed.
        assert!(DeadFilter::parse("https://x").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _either = DeadFilter::parse(&text);
        }
    }
}
