//! Starts and ends: what an entry may begin, and what is left of it when somebody was frozen or its answer was lost.

use std::time::Duration;

use millstream::domain::{EntryId, Failure, FailureClass, JobId, WorkerId};
use millstream::store::{Asked, Died, Fence, Issued, Lease, Next, Start, Taken};

use super::{asked, new_job};
use crate::support::{World, until};

#[tokio::test]
async fn a_start_is_issued_once_for_an_entry_and_counts_a_crash_when_it_comes_again() {
    let world = World::new().await;
    let job = new_job(&world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    let (first, second) = (WorkerId::fresh(), WorkerId::fresh());
    let ask = |ms| [asked(job.id, ms)];
    let queue = &job.queue;
    let begin = |attempt, crashes| {
        vec![Start::Begin(Issued {
            attempt,
            failures: 0,
            crashes,
            again: false,
        })]
    };
    assert_eq!(
        world.store.start(queue, first, &ask(5)).await.expect("start"),
        begin(1, 0)
    );
    assert_eq!(
        world.store.start(queue, second, &ask(5)).await.expect("start"),
        begin(2, 1)
    );
    assert_eq!(
        world.store.start(queue, second, &ask(4)).await.expect("start"),
        [Start::Stale]
    );
    assert_eq!(
        world.store.start(queue, second, &ask(6)).await.expect("start"),
        [Start::Stale],
        "it runs"
    );
    assert_eq!(world.outcomes(job.id).await, ["crashed", "running"]);
}

#[tokio::test]
async fn an_end_that_is_repeated_because_its_reply_was_lost_finds_its_own_work() {
    let world = World::new().await;
    let (owner, other) = (WorkerId::fresh(), WorkerId::fresh());
    let failure = Failure::passing(FailureClass::Model, "no answer within 30 s");
    let next = Next::Retry(Duration::ZERO);
    for fails in [false, true] {
        let job = new_job(&world, "test", "p");
        world.store.accept(&job).await.expect("accept");
        let lease = Lease {
            job: job.id,
            attempt: 1,
            worker: owner,
        };
        let end = async || {
            let fence = if fails {
                world.store.fail(&lease, &failure, next, None).await
            } else {
                world.store.finish(&lease, &(), None).await
            };
            fence.expect("postgres is there")
        };
        let start = async |worker| world.store.start(&job.queue, worker, &[asked(job.id, 5)]).await;
        start(owner).await.expect("start");
        assert_eq!([end().await, end().await], [Fence::Open, Fence::Open]);
        let outcome = if fails { "failed" } else { "done" };
        assert_eq!(world.outcomes(job.id).await, [outcome], "it ended once");
        if fails {
            // Another has begun it since: what failed before is history, and still known as one's own.
            start(other).await.expect("start");
            let stranger = Lease {
                worker: other,
                ..lease
            };
            let fence = world.store.fail(&stranger, &failure, next, None).await;
            assert_eq!(fence.expect("postgres is there"), Fence::Closed);
        }
    }
}

#[tokio::test]
async fn a_start_that_comes_late_or_twice_issues_nothing() {
    let world = World::new().await;
    let job = new_job(&world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    let (frozen, owner) = (WorkerId::fresh(), WorkerId::fresh());
    let ask = async |worker, delivery| {
        let batch = [Asked {
            delivery,
            ..asked(job.id, 5)
        }];
        let answers = world.store.start(&job.queue, worker, &batch).await;
        answers.expect("start").remove(0)
    };
    let first = |again| {
        Start::Begin(Issued {
            attempt: 1,
            failures: 0,
            crashes: 0,
            again,
        })
    };
    // The second question stands for a reply that was lost.
    assert_eq!(ask(owner, 2).await, first(false));
    assert_eq!(ask(owner, 2).await, first(true));
    // The entry had been delivered to this one before, and it was frozen before it could ask.
    assert_eq!(ask(frozen, 1).await, Start::Late);
    assert_eq!(world.outcomes(job.id).await, ["running"]);
    let lease = Lease {
        job: job.id,
        attempt: 1,
        worker: owner,
    };
    let failure = Failure::lasting(FailureClass::Input, "no such pull request");
    let fence = world.store.fail(&lease, &failure, Next::Bury, None).await;
    assert_eq!(fence.expect("fail"), Fence::Open);
    // Its worker vanished before it wrote the dead letter.
    let died = Died {
        attempt: 1,
        class: "input".into(),
        error: "no such pull request".into(),
    };
    assert_eq!(ask(WorkerId::fresh(), 3).await, Start::Dead(died));
    let another = world.store.start(&job.queue, owner, &[asked(job.id, 9)]).await;
    assert_eq!(
        another.expect("start"),
        [Start::Finished],
        "not the entry that died"
    );
    // Put back, its new entry begins with its first delivery, whatever the old one had come to.
    let back = world.store.requeue_dead(&job.queue, &[job.id], None).await;
    assert_eq!(back.expect("requeue").len(), 1);
    let fresh = EntryId { ms: 9, seq: 0 };
    world.store.enqueued(&[(job.id, fresh)]).await.expect("enqueued");
    let begun = Issued {
        attempt: 2,
        failures: 0,
        crashes: 0,
        again: false,
    };
    let again = world.store.start(&job.queue, owner, &[asked(job.id, 9)]).await;
    assert_eq!(again.expect("start"), [Start::Begin(begun)]);
}

#[tokio::test]
async fn an_entry_that_was_taken_off_when_its_job_was_put_back_starts_nothing() {
    let world = World::new().await;
    let job = new_job(&world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    let (queue, worker) = (&job.queue, WorkerId::fresh());
    let start = async |ms| {
        let answers = world.store.start(queue, worker, &[asked(job.id, ms)]).await;
        answers.expect("start").remove(0)
    };
    let begin = |attempt| {
        Start::Begin(Issued {
            attempt,
            failures: 0,
            crashes: 0,
            again: false,
        })
    };
    assert_eq!(start(5).await, begin(1));
    for (attempt, taken_off) in [(1, 5), (2, 6)] {
        let lease = Lease {
            job: job.id,
            attempt,
            worker,
        };
        let failure = Failure::lasting(FailureClass::Model, "a refusal");
        let fence = world.store.fail(&lease, &failure, Next::Bury, None).await;
        assert_eq!(fence.expect("postgres is there"), Fence::Open);
        let owed = world.store.requeue_dead(queue, &[job.id], None).await;
        assert_eq!(owed.expect("postgres is there").len(), 1, "it is owed an entry");
        // A worker may have been frozen since any of them.
        for ms in 5..=taken_off {
            assert_eq!(start(ms).await, Start::Stale, "{ms} was taken off the stream");
        }
        assert_eq!(start(taken_off + 1).await, begin(attempt + 1));
    }
}

#[tokio::test]
async fn an_entry_that_is_noted_after_it_was_taken_off_stands_for_nothing() {
    let world = World::new().await;
    let job = new_job(&world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    let (queue, worker) = (&job.queue, WorkerId::fresh());
    let first = asked(job.id, 5);
    let start = world
        .store
        .start(queue, worker, std::slice::from_ref(&first))
        .await;
    assert!(matches!(start.expect("start")[..], [Start::Begin(_)]));
    let lease = Lease {
        job: job.id,
        attempt: 1,
        worker,
    };
    let failure = Failure::lasting(FailureClass::Model, "a refusal");
    let fence = world.store.fail(&lease, &failure, Next::Bury, None).await;
    assert_eq!(fence.expect("postgres is there"), Fence::Open);
    // Who puts it back dies before it is enqueued; the producer that enqueued it at first is slow to note it.
    let owed = world.store.requeue_dead(queue, &[job.id], None).await;
    assert_eq!(owed.expect("postgres is there").len(), 1);
    let entry = async |entry: EntryId| {
        let noted = world.store.enqueued(&[(job.id, entry)]).await;
        noted.expect("postgres is there");
        sqlx::query_scalar::<_, Option<String>>("select entry_id from millstream.jobs where id = $1")
            .bind(job.id.0)
            .fetch_one(&world.sql)
            .await
            .expect("its row")
    };
    assert_eq!(entry(first.entry).await, None);
    assert_eq!(entry(asked(job.id, 6).entry).await.as_deref(), Some("6-0"));
}

#[tokio::test]
async fn a_start_that_waited_for_another_one_leaves_no_attempt_open() {
    let world = World::new().await;
    let job = new_job(&world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    let mut lock = world.sql.begin().await.expect("postgres is there");
    sqlx::query("select 1 from millstream.jobs where id = $1 for update")
        .bind(job.id.0)
        .execute(&mut *lock)
        .await
        .expect("nobody else has it");
    let mut starts = tokio::task::JoinSet::new();
    for delivery in [1, 2] {
        let (store, queue) = (world.store.clone(), job.queue.clone());
        let asked = Asked {
            delivery,
            ..asked(job.id, 5)
        };
        starts.spawn(async move { store.start(&queue, WorkerId::fresh(), &[asked]).await });
        until("it waits for the lock, behind the one before", || async {
            let waits: i64 = sqlx::query_scalar(
                "select count(distinct pid) from pg_stat_activity a join pg_locks l using (pid)
                 where a.datname = current_database() and not l.granted",
            )
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
            (waits == i64::from(delivery)).then_some(())
        })
        .await;
    }
    lock.rollback().await.expect("postgres is there");
    while let Some(started) = starts.join_next().await {
        let answers = started.expect("no panic").expect("start");
        assert!(matches!(answers[..], [Start::Begin(_)]), "{answers:?}");
    }
    assert_eq!(world.outcomes(job.id).await, ["crashed", "running"]);
}

#[tokio::test]
async fn who_lost_an_entry_and_was_delivered_it_again_keeps_it() {
    let world = World::new().await;
    let job = new_job(&world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    let (queue, worker) = (&job.queue, WorkerId::fresh());
    let start = async |delivery| {
        let asked = Asked {
            delivery,
            ..asked(job.id, 5)
        };
        let answers = world.store.start(queue, worker, &[asked]).await;
        answers.expect("start").remove(0)
    };
    let lost = async |deliveries| {
        let taken = Taken {
            job: job.id,
            entry: asked(job.id, 5).entry,
            deliveries,
        };
        let lost = world.store.lost(&worker.to_string(), &[taken]).await;
        lost.expect("postgres is there")
    };
    assert!(matches!(start(1).await, Start::Begin(_)));
    // It was frozen, and thaws before the ledger hears that its entry was taken.
    assert!(matches!(start(2).await, Start::Begin(Issued { attempt: 2, .. })));
    assert_eq!(lost(1).await, 0, "that was the delivery before");
    assert_eq!(lost(2).await, 1);
}

#[tokio::test]
async fn one_batch_answers_each_of_its_entries() {
    let world = World::new().await;
    let (fresh, done, unknown) = (
        new_job(&world, "test", "a"),
        new_job(&world, "test", "b"),
        JobId::fresh(),
    );
    for job in [&fresh, &done] {
        world.store.accept(job).await.expect("accept");
    }
    sqlx::query("update millstream.jobs set state = 'done' where id = $1")
        .bind(done.id.0)
        .execute(&world.sql)
        .await
        .expect("update");
    let batch = [
        asked(unknown, 1),
        asked(done.id, 2),
        asked(fresh.id, 3),
        asked(fresh.id, 4),
    ];
    let answers = world
        .store
        .start(&fresh.queue, WorkerId::fresh(), &batch)
        .await
        .expect("start");
    let begin = Start::Begin(Issued {
        attempt: 1,
        failures: 0,
        crashes: 0,
        again: false,
    });
    assert_eq!(answers, [Start::Unknown, Start::Finished, begin, Start::Stale]);
}
