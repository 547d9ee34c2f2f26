//! A dead review gets another input; many submissions are one action; a fleet is scaled.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use millstream::domain::{JobId, Lane, Priority};
use millstream::ops::submit::{Source, Submission, Submitter};
use millstream::ops::{Fleet, FleetError, Mode, OpsError, Refused};
use millstream::queue::Wire;
use millstream::store::actions::ActionId;

use super::{ada, dead, named, refusals};
use crate::support::World;

fn pull(number: u32) -> Submission {
    let address = format!("https://github.com/acme/ledger/pull/{number}");
    Submission::now(Source::PullRequest(address.parse().expect("an address")))
}

/// A dead review with priority.
async fn dead_review(world: &World) -> JobId {
    world.queue.ensure_groups().await.expect("groups");
    let urgent = Submission {
        priority: Priority::High,
        ..pull(404)
    };
    let submitted = world.submitter().submit(urgent).await.expect("submit");
    ada(world)
        .bury(&named([submitted.id]), "no such pull request", Mode::Real)
        .await
        .expect("bury");
    submitted.id
}

async fn last_id(world: &World) -> ActionId {
    let id = sqlx::query_scalar("select max(id) from millstream.actions")
        .fetch_one(&world.sql)
        .await;
    ActionId(id.expect("an action"))
}

#[tokio::test]
async fn a_dead_review_makes_room_for_one_with_a_better_input() {
    let world = World::with(Wire::REVIEW).await;
    let old = dead_review(&world).await;
    let (ada, name) = (ada(&world), named([old]).remove(0));
    let look = ada
        .edit_dead(&world.submitter(), &name, pull(40), Mode::DryRun)
        .await
        .expect("a look");
    assert_eq!((look.outcome.done.len(), look.job), (1, None));
    let (one, two) = (world.submitter(), world.submitter());
    let (one, two) = tokio::join!(
        ada.edit_dead(&one, &name, pull(40), Mode::Real),
        ada.edit_dead(&two, &name, pull(40), Mode::Real)
    );
    let (one, two) = (one.expect("an answer"), two.expect("an answer"));
    let new = one.job.xor(two.job).expect("one of two does it");
    let late = if one.job.is_some() { &two } else { &one };
    assert_eq!(
        refusals(&late.outcome),
        [(old.to_string(), "it is dropped".to_owned())]
    );
    let row = world.job(new).await;
    assert_eq!(
        (row.status.as_str(), row.input.as_str()),
        ("waiting", "https://github.com/acme/ledger/pull/40")
    );
    assert_eq!(world.job(old).await.status, "dropped");
    let links =
        [world.store.links_of(new).await, world.store.links_of(old).await].map(|links| links.expect("links"));
    assert_eq!((links[0].replaces, links[1].replaced_by), (Some(old), Some(new)));
    let urgent: u64 = redis::cmd("XLEN")
        .arg(world.queue.keys().stream(Lane::High))
        .query_async(&mut world.valkey.clone())
        .await
        .expect("xlen");
    assert_eq!(
        (urgent, world.dead_letters().await.len()),
        (1, 0),
        "as urgent as it was"
    );
    // Taken back: the one goes and the other is dead again.
    let outcome = ada.undo(last_done_edit(&world).await).await.expect("undo");
    assert_eq!(outcome.done.len(), 2, "{outcome:?}");
    assert_eq!(
        (world.job(new).await.status, world.job(old).await.status),
        ("cancelled".into(), "dead".into())
    );
    assert_eq!(world.store.links_of(old).await.expect("links").replaced_by, None);
    assert_eq!(world.dead_letters().await.len(), 1);
}

async fn last_done_edit(world: &World) -> ActionId {
    let id = sqlx::query_scalar(
        "select max(id) from millstream.actions where verb = 'dead edit' and outcome = 'ok'",
    );
    ActionId(id.fetch_one(&world.sql).await.expect("an action"))
}

#[tokio::test]
async fn an_edit_stays_once_the_new_job_has_been_started() {
    let world = World::with(Wire::REVIEW).await;
    let old = dead_review(&world).await;
    let name = named([old]).remove(0);
    let edited = ada(&world)
        .edit_dead(&world.submitter(), &name, pull(40), Mode::Real)
        .await
        .expect("an edit");
    sqlx::query("update millstream.jobs set attempt = 1, state = 'running' where id = $1")
        .bind(edited.job.expect("a job").0)
        .execute(&world.sql)
        .await
        .expect("its row");
    let outcome = ada(&world).undo(last_id(&world).await).await.expect("undo");
    assert!(outcome.done.is_empty(), "neither half of it: {outcome:?}");
}

