//! What an operator does by keys, on real servers: each effect is looked for in Valkey and in Postgres.

use std::time::Duration;

use millstream::backoff::Backoff;
use millstream::domain::{JobId, JobRef, JobState, Lane};
use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Mode, Operator, Rights, Submitter};
use millstream::queue::{Holder, Wire};
use millstream::settings::EngineSettings;
use millstream_worker::model::offline::Offline;

use crate::support::processes::Home;
use crate::support::reviews::{CLEAN, COMMITTED_KEY};
use crate::support::terminal::Terminal;
use crate::support::{World, until};

/// A console that may write, on a world's servers.
async fn console(world: &World) -> Terminal {
    let terminal = Terminal::start(Home::beside(world), &["--write"]);
    terminal.until_shows("IN FLIGHT").await;
    terminal
}

async fn world() -> World {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    world
}

/// Dead jobs of one cause.
async fn dead(world: &World, class: &str, text: &str, count: i64) -> Vec<JobId> {
    let rows: Vec<(uuid::Uuid,)> = sqlx::query_as(
        "insert into millstream.jobs (id, queue, kind, lane, payload, state, attempt, error, error_class,
                                      worker, finished_at)
         select gen_random_uuid(), $1, 'review', 'own', 'git:ledger@main~' || n || '..main', 'dead', 3, $3 || n || ' s',
                $2, 'worker-1', now() from generate_series(1, $4) as n returning id",
    )
    .bind(&world.settings.name)
    .bind(class)
    .bind(text)
    .bind(count)
    .fetch_all(&world.sql)
    .await
    .expect("a pile");
    let named = world.store.name_causes(&world.settings.name, 100).await;
    named.expect("postgres is there");
    rows.into_iter().map(|(id,)| JobId(id)).collect()
}

/// How often a verb stands in the operators' book, with an outcome.
async fn booked(world: &World, verb: &str) -> i64 {
    sqlx::query_scalar("select count(*) from millstream.actions where verb = $1 and outcome is not null")
        .bind(verb)
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there")
}

/// Waits until the book has so many of a verb, each with its outcome.
async fn until_booked(world: &World, verb: &str, count: i64) {
    until(&format!("{verb} is in the book"), || async {
        (booked(world, verb).await == count).then_some(())
    })
    .await;
}

async fn entries(world: &World) -> u64 {
    redis::cmd("XLEN")
        .arg(&world.queue.keys().own)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there")
}

/// What the list shows of a job's id.
pub fn short(id: JobId) -> String {
    id.to_string().chars().take(6).collect()
}

/// The state of a job as the row has it.
pub async fn state(world: &World, id: JobId) -> String {
    world.job(id).await.status
}

#[tokio::test]
async fn a_waiting_job_is_called_off_by_y_and_by_nothing_less() {
    let world = world().await;
    let id = world.submit_patch(CLEAN).await;
    let mut terminal = console(&world).await;
    terminal.press("2").await;
    terminal.until_shows(&short(id)).await;
    terminal.press("X").await;
    terminal.until_shows("rung 2 of 4").await;
    terminal.press("\r").await;
    terminal.until_shows("cancelled, nothing was sent").await;
    assert_eq!(state(&world, id).await, "waiting", "Enter alone does nothing");
    assert_eq!(booked(&world, "cancel").await, 0);
    terminal.press("Xy").await;
    world.until_state(id, JobState::Cancelled).await;
    terminal.until_shows("cancelled").await;
    until("its entry is gone", || async {
        (entries(&world).await == 0).then_some(())
    })
    .await;
    until_booked(&world, "cancel", 1).await;
    terminal.leave().await;
}

