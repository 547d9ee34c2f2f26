//! What a running review tells while it runs: the reference's events, in its spelling.

use serde::{Deserialize, Serialize};

/// The stage a review has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The diff is fetched.
    Prepare,
    /// Noise is taken out of it.
    Filter,
    /// The reviewers run.
    Review,
    /// The judge weighs what they found.
    Judge,
    /// The result is recorded.
    Done,
}

/// One event. Serialised it is what the reference publishes, with the same fields in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Progress {
    /// A stage begins.
    Phase {
        /// Which.
        phase: Phase,
        /// Words about it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        detail: Option<String>,
    },
    /// A reviewer begins.
    AgentStart {
        /// Its name.
        agent: String,
    },
    /// An answer comes in piece by piece. Ours alone: the reference has nothing between begin and end.
    AgentProgress {
        /// The agent's name.
        agent: String,
        /// Characters of the answer so far.
        chars: u64,
    },
    /// A reviewer has answered.
    AgentDone {
        /// Its name.
        agent: String,
        /// What it wrote.
        note: String,
    },
    /// The attempt failed.
    Error {
        /// One line for people.
        message: String,
    },
}

impl Progress {
    /// A stage begins and there is nothing to add.
    #[must_use]
    pub const fn phase(phase: Phase) -> Self {
        Self::Phase { phase, detail: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_spelt_as_the_reference_spells_them() {
        let cases = [
            (
                Progress::phase(Phase::Prepare),
                r#"{"type":"phase","phase":"prepare"}"#,
            ),
            (
                Progress::Phase {
                    phase: Phase::Filter,
                    detail: Some("2 files (1 noise dropped)".into()),
                },
                r#"{"type":"phase","phase":"filter","detail":"2 files (1 noise dropped)"}"#,
            ),
            (
                Progress::AgentStart { agent: "ux".into() },
                r#"{"type":"agent_start","agent":"ux"}"#,
            ),
            (
                Progress::AgentProgress {
                    agent: "ux".into(),
                    chars: 7,
                },
                r#"{"type":"agent_progress","agent":"ux","chars":7}"#,
            ),
            (
                Progress::AgentDone {
                    agent: "ux".into(),
                    note: "n".into(),
                },
                r#"{"type":"agent_done","agent":"ux","note":"n"}"#,
            ),
            (
                Progress::Error { message: "m".into() },
                r#"{"type":"error","message":"m"}"#,
            ),
        ];
        for (event, text) in cases {
            assert_eq!(serde_json::to_string(&event).expect("plain data"), text);
            assert_eq!(
                serde_json::from_str::<Progress>(text).expect("own spelling"),
                event
            );
        }
    }
}
