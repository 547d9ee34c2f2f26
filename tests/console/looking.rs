//! The views that only look, on real servers: what they show is what Valkey and Postgres have.

use millstream::domain::{EntryId, JobId, Lane};
use millstream::ops::{Mode, Operator, Rights};
use millstream::queue::Wire;
use millstream::queue::entry::Entry;
use millstream::queue::new_letter::NewLetter;

use crate::support::World;
use crate::support::processes::Home;
use crate::support::reviews::COMMITTED_KEY;
use crate::support::terminal::Terminal;

async fn console(world: &World) -> Terminal {
    let terminal = Terminal::start(Home::beside(world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal
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
    terminal.leave().await;
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
    terminal.leave().await;
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
    terminal.leave().await;
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
    terminal.leave().await;
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
    terminal.leave().await;
    servers.stop().await;
}

#[tokio::test]
async fn a_stream_has_the_screen_for_itself_with_its_many_consumers() {
    let servers = crate::support::private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut pipe = redis::pipe();
    pipe.cmd("XGROUP")
        .arg(&["CREATE", "orders", "billing", "0", "MKSTREAM"])
        .ignore();
    pipe.cmd("XGROUP")
        .arg(&["CREATE", "orders", "search", "$"])
        .ignore();
    for nth in 0..700 {
        let name = format!("billing-{nth:04}");
        pipe.cmd("XGROUP")
            .arg(&["CREATECONSUMER", "orders", "billing", &name])
            .ignore();
    }
    pipe.cmd("XADD")
        .arg("orders")
        .arg("*")
        .arg("raw")
        .arg(&b"\xff\x00\x1b[2J"[..])
        .ignore();
    let () = pipe
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let mut terminal = console(&world).await;
    terminal.press("7").await;
    terminal.until_shows("orders").await;
    terminal.press("/group:billing\r").await;
    terminal.until_shows("1 of 5 groups").await;
    terminal.press("\r").await;
    terminal.until_shows("Streams › orders › billing").await;
    terminal.until_shows("counter whole").await;
    terminal.press("\t").await;
    terminal.until_shows("of 700, those that hold most").await;
    terminal.press("\t").await;
    terminal.until_shows("raw=\\xff").await;
    assert!(terminal.shows().contains("␛[2J"), "{}", terminal.shows());
    terminal.press("\t").await;
    terminal.until_shows("search").await;
    // Gone while it is looked at.
    let _gone: u64 = redis::cmd("DEL")
        .arg("orders")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    terminal.until_shows("is gone").await;
    terminal.press("\u{1b}").await;
    terminal.until_shows("No stream matches").await;
    terminal.leave().await;
    servers.stop().await;
}

#[tokio::test]
async fn letters_of_entries_that_nobody_could_read_stand_among_the_dead() {
    let world = World::with(Wire::REVIEW).await;
    let letter = |nth: u64, why: &str| {
        let entry = Entry {
            id: EntryId { ms: nth, seq: 0 },
            lane: Lane::Shared,
            fields: vec![(b"prUrl".to_vec(), b"\x1b[2J\xff".to_vec())],
            deliveries: 1,
        };
        NewLetter::about(&entry, "w-0000000000000001".to_owned()).unreadable(why.to_owned())
    };
    // More than a round reads, and two causes.
    let letters: Vec<NewLetter> = (1..=2_300)
        .map(|nth| {
            letter(
                nth,
                if nth == 7 {
                    "not one of these fields"
                } else {
                    "no reviewId"
                },
            )
        })
        .collect();
    world.queue.add_letters(&letters).await.expect("valkey is there");
    let mut terminal = console(&world).await;
    terminal.press("5").await;
    terminal.until_shows("2,300 = without a job").await;
    terminal.until_shows("2,299").await;
    terminal.press("\r").await;
    terminal.until_shows("2300-0").await;
    terminal.press("j").await;
    terminal.until_shows("of entry 2300-0").await;
    assert!(terminal.shows().contains("␛[2J"), "{}", terminal.shows());
    // One is taken out: the others are counted anew.
    let newest = world.queue.letters_without_row(1).await.expect("valkey is there");
    world
        .queue
        .remove_letters(&[newest[0].id])
        .await
        .expect("valkey is there");
    terminal.until_shows("2,299 = without a job").await;
    terminal.leave().await;
}