#[tokio::test]
async fn only_dead_reviews_can_be_edited_and_only_into_what_can_be_reviewed() {
    let world = World::with(Wire::REVIEW).await;
    let old = dead_review(&world).await;
    let nonsense = Submission::now(Source::Diff {
        label: None,
        text: "nonsense".to_owned(),
    });
    let (rows, name) = (last_id(&world).await, named([old]).remove(0));
    let answer = ada(&world)
        .edit_dead(&world.submitter(), &name, nonsense, Mode::Real)
        .await;
    assert!(matches!(answer, Err(OpsError::NotADiff(_))), "{answer:?}");
    assert_eq!(last_id(&world).await, rows, "nothing was written");
    let other = World::new().await;
    let job = dead(&other, "one", "no such pull request").await;
    let name = named([job]).remove(0);
    let answer = ada(&other)
        .edit_dead(&other.submitter(), &name, pull(1), Mode::Real)
        .await
        .expect("an answer");
    assert_eq!(
        refusals(&answer.outcome)[0].1,
        "it is no review: its input cannot be edited"
    );
}

#[tokio::test]
async fn a_burst_is_one_action_and_is_taken_back_as_far_as_nothing_runs() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let ada = ada(&world);
    let outcome = ada
        .burst(&world.submitter(), (1..=30).map(pull).collect())
        .await
        .expect("a burst");
    assert_eq!((outcome.done.len(), outcome.refused.len()), (30, 0));
    sqlx::query("update millstream.jobs set attempt = 1, state = 'running' where id = $1::uuid")
        .bind(&outcome.done[0])
        .execute(&world.sql)
        .await
        .expect("its row");
    let undoing = ada.undoing(None).await.expect("something");
    assert_eq!(
        (undoing.verb.as_str(), undoing.left.back, undoing.left.late),
        ("burst", 29, 1)
    );
    let undone = ada.undo(ActionId(undoing.action)).await.expect("undo");
    assert_eq!((undone.done.len(), undone.refused.len()), (29, 1));
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.cancelled, counts.running, counts.add_up()), (29, 1, true));
    // A full queue refuses what is beyond it, and takes the rest.
    let mut settings = world.settings.clone();
    settings.limit = 5;
    let small = Submitter::new(world.store.clone(), world.queue.clone(), settings, 1_000_000);
    let outcome = ada
        .burst(&small, (1..=30).map(pull).collect())
        .await
        .expect("a burst");
    assert!(
        !outcome.done.is_empty() && outcome.refused.len() > 10,
        "{outcome:?}"
    );
    assert!(outcome.refused[0].why.to_string().contains("the queue is full"));
    assert_eq!(
        world
            .store
            .counts(&world.settings.name)
            .await
            .expect("counts")
            .waiting as usize,
        outcome.done.len()
    );
}

/// A fleet that is a number.
#[derive(Debug, Default)]
struct Paper(Mutex<u32>);

impl Fleet for Paper {
    fn size(&self) -> BoxFuture<'_, Result<u32, FleetError>> {
        Box::pin(async { Ok(*self.0.lock().expect("nobody panics")) })
    }

    fn resize<'a>(&'a self, to: u32, by: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move {
            assert_eq!(by, "cli:ada");
            if to == 13 {
                return Err(FleetError::Refused("not this number".to_owned()));
            }
            *self.0.lock().expect("nobody panics") = to;
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_fleet_is_scaled_and_scaled_back() {
    let world = World::new().await;
    let fleet = Arc::new(Paper(Mutex::new(2)));
    let nobody = ada(&world).scale(3, Mode::Real).await;
    assert!(
        matches!(nobody, Err(OpsError::Refused(Refused::NoFleet))),
        "{nobody:?}"
    );
    let ada = ada(&world).with_fleet(fleet);
    let scaled = ada.scale(5, Mode::Real).await.expect("it scales");
    assert_eq!((scaled.from, scaled.to), (2, 5));
    assert!(
        ada.scale(13, Mode::Real).await.is_err(),
        "and says when it does not"
    );
    assert!(ada.scale(101, Mode::Real).await.is_err());
    let undoing = ada.undoing(None).await.expect("something");
    assert_eq!((undoing.verb.as_str(), undoing.left.back), ("scale", 1));
    assert_eq!(
        ada.undo(ActionId(undoing.action)).await.expect("undo").done,
        ["2 workers"]
    );
    assert_eq!(
        ada.scale(7, Mode::DryRun).await.map(|scaled| scaled.from).ok(),
        Some(2)
    );
    let again = ada.undo(ActionId(undoing.action)).await.expect("undo");
    assert!(again.done.is_empty(), "it has another size by now");
}
