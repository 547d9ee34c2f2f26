//! The hosted model against a provider on real HTTP, in both formats, through every fault.

use super::*;
use crate::model::played::{Act, Played, Seen, TURN};
use crate::model::{Block, Message, RunId, StopReason, ToolCall, ToolResult, ToolSpec};
use millstream::domain::{FailureClass, JobId, Retry, Usage};
use serde_json::json;
use std::sync::atomic::AtomicUsize;

const BOTH: [Provider; 2] = [Provider::Anthropic, Provider::OpenAi];

fn access(provider: Provider, played: &Played) -> Access {
    let base = match provider {
        Provider::Anthropic => played.uri(),
        Provider::OpenAi => format!("{}/v1", played.uri()),
    };
    Access {
        provider,
        base: base.parse().expect("an address"),
        key: SecretString::from("k3y"),
        connect_timeout: Duration::from_secs(5),
        silence: Duration::from_secs(5),
        first_pause: Duration::from_millis(1),
    }
}

fn names(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::Anthropic => ("claude-sonnet-4-6", "claude-opus-4-6"),
        Provider::OpenAi => ("gpt-4.1", "gpt-5"),
    }
}

fn hosted(access: Access) -> Hosted {
    let (medium, large) = names(access.provider);
    let line = Arc::new(Line::new(access).expect("settings that work"));
    Hosted::new(
        Route::new(Arc::clone(&line), medium.to_owned()),
        Route::new(line, large.to_owned()),
    )
}

async fn played(provider: Provider) -> (Played, Hosted) {
    let played = Played::start().await.expect("a port");
    let hosted = hosted(access(provider, &played));
    (played, hosted)
}

fn request() -> TurnRequest {
    TurnRequest {
        run: RunId {
            job: JobId::fresh(),
            attempt: 1,
        },
        agent: "security",
        tier: Tier::Medium,
        turn: 0,
        system: "# Security reviewer",
        messages: vec![Message::User("look".into())],
        tools: vec![ToolSpec {
            name: "scan_for_secrets".into(),
            description: "scans".into(),
            parameters: json!({"type": "object"}),
        }],
        schema: None,
        must_answer: false,
        max_tokens: 4_096,
    }
}

fn for_judge() -> TurnRequest {
    TurnRequest {
        agent: "judge",
        tier: Tier::Large,
        system: "# Judge",
        tools: Vec::new(),
        schema: Some(crate::agent::roster::Form::Verdict.schema()),
        ..request()
    }
}

async fn asked(hosted: &Hosted, request: &TurnRequest) -> Result<TurnAnswer, TurnFault> {
    hosted.turn(request, &|_| ()).await
}

#[tokio::test]
async fn a_turn_streams_in_and_is_counted() {
    for provider in BOTH {
        let (played, hosted) = played(provider).await;
        played.script(vec![Act::Says("a long answer".into())]);
        let heard = AtomicUsize::new(0);
        let answer = hosted
            .turn(&request(), &|underway| {
                heard.store(underway.chars, Ordering::Relaxed);
            })
            .await
            .expect("an answer");
        let usage = Usage {
            input_tokens: TURN.0,
            output_tokens: TURN.1,
        };
        assert_eq!((answer.text().as_str(), answer.usage), ("a long answer", usage));
        assert_eq!(
            (answer.stop, heard.into_inner()),
            (StopReason::EndTurn, "a long answer".len())
        );
        assert_eq!(answer.model, names(provider).0);
        let cost = match provider {
            Provider::Anthropic => 100.0 * 3e-6 + 20.0 * 15e-6,
            Provider::OpenAi => 100.0 * 2e-6 + 20.0 * 8e-6,
        };
        assert!((answer.cost_usd - cost).abs() < 1e-12, "{}", answer.cost_usd);
    }
}

/// A conversation whose first turn called two tools, one with arguments that are no JSON.
fn second_turn() -> TurnRequest {
    let call = |id: &str, arguments| {
        Block::ToolCall(ToolCall {
            id: id.into(),
            name: "scan_for_secrets".into(),
            arguments,
        })
    };
    let result = |id: &str, is_error| ToolResult {
        id: id.into(),
        content: "c".into(),
        is_error,
    };
    TurnRequest {
        turn: 1,
        messages: vec![
            Message::User("look".into()),
            Message::Assistant(vec![
                call("1", json!({"file": "x"})),
                call("2", json!("{\"file\":")),
            ]),
            Message::ToolResults(vec![result("1", false), result("2", true)]),
        ],
        must_answer: true,
        ..request()
    }
}

