//! The dead: put back, thrown away, found by what they died of.

use millstream::domain::{DeadFilter, EntryId, JobId, JobRef, JobState, Lane, RunState, Terms};
use millstream::ops::{Consent, Count, DriveEnd, Mode, Operator, Outcome, Selection};
use millstream::queue::NewLetter;
use millstream::reports;
use millstream::store::dead::Exported;

use super::{ada, dead, last_action, named, refusals};
use crate::support::{Gated, World};

pub fn matching(text: &str) -> Selection {
    Selection::Matching(DeadFilter::parse(text).expect("a filter"))
}

/// So many dead jobs of a class, with a letter for each.
pub async fn pile(world: &World, class: &str, count: i32) -> Vec<JobId> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "insert into millstream.jobs (id, queue, kind, lane, payload, state, attempt, failures, error, error_class,
                                      worker, finished_at)
         select gen_random_uuid(), $1, 'test', 'own', '{\"word\":\"one\"}', 'dead', 5, 5,
                'no answer within ' || n || 's', $2, 'w-7f3a', now() - make_interval(secs => n)
         from generate_series(1, $3) as n returning id",
    )
    .bind(&world.settings.name)
    .bind(class)
    .bind(count)
    .fetch_all(&world.sql)
    .await
    .expect("a pile");
    let letter = |id: &uuid::Uuid| NewLetter {
        entry: None,
        lane: Lane::Own,
        worker: "w-7f3a".to_owned(),
        died_at: chrono::DateTime::UNIX_EPOCH,
        job: Some(JobId(*id)),
        attempt: Some(5),
        class: Some(class.to_owned()),
        error: None,
        raw: Vec::new(),
    };
    let letters: Vec<NewLetter> = ids.iter().map(letter).collect();
    world.queue.add_letters(&letters).await.expect("letters");
    ids.into_iter().map(JobId).collect()
}

/// A letter of an entry that nobody could read.
async fn unreadable(world: &World) -> EntryId {
    let id: String = redis::cmd("XADD")
        .arg(&world.queue.keys().dead)
        .arg("*")
        .arg(&[
            "class",
            "unreadable",
            "error",
            "the entry has no field `jobId`",
            "raw:x",
            "y",
        ])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("xadd");
    id.parse().expect("an id")
}

async fn requeue(world: &World, names: &[JobRef]) -> Outcome {
    ada(world).requeue_dead(names, Mode::Real).await.expect("requeue")
}

/// An operator who has said that any number is meant.
fn sure(world: &World) -> Operator {
    ada(world).with(Consent {
        reason: Some("tests".to_owned()),
        count: Count::Any,
        name: None,
    })
}

#[tokio::test]
async fn a_pile_is_put_back_by_what_it_died_of_in_batches_and_in_its_order() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let listed = pile(&world, "model", 1_200).await;
    let others = pile(&world, "input", 3).await;
    let (ada, which) = (sure(&world), matching("class:model error:within worker:w-7"));
    let plan = ada
        .plan_requeue(&which, Some("class:model"))
        .await
        .expect("a plan");
    let run = ada.begin_run(&plan, Terms::AT_ONCE).await.expect("a run");
    let end = ada.drive_run(run, |_| ()).await.expect("it runs");
    assert_eq!(end, DriveEnd::Over(RunState::Done));
    let (done, left) = ada.run_results(run).await.expect("its list");
    assert_eq!((done.len(), left.len()), (1_200, 0));
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.waiting, counts.dead), (1_200, 3));
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!((depth.entries, depth.dead), (1_200, 3), "their letters are gone");
    let entries = world.entries_of(world.queue.keys().stream(Lane::Own)).await;
    let order: Vec<&str> = entries.iter().map(|entry| entry["jobId"].as_str()).collect();
    let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
    assert!(
        order == listed,
        "begins with {:?}, not {:?}",
        &order[..3],
        &listed[..3]
    );
    let fresh: i64 = sqlx::query_scalar(
        "select count(*) from millstream.jobs where state = 'waiting' and entry_id is not null and failures = 0
         and error is null and finished_at is null and attempt = 5",
    )
    .fetch_one(&world.sql)
    .await
    .expect("a count");
    assert_eq!(fresh, 1_200);
    let left: Vec<String> = world
        .dead_letters()
        .await
        .iter()
        .map(|letter| letter["jobId"].clone())
        .collect();
    assert!(
        others.iter().all(|job| left.contains(&job.to_string())),
        "{left:?}"
    );
    let (_, verb, word, _) = last_action(&world).await;
    assert_eq!((verb.as_str(), word.as_deref()), ("requeue", Some("ok")));
}

