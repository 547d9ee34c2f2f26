//! The agents: three reviewers, each with its specialty and its tool, and the judge.

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
}

/// Looks for what an attacker could use.
pub const SECURITY: Agent = Agent {
    name: "security",
    prompt: include_str!("../../../assets/prompts/security.md"),
    tool: Some(Tool::ScanForSecrets),
};

/// Looks for what is slow, or becomes slow with growth.
pub const PERFORMANCE: Agent = Agent {
    name: "performance",
    prompt: include_str!("../../../assets/prompts/performance.md"),
    tool: Some(Tool::DiffStats),
};

/// Looks for what users cannot see, reach or understand.
pub const UX: Agent = Agent {
    name: "ux",
    prompt: include_str!("../../../assets/prompts/ux.md"),
    tool: Some(Tool::ContrastRatio),
};

/// Weighs what the reviewers found.
pub const JUDGE: Agent = Agent {
    name: "judge",
    prompt: include_str!("../../../assets/prompts/judge.md"),
    tool: None,
};

#[cfg(test)]
mod tests {
    use super::*;

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
