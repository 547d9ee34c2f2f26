//! What a reference process and its clients read: every column of its tables, and the events of a review.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use millstream::domain::JobId;
use millstream::queue::keys::progress_channel;
use millstream_worker::model::stub::Stub;
use serde_json::Value;
use sqlx::{Column, Row};
use uuid::Uuid;

use super::{Yard, pull};

/// The columns of the reference's `reviews` in their order: its list makes an object of each row, and one column
/// more or less ends in an error.
const REVIEWS: [&str; 11] = [
    "id",
    "pr_url",
    "status",
    "verdict",
    "reason",
    "source",
    "workflow",
    "input_tokens",
    "output_tokens",
    "created_at",
    "updated_at",
];

/// A row of its list, with its types.
#[derive(Debug, sqlx::FromRow)]
struct Listed {
    id: Uuid,
    pr_url: String,
    status: String,
    verdict: Option<String>,
    reason: Option<String>,
    source: Option<String>,
    workflow: Option<String>,
    input_tokens: i32,
    output_tokens: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[tokio::test]
async fn the_references_list_reads_the_rows_of_both() {
    let yard = Yard::new().await;
    let mut theirs = yard.theirs(4711).await;
    let first = yard.world.post(&pull(1)).await;
    theirs.turn().await;
    let ours = yard.ours(Stub::new());
    let second = yard.submit_pull(2).await;
    yard.until_done(2).await;
    ours.drain().await;
    let rows = sqlx::query("select * from reviews order by created_at desc limit 50")
        .fetch_all(&yard.world.sql)
        .await
        .expect("its query");
    for row in &rows {
        let names: Vec<&str> = row.columns().iter().map(Column::name).collect();
        assert_eq!(names, REVIEWS);
    }
    let listed: Vec<Listed> = sqlx::query_as("select * from reviews order by created_at desc limit 50")
        .fetch_all(&yard.world.sql)
        .await
        .expect("its types");
    let ids: Vec<Uuid> = listed.iter().map(|row| row.id).collect();
    assert_eq!(ids, [second.0, first.0]);
    for row in &listed {
        assert_eq!(
            (row.status.as_str(), row.verdict.as_deref()),
            ("done", Some("approve"))
        );
        assert!(
            row.reason.as_ref().is_some_and(|reason| !reason.is_empty()),
            "{row:?}"
        );
        assert!(
            row.source.is_some() && row.pr_url.starts_with("https://"),
            "{row:?}"
        );
        assert_eq!(row.workflow.as_deref(), Some("code-review"));
        assert!(row.input_tokens > 0 && row.output_tokens > 0, "{row:?}");
        assert!(row.created_at <= row.updated_at, "{row:?}");
    }
}

async fn listen(events: &mut redis::aio::PubSub, id: JobId) {
    let listening = events.subscribe(progress_channel(id));
    listening.await.expect("valkey is there");
}

/// What a client hears of a review until it is done, in the reference's words: no numbers of ours.
async fn story(events: &mut redis::aio::PubSub) -> Vec<String> {
    let mut told = Vec::new();
    let mut messages = events.on_message();
    loop {
        let hearing = tokio::time::timeout(Duration::from_secs(30), messages.next());
        let message = hearing
            .await
            .expect("it is told in time")
            .expect("valkey is there");
        let text: String = message.get_payload().expect("text");
        let event: Value = serde_json::from_str(&text).expect("JSON");
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        told.push(format!("{} {}{}", word("type"), word("phase"), word("agent")));
        if event["phase"] == "done" {
            // Reviewers that run side by side end in any order.
            let ends = told.iter().filter(|line| line.starts_with("agent_done"));
            let mut ends: Vec<String> = ends.cloned().collect();
            ends.sort();
            told.retain(|line| !line.starts_with("agent_done"));
            told.extend(ends);
            return told;
        }
    }
}

#[tokio::test]
async fn a_client_hears_the_same_story_from_either_worker() {
    let yard = Yard::new().await;
    let client = redis::Client::open(yard.world.valkey_url.as_str()).expect("an address of ours");
    let mut events = client.get_async_pubsub().await.expect("valkey is there");
    let mut theirs = yard.theirs(4711).await;
    listen(&mut events, yard.world.post(&pull(1)).await).await;
    theirs.turn().await;
    let from_theirs = story(&mut events).await;
    listen(&mut events, yard.world.post(&pull(2)).await).await;
    let ours = yard.ours(Stub::new());
    let from_ours = story(&mut events).await;
    assert_eq!(from_ours, from_theirs);
    assert_eq!(from_theirs.len(), 9, "{from_theirs:?}");
    ours.drain().await;
}
