//! Two operators and a worker want the same jobs at once: nothing is done twice, and whoever comes late is told.

use std::collections::HashSet;

use millstream::domain::{JobId, JobState, Terms};
use millstream::ops::{Consent, Count, Mode, Operator, Outcome, Rights};

use super::dead::{matching, pile};
use super::{ada, guarded, named, typed};
use crate::support::{Gated, World};

fn bob(world: &World) -> Operator {
    let consent = Consent {
        reason: Some("the same idea".to_owned()),
        count: Count::Any,
        name: None,
    };
    let (store, queue) = (world.store.clone(), world.queue.clone());
    Operator::new(store, queue, "cli:bob", Rights::Explicit).with(consent)
}

fn ids(outcome: &Outcome) -> HashSet<String> {
    outcome.done.iter().cloned().collect()
}

fn texts(jobs: &[JobId]) -> HashSet<String> {
    jobs.iter().map(ToString::to_string).collect()
}

/// How often each job was moved so, by the notes of the moves.
async fn moves(world: &World, how: &str) -> Vec<i64> {
    sqlx::query_scalar("select count(*) from millstream.moved where how = $1 group by job_id")
        .bind(how)
        .fetch_all(&world.sql)
        .await
        .expect("the notes")
}

#[tokio::test]
async fn a_run_and_a_requeue_by_name_share_the_jobs_between_them() {
    for _ in 0..8 {
        let world = World::new().await;
        world.queue.ensure_groups().await.expect("groups");
        let jobs = pile(&world, "model", 60).await;
        let handler = Gated::open();
        let worker = world.worker(&handler, World::engine());
        let ada = guarded(&world, typed(60));
        let plan = ada
            .plan_requeue(&matching("class:model"), None)
            .await
            .expect("a plan");
        let terms = Terms {
            in_flight: Some(5),
            ..Terms::AT_ONCE
        };
        let run = ada.begin_run(&plan, terms).await.expect("a run");
        let (bob, names) = (bob(&world), named(jobs.clone()));
        let (end, theirs) = tokio::join!(ada.drive_run(run, |_| ()), bob.requeue_dead(&names, Mode::Real));
        end.expect("it ends");
        let theirs = theirs.expect("an answer");
        let (mine, late) = ada.run_results(run).await.expect("its list");
        let mine: HashSet<String> = mine.into_iter().collect();
        assert!(mine.is_disjoint(&ids(&theirs)), "nobody's twice");
        assert_eq!(mine.union(&ids(&theirs)).count(), 60, "and all of them");
        assert_eq!(
            (late.len(), theirs.refused.len()),
            (60 - mine.len(), mine.len()),
            "the late are told"
        );
        assert!(
            late.iter()
                .all(|(_, why)| why.starts_with("already re-queued by cli:bob at 20")),
            "{late:?}"
        );
        for job in &jobs {
            world.until_state(*job, JobState::Done).await;
        }
        worker.drain().await;
        assert_eq!(
            (moves(&world, "requeue").await, handler.runs()),
            (vec![1; 60], 60)
        );
    }
}

#[tokio::test]
async fn what_two_call_off_and_a_worker_runs_ends_once() {
    for _ in 0..8 {
        let world = World::new().await;
        world.queue.ensure_groups().await.expect("groups");
        let mut jobs = Vec::new();
        for _ in 0..40 {
            jobs.push(world.submit("one").await);
        }
        let worker = world.worker(&Gated::open(), World::engine());
        let (ada, bob, names) = (ada(&world), bob(&world), named(jobs.clone()));
        let (cancelled, buried) = tokio::join!(
            ada.cancel(&names, Mode::Real),
            bob.bury(&names, "harm", Mode::Real)
        );
        let (cancelled, buried) = (cancelled.expect("an answer"), buried.expect("an answer"));
        assert!(ids(&cancelled).is_disjoint(&ids(&buried)), "nobody's twice");
        assert_eq!(
            (cancelled.refused.len(), buried.refused.len()),
            (40 - cancelled.done.len(), 40 - buried.done.len())
        );
        for job in &jobs {
            let id = job.to_string();
            let end = match (ids(&cancelled).contains(&id), ids(&buried).contains(&id)) {
                (true, _) => JobState::Cancelled,
                (_, true) => JobState::Dead,
                _ => JobState::Done,
            };
            world.until_state(*job, end).await;
            let done = world
                .outcomes(*job)
                .await
                .iter()
                .filter(|word| *word == "done")
                .count();
            assert_eq!(done, usize::from(end == JobState::Done));
        }
        world.until_empty().await;
        worker.drain().await;
    }
}

#[tokio::test]
async fn of_two_who_undo_the_same_each_job_answers_one() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let jobs = pile(&world, "model", 60).await;
    ada(&world)
        .requeue_dead(&named(jobs.clone()), Mode::Real)
        .await
        .expect("requeue");
    let action: i64 = sqlx::query_scalar("select max(id) from millstream.actions")
        .fetch_one(&world.sql)
        .await
        .expect("an action");
    let action = millstream::store::actions::ActionId(action);
    let (ada, bob) = (ada(&world), bob(&world));
    let (one, two) = tokio::join!(ada.undo(action), bob.undo(action));
    let (one, two) = (one.expect("an answer"), two.expect("an answer"));
    assert!(ids(&one).is_disjoint(&ids(&two)));
    assert_eq!(
        ids(&one).union(&ids(&two)).cloned().collect::<HashSet<_>>(),
        texts(&jobs)
    );
    assert_eq!(world.queue.depth().await.expect("depth").entries, 0);
    assert_eq!(world.dead_letters().await.len(), 60, "each has one letter");
}
