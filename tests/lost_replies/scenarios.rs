//! The scenarios: together they walk through everything that can happen to a job.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use millstream::domain::glass::{GlassHalf, GlassNote};
use millstream::domain::{
    DeadFilter, EntryId, JobId, JobRef, JobState, Lane, RunId, RunState, Terms, WorkerId,
};
use millstream::ops::submit::Source;
use millstream::ops::{Consent, Count, DriveEnd, Mode, OpsError, Refused, Selection, Submission, Submitter};
use millstream::queue::fetch::Want;
use millstream::store::Asked;
use millstream::store::actions::{ActionId, Intent};
use millstream::store::assess::Death;
use millstream::store::dead::{DeadRow, Exported};
use millstream::store::runs::RunRow;
use standardwebhooks::Webhook;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use super::jobs::address;
use super::stage::{Hand, SECRET, Stage, insist};
use crate::support::World;

/// A scenario: what happens until its worker is asked to leave.
pub struct Scenario {
    pub name: &'static str,
    pub play: for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, Hand>,
}

/// All of them; a step is tried out in the first one that has it.
pub const ALL: [Scenario; 15] = [
    Scenario {
        name: "results",
        play: |stage| Box::pin(results(stage)),
    },
    Scenario {
        name: "ended by hand",
        play: |stage| Box::pin(ended_by_hand(stage)),
    },
    Scenario {
        name: "claimed",
        play: |stage| Box::pin(claimed(stage)),
    },
    Scenario {
        name: "hastened",
        play: |stage| Box::pin(hastened(stage)),
    },
    Scenario {
        name: "paused",
        play: |stage| Box::pin(paused(stage)),
    },
    Scenario {
        name: "the dead",
        play: |stage| Box::pin(the_dead(stage)),
    },
    Scenario {
        name: "a run",
        play: |stage| Box::pin(a_run(stage)),
    },
    Scenario {
        name: "taken back",
        play: |stage| Box::pin(taken_back(stage)),
    },
    Scenario {
        name: "a broken glass",
        play: |stage| Box::pin(broken_glass(stage)),
    },
    Scenario {
        name: "taken over",
        play: |stage| Box::pin(taken_over(stage)),
    },
    Scenario {
        name: "reconciled",
        play: |stage| Box::pin(reconciled(stage)),
    },
    Scenario {
        name: "a pause without its key",
        play: |stage| Box::pin(pause_without_key(stage)),
    },
    Scenario {
        name: "a reference job",
        play: |stage| Box::pin(reference_job(stage)),
    },
    Scenario {
        name: "a callback",
        play: |stage| Box::pin(a_callback(stage)),
    },
    Scenario {
        name: "handed back",
        play: |stage| Box::pin(handed_back(stage)),
    },
];

fn named(job: JobId) -> [JobRef; 1] {
    [JobRef::Id(job)]
}

/// Jobs that succeed, with and without a result, fail once, and fail for good.
async fn results(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    stage.submit("plain", JobState::Done).await;
    stage.submit("told", JobState::Done).await;
    stage.submit("again", JobState::Done).await;
    stage.submit("lasting", JobState::Dead).await;
    stage.submit_diff(JobState::Done).await;
    stage.submit_without_key("plain", JobState::Done).await;
    hand
}

/// One is called off while it runs, one given up while it waits.
async fn ended_by_hand(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let operator = stage.operator();
    let runs = stage.submit("gated", JobState::Cancelled).await;
    stage.until_in(runs, &[JobState::Running]).await;
    insist("cancel", async || operator.cancel(&named(runs), Mode::Real).await).await;
    let runs = stage.submit("gated", JobState::Dead).await;
    stage.until_in(runs, &[JobState::Running]).await;
    insist("bury", async || {
        operator.bury(&named(runs), "enough", Mode::Real).await
    })
    .await;
    hand
}

