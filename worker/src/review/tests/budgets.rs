//! What failed turns have cost counts towards the budget of every later attempt.

use super::hostile::{asking_for as hosted_of, hosted};
use super::*;
use crate::fault::Fault;
use crate::model::played::{Act, Played};
use crate::model::{Heard, TurnAnswer, TurnFault, TurnRequest, Underway};
use futures_util::future::BoxFuture;

/// Says what a turn has cost so far, and never ends it.
struct Endless;

impl Model for Endless {
    fn turn<'a>(
        &'a self,
        _request: &'a TurnRequest,
        heard: &'a Heard<'a>,
    ) -> BoxFuture<'a, Result<TurnAnswer, TurnFault>> {
        heard(Underway {
            chars: 0,
            usage: Usage {
                input_tokens: 70,
                output_tokens: 7,
            },
            cost_usd: 0.5,
        });
        Box::pin(std::future::pending())
    }

    fn name(&self) -> &'static str {
        "endless"
    }
}

#[tokio::test]
async fn what_is_known_of_a_turn_counts_when_its_time_is_over() {
    let limits = Limits {
        wall: Duration::from_millis(20),
        cost_usd: 0.9,
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(Endless), github(NOWHERE), limits);
    let (run, mut sinks) = (first(), Recorded::new());
    let mut messages = Vec::new();
    for attempt in 1..=3 {
        let ended = reviewer
            .review(RunId { attempt, ..run }, stored(SMALL), &sinks)
            .await;
        messages.push(ended.expect_err("it never ends").message);
        for end in sinks.ends().iter().filter(|end| end.model.is_some()) {
            assert_eq!((end.usage.total(), end.cost_usd), (77, 0.5));
            assert_eq!(
                (end.model.as_deref(), &end.output),
                (Some("endless"), &json!({"fault": Fault::OutOfTime.rule().name}))
            );
        }
        sinks = sinks.resumed();
    }
    assert_eq!(
        messages,
        [
            "agent security ran longer than 20ms",
            "agent security ran longer than 20ms",
            "agent security cost 1.00 of 0.90 USD without an answer"
        ]
    );
}

/// A change of four files, which a prompt of this length holds half of.
fn four_files() -> Source {
    let file = |n| {
        let line = "x".repeat(10_000);
        format!("--- a/f{n}\n+++ b/f{n}\n@@ -1,0 +1 @@\n+{line}\n")
    };
    stored(&(1..=4).map(file).collect::<String>())
}

/// A reviewer whose model says that a prompt with so many characters is longer than it reads.
async fn reading_at_most(chars: usize) -> (Played, Reviewer) {
    let played = Played::start().await.expect("a port");
    played.direct(move |seen| {
        let length: usize = seen.body["messages"].to_string().len();
        if length > chars && seen.agent() != "judge" {
            let told = "prompt is too long: 9 tokens > 8 maximum";
            Act::Status(400, Vec::new(), told.to_owned())
        } else {
            Act::usual(seen)
        }
    });
    let reviewer = Reviewer::new(
        Arc::new(hosted_of(&played, "anthropic-of-old")),
        github(NOWHERE),
        Limits::default(),
    );
    (played, reviewer)
}

#[tokio::test]
async fn a_prompt_longer_than_the_model_reads_is_cut_again_and_nothing_is_left_out() {
    // 48,000 characters are right for a model that nobody knows; this one reads half of it.
    let (played, reviewer) = reading_at_most(26_000).await;
    let sinks = Recorded::new();
    let result = reviewer
        .review(first(), four_files(), &sinks)
        .await
        .expect("a verdict");
    assert_eq!((result.verdict, result.findings), (Verdict::Approve, vec![]));
    for agent in ["security", "performance"] {
        let asked: Vec<String> = played
            .seen()
            .iter()
            .filter(|seen| seen.agent() == agent)
            .map(|seen| seen.body["messages"].to_string())
            .collect();
        assert_eq!(asked.len(), 3, "all of it, then two halves");
        for n in 1..=4 {
            let file = format!("f{n}");
            assert_eq!(
                asked[1..].iter().filter(|text| text.contains(&file)).count(),
                1,
                "{file}"
            );
        }
    }
    assert_eq!(
        result.usage.total(),
        5 * 120,
        "two reviewers, two parts each, and the judge"
    );
}

#[tokio::test]
async fn a_model_that_reads_next_to_nothing_ends_the_review_after_some_cuts() {
    let (played, reviewer) = reading_at_most(100).await;
    let failure = reviewer
        .review(first(), four_files(), &Recorded::new())
        .await
        .expect_err("it reads nothing");
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::Model, Retry::Never)
    );
    assert_eq!(played.seen().len(), 2 * 4, "two reviewers, four cuts");
}

#[tokio::test]
async fn what_failed_turns_cost_is_kept_and_ends_a_review_that_only_fails() {
    let played = Played::start().await.expect("a port");
    // Whole answers, paid in full and good for nothing.
    played.direct(|_| Act::Empty);
    let limits = Limits {
        tokens: 700,
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(hosted(&played)), github(NOWHERE), limits);
    let (run, sinks) = (first(), Recorded::new());
    let failure = reviewer
        .review(run, stored(SMALL), &sinks)
        .await
        .expect_err("nothing is said");
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::Model, Retry::Later),
        "{failure}"
    );
    // Three tries of 120 tokens for each reviewer, in their spans and for the next attempt.
    let paid: u64 = sinks.ends().iter().map(|end| end.usage.total()).sum();
    assert_eq!(paid, 2 * 3 * 120);
    assert_eq!(sinks.steps(), ["performance/lost", "security/lost"]);

    let (mut sinks, mut attempts) = (sinks, 1);
    let failure = loop {
        attempts += 1;
        sinks = sinks.resumed();
        let again = RunId {
            attempt: attempts,
            ..run
        };
        let ended = reviewer.review(again, stored(SMALL), &sinks).await;
        let failure = ended.expect_err("nothing is said");
        if failure.retry == Retry::Never {
            break failure;
        }
    };
    assert_eq!((failure.class, attempts), (FailureClass::Budget, 3), "{failure}");
    assert_eq!(
        failure.message,
        "agent security used 720 of 700 tokens without an answer"
    );
}
