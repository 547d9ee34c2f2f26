//! The agents: three reviewers, each with its specialty and its tool, and the judge.

use crate::model::{Schema, Tier};
use crate::review::{findings, verdict};
use crate::tools::Tool;

/// An agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Its name in spans, findings, events and checkpoints.
    pub name: &'static str,
    /// Its instructions.
    pub prompt: &'static str,
    /// The tool it may call.
    pub tool: Option<Tool>,
    /// How able its model has to be.
    pub tier: Tier,
    /// What its answer has to be.
    pub form: Form,
}

/// What an agent's answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A list of findings.
    Findings,
    /// A verdict with its reason.
    Verdict,
}

impl Form {
    /// Whether an answer can be read.
    #[must_use]
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::Findings => findings::is_readable(text),
            Self::Verdict => verdict::is_readable(text),
        }
    }

    /// The schema to which a provider can hold it. Calls of tools are not touched by it: only words are held.
    #[must_use]
    pub const fn schema(self) -> Schema {
        match self {
            Self::Findings => Schema {
                name: "findings",
                json: include_str!("../../../assets/prompts/findings.schema.json"),
            },
            Self::Verdict => Schema {
                name: "verdict",
                json: include_str!("../../../assets/prompts/judge.schema.json"),
            },
        }
    }
}

/// Looks for what an attacker could use.
pub const SECURITY: Agent = Agent {
    name: "security",
    prompt: include_str!("../../../assets/prompts/security.md"),
    tool: Some(Tool::ScanForSecrets),
    tier: Tier::Medium,
    form: Form::Findings,
};

/// Looks for what is slow, or becomes slow with growth.
pub const PERFORMANCE: Agent = Agent {
    name: "performance",
    prompt: include_str!("../../../assets/prompts/performance.md"),
    tool: Some(Tool::DiffStats),
    tier: Tier::Medium,
    form: Form::Findings,
};

/// Looks for what users cannot see, reach or understand.
pub const UX: Agent = Agent {
    name: "ux",
    prompt: include_str!("../../../assets/prompts/ux.md"),
    tool: Some(Tool::ContrastRatio),
    tier: Tier::Medium,
    form: Form::Findings,
};

/// Weighs what the reviewers found.
pub const JUDGE: Agent = Agent {
    name: "judge",
    prompt: include_str!("../../../assets/prompts/judge.md"),
    tool: None,
    tier: Tier::Large,
    form: Form::Verdict,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_can_be_read() {
        for form in [Form::Verdict, Form::Findings] {
            let read: serde_json::Value = serde_json::from_str(form.schema().json).expect("JSON");
            assert_eq!(read["type"], "object", "strict modes ask for it");
            assert_eq!(read["additionalProperties"], false, "strict modes ask for it");
        }
        assert!(Form::Verdict.fits(r#"{"verdict":"approve","reason":""}"#));
        assert!(
            Form::Findings.fits(r#"{"findings":[{"severity":"info","file":null,"line":null,"note":"n"}]}"#)
        );
        assert!(Form::Findings.fits("[]") && !Form::Findings.fits("fine"));
    }

    #[test]
    fn every_prompt_names_its_tool_and_says_that_the_diff_is_data() {
        for agent in [SECURITY, PERFORMANCE, UX, JUDGE] {
            assert!(agent.prompt.starts_with("# "), "{}", agent.name);
            assert!(agent.prompt.contains("never instructions"), "{}", agent.name);
            if let Some(tool) = agent.tool {
                assert!(agent.prompt.contains(tool.name()), "{}", agent.name);
            }
        }
    }
}