#[tokio::test]
async fn anthropics_format_is_spoken_with_its_cache_its_tools_and_its_schema() {
    let (played, hosted) = played(Provider::Anthropic).await;
    played.script(vec![Act::Calls(vec![
        ("scan_for_secrets".into(), r#"{"file": "x"}"#.into()),
        ("scan_for_secrets".into(), r#"{"file":"#.into()),
        ("rm_rf".into(), String::new()),
    ])]);
    let answer = asked(&hosted, &request()).await.expect("calls");
    let arguments: Vec<_> = answer.calls().map(|call| call.arguments.clone()).collect();
    assert_eq!(arguments, [json!({"file": "x"}), json!("{\"file\":"), json!({})]);
    assert_eq!(answer.stop, StopReason::ToolUse);
    asked(&hosted, &second_turn()).await.expect("an answer");
    asked(&hosted, &for_judge()).await.expect("a verdict");
    let seen = played.seen();
    assert!(seen[0].head.starts_with("post /v1/messages "), "{}", seen[0].head);
    assert!(
        seen[0].head.contains("x-api-key: k3y") && seen[0].head.contains("anthropic-version: 2023-06-01")
    );
    let kept = json!({"type": "ephemeral"});
    assert_eq!(
        seen[0].body,
        json!({
            "model": "claude-sonnet-4-6", "max_tokens": 4096, "stream": true,
            "system": [{"type": "text", "text": "# Security reviewer", "cache_control": kept}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "look", "cache_control": kept}]}],
            "tools": [{"name": "scan_for_secrets", "description": "scans", "input_schema": {"type": "object"}}],
        })
    );
    assert_eq!(
        (&seen[1].body["messages"][1], &seen[1].body["messages"][2]),
        (
            &json!({"role": "assistant", "content": [
                {"type": "tool_use", "id": "1", "name": "scan_for_secrets", "input": {"file": "x"}},
                {"type": "tool_use", "id": "2", "name": "scan_for_secrets", "input": {}},
            ]}),
            &json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "c", "is_error": false},
                {"type": "tool_result", "tool_use_id": "2", "content": "c", "is_error": true},
            ]}),
        )
    );
    assert_eq!(seen[1].body["tool_choice"], json!({"type": "none"}));
    assert_eq!(seen[2].body["model"], "claude-opus-4-6");
    let schema = &seen[2].body["output_config"]["format"];
    assert_eq!(
        (&schema["type"], &schema["schema"]["required"]),
        (&json!("json_schema"), &json!(["verdict", "reason"]))
    );
}

#[tokio::test]
async fn openais_format_is_spoken_with_its_tools_and_its_schema() {
    let (played, hosted) = played(Provider::OpenAi).await;
    played.script(vec![Act::Calls(vec![
        ("scan_for_secrets".into(), r#"{"file": "x"}"#.into()),
        ("scan_for_secrets".into(), r#"{"file":"#.into()),
    ])]);
    let answer = asked(&hosted, &request()).await.expect("calls");
    let arguments: Vec<_> = answer.calls().map(|call| call.arguments.clone()).collect();
    assert_eq!(arguments, [json!({"file": "x"}), json!("{\"file\":")]);
    asked(&hosted, &second_turn()).await.expect("an answer");
    asked(&hosted, &for_judge()).await.expect("a verdict");
    let seen = played.seen();
    assert!(
        seen[0].head.starts_with("post /v1/chat/completions "),
        "{}",
        seen[0].head
    );
    assert!(seen[0].head.contains("authorization: bearer k3y"));
    assert_eq!(
        seen[0].body,
        json!({
            "model": "gpt-4.1", "max_tokens": 4096, "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "system", "content": "# Security reviewer"}, {"role": "user", "content": "look"}],
            "tools": [{"type": "function", "function":
                {"name": "scan_for_secrets", "description": "scans", "parameters": {"type": "object"}}}],
        })
    );
    assert_eq!(
        seen[1].body["messages"].as_array().expect("a list")[2..],
        [
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"type": "function", "id": "1", "function": {"name": "scan_for_secrets", "arguments": "{\"file\":\"x\"}"}},
                {"type": "function", "id": "2", "function": {"name": "scan_for_secrets", "arguments": "{\"file\":"}},
            ]}),
            json!({"role": "tool", "tool_call_id": "1", "content": "c"}),
            json!({"role": "tool", "tool_call_id": "2", "content": "c"}),
        ]
    );
    assert_eq!(seen[1].body["tool_choice"], "none");
    // A model that reasons takes its limit by another name.
    assert_eq!(
        (
            &seen[2].body["max_completion_tokens"],
            &seen[2].body["max_tokens"]
        ),
        (&json!(4096), &serde_json::Value::Null)
    );
    let format = &seen[2].body["response_format"];
    assert_eq!(
        (&format["type"], &format["json_schema"]["strict"]),
        (&json!("json_schema"), &json!(true))
    );
}

