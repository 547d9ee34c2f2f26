//! Reviews by a hosted model: the real engine, and a provider on real HTTP that plays faults.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::domain::JobState;
use millstream::queue::Wire;
use millstream::settings::EngineSettings;
use millstream_worker::model::Hosted;
use millstream_worker::model::hosted::{Access, Line, Provider, Route};
use millstream_worker::model::played::{Act, Played, Seen};
use secrecy::SecretString;

use crate::support::{World, until_within};

/// Both providers behind one played server: the reviewers ask the one, the judge the other.
fn hosted(played: &Played) -> Hosted {
    let line = |provider, base: String| {
        Arc::new(
            Line::new(Access {
                provider,
                base: base.parse().expect("an address"),
                key: SecretString::from("k3y"),
                connect_timeout: Duration::from_secs(5),
                silence: Duration::from_secs(60),
                first_pause: Duration::from_millis(1),
            })
            .expect("settings that work"),
        )
    };
    Hosted::new(
        Route::new(
            line(Provider::Anthropic, played.uri()),
            "claude-sonnet-4-6".to_owned(),
        ),
        Route::new(
            line(Provider::OpenAi, format!("{}/v1", played.uri())),
            "gpt-4.1".to_owned(),
        ),
    )
}

/// A change whose file tells the reviews apart.
fn change(number: usize) -> String {
    format!("--- a/r{number}.rs\n+++ b/r{number}.rs\n@@ -1 +1,2 @@\n a\n+b\n")
}

/// Which review a request belongs to: its reviewers see the file, its judge the finding about it.
fn review_of(seen: &Seen) -> usize {
    let text = seen.body["messages"].to_string();
    let number = text.match_indices(".rs").find_map(|(end, _)| {
        let before = text[..end].trim_end_matches(|c: char| c.is_ascii_digit());
        text[before.len()..end].parse().ok()
    });
    number.unwrap_or_else(|| panic!("no review in {text}"))
}

/// What an agent answers when nothing goes wrong: the security reviewer calls its tool, badly and well, and then
/// names the file.
fn well(seen: &Seen, review: usize) -> Act {
    match (seen.agent(), seen.turn()) {
        ("security", 0) => Act::Calls(vec![
            ("scan_for_secrets".into(), "{}".into()),
            ("scan_for_secrets".into(), "{\"file\":".into()),
            ("no_such_tool".into(), "{}".into()),
        ]),
        ("security", _) => Act::Says(format!(
            r#"[{{"severity":"info","file":"r{review}.rs","line":2,"note":"seen"}}]"#
        )),
        _ => Act::usual(seen),
    }
}

/// One request in five goes wrong, each in one of these ways.
fn fault(draw: u64) -> Option<Act> {
    let limited = |seconds: &str| Act::Status(429, vec![("retry-after", seconds.into())], String::new());
    let acts = [
        Act::status(500),
        Act::status(529),
        Act::HangsUp,
        Act::Truncated,
        Act::Garbled,
        Act::ErrorEvent("overloaded_error"),
        limited("0.005"),
        Act::Empty,
        Act::Cut,
        Act::Refusal,
    ];
    let length = u64::try_from(acts.len()).expect("few");
    draw.is_multiple_of(5)
        .then(|| acts[usize::try_from(draw / 5 % length).expect("few")].clone())
}

/// Whether an answer ends its step: the step must never be asked again.
const fn ends_its_step(act: &Act) -> bool {
    matches!(act, Act::Says(_) | Act::Calls(_))
}

