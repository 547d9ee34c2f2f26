//! What can go wrong with a model or with GitHub, and the one thing that follows from each.
//!
//! The table at [`Fault::rule`] is the whole policy: clients say which fault they met, and nobody
//! else decides what becomes of it. docs/review.md shows the same table, and a test holds the two
//! together.

use std::time::Duration;

use millstream::domain::{Failure, FailureClass};

/// What follows a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The model is told and answers again: its next turn is the repair.
    Tell,
    /// The same request again, a moment later; when [`TRIES`] are used up, another attempt. A limit of the rate is then
    /// one that is longer.
    Step,
    /// The change is cut into smaller parts and asked about anew; when that was done often enough, dead at once.
    Smaller,
    /// Another attempt of the job, after its back-off; the failure counts.
    Attempt,
    /// The job waits until what it needs is back; nothing is counted against it.
    Wait,
    /// Nothing can heal it: the job is dead at once.
    Bury,
}

impl Outcome {
    /// The words of the table in docs/review.md.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Tell => "the model is told and answers again",
            Self::Step => "retried inside the step",
            Self::Smaller => "asked again in smaller parts",
            Self::Attempt => "another attempt",
            Self::Wait => "the job waits",
            Self::Bury => "dead at once",
        }
    }
}

/// How often one request is sent before the attempt fails.
pub const TRIES: u32 = 3;

/// The longest pause that is waited out inside a step. A longer one would hold a slot for nothing.
pub const STEP_PAUSE: Duration = Duration::from_secs(10);

/// How long a job waits where nobody says how long: somebody has to change a setting first.
const USUAL_WAIT: Duration = Duration::from_secs(300);

/// Something that went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The provider limits the rate, and the pause is short.
    RateLimited,
    /// The provider limits the rate for longer than a step may take.
    RateLimitedLong,
    /// The provider says it is overloaded.
    Overloaded,
    /// The provider answers 5xx.
    ServerError,
    /// The provider falls silent.
    Silent,
    /// The provider cannot be reached.
    Unreachable,
    /// The answer breaks off.
    Truncated,
    /// The answer is not the provider's format.
    Garbled,
    /// The answer holds neither words nor calls.
    Empty,
    /// The provider does not know how to hold an answer to a schema: asked without one.
    NoSchema,
    /// The limit of an answer goes by another name: asked with that.
    OtherLimit,
    /// The answer is cut by the token limit: asked with twice the limit.
    Cut,
    /// The answer is still cut at the highest limit.
    StillCut,
    /// The model refuses.
    Refused,
    /// The provider refuses the request.
    Rejected,
    /// The request is longer than the model reads.
    TooLong,
    /// The key is wrong, or may not use the model.
    BadKey,
    /// The account has no credit left.
    NoCredit,
    /// There is no such model.
    NoModel,
    /// The breaker is open: the provider has failed too often.
    Down,
    /// A call has arguments that its tool cannot take.
    BadArguments,
    /// A call names a tool that is not there.
    UnknownTool,
    /// The answer is not the JSON that was asked for.
    BadAnswer,
    /// The turns of an agent are used up.
    OutOfTurns,
    /// The tokens of an agent or a review are used up.
    OutOfTokens,
    /// The money of an agent or a review is used up.
    OutOfMoney,
    /// The time of an agent is used up.
    OutOfTime,
    /// GitHub knows no such pull request, or the token may not see it.
    PullMissing,
    /// The first page of the pull request's files is larger than `MAX_PATCH`.
    PullTooLarge,
    /// Somebody pushed while the pull request was read.
    PullMoved,
    /// GitHub limits the rate.
    GithubLimited,
    /// GitHub answers 5xx, breaks off or cannot be reached.
    GithubAway,
    /// GitHub's answer cannot be read.
    GithubGarbled,
    /// GitHub refuses otherwise.
    GithubRefused,
}

/// What a fault is called, what follows it, and under which class its failures are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as logs and docs/review.md spell it.
    pub name: &'static str,
    /// What follows.
    pub outcome: Outcome,
    /// The class of the failure that it can come to.
    pub class: FailureClass,
}

const fn rule(name: &'static str, outcome: Outcome, class: FailureClass) -> Rule {
    Rule { name, outcome, class }
}

