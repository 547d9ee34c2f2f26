//! Progress as server-sent events: from the first one, from behind any one, and always with an end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use millstream::domain::{JobId, JobRef, JobState};
use millstream::ops::{Mode, Operator, Rights};
use millstream::queue::Wire;
use reqwest::Response;
use serde_json::{Value, json};

use super::{Producer, ask, offline, world_and_producer};
use crate::support::reviews::CLEAN;
use crate::support::servers::shared;
use crate::support::{Line, PATIENCE, World, private, until};

/// A missing event is looked for 25 times before it is given up, with a fifth of a second in between: for this long nobody
/// has given it up.
const HELD_UP: Duration = Duration::from_secs(4);

/// An event as a browser has it.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    /// Its name; `message` for one without.
    name: String,
    id: Option<i64>,
    data: Value,
}

/// A client that follows a review.
struct Client {
    response: Response,
    rest: String,
}

impl Client {
    async fn open(producer: &Producer, id: JobId, behind: Option<i64>) -> Self {
        let mut request = producer.get(&format!("/api/reviews/{id}/stream"));
        if let Some(seq) = behind {
            request = request.header("last-event-id", seq);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            rest: String::new(),
        }
    }

    /// The next event; nothing at the end of the stream. A comment that keeps the line alive is none.
    async fn next(&mut self) -> Option<Event> {
        let read = tokio::time::timeout(PATIENCE, self.read()).await;
        read.expect("something comes, or the end")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (parse(frame), rest.to_owned());
                self.rest = rest;
                if event.is_some() {
                    return event;
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.rest.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn all(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

/// An event of a frame; nothing for a comment.
fn parse(frame: &str) -> Option<Event> {
    let fields: HashMap<&str, &str> = frame.lines().filter_map(|line| line.split_once(": ")).collect();
    let data = fields.get("data")?;
    Some(Event {
        name: fields.get("event").copied().unwrap_or("message").to_owned(),
        id: fields.get("id").map(|id| id.parse().expect("a number")),
        data: serde_json::from_str(data).expect("JSON"),
    })
}

/// What must hold for every stream of a whole review, whenever it was opened.
fn check_whole(events: &[Event]) {
    let (end, told) = events.split_last().expect("something was told");
    assert_eq!(end.name, "end", "{events:#?}");
    let ids: Vec<i64> = told.iter().map(|event| event.id.expect("a number")).collect();
    assert!(
        ids.windows(2).all(|pair| pair[0] < pair[1]),
        "each once, in order: {ids:?}"
    );
    let first = &told.first().expect("a first event").data;
    assert_eq!(
        (&first["type"], &first["phase"]),
        (&json!("phase"), &json!("prepare"))
    );
    assert_eq!(told.last().expect("a last event").data["phase"], "done");
    assert!(told.iter().all(|event| event.name == "message"));
}

#[tokio::test]
async fn a_stream_tells_everything_whenever_it_was_opened() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let before = Client::open(&producer, id, None).await;
    let worker = world.reviewer(offline(), World::engine());
    let before = before.all().await;
    check_whole(&before);
    assert_eq!(
        before.last().expect("an end").data,
        json!({ "status": "done", "state": "done", "verdict": "approve" })
    );
    // The reference's stream tells a latecomer nothing, and never ends.
    let after = Client::open(&producer, id, None).await.all().await;
    assert_eq!(after, before);
    let third = before[2].id;
    let rest = Client::open(&producer, id, third).await.all().await;
    assert_eq!(rest, before[3..]);
    let last = before[before.len() - 2].id.expect("a number");
    let path = format!("/api/reviews/{id}/stream");
    let nothing = ask(producer.get(&path).header("last-event-id", last)).await;
    assert_eq!((nothing.status.as_u16(), nothing.body.as_str()), (204, ""));
    worker.drain().await;
}

#[tokio::test]
async fn many_clients_follow_on_one_connection_to_valkey_and_leave_nothing_behind() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let clients = futures_util::stream::iter(0..50)
        .map(|_| Client::open(&producer, id, None))
        .buffer_unordered(50)
        .collect::<Vec<_>>()
        .await;
    let subscribers = async || {
        let (_, count): (String, i64) = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(format!("review:{id}"))
            .query_async(&mut world.valkey.clone())
            .await
            .expect("valkey is there");
        count
    };
    until("one subscription stands", || async {
        (subscribers().await == 1).then_some(())
    })
    .await;
    let worker = world.reviewer(offline(), World::engine());
    let told = futures_util::future::join_all(clients.into_iter().map(Client::all)).await;
    for events in &told {
        check_whole(events);
    }
    until("the subscription is gone", || async {
        (subscribers().await == 0).then_some(())
    })
    .await;
    worker.drain().await;
}

#[tokio::test]
async fn a_stream_ends_although_every_message_was_lost() {
    let line = Line::to(shared().valkey_url()).await;
    let world = World::with(Wire::REVIEW).await;
    // The producer alone is on the line that falls silent; the worker tells its progress to nobody.
    let (queue, store) = world.by_lines(&line, &Line::to(&shared().database_url("x")).await);
    drop(store);
    let mut deaf = World::with(Wire::REVIEW).await;
    deaf.queue = queue;
    deaf.store = world.store.clone();
    deaf.settings = world.settings.clone();
    let producer = Producer::start(&deaf, None).await;
    let id = producer.submit(CLEAN).await;
    let mut client = Client::open(&producer, id, None).await;
    line.silence();
    let worker = world.reviewer(offline(), World::engine());
    let mut events = Vec::new();
    while let Some(event) = client.next().await {
        events.push(event);
    }
    check_whole(&events);
    worker.drain().await;
}

/// Tells the listeners of an event, as a worker does before it stores it; answers how many producers heard it.
async fn tell(world: &World, id: JobId, seq: i64) -> i64 {
    let body = json!({ "type": "agent_start", "agent": "security", "attempt": 1, "seq": seq });
    redis::cmd("PUBLISH")
        .arg(format!("review:{id}"))
        .arg(body.to_string())
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there")
}

/// Stores events, in one statement as a worker does.
async fn store(world: &World, id: JobId, seqs: &[i64]) {
    let sql = "insert into millstream.events (job_id, seq, attempt, at, body)
               select $1, seq, 1, now(), jsonb_build_object('type', 'agent_start', 'seq', seq)
               from unnest($2) seq";
    sqlx::query(sql)
        .bind(id.0)
        .bind(seqs)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
}

async fn finish(world: &World, id: JobId) {
    sqlx::query("update millstream.jobs set state = 'done', finished_at = now() where id = $1")
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
}

/// The number of the first event of the first attempt.
const FIRST: i64 = 1_000_000;

#[tokio::test]
async fn an_event_that_is_heard_too_early_waits_until_those_ahead_of_it_are_stored() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    store(&world, id, &[FIRST]).await;
    let mut client = Client::open(&producer, id, None).await;
    // It has heard more, so for it nothing is missing: what it is told the other one has heard too.
    let mut ahead = Client::open(&producer, id, Some(FIRST + 1)).await;
    assert_eq!(client.next().await.expect("the first").id, Some(FIRST));
    until("somebody listens", || async {
        (tell(&world, id, FIRST).await > 0).then_some(())
    })
    .await;
    for seq in [FIRST + 2, FIRST + 3] {
        tell(&world, id, seq).await;
        assert_eq!(ahead.next().await.expect("it is told").id, Some(seq));
    }
    store(&world, id, &[FIRST + 1, FIRST + 2, FIRST + 3]).await;
    for seq in [FIRST + 1, FIRST + 2, FIRST + 3] {
        assert_eq!(client.next().await.expect("it is told").id, Some(seq));
    }
    finish(&world, id).await;
    let end = client.all().await;
    assert_eq!(end.iter().map(|event| &event.name).collect::<Vec<_>>(), ["end"]);
}

#[tokio::test]
async fn an_event_that_is_lost_for_ever_holds_up_those_behind_it_for_seconds_and_the_end_not_at_all() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let mut client = Client::open(&producer, id, None).await;
    until("somebody listens", || async {
        (tell(&world, id, FIRST + 1).await > 0).then_some(())
    })
    .await;
    // The first is never stored: what comes behind it is held up while it may still be on its way, and then told.
    let told = Instant::now();
    let behind = client.next().await.expect("it is told");
    assert_eq!(behind.id, Some(FIRST + 1), "the lost one is given up");
    assert!(told.elapsed() > HELD_UP, "it came at once: {:?}", told.elapsed());
    // The same once more, and now the review ends.
    let told = Instant::now();
    tell(&world, id, FIRST + 3).await;
    finish(&world, id).await;
    let is_held_up = told.elapsed() < HELD_UP;
    let rest = client.all().await;
    let end = rest.last().expect("an end");
    assert_eq!((end.name.as_str(), &end.data["state"]), ("end", &json!("done")));
    // On a machine that is too slow to end it in time, the other one has been given up before.
    assert!(
        rest.len() == 1 || !is_held_up,
        "the end waits for nothing: {rest:?}"
    );
}