#[tokio::test]
async fn tab_and_enter_bury_with_the_reason_that_was_typed() {
    let world = world().await;
    let id = world.submit_patch(COMMITTED_KEY).await;
    let mut terminal = console(&world).await;
    terminal.press("2").await;
    terminal.until_shows(&short(id)).await;
    terminal.press("B").await;
    terminal.until_shows("reason").await;
    // Without a reason the button is dead: y goes to what is missing.
    terminal.press("ydoes harm\t\r").await;
    let row = world.until_state(id, JobState::Dead).await;
    assert_eq!(row.error.as_deref(), Some("does harm"));
    until("its letter is written", || async {
        (world.dead_letters().await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(entries(&world).await, 0);
    terminal.leave().await;
}

#[tokio::test]
async fn what_failed_and_waits_runs_now() {
    let world = world().await;
    // As long as a wait may be before it is one of Postgres alone, which is `scheduled`.
    let settings = EngineSettings {
        backoff: Backoff {
            first: Duration::from_secs(300),
            most: Duration::from_secs(300),
        },
        ..World::engine()
    };
    // It can reach no GitHub: that may pass, so the job is tried again, within five minutes.
    let worker = world.reviewer(Offline::new(Duration::ZERO, 0.0), settings);
    let (store, queue) = (world.store.clone(), world.queue.clone());
    let submitter = Submitter::new(store, queue, world.settings.clone(), 1 << 20);
    let pr = "https://github.com/acme/ledger/pull/7"
        .parse()
        .expect("an address");
    let submitted = submitter.submit(Submission::now(Source::PullRequest(pr))).await;
    let id = submitted.expect("accepted").id;
    world.until_state(id, JobState::Retrying).await;
    let before = world.job(id).await.attempt;
    let mut terminal = console(&world).await;
    terminal.press("3").await;
    terminal.until_shows("retrying").await;
    terminal.press("Ry").await;
    until("it was started again", || async {
        (world.job(id).await.attempt > before).then_some(())
    })
    .await;
    until_booked(&world, "retry", 1).await;
    terminal.leave().await;
    worker.drain().await;
}

#[tokio::test]
async fn an_entry_that_nobody_renews_is_claimed_and_due_at_once() {
    let world = world().await;
    world.submit_patch(COMMITTED_KEY).await;
    let _rows: redis::Value = redis::cmd("XREADGROUP")
        .arg(&["GROUP", &world.settings.group, "worker-7", "STREAMS"])
        .arg(&world.queue.keys().own)
        .arg(">")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let entry = world.queue.pending(1).await.expect("valkey is there")[0].entry;
    let mut terminal = console(&world).await;
    terminal.press("3").await;
    terminal.until_shows("foreign").await;
    terminal.press("C").await;
    terminal.until_shows("rung 2 of 4").await;
    terminal.press("\t\r").await;
    until("it is parked, due", || async {
        let holder = world
            .queue
            .holder(Lane::Own, entry)
            .await
            .expect("valkey is there");
        (holder == Holder::Parked).then_some(())
    })
    .await;
    until_booked(&world, "claim", 1).await;
    terminal.leave().await;
}

/// Reviews that were given up by hand, of one cause, with what they work on.
pub async fn buried(world: &World, count: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(world.submit_patch(CLEAN).await);
    }
    let names: Vec<JobRef> = ids.iter().map(|id| JobRef::Id(*id)).collect();
    let outcome = ada(world).bury(&names, "the model was slow", Mode::Real).await;
    assert!(outcome.expect("both servers are there").is_complete());
    let named = world.store.name_causes(&world.settings.name, 100).await;
    named.expect("postgres is there");
    ids
}

/// Somebody on a command line.
fn ada(world: &World) -> Operator {
    let (store, queue) = (world.store.clone(), world.queue.clone());
    Operator::new(store, queue, "cli:ada", Rights::Explicit)
}

#[tokio::test]
async fn a_cause_is_re_queued_by_a_plan_with_a_canary_a_reason_and_its_number() {
    let world = world().await;
    let ids = buried(&world, 4).await;
    let others = dead(&world, "input", "no file after ", 2).await;
    let worker = world.reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    let mut terminal = console(&world).await;
    terminal.press("5").await;
    terminal.until_shows("6 = in 2 groups").await;
    terminal.press("R").await;
    terminal.until_shows("4 will be re-queued").await;
    terminal.until_shows("canary").await;
    // A wrong number: the button stays dead, and nothing is written.
    terminal.press("\tslow model\t5").await;
    terminal.until_shows("you typed 5, 4 will run").await;
    terminal.press("\t\r").await;
    assert_eq!(booked(&world, "requeue").await, 0);
    // The field that is wrong has the focus.
    terminal.press("\u{15}4").await;
    terminal
        .until("no complaint", |screen| !screen.contains("you typed"))
        .await;
    terminal.press("\t\r").await;
    for id in &ids {
        world.until_state(*id, JobState::Done).await;
    }
    // The run is over when all are back; the last result may still be on its way.
    terminal.until_shows("r-1 done  4 of 4 put back").await;
    for id in &others {
        assert_eq!(state(&world, *id).await, "dead");
    }
    terminal.until_shows("2 = in 1 group").await;
    until_booked(&world, "requeue", 1).await;
    terminal.press("8").await;
    terminal.until_shows("slow model").await;
    terminal.leave().await;
    worker.drain().await;
}

#[tokio::test]
async fn what_nobody_has_started_is_taken_back() {
    let world = world().await;
    let ids = buried(&world, 3).await;
    let mut terminal = console(&world).await;
    terminal.press("5").await;
    terminal.until_shows("3 = in 1 group").await;
    terminal.press("R").await;
    terminal.until_shows("3 will be re-queued").await;
    // No canary and no pace: all of them at once.
    terminal
        .press("\t\u{1b}[Z\u{15}all\u{1b}[Z\u{15}0\t\tslow model\t3\t\r")
        .await;
    for id in &ids {
        world.until_state(*id, JobState::Waiting).await;
    }
    until("each has an entry", || async {
        (entries(&world).await == 3).then_some(())
    })
    .await;
    terminal.press("z").await;
    terminal.until_shows("3 can come back").await;
    terminal.press("\r").await;
    terminal.until_shows("cancelled, nothing was sent").await;
    assert_eq!(state(&world, ids[0]).await, "waiting");
    terminal.press("z").await;
    terminal.until_shows("3 can come back").await;
    terminal.press("\t\r").await;
    for id in &ids {
        world.until_state(*id, JobState::Dead).await;
    }
    until("their entries are gone", || async {
        (entries(&world).await == 0).then_some(())
    })
    .await;
    terminal.leave().await;
}

#[tokio::test]
async fn of_two_consoles_the_slower_one_is_told_and_nothing_moves_twice() {
    let world = world().await;
    let ids = buried(&world, 3).await;
    let mut terminal = console(&world).await;
    terminal.press("2").await;
    terminal.until_shows(&short(ids[2])).await;
    terminal.press("/status:dead\r").await;
    terminal.press("*R").await;
    terminal.until_shows("3 will be re-queued").await;
    // Another console is faster by one.
    let moved = ada(&world).requeue_dead(&[ids[0].into()], Mode::Real).await;
    assert!(moved.expect("both servers are there").is_complete());
    terminal.press("\tagain\t3\t\r").await;
    terminal.until_shows("you typed 3, 2 will run").await;
    assert_eq!(state(&world, ids[1]).await, "dead", "nothing has moved");
    assert_eq!(entries(&world).await, 1, "once, by the faster one");
    terminal.leave().await;
}

#[tokio::test]
async fn a_dead_review_of_an_address_is_edited_and_takes_its_place() {
    let world = world().await;
    let old = dead(&world, "input", "404 not found ", 1).await[0];
    sqlx::query("update millstream.jobs set payload = $2 where id = $1")
        .bind(old.0)
        .bind("https://github.com/acme/ledger/pull/404")
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    let mut terminal = console(&world).await;
    terminal.press("2").await;
    terminal.until_shows(&short(old)).await;
    terminal.press("E").await;
    terminal.until_shows("ledger/pull/404").await;
    terminal.press("\u{7f}\u{7f}\u{7f}7\t\r").await;
    world.until_state(old, JobState::Dropped).await;
    let fresh: String =
        sqlx::query_scalar("select payload from millstream.jobs where queue = $1 and state = 'waiting'")
            .bind(&world.settings.name)
            .fetch_one(&world.sql)
            .await
            .expect("a new job");
    assert_eq!(fresh, "https://github.com/acme/ledger/pull/7");
    terminal.leave().await;
}

#[tokio::test]
async fn the_dead_go_for_ever_only_after_an_export_and_by_name() {
    let world = world().await;
    let ids = dead(&world, "input", "no file after ", 2).await;
    let mut terminal = console(&world).await;
    terminal.press("5").await;
    terminal.until_shows("2 = in 1 group").await;
    // What nobody has a copy of stays, whatever is typed.
    terminal.press(":drop\r").await;
    terminal.until_shows("2 will be dropped").await;
    let name = world.settings.name.clone();
    terminal.press(&format!("\tcannot heal\t2\t{name}\t\r")).await;
    terminal.until_shows("not exported since it died").await;
    assert_eq!(state(&world, ids[0]).await, "dead");
    terminal.press("o").await;
    terminal.until_shows("2 exported; in ").await;
    let folder = terminal.home().path().join(".local/state/millstream/exports");
    let files: Vec<_> = std::fs::read_dir(folder)
        .expect("the exports")
        .flatten()
        .collect();
    let text = std::fs::read_to_string(files[0].path()).expect("our file");
    for id in &ids {
        assert!(text.contains(&id.to_string()), "{text}");
    }
    terminal.press(":drop\r").await;
    terminal.until_shows("2 will be dropped").await;
    terminal.press("\tcannot heal\t2\tanother name\t\r").await;
    terminal.until_shows("you typed another name").await;
    assert_eq!(state(&world, ids[0]).await, "dead");
    terminal.press(&format!("\u{15}{name}\t\r")).await;
    for id in ids {
        world.until_state(id, JobState::Dropped).await;
    }
    terminal.leave().await;
}

#[tokio::test]
async fn a_queue_is_paused_and_runs_again() {
    let world = world().await;
    let mut terminal = console(&world).await;
    terminal.press(":pause deploy of the proxy\r").await;
    terminal.until_shows("Nothing new starts").await;
    terminal.press("y").await;
    terminal.until_shows("P resume").await;
    let row = world
        .store
        .paused(&world.settings.name)
        .await
        .expect("postgres is there");
    assert_eq!(
        row.and_then(|row| row.reason).as_deref(),
        Some("deploy of the proxy")
    );
    let key: Option<String> = redis::cmd("GET")
        .arg(&world.queue.keys().pause)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert!(key.is_some());
    terminal.press("P").await;
    terminal.until_shows("Resume the queue").await;
    terminal.press("y").await;
    until("the row is gone", || async {
        let paused = world
            .store
            .paused(&world.settings.name)
            .await
            .expect("postgres is there");
        paused.is_none().then_some(())
    })
    .await;
    terminal.leave().await;
}

#[tokio::test]
async fn a_patch_is_submitted_by_the_words_of_the_command_line() {
    let world = world().await;
    let mut terminal = console(&world).await;
    let patch = terminal.home().path().join("a.patch");
    std::fs::write(&patch, CLEAN).expect("our folder");
    terminal.press(&format!(":submit {}\r", patch.display())).await;
    terminal.until_shows("rung 2 of 4").await;
    terminal.press("y").await;
    terminal.until_shows("submitted").await;
    let counts = world
        .store
        .counts(&world.settings.name)
        .await
        .expect("postgres is there");
    assert_eq!(counts.accepted, 1);
    assert_eq!(entries(&world).await, 1);
    terminal.leave().await;
}

#[tokio::test]
async fn without_write_no_key_and_no_word_changes_anything() {
    let world = world().await;
    let id = dead(&world, "timeout", "no reply within ", 1).await[0];
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.until_shows("RO").await;
    terminal.press("5").await;
    terminal.until_shows("1 = in 1 group").await;
    assert!(!terminal.shows().contains("R re-queue"), "{}", terminal.shows());
    terminal.press("R").await;
    terminal.until_shows("read-only: start with --write").await;
    terminal.press(":pause\r").await;
    terminal.until_shows("read-only: start with --write").await;
    terminal.press("?").await;
    terminal.until_shows("NOT NOW, AND WHY").await;
    terminal.press("?").await;
    assert_eq!(state(&world, id).await, "dead");
    let actions: i64 = sqlx::query_scalar("select count(*) from millstream.actions")
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(actions, 0);
    terminal.leave().await;
}

#[tokio::test]
async fn a_hostile_title_reaches_neither_the_screen_nor_the_clipboard() {
    let world = world().await;
    let id = world.submit_patch(CLEAN).await;
    sqlx::query("update millstream.jobs set payload = $2 where id = $1")
        .bind(id.0)
        .bind("git:\u{1b}]52;c;aGk=\u{7}\u{202e}gpj\u{e0041}@a..b")
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    let mut terminal = console(&world).await;
    terminal.press("2").await;
    terminal.until_shows("\\u{202e}gpj").await;
    terminal.press("Y").await;
    terminal.until_shows("copied the row as JSON").await;
    let copied = terminal.copied();
    assert_eq!(copied.len(), 1, "one copy, by the key alone");
    assert!(copied[0].contains("u{202e}gpj"), "{}", copied[0]);
    assert!(
        !copied[0]
            .chars()
            .any(|c| c.is_control() || c == '\u{202e}' || c == '\u{e0041}')
    );
    terminal.press("y").await;
    until("the id is copied", || async {
        (terminal.copied().last() == Some(&id.to_string())).then_some(())
    })
    .await;
    terminal.leave().await;
}