/// One is taken from its worker while it runs.
async fn claimed(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let operator = stage.operator();
    let runs = stage.submit("gated", JobState::Done).await;
    stage.until_in(runs, &[JobState::Running]).await;
    insist("claim", async || operator.claim(&named(runs), Mode::Real).await).await;
    stage.runner.open_gate();
    hand
}

/// One waits for a minute, one for an hour, one for its time.
async fn hastened(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let operator = stage.operator();
    let source = Source::PullRequest(address("told").parse().expect("an address"));
    let soon = Submission {
        run_at: Some(millstream::clock::now() + Duration::from_millis(800)),
        ..Submission::now(source)
    };
    stage.submit_this(soon, JobState::Done).await;
    for word in ["slow", "later"] {
        let job = stage.submit(word, JobState::Done).await;
        let waits = [JobState::Retrying, JobState::Scheduled];
        stage.until_in(job, &waits).await;
        // A retry that was heard while the entry was on its way to its parking place is refused.
        stage
            .help_until("it is run now", || async {
                let outcome = insist("retry", async || operator.retry(&named(job), Mode::Real).await).await;
                let state: JobState = stage.world.job(job).await.status.parse().expect("a state");
                (outcome.is_complete() || state == JobState::Done).then_some(())
            })
            .await;
    }
    hand
}

/// A queue is paused, and goes on.
async fn paused(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let operator = stage.operator();
    // Twice: what stands already is wanted once more.
    for _ in 0..2 {
        insist("pause", async || operator.pause(Some("a look"), Mode::Real).await).await;
    }
    stage.submit("told", JobState::Done).await;
    for _ in 0..2 {
        insist("resume", async || operator.resume(Mode::Real).await).await;
    }
    hand
}

/// The dead are put back and thrown away.
async fn the_dead(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let operator = stage.operator();
    let dropped = stage.submit("lasting", JobState::Dropped).await;
    stage.until_in(dropped, &[JobState::Dead]).await;
    let back = stage.submit("lasting", JobState::Done).await;
    stage.until_in(back, &[JobState::Dead]).await;
    let drop_it = Selection::Named(named(dropped).to_vec());
    insist("drop", async || {
        operator
            .drop_dead(&drop_it, None, Exported::Waived, Mode::Real)
            .await
    })
    .await;
    stage.runner.heal();
    insist("requeue", async || {
        operator.requeue_dead(&named(back), Mode::Real).await
    })
    .await;
    hand
}

/// Some dead jobs are put back by a run that is halted, goes on and ends; one is exported and thrown away.
async fn a_run(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let consent = Consent {
        reason: Some("a look".to_owned()),
        count: Count::Any,
        name: None,
    };
    let operator = stage.operator().with(consent);
    for _ in 0..3 {
        let back = stage.submit("lasting", JobState::Done).await;
        stage.until_in(back, &[JobState::Dead]).await;
    }
    stage.runner.heal();
    let all = Selection::Matching(DeadFilter::default());
    let plan = insist("plan", async || operator.plan_requeue(&all, None).await).await;
    let terms = Terms {
        canary: 1,
        ..Terms::AT_ONCE
    };
    // One whose reply was lost stands there, undriven, and has moved nothing.
    let run = insist("begin", async || operator.begin_run(&plan, terms).await).await;
    insist("pause", async || settled(operator.pause_run(run).await)).await;
    insist("resume", async || settled(operator.resume_run(run).await)).await;
    stage
        .help_until("the run is done", || async {
            let end = insist("drive", async || operator.drive_run(run, |_| ()).await).await;
            if end == DriveEnd::Elsewhere {
                // An earlier drive was given up, and holds it still: the clock of leases.
                stage
                    .world
                    .store
                    .leave_run(run, uuid_of(&stage.world, run).await)
                    .await
                    .expect("postgres is there");
            }
            (end == DriveEnd::Over(RunState::Done)).then_some(())
        })
        .await;
    let dropped = stage.submit("gated", JobState::Dropped).await;
    stage.until_in(dropped, &[JobState::Running]).await;
    insist("bury", async || {
        operator.bury(&named(dropped), "enough", Mode::Real).await
    })
    .await;
    stage.until_in(dropped, &[JobState::Dead]).await;
    let rows = stage
        .world
        .store
        .dead_rows(&stage.world.settings.name, &[dropped])
        .await;
    let deaths: Vec<Death> = rows
        .expect("postgres is there")
        .iter()
        .map(DeadRow::death)
        .collect();
    insist("export", async || operator.note_export(&deaths).await).await;
    let which = Selection::Named(named(dropped).to_vec());
    insist("drop", async || {
        operator
            .drop_dead(&which, None, Exported::Wanted, Mode::Real)
            .await
    })
    .await;
    let (store, queue) = (stage.store.clone(), stage.world.settings.name.clone());
    insist("answer", async || Ok(store.answer_fleet(&queue, 2).await?)).await;
    insist("ask", async || Ok(store.ask_fleet(&queue, "ada", 3).await?)).await;
    hand
}

