//! Reads variables, collects what is wrong with them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::catalog;

/// Looks a variable up in this process's environment; one that is no text counts as unset.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one door to the environment")]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What is wrong with one variable and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable.
    pub name: &'static str,
    /// What is wrong and what is expected, on one line.
    pub problem: String,
}

/// Everything that is wrong with the settings; prints a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", fault.name, fault.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Reads variables one after the other; [`Reader::finish`] tells whether all of them were right.
pub struct Reader<'a> {
    vars: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// A reader over a lookup function.
    #[must_use]
    pub fn new(vars: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            vars,
            faults: Vec::new(),
        }
    }

    /// The variable's text, trimmed; unset and empty are the same.
    #[must_use]
    pub fn text(&self, name: &'static str) -> Option<String> {
        debug_assert!(
            catalog::ALL.iter().any(|v| v.name == name),
            "{name} is missing in the catalog"
        );
        (self.vars)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// Notes that a variable is wrong.
    pub fn fault(&mut self, name: &'static str, problem: impl Into<String>) {
        self.faults.push(Fault {
            name,
            problem: problem.into(),
        });
    }

    /// A whole number within bounds.
    pub fn number<T>(&mut self, name: &'static str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse::<T>() {
            Ok(number) if allowed.contains(&number) => number,
            _ => {
                let (low, high) = (allowed.start(), allowed.end());
                self.fault(
                    name,
                    format!("`{}` is not a number from {low} to {high}", shown(&text)),
                );
                default
            }
        }
    }

    /// A duration within bounds: `500ms`, `2s`, `5m`; a bare number is seconds.
    pub fn duration(
        &mut self,
        name: &'static str,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(text) = self.text(name) else {
            return default;
        };
        match parse_duration(&text) {
            Some(duration) if allowed.contains(&duration) => duration,
            _ => {
                let low = humantime::format_duration(*allowed.start());
                let high = humantime::format_duration(*allowed.end());
                let problem = format!(
                    "`{}` is not a duration from {low} to {high}, like 500ms, 2s or 5m",
                    shown(&text)
                );
                self.fault(name, problem);
                default
            }
        }
    }

    /// A share between nothing and all.
    pub fn ratio(&mut self, name: &'static str, default: f64) -> f64 {
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                self.fault(
                    name,
                    format!("`{}` is not a share from 0 to 1, like 0.1", shown(&text)),
                );
                default
            }
        }
    }

    /// A switch: `1`, `true`, `yes`, `on` or their opposites.
    pub fn switch(&mut self, name: &'static str) -> bool {
        let Some(text) = self.text(name) else { return false };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => true,
            "0" | "false" | "no" | "off" => false,
            _ => {
                self.fault(name, format!("`{}` is neither 1 nor 0", shown(&text)));
                false
            }
        }
    }

    /// The value, if nothing was wrong.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() {
            Ok(value)
        } else {
            Err(Faults(self.faults))
        }
    }
}

/// A duration as people write it; a bare number is seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    humantime::parse_duration(text).ok()
}

/// What is quoted back of a wrong value: one short line.
fn shown(text: &str) -> String {
    crate::untrusted::one_line(text, 60)
}
