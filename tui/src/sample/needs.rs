//! What needs a person in the story.

use super::id;
use super::workers::name;
use crate::command::CommandId;
use crate::model::need::{Harm, Need, Target};

/// They, the gravest first.
pub fn needs() -> Vec<Need> {
    vec![
        Need {
            harm: Harm::Lost,
            what: "w-02de lost 11 s, exit by signal 9".into(),
            detail: "its 4 jobs move in ~4 s".into(),
            command: CommandId::Enter,
            target: Target::Worker(name("02de")),
        },
        Need {
            harm: Harm::Dead,
            what: "4 dead by one cause: timeout".into(),
            detail: "chat claude-haiku-4-5: no reply within 30 s".into(),
            command: CommandId::Dead,
            target: Target::Jobs("status:dead class:timeout".to_owned()),
        },
        Need {
            harm: Harm::Slow,
            what: "LlamaIndexTS#2234 judge is slow".into(),
            detail: "22.1 s, p95 of w-7f3a is 20.8 s".into(),
            command: CommandId::ShowTrace,
            target: Target::Job(id("8f2c1a")),
        },
    ]
}