/// A turn of a run that has happened already is refused, and that is as good.
fn settled(turned: Result<RunRow, OpsError>) -> Result<(), OpsError> {
    match turned {
        Ok(_) | Err(OpsError::Refused(Refused::RunState(..))) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn uuid_of(world: &World, run: RunId) -> uuid::Uuid {
    let holder: Option<uuid::Uuid> = sqlx::query_scalar("select holder from millstream.runs where id = $1")
        .bind(run.0)
        .fetch_one(&world.sql)
        .await
        .expect("its row");
    holder.unwrap_or_default()
}

/// What was put back is dead again, what was called off lives again, what was submitted is called off, and a dead one
/// makes room for another. No worker is there until the end.
async fn taken_back(stage: &mut Stage) -> Hand {
    stage.world.queue.ensure_groups().await.expect("groups");
    let operator = stage.operator();
    let dead = stage.submit_safely("told", JobState::Dead).await;
    let edited = stage.submit_safely("told", JobState::Dropped).await;
    insist("bury", async || {
        operator
            .bury(&[JobRef::Id(dead), JobRef::Id(edited)], "enough", Mode::Real)
            .await
    })
    .await;
    insist("requeue", async || {
        operator.requeue_dead(&named(dead), Mode::Real).await
    })
    .await;
    undo(stage, "dead requeue").await;
    let lives = stage.submit_safely("told", JobState::Done).await;
    insist("cancel", async || {
        operator.cancel(&named(lives), Mode::Real).await
    })
    .await;
    undo(stage, "cancel").await;
    stage.submit("told", JobState::Cancelled).await;
    undo(stage, "submit").await;
    let settings = stage.world.settings.clone();
    let submitter = Submitter::new(stage.store.clone(), stage.queue.clone(), settings, 1_000_000);
    let source = Source::PullRequest(address("told").parse().expect("an address"));
    let name = JobRef::Id(edited);
    insist("edit", async || {
        operator
            .edit_dead(&submitter, &name, Submission::now(source.clone()), Mode::Real)
            .await
    })
    .await;
    let new = stage
        .world
        .store
        .links_of(edited)
        .await
        .expect("links")
        .replaced_by;
    stage.expected.push((new.expect("its job"), JobState::Done));
    stage.work()
}

/// Takes back the last action of a kind that did anything, as the book of the test's own line says.
async fn undo(stage: &Stage, verb: &str) {
    let action: i64 = sqlx::query_scalar(
        // A submission that found itself accepted already has noted a job that never came to be.
        "select max(a.id) from millstream.actions a join millstream.moved m on m.action_id = a.id
         join millstream.jobs j on j.id = m.job_id where a.queue = $1 and a.verb = $2",
    )
    .bind(&stage.world.settings.name)
    .bind(verb)
    .fetch_one(&stage.world.sql)
    .await
    .expect("the action");
    let operator = stage.operator();
    insist("undo", async || operator.undo(ActionId(action)).await).await;
}

/// Notes that were made while Postgres was away come into the book, and the pause they tell of was over before.
async fn broken_glass(stage: &mut Stage) -> Hand {
    let queue = stage.world.settings.name.clone();
    for verb in ["pause", "resume"] {
        let token = JobId::fresh().0;
        let intent = Intent {
            queue: queue.clone(),
            actor: "cli:ada".to_owned(),
            verb: verb.to_owned(),
            reason: Some("an outage".to_owned()),
            ..Intent::default()
        };
        let body = serde_json::to_value(intent).expect("an intent");
        let halves = [
            (GlassHalf::Intent, body),
            (
                GlassHalf::Outcome,
                serde_json::json!({ "outcome": "ok", "result": {} }),
            ),
        ];
        for (half, body) in halves {
            let note = GlassNote { token, half, body };
            stage.world.queue.add_glass(&note).await.expect("valkey is there");
        }
    }
    let operator = stage.operator();
    let hand = stage.work();
    let nobody = [Death {
        job: JobId::fresh(),
        died_at: millstream::clock::now(),
    }];
    stage
        .help_until("the notes are in the book", || async {
            insist("export", async || operator.note_export(&nobody).await).await;
            stage
                .world
                .queue
                .glass_page()
                .await
                .expect("valkey is there")
                .is_empty()
                .then_some(())
        })
        .await;
    let copied: i64 = sqlx::query_scalar(
        "select count(*) from millstream.actions where queue = $1 and glass is not null and outcome = 'ok'",
    )
    .bind(&queue)
    .fetch_one(&stage.world.sql)
    .await
    .expect("the book");
    assert_eq!(copied, 2, "each once");
    // Whose reply was lost in between may have left the key of the pause to the next look of the reconciler.
    insist("resume", async || operator.resume(Mode::Real).await).await;
    stage.submit("told", JobState::Done).await;
    hand
}

/// A worker has vanished: one of its jobs ran, one was not begun, the payload of one is gone.
async fn taken_over(stage: &mut Stage) -> Hand {
    let world = &stage.world;
    world.queue.ensure_groups().await.expect("groups");
    let ran = stage.submit_safely("told", JobState::Done).await;
    stage.submit_safely("again", JobState::Done).await;
    stage.submit_safely("told", JobState::Done).await;
    let (world, dead) = (&stage.world, long_silent(stage).await);
    let held = world
        .queue
        .fetch(dead, 3, Want::Anything)
        .await
        .expect("fetch")
        .entries;
    let asked = Asked {
        job: ran,
        entry: held[0].id,
        lane: held[0].lane,
        payload: address("told"),
        delivery: 1,
    };
    world
        .store
        .start(&world.settings.name, dead, &[asked])
        .await
        .expect("start");
    delete_entry(stage, Lane::Shared, held[2].id).await;
    stage.work()
}

/// What Postgres knows and Valkey does not: an enqueue that never happened, a job whose time has come, an entry that
/// is gone, a dead job without its letter, a result that a reference worker has recorded.
async fn reconciled(stage: &mut Stage) -> Hand {
    stage.world.queue.ensure_groups().await.expect("groups");
    let mut jobs = Vec::new();
    let ends = [
        JobState::Done,
        JobState::Done,
        JobState::Done,
        JobState::Dead,
        JobState::Done,
    ];
    for end in ends {
        jobs.push(stage.submit_safely("told", end).await);
    }
    let dead = long_silent(stage).await;
    let entries = stage
        .world
        .queue
        .fetch(dead, 5, Want::Anything)
        .await
        .expect("fetch")
        .entries;
    for entry in entries {
        delete_entry(stage, entry.lane, entry.id).await;
    }
    let sql = [
        "update millstream.jobs set entry_id = null, updated_at = now() - interval '40 s' where id = $1",
        "update millstream.jobs set state = 'scheduled', run_at = now(), entry_id = null where id = $1",
        "select id from millstream.jobs where id = $1",
        "update millstream.jobs set state = 'dead', finished_at = now(), error = 'e', error_class = 'input'
         where id = $1",
        "update reviews set status = 'done' where id = $1",
    ];
    for (sql, job) in sql.into_iter().zip(jobs) {
        sqlx::query(sql)
            .bind(job.0)
            .execute(&stage.world.sql)
            .await
            .expect("its row");
    }
    stage.work()
}

/// The key of a pause is lost, and later one is left behind.
async fn pause_without_key(stage: &mut Stage) -> Hand {
    let queue = stage.world.settings.name.clone();
    stage
        .world
        .store
        .pause(&queue, "ada", None)
        .await
        .expect("postgres is there");
    stage.submit_safely("told", JobState::Done).await;
    let hand = stage.work();
    stage
        .help_until("the key is there again", || async {
            stage.world.queue.pause_text().await.expect("valkey is there")
        })
        .await;
    // Whoever resumes it does not reach Valkey.
    stage.world.store.resume(&queue).await.expect("postgres is there");
    hand
}

/// A job of which only a reference producer knows.
async fn reference_job(stage: &mut Stage) -> Hand {
    let job = stage.world.post(&address("told")).await;
    stage.expected.push((job, JobState::Done));
    stage.work()
}

/// Whoever submitted a review is told how it ended: at least once, always by the same webhook, which is done once.
async fn a_callback(stage: &mut Stage) -> Hand {
    let receiver = MockServer::start().await;
    let taken = Mock::given(matchers::method("POST")).respond_with(ResponseTemplate::new(204));
    taken.mount(&receiver).await;
    let (deliverer, hand) = (stage.deliver().await, stage.work());
    let source = Source::PullRequest(address("plain").parse().expect("an address"));
    let submission = Submission {
        callback: Some(receiver.uri()),
        ..Submission::now(source)
    };
    let review = stage.submit_this(submission, JobState::Done).await;
    let hook = stage.until_told(review).await;
    deliverer.drain(1).await;
    let calls = receiver.received_requests().await.expect("they are recorded");
    assert!(!calls.is_empty(), "the receiver was told");
    let known = Webhook::new(SECRET).expect("a secret");
    for call in &calls {
        known
            .verify(&call.body, &call.headers)
            .expect("a signature of ours");
        assert_eq!(
            call.headers["webhook-id"].to_str().expect("text"),
            hook.to_string()
        );
        assert_eq!(call.body, calls[0].body);
    }
    hand
}

/// A worker hands back what it runs, and another finishes it.
async fn handed_back(stage: &mut Stage) -> Hand {
    let hand = stage.work();
    let runs = stage.submit("gated", JobState::Done).await;
    stage.until_in(runs, &[JobState::Running]).await;
    hand.drain(2).await;
    stage.runner.open_gate();
    stage.work()
}

/// A worker that was last heard of long ago.
async fn long_silent(stage: &Stage) -> WorkerId {
    let worker = WorkerId::fresh();
    let () = redis::cmd("ZADD")
        .arg(&stage.world.queue.keys().workers)
        .arg(1)
        .arg(worker.to_string())
        .query_async(&mut stage.world.valkey.clone())
        .await
        .expect("valkey is there");
    worker
}

/// An entry is deleted in its holder's hands.
async fn delete_entry(stage: &Stage, lane: Lane, entry: EntryId) {
    let keys = stage.world.queue.keys();
    let () = redis::cmd("XDEL")
        .arg(keys.stream(lane))
        .arg(entry.to_string())
        .query_async(&mut stage.world.valkey.clone())
        .await
        .expect("valkey is there");
}
