//! What failed turns have cost counts towards the budget of every later attempt.

use super::hostile::hosted;
use super::*;
use crate::model::played::{Act, Played};

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
