//! Real servers full of hostile text: no view, no verb and no last word sends a terminal anything but what can be seen.

use std::time::Duration;

use millstream::domain::{JobState, Lane};
use millstream::queue::Wire;
use millstream_worker::model::offline::Offline;
use serde_json::{Value, json};

use crate::support::hostile::{MARK, can_be_seen, corpus, is_allowed};
use crate::support::processes::{Home, Ran};
use crate::support::reviews::{CLEAN, COMMITTED_KEY};
use crate::support::terminal::Terminal;
use crate::support::{World, private};

/// All of the corpus in one text, without what would end a field before a terminal is reached: Postgres holds no NUL,
/// and there is none in it.
fn hostile() -> String {
    corpus().into_iter().take(17).collect()
}

/// A world in which a review has run, one has died, one waits, and whoever could write a text has written this one.
async fn world(text: &str) -> World {
    poisoned(World::with(Wire::REVIEW).await, text).await
}

async fn poisoned(world: World, text: &str) -> World {
    let worker = world.reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    let done = world.submit_patch(COMMITTED_KEY).await;
    world.until_state(done, JobState::Done).await;
    let dead = world.submit_patch(COMMITTED_KEY).await;
    world.until_state(dead, JobState::Done).await;
    worker.drain().await;
    world.submit_patch(CLEAN).await;
    let bury = "update millstream.jobs set state = 'dead', error_class = 'model' where id = $1";
    sqlx::query(bury)
        .bind(dead.0)
        .execute(&world.sql)
        .await
        .expect("ours");
    let action = "insert into millstream.actions (actor, verb, detail, outcome, result) values ('a', 'b', $1, 'ok', $2)";
    let detail = json!({ "reason": text, "ids": [text], text: text });
    sqlx::query(action)
        .bind(&detail)
        .bind(&detail)
        .execute(&world.sql)
        .await
        .expect("a row");
    world.queue.ensure_groups().await.expect("groups");
    poison_rows(&world, text).await;
    poison_valkey(&world, text).await;
    world
}

/// Writes the text into every column of text that takes it; what a check or a reference of ours refuses is nobody
/// else's either.
async fn poison_rows(world: &World, text: &str) {
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select table_schema || '.' || quote_ident(table_name), quote_ident(column_name), data_type::text
           from information_schema.columns
          where table_schema in ('public', 'millstream') and data_type in ('text', 'jsonb') and is_generated = 'NEVER'
            and (table_name, column_name) not in
                (('jobs', 'queue'), ('jobs', 'state'), ('jobs', 'lane'), ('queues', 'name'))",
    )
    .fetch_all(&world.sql)
    .await
    .expect("postgres is there");
    let mut written = 0;
    for (table, column, kind) in columns {
        let statement = format!("update {table} set {column} = $1");
        let statement = sqlx::query(sqlx::AssertSqlSafe(statement));
        let done = match kind.as_str() {
            "jsonb" => {
                statement
                    .bind(json!({ "text": text, text: [text] }))
                    .execute(&world.sql)
                    .await
            }
            _ => statement.bind(text).execute(&world.sql).await,
        };
        written += done.map_or(0, |done| done.rows_affected());
    }
    assert!(written > 40, "the text went into {written} fields only");
}

/// Entries, a consumer, a stream with its group, a card of a worker, a pause.
async fn poison_valkey(world: &World, text: &str) {
    let keys = world.queue.keys();
    let card = json!({
        "pid": 1, "host": text, "version": text, "instance": text, "started_at": text, "slots": 4, "state": "ready",
        "busy": 0, "jobs": [],
    });
    let mut pipe = redis::pipe();
    pipe.cmd("XADD")
        .arg(keys.stream(Lane::Own))
        .arg("*")
        .arg(&[text, text, "reviewId", text, "prUrl", text])
        .ignore();
    pipe.cmd("XREADGROUP")
        .arg(&["GROUP", keys.group.as_str(), text, "STREAMS"])
        .arg(keys.stream(Lane::Own))
        .arg(">")
        .ignore();
    pipe.cmd("XADD")
        .arg(format!("{text}{}", keys.own))
        .arg("*")
        .arg(&[text, text])
        .ignore();
    pipe.cmd("XGROUP")
        .arg("CREATE")
        .arg(format!("{text}{}", keys.own))
        .arg(text)
        .arg("0")
        .ignore();
    pipe.cmd("XADD")
        .arg(&keys.dead)
        .arg("*")
        .arg(&["jobId", text, "class", text, "error", text, text, text])
        .ignore();
    pipe.cmd("ZADD")
        .arg(&keys.workers)
        .arg(4_102_444_800_000_u64)
        .arg(text)
        .ignore();
    pipe.cmd("SET")
        .arg(keys.card(text))
        .arg(card.to_string())
        .ignore();
    let () = pipe
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
}

