//! Running now, calling off, giving up.

use std::time::Duration;

use millstream::domain::{JobId, JobRef, JobState, PrUrl};
use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Mode, Selection};
use millstream::queue::Wire;
use millstream::queue::fetch::Want;
use millstream::settings::EngineSettings;
use millstream::store::Fence;
use millstream::store::dead::Exported;
use serde_json::Value;

use super::{ada, dead, due, footprint, held, last_action, named, parked, refusals, scheduled};
use crate::support::{Gated, World, private, until};

#[tokio::test]
async fn a_scheduled_job_runs_now_and_a_parked_one_is_due_now() {
    let world = World::new().await;
    let (waits, fails) = (scheduled(&world, "one").await, parked(&world, "two").await);
    let before = world.queue.server_ms().await.expect("time");
    assert!(
        due(&world, fails.entry)
            .await
            .is_some_and(|at| at > before + 500_000)
    );
    let outcome = ada(&world)
        .retry(&named([waits, fails.job]), Mode::Real)
        .await
        .expect("retry");
    assert_eq!(outcome.done, [waits.to_string(), fails.job.to_string()]);
    assert!(
        outcome.refused.is_empty() && outcome.notes.is_empty(),
        "{outcome:?}"
    );
    let after = world.queue.server_ms().await.expect("time");
    assert!(due(&world, fails.entry).await.is_some_and(|at| at <= after));
    assert_eq!(world.job(waits).await.status, "waiting");
    let late: bool = sqlx::query_scalar("select run_at <= now() from millstream.jobs where id = $1")
        .bind(fails.job.0)
        .fetch_one(&world.sql)
        .await
        .expect("its row");
    assert!(late);
    let worker = world.worker(&Gated::open(), World::engine());
    for job in [waits, fails.job] {
        world.until_state(job, JobState::Done).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn what_cannot_run_now_is_refused_with_its_state() {
    let world = World::new().await;
    let buried = dead(&world, "one", "no such pull request").await;
    let waits = world.submit("two").await;
    let nobody = JobId::fresh();
    let names = named([buried, waits, nobody, waits]);
    let outcome = ada(&world).retry(&names, Mode::Real).await.expect("retry");
    assert!(outcome.done.is_empty());
    let expected = [
        (
            buried.to_string(),
            "it is dead: use `millstream dead requeue`".to_owned(),
        ),
        (waits.to_string(), "it is waiting".to_owned()),
        (nobody.to_string(), "there is no such job".to_owned()),
    ];
    assert_eq!(refusals(&outcome), expected);
    assert_eq!(last_action(&world).await.2.as_deref(), Some("refused"));
}

#[tokio::test]
async fn a_retry_that_comes_after_a_worker_took_the_entry_says_so() {
    let world = World::new().await;
    let fails = parked(&world, "one").await;
    // A worker has it, and its start is not written yet.
    world.age(fails.entry, "w-0000000000000001", Duration::ZERO).await;
    let outcome = ada(&world)
        .retry(&named([fails.job]), Mode::Real)
        .await
        .expect("retry");
    assert!(outcome.done.is_empty());
    assert!(refusals(&outcome)[0].1.contains("not parked"), "{outcome:?}");
}

#[tokio::test]
async fn a_cancelled_job_leaves_nothing_in_valkey_and_its_end_in_postgres() {
    let world = World::new().await;
    let (runs, fails) = (held(&world, "one").await, parked(&world, "two").await);
    let (later, waits) = (scheduled(&world, "three").await, world.submit("four").await);
    let owed = world.accept("five").await;
    let jobs = [runs.job, fails.job, later, waits, owed];
    let outcome = ada(&world)
        .cancel(&named(jobs), Mode::Real)
        .await
        .expect("cancel");
    assert_eq!(outcome.done, jobs.map(|job| job.to_string()));
    assert!(outcome.notes.is_empty(), "{outcome:?}");
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!(
        (depth.entries, depth.pending, depth.parked, depth.dead),
        (0, 0, 0, 0)
    );
    for job in jobs {
        let row = world.job(job).await;
        assert_eq!(
            (row.status.as_str(), row.error.as_deref()),
            ("cancelled", Some("cancelled by cli:ada"))
        );
        let events = world.store.events_after(job, -1).await.expect("events");
        let last: &Value = &events.last().expect("an event").body;
        assert_eq!(
            (&last["type"], &last["message"]),
            (&"error".into(), &"cancelled by cli:ada".into())
        );
    }
    assert_eq!(world.outcomes(runs.job).await, ["cancelled"]);
    assert_eq!(world.outcomes(fails.job).await, ["failed"]);
    // Whoever still runs it writes nothing more.
    let written = world.store.finish(&runs.lease, &(), None).await.expect("finish");
    assert_eq!(written, Fence::Closed);
    let (actor, verb, word, result) = last_action(&world).await;
    assert_eq!(
        (actor.as_str(), verb.as_str(), word.as_deref()),
        ("cli:ada", "cancel", Some("ok"))
    );
    assert_eq!(result.expect("a result")["ids"].as_array().map(Vec::len), Some(5));
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.cancelled, counts.add_up()), (5, true));
    // Once is enough.
    let again = ada(&world)
        .cancel(&named([waits]), Mode::Real)
        .await
        .expect("cancel");
    assert_eq!(refusals(&again)[0].1, "it is cancelled");
}