impl Fault {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 34] = [
        Self::RateLimited,
        Self::RateLimitedLong,
        Self::Overloaded,
        Self::ServerError,
        Self::Silent,
        Self::Unreachable,
        Self::Truncated,
        Self::Garbled,
        Self::Empty,
        Self::NoSchema,
        Self::OtherLimit,
        Self::Cut,
        Self::StillCut,
        Self::Refused,
        Self::Rejected,
        Self::TooLong,
        Self::BadKey,
        Self::NoCredit,
        Self::NoModel,
        Self::Down,
        Self::BadArguments,
        Self::UnknownTool,
        Self::BadAnswer,
        Self::OutOfTurns,
        Self::OutOfTokens,
        Self::OutOfMoney,
        Self::OutOfTime,
        Self::PullMissing,
        Self::PullTooLarge,
        Self::PullMoved,
        Self::GithubLimited,
        Self::GithubAway,
        Self::GithubGarbled,
        Self::GithubRefused,
    ];

    /// The table.
    #[must_use]
    pub const fn rule(self) -> Rule {
        use FailureClass::{Budget, Github, Input, Model, Timeout};
        use Outcome::{Attempt, Bury, Smaller, Step, Tell, Wait};
        match self {
            Self::RateLimited => rule("rate limited, at most 10 s", Step, Model),
            Self::RateLimitedLong => rule("rate limited for longer", Wait, Model),
            Self::Overloaded => rule("overloaded (529, 503)", Step, Model),
            Self::ServerError => rule("server error (5xx)", Step, Model),
            Self::Silent => rule("time-out", Step, Model),
            Self::Unreachable => rule("no connection", Step, Model),
            Self::Truncated => rule("truncated body", Step, Model),
            Self::Garbled => rule("malformed body", Step, Model),
            Self::Empty => rule("empty answer", Step, Model),
            Self::NoSchema => rule("no structured output", Step, Model),
            Self::OtherLimit => rule("limit of the answer under another name", Step, Model),
            Self::Cut => rule("cut by the token limit", Step, Model),
            Self::StillCut => rule("cut at the highest limit", Bury, Model),
            Self::Refused => rule("refusal", Bury, Model),
            Self::Rejected => rule("request rejected (400, 422)", Bury, Model),
            Self::TooLong => rule("prompt too long (413)", Smaller, Model),
            Self::BadKey => rule("key refused (401, 403)", Wait, Model),
            Self::NoCredit => rule("no credit (402)", Wait, Model),
            Self::NoModel => rule("no such model (404)", Wait, Model),
            Self::Down => rule("circuit breaker open", Wait, Model),
            Self::BadArguments => rule("broken arguments of a call", Tell, Model),
            Self::UnknownTool => rule("unknown tool", Tell, Model),
            Self::BadAnswer => rule("answer is not the JSON asked for", Tell, Model),
            Self::OutOfTurns => rule("turns used up", Bury, Budget),
            Self::OutOfTokens => rule("tokens used up", Bury, Budget),
            Self::OutOfMoney => rule("money used up", Bury, Budget),
            Self::OutOfTime => rule("time used up", Attempt, Timeout),
            Self::PullMissing => rule("no such pull request (GitHub 404)", Bury, Input),
            Self::PullTooLarge => rule("first hundred files larger than `MAX_PATCH`", Bury, Input),
            Self::PullMoved => rule("pull request changed while it was listed", Attempt, Github),
            Self::GithubLimited => rule("GitHub's rate limit (403, 429, retry-after, reset)", Wait, Github),
            Self::GithubAway => rule("GitHub away (5xx, time-out, broken off)", Attempt, Github),
            Self::GithubGarbled => rule("GitHub's answer cannot be read", Attempt, Github),
            Self::GithubRefused => rule("GitHub refuses (401, 403, 422)", Bury, Github),
        }
    }

    /// The failure that it comes to when the step cannot go on. `pause` is what a server asked for.
    #[must_use]
    pub fn failure(self, message: impl Into<String>, pause: Option<Duration>) -> Failure {
        let Rule { outcome, class, .. } = self.rule();
        match outcome {
            Outcome::Bury | Outcome::Smaller => Failure::lasting(class, message),
            Outcome::Wait => Failure::waiting(class, message, pause.unwrap_or(USUAL_WAIT)),
            Outcome::Tell | Outcome::Step | Outcome::Attempt => {
                let failure = Failure::passing(class, message);
                match pause {
                    Some(pause) => failure.not_before(pause),
                    None => failure,
                }
            }
        }
    }

    /// Whether it says that the provider is not well: enough of them open the breaker.
    #[must_use]
    pub const fn is_outage(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::ServerError
                | Self::Silent
                | Self::Unreachable
                | Self::Truncated
                | Self::Garbled
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use millstream::domain::Retry;

    use super::*;

    /// One line of the table for each fault: name, outcome, class.
    fn table() -> String {
        let line = |fault: Fault| {
            let Rule { name, outcome, class } = fault.rule();
            format!("| {name} | {} | `{class}` |", outcome.words())
        };
        Fault::ALL.map(line).join("\n")
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/review.md");
        let page = std::fs::read_to_string(page).expect("the page is there");
        assert!(page.contains(&table()), "docs/review.md should have\n{}", table());
    }

    #[test]
    fn each_fault_has_one_name_and_comes_to_what_its_outcome_says() {
        let names: HashSet<&str> = Fault::ALL.iter().map(|fault| fault.rule().name).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        let pause = Duration::from_secs(7);
        for fault in Fault::ALL {
            let (plain, paused) = (fault.failure("m", None), fault.failure("m", Some(pause)));
            let expected = match fault.rule().outcome {
                Outcome::Bury | Outcome::Smaller => (Retry::Never, Retry::Never, true),
                Outcome::Wait => (Retry::Wait(USUAL_WAIT), Retry::Wait(pause), false),
                _ => (Retry::Later, Retry::After(pause), true),
            };
            assert_eq!(
                (plain.retry, paused.retry, paused.counts()),
                expected,
                "{fault:?}"
            );
        }
    }

    #[test]
    fn what_an_outage_is_heals_by_itself() {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.is_outage()) {
            assert_eq!(fault.rule().outcome, Outcome::Step, "{fault:?}");
        }
    }
}