#[tokio::test]
async fn of_two_operators_who_put_the_same_jobs_back_each_job_answers_one() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let jobs = pile(&world, "model", 60).await;
    let which = named(jobs.clone());
    let (one, two) = tokio::join!(requeue(&world, &which), requeue(&world, &which));
    assert_eq!(one.done.len() + two.done.len(), 60);
    assert_eq!(one.refused.len() + two.refused.len(), 60);
    assert!(one.done.iter().all(|id| !two.done.contains(id)));
    for (_, why) in refusals(&one).into_iter().chain(refusals(&two)) {
        assert_eq!(why, "it is waiting");
    }
    assert_eq!(
        world.queue.depth().await.expect("depth").entries,
        60,
        "each has one entry"
    );
}

#[tokio::test]
async fn a_job_that_was_put_back_runs_again_with_its_failures_forgotten() {
    let world = World::new().await;
    let job = dead(&world, "one", "no such pull request").await;
    let outcome = requeue(&world, &named([job])).await;
    assert_eq!(outcome.done, [job.to_string()]);
    assert!(world.dead_letters().await.is_empty());
    let worker = world.worker(&Gated::open(), World::engine());
    let row = world.until_state(job, JobState::Done).await;
    assert_eq!((row.attempt, row.error), (2, None));
    worker.drain().await;
    let again = requeue(&world, &named([job])).await;
    assert_eq!(refusals(&again), [(job.to_string(), "it is done".to_owned())]);
}

#[tokio::test]
async fn what_is_dropped_keeps_its_row_and_loses_its_letter() {
    let world = World::new().await;
    let job = dead(&world, "one", "no such pull request").await;
    let letter = unreadable(&world).await;
    let letters: Vec<(String, redis::Value)> = redis::cmd("XRANGE")
        .arg(&[&world.queue.keys().dead, "-", "+"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("xrange");
    let of_the_job: EntryId = letters[0].0.parse().expect("an id");
    let gone: EntryId = "1-1".parse().expect("an id");
    let names = [of_the_job, gone, letter].map(JobRef::Entry);
    let outcome = ada(&world)
        .drop_dead(
            &Selection::Named(names.to_vec()),
            None,
            Exported::Waived,
            Mode::Real,
        )
        .await
        .expect("drop");
    assert_eq!(outcome.done, [letter.to_string()]);
    let whys: Vec<String> = refusals(&outcome).into_iter().map(|(_, why)| why).collect();
    assert_eq!(
        whys,
        [
            "this letter belongs to a job: name the job",
            "there is no dead letter with this id"
        ]
    );
    let second = unreadable(&world).await;
    let all = Selection::Matching(DeadFilter::default());
    let outcome = sure(&world)
        .drop_dead(&all, None, Exported::Waived, Mode::Real)
        .await
        .expect("drop");
    assert_eq!(outcome.done, [job.to_string(), second.to_string()]);
    assert_eq!(world.job(job).await.status, "dropped");
    assert!(world.dead_letters().await.is_empty());
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.dropped, counts.add_up()), (1, true));
}

#[tokio::test]
async fn the_list_groups_by_fingerprint_and_shows_letters_that_have_no_row() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    pile(&world, "model", 3).await;
    pile(&world, "input", 2).await;
    let letter = unreadable(&world).await;
    let (store, queue, now) = (&world.store, &world.queue, millstream::clock::now());
    let everything = DeadFilter::default();
    let list = reports::dead(store, queue, &everything, now, 100)
        .await
        .expect("the list");
    assert_eq!(list.rows.len(), 6);
    let alone = &list.rows[0];
    assert_eq!(
        (alone.id.as_ref(), alone.letter.as_deref()),
        (None, Some(letter.to_string().as_str()))
    );
    let mut prints: Vec<&str> = list.rows.iter().map(|row| row.fingerprint.as_str()).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), 3, "two piles and a letter");
    let of_models = list
        .rows
        .iter()
        .find(|row| row.class.as_deref() == Some("model"))
        .expect("one");
    let group = DeadFilter::parse(&format!("fingerprint:{}", of_models.fingerprint)).expect("a filter");
    let members = reports::dead(store, queue, &group, now, 100)
        .await
        .expect("the group");
    assert_eq!(members.rows.len(), 3);
    let few = reports::dead(store, queue, &everything, now, 2)
        .await
        .expect("the list");
    assert_eq!(few.rows[..], list.rows[..2]);
}

#[tokio::test]
async fn an_export_says_everything_in_pages() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    pile(&world, "model", 120).await;
    let job = dead(&world, "one", "no such pull request").await;
    let (now, filter) = (millstream::clock::now(), DeadFilter::default());
    let (mut rows, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let asked = (after, reports::Inputs::Carried);
        let page = reports::export_page(&world.store, &world.settings.name, &filter, now, asked);
        let page = page.await.expect("a page");
        rows.extend(page.rows);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((rows.len(), pages), (121, 3));
    let own = rows
        .iter()
        .find(|row| row.dead.id == Some(job.to_string()))
        .expect("it is there");
    assert_eq!(
        (own.attempts_list.len(), own.failures, own.kind.as_deref()),
        (1, 1, Some("test"))
    );
}