#[tokio::test]
async fn the_handler_of_a_cancelled_job_is_dropped_and_its_place_is_free() {
    let world = World::new().await;
    let handler = Gated::shut();
    let settings = EngineSettings {
        concurrency: 1,
        visibility_timeout: Duration::from_secs(3),
        ..World::engine()
    };
    let worker = world.worker(&handler, settings);
    let first = world.submit("one").await;
    assert_eq!(handler.next_start().await.job, first);
    let outcome = ada(&world)
        .cancel(&named([first]), Mode::Real)
        .await
        .expect("cancel");
    assert_eq!(outcome.done.len(), 1);
    let second = world.submit("two").await;
    assert_eq!(handler.next_start().await.job, second);
    handler.let_through(1);
    world.until_state(second, JobState::Done).await;
    world.until_empty().await;
    assert_eq!(
        (handler.runs(), world.job(first).await.status.as_str()),
        (1, "cancelled")
    );
    worker.drain().await;
}

#[tokio::test]
async fn a_cancelled_review_says_so_in_the_references_words() {
    let world = World::with(Wire::REVIEW).await;
    let submitter = world.submitter();
    let pr: PrUrl = "https://github.com/acme/ledger/pull/7"
        .parse()
        .expect("an address");
    let submission = Submission::now(Source::PullRequest(pr));
    let id = submitter.submit(submission).await.expect("submit").id;
    let mut told = Box::pin(world.queue.progress_of(id).await.expect("subscribe"));
    ada(&world)
        .cancel(&named([id]), Mode::Real)
        .await
        .expect("cancel");
    let row = world
        .store
        .find_review(id)
        .await
        .expect("postgres")
        .expect("its row");
    assert_eq!(
        (row.status.as_str(), row.reason.as_deref()),
        ("error", Some("cancelled by cli:ada"))
    );
    let text = futures_util::StreamExt::next(&mut told).await.expect("an event");
    let event: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&event["type"], &event["attempt"]), (&"error".into(), &0.into()));
    assert_eq!(world.queue.depth().await.expect("depth").entries, 0);
}

#[tokio::test]
async fn withdrawing_keeps_what_another_group_was_given() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let own = &world.queue.keys().own;
    let mut valkey = world.valkey.clone();
    let () = redis::cmd("XGROUP")
        .arg(&["CREATE", own, "other", "0"])
        .query_async(&mut valkey)
        .await
        .expect("a group");
    let mut jobs = Vec::new();
    for word in ["one", "two", "three"] {
        jobs.push(world.submit(word).await);
    }
    let _two: redis::Value = redis::cmd("XREADGROUP")
        .arg(&["GROUP", "other", "reader", "COUNT", "2", "STREAMS", own, ">"])
        .query_async(&mut valkey)
        .await
        .expect("read");
    let worker = millstream::domain::WorkerId::fresh();
    let fetched = world.queue.fetch(worker, 1, Want::Anything).await.expect("fetch");
    assert_eq!(fetched.entries.len(), 1);
    let outcome = ada(&world)
        .cancel(&named(jobs.clone()), Mode::Real)
        .await
        .expect("cancel");
    assert_eq!(outcome.done.len(), 3);
    let left: Vec<(String, redis::Value)> = redis::cmd("XRANGE")
        .arg(&[own, "-", "+"])
        .query_async(&mut valkey)
        .await
        .expect("xrange");
    assert_eq!(left.len(), 2, "what the other group was given stays for it");
    assert_eq!(
        world.queue.depth().await.expect("depth").pending,
        0,
        "and none of ours"
    );
    // The one that was left undelivered is acknowledged unrun by whoever meets it.
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    let next = world.submit("four").await;
    world.until_state(next, JobState::Done).await;
    until("nothing is pending", || async {
        let depth = world.queue.depth().await.expect("depth");
        (depth.pending == 0).then_some(())
    })
    .await;
    assert_eq!(handler.runs(), 1);
    worker.drain().await;
}