#[tokio::test]
async fn no_view_sends_what_others_have_written_as_they_have_written_it() {
    // On a server of its own: among the streams of other tests the hostile one would not be on the screen.
    let servers = private::valkey().await;
    let world = poisoned(
        World::on_valkey(&servers.valkey_url, Wire::REVIEW).await,
        &hostile(),
    )
    .await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    // Through every view with its rows opened, and the lines into which something can be pasted.
    let views = [
        ("2", MARK),
        ("\r", MARK),
        ("\t\t", MARK),
        ("t", MARK),
        ("jjjjio", MARK),
        ("\u{1b}\u{1b}", MARK),
        ("3", MARK),
        ("4", MARK),
        ("5", MARK),
        ("\r", MARK),
        ("7", MARK),
        ("\t", MARK),
        ("\t", MARK),
        ("8", MARK),
        ("@", "newest first"),
    ];
    for (keys, shown) in views {
        terminal.press(keys).await;
        terminal.until_shows(shown).await;
    }
    terminal.press("\u{1b}").await;
    terminal
        .until("no commands", |screen| !screen.contains("newest first"))
        .await;
    terminal.press("?").await;
    terminal.until_shows("NOT NOW, AND WHY").await;
    terminal.press("\u{1b}").await;
    // An Esc and a key in one piece are a key with Alt.
    terminal
        .until("no help", |screen| !screen.contains("NOT NOW"))
        .await;
    terminal.press("2/").await;
    terminal.press("\u{1b}[200~").await;
    terminal.press(&hostile().replace('\u{1b}', "")).await;
    terminal.press("\u{1b}[201~").await;
    terminal.until_shows("matches").await;
    kill(&terminal);
    let status = terminal.until_ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(is_allowed(&terminal.sent()), Ok(()));
    assert!(terminal.is_given_back(), "{}", terminal.shows());
    servers.stop().await;
}

fn kill(terminal: &Terminal) {
    rustix::process::kill_process(terminal.pid(), rustix::process::Signal::TERM).expect("it runs");
}

/// Checks both streams of a verb; answers what it said.
fn seen(args: &[&str], ran: &Ran) {
    for (name, text) in [("output", &ran.stdout), ("error", &ran.stderr)] {
        if let Err(found) = can_be_seen(text) {
            panic!("{name} of {args:?}: {found}");
        }
    }
}

#[tokio::test]
async fn no_verb_prints_what_a_terminal_would_obey() {
    let text = hostile();
    let world = world(&text).await;
    let home = Home::beside(&world);
    let ids: Vec<String> = sqlx::query_scalar("select id::text from millstream.jobs")
        .fetch_all(&world.sql)
        .await
        .expect("postgres is there");
    let mut verbs: Vec<Vec<&str>> = vec![
        vec!["status"],
        vec!["jobs"],
        vec!["workers"],
        vec!["pending"],
        vec!["dead", "list"],
    ];
    verbs.extend(ids.iter().map(|id| vec!["trace", id.as_str()]));
    verbs.push(vec!["dead", "requeue", "--all", "--dry-run"]);
    let mut marked = 0;
    for verb in &verbs {
        for as_json in [false, true] {
            let mut args = verb.clone();
            args.extend(as_json.then_some("--json"));
            let ran = home.run(&args).await;
            seen(&args, &ran);
            assert!(ran.code == 0 || ran.code == 2, "{args:?}: {ran:?}");
            marked += usize::from(ran.stdout.contains(MARK));
            if as_json {
                // What is escaped is what it was.
                let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
                assert!(
                    !ran.stdout.contains(MARK) || holds(&value, &text),
                    "{args:?}: {}",
                    ran.stdout
                );
            }
        }
    }
    assert!(marked >= 10, "hostile text was printed by {marked} verbs only");
    let export = home.run(&["dead", "export"]).await;
    seen(&["dead", "export"], &export);
    assert!(export.stdout.contains(MARK), "{}", export.stdout);
    for line in export.stdout.lines() {
        let _object: Value = serde_json::from_str(line).expect("JSON");
    }
}

/// Whether a text, or its beginning, stands somewhere in a value.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => {
            found.starts_with(MARK) && (text.starts_with(found.as_str()) || found.starts_with(text))
        }
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name == text || holds(value, text)),
        _ => false,
    }
}

#[tokio::test]
async fn the_last_words_of_a_verb_can_be_seen_whatever_they_quote() {
    let world = World::with(Wire::REVIEW).await;
    let home = Home::beside(&world);
    let text: String = hostile().replace('\0', "");
    let name = format!(
        "{}.patch",
        text.replace('/', "").chars().take(40).collect::<String>()
    );
    for args in [
        &["trace", &text][..],
        &["jobs", "--state", &text],
        &["retry", &text],
        &["dead", "list", "--match", &text],
        &["dead", "list", "--match", &format!("class:{text}")],
        &["submit", &name],
        &["submit", &format!("https://github.com/{text}/x/pull/1")],
        &["submit", "--git", &text],
        &["pause", "--reason", &text],
        &["bury", &text, "--reason", &text],
        &["bench", &text],
        &[&text],
    ] {
        let ran = home.run(args).await;
        seen(args, &ran);
        assert!(!ran.stderr.is_empty() || ran.code == 0, "{args:?}: {ran:?}");
    }
    for variable in [
        "QUEUE",
        "QUEUE_GROUP",
        "VALKEY_URL",
        "DATABASE_URL",
        "MAX_PATCH",
        "LOG",
    ] {
        let ran = home.run_with(&[(variable, &text)], &["status"], b"").await;
        seen(&[variable], &ran);
    }
    let ran = home.run(&["status"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    seen(&["status"], &ran);
}
