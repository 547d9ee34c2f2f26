//! The views that only look, on real servers: what they show is what Valkey and Postgres have.

use millstream::domain::{JobId, Lane};
use millstream::ops::{Mode, Operator, Rights};
use millstream::queue::Wire;

use crate::support::World;
use crate::support::processes::Home;
use crate::support::reviews::COMMITTED_KEY;
use crate::support::terminal::Terminal;

async fn console(world: &World) -> Terminal {
    let terminal = Terminal::start(Home::beside(world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal
}

async fn leave(mut terminal: Terminal) {
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(!terminal.is_taken());
}

/// Gives everything that is new on a stream to a consumer.
async fn deliver(world: &World, lane: Lane, consumer: &str) {
    let _rows: redis::Value = redis::cmd("XREADGROUP")
        .arg(&["GROUP", &world.settings.group, consumer, "STREAMS"])
        .arg(world.queue.keys().stream(lane))
        .arg(">")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
}

#[tokio::test]
async fn the_pending_list_shows_who_holds_what_and_goes_to_its_job() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let job = world.submit_patch(COMMITTED_KEY).await;
    deliver(&world, Lane::Own, "worker-\u{1b}[2J").await;
    let pending = world.queue.pending(10).await.expect("valkey is there");
    let mut terminal = console(&world).await;
    terminal.press("3").await;
    terminal.until_shows(&pending[0].entry.to_string()).await;
    terminal.until_shows("foreign").await;
    terminal.until_shows(&job.to_string()[..6]).await;
    let shown = terminal.shows();
    assert!(shown.contains("1 = held by 1 consumer"), "{shown}");
    assert!(shown.contains("worker-␛"), "{shown}");
    terminal.press("\r").await;
    terminal.until_shows("Jobs › ").await;
    terminal.press("\u{1b}").await;
    let entry = pending[0].entry.to_string();
    let _: u64 = redis::cmd("XDEL")
        .arg(&world.queue.keys().own)
        .arg(&entry)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    terminal.until_shows("! gone").await;
    terminal.press("/idle>1h\r").await;
    terminal.until_shows("No entry matches").await;
    terminal.press("\u{1b}").await;
    terminal.until_shows(&entry).await;
    leave(terminal).await;
}

#[tokio::test]
async fn the_end_of_a_long_pending_list_is_one_key_away() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut pipe = redis::pipe();
    for nth in 0..5_000 {
        let id = JobId::fresh().to_string();
        let fields = ["reviewId", &id, "prUrl", "git:ledger@main~1..main"];
        pipe.cmd("XADD")
            .arg(&world.queue.keys().own)
            .arg(format!("1-{nth}"))
            .arg(&fields)
            .ignore();
    }
    let () = pipe
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    deliver(&world, Lane::Own, "worker-1").await;
    let mut terminal = console(&world).await;
    terminal.press("3").await;
    terminal.until_shows("5,000 =").await;
    terminal.until_shows("1-0 ").await;
    terminal.press("G").await;
    terminal.until_shows("1-4999").await;
    terminal.until_shows("the last").await;
    terminal.press("g").await;
    terminal.until_shows("1-0 ").await;
    leave(terminal).await;
}

#[tokio::test]
async fn the_dead_stand_under_their_causes_and_lead_to_their_jobs() {
    let world = World::with(Wire::REVIEW).await;
    let dead = "insert into millstream.jobs (id, queue, kind, lane, payload, state, attempt, error, error_class,
                                             worker, finished_at)
         select gen_random_uuid(), $1, 'review', 'own', 'git:ledger@main~' || n, 'dead', 3, $3 || n || ' s', $2,
                'worker-1', now() from generate_series(1, $4) as n returning id";
    for (class, text, count) in [("timeout", "no reply within ", 4), ("input", "no file after ", 2)] {
        sqlx::query(dead)
            .bind(&world.settings.name)
            .bind(class)
            .bind(text)
            .bind(count)
            .execute(&world.sql)
            .await
            .expect("a pile");
    }
    world
        .store
        .name_causes(&world.settings.name, 100)
        .await
        .expect("postgres is there");
    let mut terminal = console(&world).await;
    terminal.press("5").await;
    terminal.until_shows("6 = in 2 groups").await;
    terminal.until_shows("no reply within # s").await;
    terminal.press("\r").await;
    terminal.until_shows("ledger main~4").await;
    terminal.press("j\r").await;
    terminal.until_shows("Jobs › ").await;
    terminal.press("\u{1b}").await;
    terminal.until_shows("6 = in 2 groups").await;
    terminal.press("/class:input\r").await;
    terminal.until_shows("no file after # s").await;
    terminal
        .until("one cause", |screen| !screen.contains("no reply within # s"))
        .await;
    leave(terminal).await;
}

#[tokio::test]
async fn the_book_of_the_operators_is_open_to_all() {
    let world = World::with(Wire::REVIEW).await;
    let ada = Operator::new(
        world.store.clone(),
        world.queue.clone(),
        "cli:ada",
        Rights::Explicit,
    );
    let paused = ada.pause(Some("deploy of the proxy"), Mode::Real).await;
    assert!(paused.is_ok(), "{paused:?}");
    let mut terminal = console(&world).await;
    terminal.press("8").await;
    terminal.until_shows("deploy of the proxy").await;
    let shown = terminal.shows();
    assert!(shown.contains("cli:ada") && shown.contains("pause"), "{shown}");
    leave(terminal).await;
}

#[tokio::test]
async fn streams_of_others_are_listed_with_a_lag_that_says_how_it_is_known() {
    let servers = crate::support::private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut pipe = redis::pipe();
    pipe.cmd("XGROUP")
        .arg(&["CREATE", "orders:events", "billing", "0", "MKSTREAM"])
        .ignore();
    for nth in 1..=40 {
        let id = format!("{nth}-0");
        pipe.cmd("XADD")
            .arg(&["orders:events", &id, "amount", "\u{1b}]0;x\u{7}"])
            .ignore();
    }
    pipe.cmd("XREADGROUP")
        .arg(&[
            "GROUP",
            "billing",
            "billing-1",
            "COUNT",
            "10",
            "STREAMS",
            "orders:events",
            ">",
        ])
        .ignore();
    // A deletion in the middle: from here on the server does not know the lag.
    pipe.cmd("XDEL").arg(&["orders:events", "30-0"]).ignore();
    let () = pipe
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let mut terminal = console(&world).await;
    terminal.press("7").await;
    terminal.until_shows("orders:events").await;
    terminal.press("/orders\r").await;
    terminal.until_shows("29~").await;
    terminal.until_shows("billing-1").await;
    terminal.until_shows("␛]0;x").await;
    terminal.press("\t").await;
    terminal.until_shows("Consumers").await;
    terminal.press("\t").await;
    terminal.until_shows("40-0").await;
    leave(terminal).await;
    servers.stop().await;
}