#[tokio::test]
async fn a_job_is_cancelled_while_valkey_is_away_and_its_entry_is_left_to_the_workers() {
    let servers = private::valkey().await;
    let world = World::on_valkey(
        &servers.valkey_url,
        <crate::support::TestJob as millstream::engine::Job>::WIRE,
    )
    .await;
    world.queue.ensure_groups().await.expect("groups");
    let job = world.submit("one").await;
    servers.kill_valkey().await.expect("it is ours");
    let outcome = ada(&world)
        .cancel(&named([job]), Mode::Real)
        .await
        .expect("cancel");
    assert_eq!(outcome.done, [job.to_string()]);
    assert!(outcome.notes[0].contains("left to the workers"), "{outcome:?}");
    let (_, _, word, result) = last_action(&world).await;
    assert_eq!(word.as_deref(), Some("ok"));
    assert_eq!(result.expect("a result")["notes"][0], outcome.notes[0].as_str());
    servers.restart_valkey().await.expect("it comes back");
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    world.until_empty().await;
    assert_eq!(
        (handler.runs(), world.job(job).await.status.as_str()),
        (0, "cancelled")
    );
    worker.drain().await;
    servers.stop().await;
}

#[tokio::test]
async fn while_valkey_is_away_a_retry_is_refused_and_a_pause_is_kept_for_it() {
    let servers = private::valkey().await;
    let world = World::on_valkey(
        &servers.valkey_url,
        <crate::support::TestJob as millstream::engine::Job>::WIRE,
    )
    .await;
    let (fails, later) = (parked(&world, "one").await, scheduled(&world, "two").await);
    servers.kill_valkey().await.expect("it is ours");
    let ada = ada(&world);
    let outcome = ada
        .retry(&named([fails.job, later]), Mode::Real)
        .await
        .expect("retry");
    assert_eq!(outcome.done, [later.to_string()]);
    assert!(
        refusals(&outcome)[0].1.ends_with("it goes on as planned before"),
        "{outcome:?}"
    );
    assert!(
        outcome.notes[0].contains("owed until Valkey is back"),
        "{outcome:?}"
    );
    let outcome = ada.pause(None, Mode::Real).await.expect("pause");
    assert_eq!((outcome.done.len(), outcome.notes.len()), (1, 1), "{outcome:?}");
    assert!(ada.claim(&named([fails.job]), Mode::Real).await.is_err());
    assert_eq!(last_action(&world).await.2.as_deref(), Some("refused"));
    let paused = world.store.paused(&world.settings.name).await;
    assert!(paused.expect("postgres is there").is_some());
    servers.stop().await;
}

#[tokio::test]
async fn a_result_that_a_reference_worker_has_recorded_stands() {
    let world = World::with(Wire::REVIEW).await;
    let id = world.accept("one").await;
    sqlx::query("insert into reviews (id, pr_url, status, verdict) values ($1, 'p', 'done', 'approve')")
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("a foreign result");
    for mode in [Mode::DryRun, Mode::Real] {
        let outcome = ada(&world).cancel(&named([id]), mode).await.expect("cancel");
        let why = "a reference worker has recorded its result".to_owned();
        assert_eq!(refusals(&outcome), [(id.to_string(), why)]);
    }
    assert_eq!(world.job(id).await.status, "waiting");
}

