//! What an agent can ask for: tools called by name with JSON arguments, answering JSON text.
//!
//! A tool works on the diff under review or on what its arguments hold, and on nothing else: it
//! reads no file, asks no network and changes nothing. Its answer is bounded and shows no secret.

pub mod contrast;
pub mod diff_stats;
pub mod secrets;
pub mod time;

use serde_json::Value;

use crate::diff::Diff;
use crate::model::ToolSpec;

/// Every tool there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Finds committed secrets.
    ScanForSecrets,
    /// Counts lines and hunks.
    DiffStats,
    /// Measures the contrast of two colours.
    ContrastRatio,
    /// Tells the time.
    CurrentTime,
}

/// The arguments do not fit the tool; the model is told, so that it can call again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadArguments(pub String);

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ScanForSecrets,
        Self::DiffStats,
        Self::ContrastRatio,
        Self::CurrentTime,
    ];

    /// The name by which a model calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScanForSecrets => "scan_for_secrets",
            Self::DiffStats => "diff_stats",
            Self::ContrastRatio => "contrast_ratio",
            Self::CurrentTime => "current_time",
        }
    }

    /// What a model is told about it.
    #[must_use]
    pub fn spec(self) -> ToolSpec {
        let (description, parameters) = match self {
            Self::ScanForSecrets => secrets::describe(),
            Self::DiffStats => diff_stats::describe(),
            Self::ContrastRatio => contrast::describe(),
            Self::CurrentTime => time::describe(),
        };
        ToolSpec {
            name: self.name().to_owned(),
            description: description.to_owned(),
            parameters,
        }
    }

    /// Runs it on the diff under review.
    ///
    /// # Errors
    /// When the arguments do not fit.
    pub fn call(self, arguments: &Value, diff: &Diff) -> Result<String, BadArguments> {
        let answer = match self {
            Self::ScanForSecrets => secrets::call(arguments, diff)?,
            Self::DiffStats => diff_stats::call(arguments, diff)?,
            Self::ContrastRatio => contrast::call(arguments)?,
            Self::CurrentTime => time::call(),
        };
        // Two spaces of indent, as the reference's tools answer.
        Ok(format!("{answer:#}"))
    }
}

/// An argument that may be left out but must be text where it is given.
fn optional_text<'a>(arguments: &'a Value, name: &str) -> Result<Option<&'a str>, BadArguments> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(BadArguments(format!("`{name}` must be a string"))),
    }
}

/// The files that a call is about: the one that `file` names, or all.
fn chosen<'a>(arguments: &Value, diff: &'a Diff) -> Result<Vec<&'a crate::diff::FileDiff>, BadArguments> {
    match optional_text(arguments, "file")? {
        None => Ok(diff.files.iter().collect()),
        Some(path) => diff
            .file(path)
            .map(|file| vec![file])
            .ok_or_else(|| BadArguments("`file` names no file of the diff under review".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_tool_describes_itself_as_a_json_schema_object() {
        for tool in Tool::ALL {
            let spec = tool.spec();
            assert_eq!(
                (spec.name.as_str(), &spec.parameters["type"]),
                (tool.name(), &json!("object"))
            );
            assert!(!spec.description.is_empty());
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused_and_no_arguments_are_fine() {
        let diff = Diff::default();
        for tool in [Tool::ScanForSecrets, Tool::DiffStats] {
            for wrong in [json!({"file": 1}), json!({"file": "none.rs"})] {
                assert!(tool.call(&wrong, &diff).is_err(), "{wrong}");
            }
            for fine in [json!({}), Value::Null, json!([])] {
                assert!(tool.call(&fine, &diff).is_ok(), "{fine}");
            }
        }
        assert!(
            Tool::ContrastRatio
                .call(&json!({"foreground": "#fff"}), &diff)
                .is_err()
        );
    }
}
