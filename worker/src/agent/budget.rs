//! What an agent, and a review with all its agents, may spend before there must be an answer.
//!
//! A model that keeps calling tools would run for ever and be paid for it. Turns, tokens and money
//! count over all attempts, since a resumed conversation is the same conversation; what a failed turn
//! has cost counts too. The time is that of one attempt. An agent that reads a change in parts has one
//! budget for all of them, but for the turns, which are those of each conversation.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millstream::domain::{Failure, Usage};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::fault::Fault;

/// Reviewers at most, who share what a review may spend.
pub const REVIEWERS: u64 = 3;

/// The limits of a review.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Turns of one agent's conversation.
    pub turns: u32,
    /// Tokens that one agent reads and writes.
    pub tokens: u64,
    /// US dollars that one agent costs.
    pub cost_usd: f64,
    /// Time that one agent may take in one attempt, its tools with it.
    pub wall: Duration,
    /// Tokens of one answer.
    pub answer_tokens: u32,
    /// Tokens that all agents of a review read and write.
    pub review_tokens: u64,
    /// US dollars that a review costs.
    pub review_cost_usd: f64,
}

impl Default for Limits {
    /// Twelve turns are four times what a reviewer with one tool needs; a million tokens is the
    /// reference's limit; five minutes leave room for a retry within the job's deadline of fifteen.
    /// The money is what these tokens cost at a usual price, so it ends only what is dearer.
    fn default() -> Self {
        Self {
            turns: 12,
            tokens: 1_000_000,
            cost_usd: 3.0,
            wall: Duration::from_secs(300),
            answer_tokens: 4_096,
            review_tokens: 3_000_000,
            review_cost_usd: 9.0,
        }
    }
}

/// Tokens and money.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Read and written.
    pub tokens: u64,
    /// In US dollars.
    pub cost_usd: f64,
}

impl Spent {
    /// What a turn has used.
    #[must_use]
    pub const fn of(usage: Usage, cost_usd: f64) -> Self {
        Self {
            tokens: usage.total(),
            cost_usd,
        }
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost_usd += other.cost_usd;
    }
}

/// What all agents of one review have spent together.
#[derive(Debug, Default)]
pub struct Purse(Mutex<Spent>);

impl Purse {
    fn add(&self, spent: Spent) -> Spent {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all += spent;
        *all
    }

    fn spent(&self) -> Spent {
        self.add(Spent::default())
    }
}

/// What one agent has spent.
#[derive(Debug)]
pub struct Budget<'a> {
    agent: &'static str,
    limits: Limits,
    purse: &'a Purse,
    deadline: Instant,
    spent: Spent,
    /// The dearest turn so far: the next one is likely to cost as much.
    dearest: Spent,
    /// What was paid in this attempt, and not read from an earlier one.
    paid: (Usage, f64),
}

impl<'a> Budget<'a> {
    /// A full budget; the clock runs from now.
    #[must_use]
    pub fn new(agent: &'static str, limits: Limits, purse: &'a Purse) -> Self {
        Self {
            agent,
            limits,
            purse,
            deadline: Instant::now() + limits.wall,
            spent: Spent::default(),
            dearest: Spent::default(),
            paid: (Usage::default(), 0.0),
        }
    }

    /// When the agent's time is over.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether no turn may follow this one: the turns are used up, or one more such turn after it
    /// would use up something else. Of what a review may spend the other reviewers may take a turn each meanwhile.
    #[must_use]
    pub fn is_last(&self, turn: u32) -> bool {
        let after = |mut spent: Spent, turns: u64| {
            (0..turns).for_each(|_| spent += self.dearest);
            spent
        };
        let (own, all) = (after(self.spent, 2), after(self.purse.spent(), 1 + REVIEWERS));
        turn + 1 >= self.limits.turns
            || own.tokens > self.limits.tokens
            || own.cost_usd > self.limits.cost_usd
            || all.tokens > self.limits.review_tokens
            || all.cost_usd > self.limits.review_cost_usd
    }

    /// Counts what was paid, whether for an answer or for none.
    pub fn count(&mut self, spent: Spent) {
        self.spent += spent;
        self.purse.add(spent);
        self.dearest.tokens = self.dearest.tokens.max(spent.tokens);
        self.dearest.cost_usd = self.dearest.cost_usd.max(spent.cost_usd);
    }

    /// Takes down what this attempt has paid, beside counting it.
    pub fn pay(&mut self, usage: Usage, cost_usd: f64) {
        self.paid.0 += usage;
        self.paid.1 += cost_usd;
    }

    /// The tokens and US dollars that this attempt has paid, also for what came to nothing.
    #[must_use]
    pub const fn paid(&self) -> (Usage, f64) {
        self.paid
    }