#[tokio::test]
async fn a_review_that_is_called_off_ends_its_stream_for_good() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let client = Client::open(&producer, id, None).await;
    let operator = Operator::new(world.store.clone(), world.queue.clone(), "test", Rights::Explicit);
    operator
        .cancel(&[JobRef::Id(id)], Mode::Real)
        .await
        .expect("it is called off");
    let events = client.all().await;
    let end = events.last().expect("an end");
    assert_eq!(
        (end.name.as_str(), &end.data["state"]),
        ("end", &json!("cancelled"))
    );
    // A browser comes back with the last number it has heard: also of a review that never told anything there is one.
    let number = end.id.expect("the end has a number");
    let path = format!("/api/reviews/{id}/stream");
    let again = ask(producer.get(&path).header("last-event-id", number)).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (204, ""));
}

#[tokio::test]
async fn what_a_reference_worker_tells_is_passed_on_and_its_end_is_noticed() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let mut client = Client::open(&producer, id, None).await;
    let tell = async |text: &str| {
        let heard: i64 = redis::cmd("PUBLISH")
            .arg(format!("review:{id}"))
            .arg(text)
            .query_async(&mut world.valkey.clone())
            .await
            .expect("valkey is there");
        (heard > 0).then_some(())
    };
    until("somebody listens", || {
        tell(r#"{"type": "agent_start", "agent": "security"}"#)
    })
    .await;
    let event = client.next().await.expect("an event");
    assert_eq!(
        (event.id, event.data),
        (None, json!({ "type": "agent_start", "agent": "security" }))
    );
    tell("no JSON").await;
    tell(r#"{"type": "phase", "phase": "judge"}"#).await;
    let mut event = client.next().await.expect("an event");
    while event.data["type"] == "agent_start" {
        event = client.next().await.expect("an event");
    }
    assert_eq!(event.data["phase"], "judge");
    finish(&world, id).await;
    tell(r#"{"type":"phase","phase":"done"}"#).await;
    assert_eq!(client.next().await.expect("an event").data["phase"], "done");
    assert_eq!(client.next().await.expect("an end").name, "end");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_stream_of_nothing_is_not_found() {
    let (_world, producer) = world_and_producer().await;
    for id in ["7", "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11"] {
        let answer = ask(producer.get(&format!("/api/reviews/{id}/stream"))).await;
        assert_eq!(answer.problem(404), "not found");
    }
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_the_end_of_the_process() {
    let (_world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let client = Client::open(&producer, id, None).await;
    producer.stop.cancel();
    assert_eq!(client.all().await, []);
    until("nobody listens there any more", || async {
        producer.get("/healthz").send().await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_outlives_a_restart_of_valkey() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let id = producer.submit(CLEAN).await;
    let client = Client::open(&producer, id, None).await;
    servers.kill_valkey().await.expect("it is ours");
    servers.restart_valkey().await.expect("it comes back");
    until("the connection of the worker-to-be is back", || async {
        world.queue.check().await.is_ok().then_some(())
    })
    .await;
    let worker = world.reviewer(offline(), World::engine());
    check_whole(&client.all().await);
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    servers.stop().await;
}
