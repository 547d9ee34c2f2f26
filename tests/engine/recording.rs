//! How starts and ends are taken down: together, once, and no one's lock holds up another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream::domain::{
    Failure, JobState, Phase, Progress, SpanEnd, SpanId, SpanKind, SpanStart, SpanStatus, Usage,
};
use millstream::engine::{Handler, JobContext};
use millstream::store::{Asked, Fence, Issued, Lease, Start};
use serde_json::json;

use crate::support::{Gated, TestJob, World, until};

#[tokio::test]
async fn a_row_that_somebody_has_locked_holds_up_no_other_jobs_result() {
    let world = World::new().await;
    let handler = Gated::shut();
    let worker = world.worker(&handler, World::engine());
    let (locked, free) = (world.submit("locked").await, world.submit("free").await);
    handler.next_start().await;
    handler.next_start().await;
    let mut psql = world.sql.begin().await.expect("postgres is there");
    sqlx::query("select 1 from millstream.jobs where id = $1 for update")
        .bind(locked.0)
        .execute(&mut *psql)
        .await
        .expect("its row is free");
    handler.let_through(2);
    world.until_state(free, JobState::Done).await;
    assert_eq!(world.job(locked).await.status, "running");
    psql.rollback().await.expect("postgres is there");
    world.until_state(locked, JobState::Done).await;
    world.until_empty().await;
    for job in [locked, free] {
        assert_eq!(world.outcomes(job).await, ["done"]);
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_result_that_is_taken_down_twice_is_no_closed_fence() {
    let world = World::new().await;
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    let worker = millstream::domain::WorkerId::fresh();
    let asked = Asked {
        job: id,
        entry,
        lane: millstream::domain::Lane::Own,
        payload: String::new(),
        delivery: 1,
    };
    let started = world.store.start(&world.settings.name, worker, &[asked]).await;
    let begun = Issued {
        attempt: 1,
        failures: 0,
        crashes: 0,
        again: false,
    };
    assert_eq!(started.expect("start"), [Start::Begin(begun)]);
    let lease = Lease {
        job: id,
        attempt: 1,
        worker,
    };
    for _ in 0..2 {
        // The second time stands for a reply that was lost.
        let fence = world.store.finish(&lease, &(), None).await.expect("finish");
        assert_eq!(fence, Fence::Open);
    }
    let other = Lease {
        worker: millstream::domain::WorkerId::fresh(),
        ..lease
    };
    let fence = world.store.finish(&other, &(), None).await.expect("finish");
    assert_eq!(fence, Fence::Closed, "another worker's result is not ours");
}

/// Tells and takes a span's tokens in its first run, which does not end by itself; in the next one it ends at once.
#[derive(Clone, Default)]
struct Interrupted {
    runs: Arc<AtomicUsize>,
}

impl Handler<TestJob> for Interrupted {
    type Output = ();

    async fn run(&self, job: TestJob, context: JobContext) -> Result<(), Failure> {
        if job.word != "interrupted" || self.runs.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        context.progress(&Progress::phase(Phase::Review));
        let at = millstream::clock::now();
        let start = |name: &str| SpanStart {
            id: SpanId::fresh(),
            parent: None,
            kind: SpanKind::Llm,
            name: name.to_owned(),
            input: json!({}),
            at,
        };
        let (ended, open) = (start("ended"), start("open"));
        context.span_start(ended.clone());
        context.span_start(open);
        context.span_end(SpanEnd {
            id: ended.id,
            status: SpanStatus::Ok,
            output: json!({}),
            error: None,
            usage: Usage {
                input_tokens: 7,
                output_tokens: 5,
            },
            cost_usd: 0.0,
            model: None,
            at,
        });
        context.progress(&Progress::phase(Phase::Judge));
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_job_that_runs_again_under_its_number_keeps_what_it_told_before() {
    let world = World::new().await;
    let worker = world.run::<TestJob, _>(Interrupted::default(), World::engine());
    let id = world.accept("interrupted").await;
    let entry = world.enqueue(id, "interrupted").await;
    let events = async || world.store.events_after(id, -1).await.expect("postgres is there");
    let tokens = async || {
        let tokens = "select input_tokens from millstream.span_facts where job_id = $1 and input_tokens > 0";
        let tokens = sqlx::query_scalar::<_, i64>(tokens).bind(id.0);
        tokens
            .fetch_optional(&world.sql)
            .await
            .expect("postgres is there")
    };
    until("it has told", || async {
        (events().await.len() == 2 && tokens().await.is_some()).then_some(())
    })
    .await;
    // The server has forgotten that it was delivered, as one that lost its last second has.
    let keys = world.queue.keys();
    redis::pipe()
        .atomic()
        .cmd("XACK")
        .arg(&[&keys.own, &keys.group, &entry.to_string()])
        .cmd("XGROUP")
        .arg(&["SETID", &keys.own, &keys.group, "0"])
        .exec_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    // Another entry ends the read that waits.
    let other = world.submit("other").await;
    world.until_state(id, JobState::Done).await;
    world.until_state(other, JobState::Done).await;
    assert_eq!(world.outcomes(id).await, ["done"]);
    let told = events().await;
    let phases: Vec<&str> = told
        .iter()
        .filter_map(|event| event.body["phase"].as_str())
        .collect();
    assert_eq!(phases, ["review", "judge", "done"]);
    let spent: (i64, i64) =
        sqlx::query_as("select input_tokens, output_tokens from millstream.attempts where job_id = $1")
            .bind(id.0)
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
    assert_eq!(spent, (7, 5));
    let open = sqlx::query_scalar::<_, i64>(
        "select count(*) from spans s join millstream.span_facts f on f.span_id = s.span_id
         where f.job_id = $1 and s.status = 'running'",
    );
    let open = open.bind(id.0).fetch_one(&world.sql).await;
    assert_eq!(open.expect("postgres is there"), 0);
    world.until_empty().await;
    worker.drain().await;
}