#[tokio::test]
async fn two_hundred_reviews_with_a_fifth_of_faults_end_in_a_state_and_pay_no_step_twice() {
    const REVIEWS: usize = 200;
    let played = Played::start().await.expect("a port");
    let (asked, answered) = (AtomicUsize::new(0), Arc::new(Mutex::new(HashMap::new())));
    let noted = Arc::clone(&answered);
    played.direct(move |seen| {
        let nth = asked.fetch_add(1, Ordering::Relaxed);
        let (review, mut hash) = (review_of(seen), DefaultHasher::new());
        (nth, "faults").hash(&mut hash);
        let act = fault(hash.finish()).unwrap_or_else(|| well(seen, review));
        if ends_its_step(&act) {
            *noted
                .lock()
                .expect("no director panics")
                .entry((review, seen.agent(), seen.turn()))
                .or_insert(0) += 1;
        }
        act
    });
    let world = World::with(Wire::REVIEW).await;
    let settings = EngineSettings {
        concurrency: 16,
        max_attempts: 8,
        ..World::engine()
    };
    let worker = world.reviewer(hosted(&played), settings);
    let mut ids = Vec::new();
    for number in 0..REVIEWS {
        ids.push(world.submit_patch(&change(number)).await);
    }
    let states = until_within(
        // A limit that outlasts the tries of a step holds all of them back for a quarter of a minute, now and then.
        Duration::from_secs(300),
        Duration::from_millis(100),
        "every review has ended",
        || async {
            let states: Vec<String> =
                sqlx::query_scalar("select state from millstream.jobs where id = any($1)")
                    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
                    .fetch_all(&world.sql)
                    .await
                    .expect("postgres is there");
            let ended = |state: &&String| matches!(state.as_str(), "done" | "dead");
            (states.iter().filter(ended).count() == REVIEWS).then_some(states)
        },
    )
    .await;
    let dead: Vec<(String, String)> =
        sqlx::query_as("select error_class, error from millstream.jobs where state = 'dead' and queue = $1")
            .bind(&world.settings.name)
            .fetch_all(&world.sql)
            .await
            .expect("postgres is there");
    for (class, error) in &dead {
        assert_eq!(
            (class.as_str(), error.contains("refused")),
            ("model", true),
            "{error}"
        );
    }
    let done = states.iter().filter(|state| *state == "done").count();
    assert!(done > REVIEWS / 2 && done + dead.len() == REVIEWS, "{done} done");
    let twice: Vec<_> = answered
        .lock()
        .expect("no director panics")
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|(step, times)| (*step, *times))
        .collect();
    assert_eq!(twice, [], "steps that were answered more than once");
    check_bill(&world, &played).await;
    worker.drain().await;
}

/// Every token that the provider said it had used is in a span, in an attempt and in a review; and nothing else is, but
/// for a guess at what answers that broke off had not said yet.
async fn check_bill(world: &World, played: &Played) {
    let told = played.told();
    assert!(told.written > 0 && told.unfinished > 0, "{told:?}");
    // A half answer has a few words; a request has some thousand characters.
    for (column, said, guessed) in [
        ("output_tokens", told.written, 20),
        ("input_tokens", told.read, 2_000),
    ] {
        let sums: (i64, i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select (select sum({column}) from millstream.span_facts)::bigint,
                    (select sum({column}) from millstream.all_attempts)::bigint,
                    (select sum({column}) from reviews)::bigint",
        )))
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
        assert_eq!((sums.0, sums.0), (sums.1, sums.2), "spans, attempts, reviews");
        let counted = u64::try_from(sums.0).expect("a sum of tokens");
        assert!(
            (said..=said + guessed * told.unfinished).contains(&counted),
            "{column}: {counted} are counted, and {told:?}"
        );
    }
}

#[tokio::test]
async fn a_review_whose_provider_is_away_waits_and_loses_no_attempt() {
    let played = Played::start().await.expect("a port");
    played.direct(|_| Act::Status(429, vec![("retry-after", "200".into())], String::new()));
    let world = World::with(Wire::REVIEW).await;
    let worker = world.reviewer(hosted(&played), World::engine());
    let id = world.submit_patch(&change(1)).await;
    world.until_state(id, JobState::Retrying).await;
    let (failures, wait): (i32, f64) = sqlx::query_as(
        "select failures, extract(epoch from run_at - now())::float8 from millstream.jobs where id = $1",
    )
    .bind(id.0)
    .fetch_one(&world.sql)
    .await
    .expect("postgres is there");
    assert_eq!(failures, 0, "it has lost no attempt");
    assert!(wait > 150.0 && wait < 260.0, "it waits {wait} s");
    worker.drain().await;
}
