//! Answers that cannot be read, and what is made of them.

use super::*;

#[tokio::test]
async fn a_judge_that_cannot_be_read_comes_to_unknown() {
    let stub = Stub::new();
    for _ in 0..2 {
        stub.answer("judge", stub::says("APPROVED!"));
    }
    let result = reviewer(stub.clone())
        .review(first(), stored(SMALL), &Recorded::new())
        .await
        .expect("a result");
    assert_eq!(result.verdict, Verdict::Unknown);
    assert!(result.reason.contains("APPROVED!"), "{}", result.reason);
    assert_eq!(stub.calls().len(), 4, "it is asked again once");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_asked_for_once_more() {
    let stub = Stub::new();
    stub.answer("security", stub::says("Looks fine to me."));
    stub.answer("judge", stub::says("Yes {\"verdict\":\"maybe\"}"));
    let sinks = Recorded::new();
    let result = reviewer(stub.clone())
        .review(first(), stored(SMALL), &sinks)
        .await
        .expect("a result");
    assert_eq!((result.verdict, result.findings), (Verdict::Approve, vec![]));
    let calls = stub.calls();
    for agent in ["security", "judge"] {
        let again = calls
            .iter()
            .find(|call| call.agent == agent && call.turn == 1)
            .expect(agent);
        assert!(
            matches!(&again.messages[..], [_, Message::Assistant(_), Message::User(told)] if told.contains("not the JSON"))
        );
    }
    // What was paid for the repair is kept like any turn: a later attempt asks for nothing.
    reviewer(stub.clone())
        .review(second(first()), stored(SMALL), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!(stub.calls().len(), calls.len());
}