#[tokio::test]
async fn a_reviewer_is_held_to_its_schema_beside_its_tools() {
    for (provider, place) in [
        (Provider::Anthropic, "/output_config/format/schema"),
        (Provider::OpenAi, "/response_format/json_schema/schema"),
    ] {
        let (played, hosted) = played(provider).await;
        played.script(vec![Act::Says(r#"{"findings":[]}"#.into())]);
        let held = TurnRequest {
            schema: Some(crate::agent::roster::SECURITY.form.schema()),
            ..request()
        };
        asked(&hosted, &held).await.expect("an answer");
        let body = &played.seen()[0].body;
        let schema = body.pointer(place).expect("a schema");
        assert_eq!(schema["required"], json!(["findings"]));
        assert_eq!(body["tools"].as_array().map(Vec::len), Some(1));
    }
}

/// What three equal acts in a row come to: the failure's outcome, and how often it was asked.
async fn three_times(provider: Provider, act: Act) -> (TurnFault, usize) {
    let played = Played::start().await.expect("a port");
    let mut access = access(provider, &played);
    // Only who is silent is given up soon: a busy machine must not turn another fault into silence.
    access.silence = match act {
        Act::Silence | Act::HalfSilence => Duration::from_millis(150),
        _ => Duration::from_secs(60),
    };
    let hosted = hosted(access);
    played.direct(move |_| act.clone());
    let fault = asked(&hosted, &request()).await.expect_err("it is a fault");
    (fault, played.seen().len())
}

#[tokio::test]
async fn every_fault_of_a_provider_comes_to_the_outcome_of_its_row() {
    let limited = |seconds: &str| Act::Status(429, vec![("retry-after", seconds.into())], String::new());
    let asks_to_wait = |status| Act::Status(status, vec![("retry-after", "60".into())], String::new());
    for (act, fault) in [
        // What is limited for a moment and still is at the last try is limited for longer.
        (limited("0.002"), Fault::RateLimited),
        (Act::status(429), Fault::RateLimited),
        (limited("60"), Fault::RateLimitedLong),
        (asks_to_wait(502), Fault::RateLimitedLong),
        (asks_to_wait(408), Fault::RateLimitedLong),
        (Act::status(529), Fault::Overloaded),
        (Act::ErrorEvent("overloaded_error"), Fault::Overloaded),
        (Act::status(500), Fault::ServerError),
        (Act::ErrorEvent("api_error"), Fault::ServerError),
        (Act::Silence, Fault::Silent),
        (Act::HalfSilence, Fault::Silent),
        (Act::HangsUp, Fault::Unreachable),
        (Act::Truncated, Fault::Truncated),
        (Act::Garbled, Fault::Garbled),
        (Act::Empty, Fault::Empty),
        (Act::Cut, Fault::StillCut),
        (Act::Refusal, Fault::Refused),
        (Act::status(400), Fault::Rejected),
        (Act::status(413), Fault::TooLong),
        (Act::status(401), Fault::BadKey),
        (Act::status(402), Fault::NoCredit),
        (Act::status(404), Fault::NoModel),
    ] {
        for provider in BOTH {
            let (told, tries) = three_times(provider, act.clone()).await;
            let rule = fault.rule();
            let (retry, expected) = match rule.outcome {
                Outcome::Bury if fault == Fault::StillCut => (Retry::Never, TRIES),
                Outcome::Bury | Outcome::Smaller => (Retry::Never, 1),
                Outcome::Wait => (told.failure.retry, 1),
                _ => (told.failure.retry, TRIES),
            };
            let waits = matches!(told.failure.retry, Retry::Wait(_));
            assert_eq!(
                waits,
                rule.outcome == Outcome::Wait || fault == Fault::RateLimited,
                "{act:?}: {:?}",
                told.failure
            );
            let named = match fault {
                Fault::RateLimited => Fault::RateLimitedLong,
                fault => fault,
            };
            assert_eq!(told.fault, Some(named), "{act:?} of {provider}");
            assert_eq!(
                (told.failure.retry, told.failure.class),
                (retry, rule.class),
                "{act:?}"
            );
            assert_eq!(
                tries,
                usize::try_from(expected).expect("small"),
                "{act:?} of {provider}: {:?}",
                told.failure
            );
        }
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_inside_the_step_and_paid_once_more() {
    for provider in BOTH {
        for act in [
            Act::status(529),
            Act::status(500),
            Act::HangsUp,
            Act::Truncated,
            Act::Garbled,
            Act::Empty,
            Act::Cut,
        ] {
            let (played, hosted) = played(provider).await;
            played.script(vec![act.clone(), Act::Says("well".into())]);
            let answer = asked(&hosted, &request()).await.expect("the second try");
            assert_eq!(
                (answer.text().as_str(), played.seen().len()),
                ("well", 2),
                "{act:?}"
            );
            let paid = answer.usage.output_tokens;
            match act {
                // Both are whole answers, and paid as such.
                Act::Empty | Act::Cut => assert_eq!(paid, 2 * TURN.1),
                Act::Truncated => assert!(paid > TURN.1, "what came before the end is paid too"),
                Act::Garbled => {}
                _ => assert_eq!(paid, TURN.1, "{act:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_is_asked_for_with_twice_the_limit() {
    let (played, hosted) = played(Provider::Anthropic).await;
    played.script(vec![Act::Cut, Act::Cut]);
    asked(&hosted, &request()).await.expect("the third try");
    let limits: Vec<_> = played
        .seen()
        .iter()
        .map(|seen| seen.body["max_tokens"].clone())
        .collect();
    assert_eq!(limits, [4_096, 8_192, 16_384]);
    // Cut once, after other faults: a higher limit has not been tried yet, so another attempt can.
    played.script(vec![Act::HangsUp, Act::HangsUp, Act::Cut]);
    let failure = asked(&hosted, &request())
        .await
        .expect_err("the tries are used up")
        .failure;
    assert_eq!(failure.retry, Retry::Later);
}

#[tokio::test]
async fn a_server_that_knows_no_schemas_is_asked_without_one_from_then_on() {
    for (provider, member) in [
        (Provider::Anthropic, "output_config"),
        (Provider::OpenAi, "response_format"),
    ] {
        let (played, hosted) = played(provider).await;
        let refuse = format!("{{\"error\": \"{member}: unknown\"}}");
        played.direct(move |seen: &Seen| {
            if seen.body[member].is_null() {
                Act::usual(seen)
            } else {
                Act::Status(400, Vec::new(), refuse.clone())
            }
        });
        for _ in 0..2 {
            asked(&hosted, &for_judge()).await.expect("a verdict");
        }
        assert_eq!(played.seen().len(), 3, "refused once, then two answers");
    }
}

#[tokio::test]
async fn a_model_that_takes_its_limit_by_the_other_name_is_asked_with_that_from_then_on() {
    let (played, hosted) = played(Provider::OpenAi).await;
    for (request, refused, taken) in [
        (request(), "max_tokens", "max_completion_tokens"),
        (for_judge(), "max_completion_tokens", "max_tokens"),
    ] {
        played.forget();
        played.direct(move |seen: &Seen| {
            if seen.body[refused].is_null() {
                Act::usual(seen)
            } else {
                let told = "Unsupported parameter: this is not 'max_completion_tokens'";
                Act::Status(400, Vec::new(), told.to_owned())
            }
        });
        for _ in 0..2 {
            asked(&hosted, &request).await.expect("an answer");
        }
        let seen = played.seen();
        assert_eq!(seen.len(), 3, "refused once, then two answers");
        assert_eq!(seen[2].body[taken], 4_096);
        // A server that takes neither is asked once more at the most.
        played.direct(|_| Act::Status(400, Vec::new(), "max_completion_tokens".to_owned()));
        let failure = asked(&hosted, &request).await.expect_err("refused").failure;
        assert_eq!((failure.retry, played.seen().len()), (Retry::Never, 4));
    }
}

#[tokio::test]
async fn what_a_turn_has_cost_is_told_while_it_is_under_way() {
    for provider in BOTH {
        let (played, hosted) = played(provider).await;
        // A whole answer that says nothing, one that breaks off, and one that never ends.
        played.script(vec![
            Act::Empty,
            Act::ErrorEvent("overloaded_error"),
            Act::HalfSilence,
        ]);
        let (last, halves) = (Mutex::new(Underway::default()), tokio::sync::Notify::new());
        let request = request();
        let heard = |underway: Underway| {
            *last.lock().expect("nobody panics") = underway;
            if underway.chars > 0 && played.seen().len() == 3 {
                halves.notify_one();
            }
        };
        tokio::select! {
            ended = hosted.turn(&request, &heard) => panic!("it never ends: {ended:?}"),
            () = halves.notified() => {}
        }
        let known = last.into_inner().expect("nobody panics");
        // The first try is known, of the others what they had read and said.
        assert!(
            known.usage.input_tokens > TURN.0 && known.usage.output_tokens > TURN.1,
            "{known:?}"
        );
        let price = price::of(provider, names(provider).0).0;
        let (read, written) = (known.usage.input_tokens, known.usage.output_tokens);
        let cost = price.cost(Metered {
            input: read,
            output: written,
            ..Metered::default()
        });
        assert!((known.cost_usd - cost).abs() < 1e-9, "{known:?}");
    }
}

#[tokio::test]
async fn a_limit_that_outlasts_a_step_lets_jobs_wait_and_holds_back_all_of_them() {
    let (played, hosted) = played(Provider::Anthropic).await;
    played.direct(|_| Act::Status(429, vec![("retry-after", "0.002".into())], String::new()));
    for _ in 0..3 {
        let failure = asked(&hosted, &request()).await.expect_err("limited").failure;
        assert!(
            matches!(failure.retry, Retry::Wait(pause) if pause > Duration::from_secs(10)),
            "{failure:?}"
        );
        assert!(!failure.counts());
    }
    assert_eq!(played.seen().len(), 3, "only the first has sent anything");
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_and_jobs_wait() {
    let (played, hosted) = played(Provider::Anthropic).await;
    played.direct(|_| Act::status(500));
    let mut failures = Vec::new();
    for _ in 0..5 {
        failures.push(asked(&hosted, &request()).await.expect_err("down").failure);
    }
    assert_eq!(played.seen().len(), 5, "five outages open the breaker");
    assert_eq!(failures[0].retry, Retry::Later);
    for failure in &failures[1..] {
        let Retry::Wait(pause) = failure.retry else {
            panic!("{failure:?}")
        };
        assert!(pause > Duration::from_secs(10) && pause <= Duration::from_secs(15));
        assert!(!failure.counts());
    }
}

#[tokio::test]
async fn a_limit_of_the_rate_holds_back_every_other_request_too() {
    let (played, hosted) = played(Provider::OpenAi).await;
    played.script(vec![Act::Status(
        429,
        vec![("retry-after", "60".into())],
        String::new(),
    )]);
    for _ in 0..2 {
        let failure = asked(&hosted, &request()).await.expect_err("limited").failure;
        assert!(matches!(failure.retry, Retry::Wait(pause) if pause > Duration::from_secs(50)));
        assert_eq!(failure.class, FailureClass::Model);
    }
    assert_eq!(played.seen().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_given_up_does_not_leave_the_breaker_waiting() {
    let (played, hosted) = played(Provider::Anthropic).await;
    played.direct(|_| Act::Silence);
    let request = request();
    let turn = hosted.turn(&request, &|_| ());
    assert!(
        tokio::time::timeout(Duration::from_millis(50), turn)
            .await
            .is_err()
    );
    played.direct(Act::usual);
    asked(&hosted, &request).await.expect("an answer");
}