#[tokio::test]
async fn a_buried_job_is_dead_with_its_reason_and_has_its_letter() {
    let world = World::new().await;
    let (runs, waits) = (held(&world, "one").await, world.submit("two").await);
    let outcome = ada(&world)
        .bury(
            &named([runs.job, waits]),
            "poison: it kills every worker",
            Mode::Real,
        )
        .await
        .expect("bury");
    assert_eq!(outcome.done.len(), 2);
    for job in [runs.job, waits] {
        let class: Option<String> =
            sqlx::query_scalar("select error_class from millstream.jobs where id = $1")
                .bind(job.0)
                .fetch_one(&world.sql)
                .await
                .expect("its row");
        let row = world.job(job).await;
        assert_eq!(
            (row.status.as_str(), row.error.as_deref(), class.as_deref()),
            ("dead", Some("poison: it kills every worker"), Some("operator"))
        );
    }
    assert_eq!(world.outcomes(runs.job).await, ["cancelled"]);
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!((depth.entries, depth.pending), (0, 0));
    let letters = world.dead_letters().await;
    let of = |job: JobId| letters.iter().find(|letter| letter["jobId"] == job.to_string());
    let letter = of(runs.job).expect("a letter");
    assert_eq!(
        (letter["class"].as_str(), letter["attempt"].as_str()),
        ("operator", "1")
    );
    assert_eq!(letter["entry"], runs.entry.to_string());
    assert!(of(waits).is_some());
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let world = World::new().await;
    let (runs, fails) = (held(&world, "one").await, parked(&world, "two").await);
    let buried = dead(&world, "three", "no such pull request").await;
    let (later, waits) = (scheduled(&world, "four").await, world.submit("five").await);
    let jobs = named([runs.job, fails.job, buried, later, waits, JobId::fresh()]);
    let ada = ada(&world);
    let all = Selection::Matching(millstream::domain::DeadFilter::default());
    let before = footprint(&world).await;
    let mode = Mode::DryRun;
    let (retry, cancel) = (ada.retry(&jobs, mode).await, ada.cancel(&jobs, mode).await);
    let (bury, claim) = (ada.bury(&jobs, "why", mode).await, ada.claim(&jobs, mode).await);
    let (requeue, drop) = (
        ada.requeue_dead(&named([buried]), mode).await,
        ada.drop_dead(&all, None, Exported::Waived, mode).await,
    );
    let (pause, resume) = (ada.pause(None, mode).await, ada.resume(mode).await);
    assert_eq!(footprint(&world).await, before);
    let outcomes =
        [retry, cancel, bury, claim, requeue, drop, pause, resume].map(|one| one.expect("it looks"));
    let counts = outcomes.each_ref().map(|one| (one.done.len(), one.refused.len()));
    assert_eq!(
        counts,
        [(2, 4), (4, 2), (4, 2), (1, 5), (1, 0), (1, 0), (1, 0), (0, 1)],
        "{outcomes:#?}"
    );
    let [retry, cancel, _, _, requeue, ..] = outcomes;
    assert_eq!(ada.retry(&jobs, Mode::Real).await.expect("retry"), retry);
    assert_eq!(ada.cancel(&jobs, Mode::Real).await.expect("cancel"), cancel);
    assert_eq!(
        ada.requeue_dead(&named([buried]), Mode::Real)
            .await
            .expect("requeue"),
        requeue
    );
    assert_eq!(world.holder(fails.entry).await, None);
}

#[tokio::test]
async fn the_beginning_of_an_id_is_enough_where_it_names_one_job() {
    let world = World::new().await;
    let ids = [
        "abcdef00-0000-4000-8000-000000000001",
        "abcdef00-0000-4000-8000-000000000002",
    ];
    for id in ids {
        sqlx::query(
            "insert into millstream.jobs (id, queue, kind, lane, payload, state)
             values ($1::uuid, $2, 'test', 'own', 'p', 'waiting')",
        )
        .bind(id)
        .bind(&world.settings.name)
        .execute(&world.sql)
        .await
        .expect("a row");
    }
    let name = |text: &str| -> JobRef { text.parse().expect("a name") };
    let names = [name("abcdef"), name(ids[1]), name("123456")];
    let outcome = ada(&world).cancel(&names, Mode::Real).await.expect("cancel");
    assert_eq!(outcome.done, [ids[1]]);
    let whys: Vec<String> = refusals(&outcome).into_iter().map(|(_, why)| why).collect();
    assert!(
        whys[0].contains("more than one") && whys[1].contains("no such job"),
        "{whys:?}"
    );
    let whole = name(ids[0]);
    assert_eq!(
        ada(&world)
            .cancel(&[whole], Mode::Real)
            .await
            .expect("cancel")
            .done,
        [ids[0]]
    );
}