    /// Whether this turn may be paid at all.
    ///
    /// # Errors
    /// When it may not. It cannot heal: the next attempt resumes the same conversation with the
    /// same count.
    pub fn allows(&self, turn: u32) -> Result<(), Failure> {
        let (agent, limits, all) = (self.agent, self.limits, self.purse.spent());
        let (fault, message) = if turn >= limits.turns {
            let message = format!("agent {agent} used its {} turns without an answer", limits.turns);
            (Fault::OutOfTurns, message)
        } else if self.spent.tokens >= limits.tokens {
            let (spent, most) = (self.spent.tokens, limits.tokens);
            let message = format!("agent {agent} used {spent} of {most} tokens without an answer");
            (Fault::OutOfTokens, message)
        } else if all.tokens >= limits.review_tokens {
            let (spent, most) = (all.tokens, limits.review_tokens);
            let message = format!("the review used {spent} of {most} tokens without a verdict");
            (Fault::OutOfTokens, message)
        } else if self.spent.cost_usd >= limits.cost_usd {
            let (spent, most) = (self.spent.cost_usd, limits.cost_usd);
            let message = format!("agent {agent} cost {spent:.2} of {most:.2} USD without an answer");
            (Fault::OutOfMoney, message)
        } else if all.cost_usd >= limits.review_cost_usd {
            let (spent, most) = (all.cost_usd, limits.review_cost_usd);
            let message = format!("the review cost {spent:.2} of {most:.2} USD without a verdict");
            (Fault::OutOfMoney, message)
        } else {
            return Ok(());
        };
        Err(fault.failure(message, None))
    }

    /// The failure of an agent whose time is over. The next attempt resumes after its last turn.
    #[must_use]
    pub fn late(&self) -> Failure {
        let message = format!("agent {} ran longer than {:?}", self.agent, self.limits.wall);
        Fault::OutOfTime.failure(message, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream::domain::{FailureClass, Retry};

    const TURN: Spent = Spent {
        tokens: 500,
        cost_usd: 0.5,
    };

    /// How many turns of 500 tokens and half a dollar are allowed, and what is said then.
    fn allowed(limits: Limits) -> (u32, String) {
        let purse = Purse::default();
        let mut budget = Budget::new("security", limits, &purse);
        for turn in 0.. {
            if let Err(failure) = budget.allows(turn) {
                assert_eq!(
                    (failure.class, failure.retry),
                    (FailureClass::Budget, Retry::Never)
                );
                return (turn, failure.message);
            }
            budget.count(TURN);
        }
        unreachable!("every budget ends")
    }

    #[test]
    fn each_budget_runs_out_for_good_and_says_which_it_was() {
        let usual = Limits::default();
        for (limits, turns, message) in [
            (
                Limits { turns: 3, ..usual },
                3,
                "agent security used its 3 turns without an answer",
            ),
            (
                Limits {
                    tokens: 1_001,
                    ..usual
                },
                3,
                "agent security used 1500 of 1001 tokens without an answer",
            ),
            (
                Limits {
                    review_tokens: 1_000,
                    ..usual
                },
                2,
                "the review used 1000 of 1000 tokens without a verdict",
            ),
            (
                Limits {
                    cost_usd: 1.2,
                    ..usual
                },
                3,
                "agent security cost 1.50 of 1.20 USD without an answer",
            ),
            (
                Limits {
                    review_cost_usd: 0.4,
                    ..usual
                },
                1,
                "the review cost 0.50 of 0.40 USD without a verdict",
            ),
        ] {
            assert_eq!(allowed(limits), (turns, message.to_owned()));
        }
    }

    #[test]
    fn the_turn_after_which_nothing_is_left_must_answer() {
        let purse = Purse::default();
        let limits = Limits {
            tokens: 2_000,
            turns: 9,
            ..Limits::default()
        };
        let mut budget = Budget::new("security", limits, &purse);
        let mut last = Vec::new();
        for turn in 0..4 {
            last.push(budget.is_last(turn));
            budget.count(TURN);
        }
        assert_eq!(last, [false, false, false, true]);
        assert!(budget.is_last(8));
    }

    #[test]
    fn what_the_others_spend_brings_about_a_last_answer_too() {
        for limits in [
            Limits {
                review_tokens: 4_500,
                ..Limits::default()
            },
            Limits {
                review_cost_usd: 4.5,
                ..Limits::default()
            },
        ] {
            let purse = Purse::default();
            let mut reviewers =
                ["security", "performance", "ux"].map(|name| Budget::new(name, limits, &purse));
            let mut turns = 0;
            loop {
                turns += 1;
                // All of them begin a turn before one of them ends.
                let last: Vec<bool> = reviewers.iter().map(|budget| budget.is_last(turns - 1)).collect();
                for budget in &mut reviewers {
                    assert_eq!(
                        budget.allows(turns - 1),
                        Ok(()),
                        "a last answer comes before the end"
                    );
                    budget.count(TURN);
                }
                if last.contains(&true) {
                    break;
                }
            }
            assert_eq!(turns, 3, "{limits:?}");
        }
    }
}
