//! What an agent may spend before it must have answered.
//!
//! A model that keeps calling tools would run for ever and be paid for it. Turns and tokens count
//! over all attempts, since a resumed conversation is the same conversation; the wall time is that
//! of one attempt.

use std::time::Duration;

use millstream::domain::{Failure, FailureClass, Usage};
use tokio::time::Instant;

/// The limits of every agent of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Turns of a conversation.
    pub turns: u32,
    /// Tokens read and written in a conversation.
    pub tokens: u64,
    /// Time that an agent may take in one attempt.
    pub wall: Duration,
    /// Tokens of one answer.
    pub answer_tokens: u32,
}

impl Default for Limits {
    /// Twelve turns are four times what a reviewer with one tool needs; a million tokens is the
    /// reference's limit; five minutes leave room for a retry within the job's deadline of fifteen.
    fn default() -> Self {
        Self {
            turns: 12,
            tokens: 1_000_000,
            wall: Duration::from_secs(300),
            answer_tokens: 4_096,
        }
    }
}

/// What one agent has spent.
#[derive(Debug)]
pub struct Budget {
    agent: &'static str,
    limits: Limits,
    deadline: Instant,
    spent: u64,
}

impl Budget {
    /// A full budget; the clock runs from now.
    #[must_use]
    pub fn new(agent: &'static str, limits: Limits) -> Self {
        Self {
            agent,
            limits,
            deadline: Instant::now() + limits.wall,
            spent: 0,
        }
    }

    /// When the agent's time is over.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether no turn may follow this one.
    #[must_use]
    pub const fn is_last(&self, turn: u32) -> bool {
        turn + 1 >= self.limits.turns
    }

    /// Counts a turn that did not end the conversation.
    ///
    /// # Errors
    /// When no further turn may be paid. It cannot heal: the next attempt resumes the same
    /// conversation with the same count.
    pub fn spend(&mut self, turn: u32, usage: Usage) -> Result<(), Failure> {
        self.spent = self.spent.saturating_add(usage.total());
        let (agent, limits) = (self.agent, self.limits);
        if self.is_last(turn) {
            let message = format!("agent {agent} used its {} turns without an answer", limits.turns);
            return Err(Failure::lasting(FailureClass::Model, message));
        }
        if self.spent >= limits.tokens {
            let message = format!(
                "agent {agent} used {} of {} tokens without an answer",
                self.spent, limits.tokens
            );
            return Err(Failure::lasting(FailureClass::Model, message));
        }
        Ok(())
    }

    /// The failure of an agent whose time is over. The next attempt resumes after its last turn.
    #[must_use]
    pub fn late(&self) -> Failure {
        let message = format!("agent {} ran longer than {:?}", self.agent, self.limits.wall);
        Failure::passing(FailureClass::Timeout, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream::domain::Retry;

    #[test]
    fn turns_and_tokens_run_out_for_good() {
        let usage = Usage {
            input_tokens: 400,
            output_tokens: 100,
        };
        for (limits, allowed) in [
            (
                Limits {
                    turns: 3,
                    ..Limits::default()
                },
                2,
            ),
            (
                Limits {
                    tokens: 1_001,
                    ..Limits::default()
                },
                2,
            ),
            (
                Limits {
                    tokens: 1_000,
                    ..Limits::default()
                },
                1,
            ),
        ] {
            let mut budget = Budget::new("security", limits);
            for turn in 0..allowed {
                budget.spend(turn, usage).expect("within the budget");
            }
            let failure = budget.spend(allowed, usage).expect_err("over the budget");
            assert_eq!(
                (failure.class, failure.retry),
                (FailureClass::Model, Retry::Never),
                "{failure}"
            );
        }
    }
}
