//! An operator at the command line: what is printed, which exit code, and what it did.

use millstream::domain::{JobId, JobState};
use serde_json::{Value, json};

use super::{Lab, patch};
use crate::support::Ran;

/// Submits a patch that nobody works on yet.
async fn submitted(lab: &Lab) -> String {
    let review = lab.ask(&["submit", &patch("clean-rust"), "--json"]).await;
    review["id"].as_str().expect("an id").to_owned()
}

fn words(ran: &Ran) -> (i32, &str, Vec<&str>) {
    (ran.code, ran.stdout.trim_end(), ran.complaint())
}

#[tokio::test]
async fn a_move_prints_what_was_done_and_what_was_not() {
    let lab = Lab::new().await;
    let (one, two) = (submitted(&lab).await, submitted(&lab).await);
    let dry = lab.ask(&["cancel", &one, "--dry-run", "--json"]).await;
    assert_eq!(
        dry,
        json!({ "verb": "cancel", "dry_run": true, "done": [one], "refused": [] })
    );
    let ran = lab.home.run(&["cancel", &one[..8], &one]).await;
    assert_eq!(words(&ran), (0, format!("cancelled  {one}").as_str(), vec![]));
    let ran = lab.home.run(&["cancel", &one, &two, "--json"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (2, ""));
    let refused = json!([{ "id": one, "why": "it is cancelled" }]);
    let expected = json!({ "verb": "cancel", "dry_run": false, "done": [two], "refused": refused });
    assert_eq!(ran.json(), expected);
    let nobody = JobId::fresh().to_string();
    let ran = lab.home.run(&["retry", &nobody]).await;
    let why = format!("millstream: {nobody}: there is no such job");
    assert_eq!(words(&ran), (2, "", vec![why.as_str()]));
    for (args, word) in [
        (&["retry", "w-7"][..], "first 6 digits"),
        (&["cancel"], "ID"),
        (&["bury", &nobody], "--reason"),
        (&["bury", &nobody, "--reason", " "], "1 to 500"),
        (&["dead", "requeue"], "--all"),
        (&["dead", "requeue", &nobody, "--match", "x"], "--match"),
        (
            &["dead", "drop", "--match", "colour:red"],
            "there is no qualifier `colour:`",
        ),
        (&["dead", "drop", "--match", ""], "--all"),
    ] {
        let ran = lab.home.run(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{args:?}: {}", ran.stderr);
    }
    let nowhere = [("DATABASE_URL", "postgres://127.0.0.1:1/x")];
    let ran = lab.home.run_with(&nowhere, &["cancel", &one], b"").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (69, ""));
}

#[tokio::test]
async fn ids_come_from_standard_input_too_and_too_many_are_refused() {
    let lab = Lab::new().await;
    let (one, two) = (submitted(&lab).await, submitted(&lab).await);
    let input = format!("{one}\n\n  {two}  \n{one}\n");
    let ran = lab
        .home
        .run_with(&[], &["cancel", "-", "--json"], input.as_bytes())
        .await;
    assert_eq!((ran.code, ran.json()["done"].clone()), (0, json!([one, two])));
    let many: String = (0..1_001).map(|_| format!("{}\n", JobId::fresh())).collect();
    let ran = lab.home.run_with(&[], &["cancel", "-"], many.as_bytes()).await;
    assert_eq!(
        words(&ran),
        (64, "", vec!["millstream: at most 1000 ids are taken in one call"])
    );
    let ran = lab.home.run_with(&[], &["cancel", "-"], b"\n").await;
    assert_eq!(words(&ran), (64, "", vec!["millstream: no ids were given"]));
}

#[tokio::test]
async fn somebody_who_waits_for_a_review_hears_that_it_was_cancelled() {
    let lab = Lab::new().await;
    let waiting = lab
        .home
        .start("waiting", &[], &["submit", &patch("clean-rust"), "--wait"]);
    lab.until_jobs("waiting", 1).await;
    let jobs = lab.ask(&["jobs", "--json"]).await;
    let id = jobs[0]["id"].as_str().expect("an id").to_owned();
    lab.ask(&["cancel", &id, "--json"]).await;
    assert_eq!(waiting.until_ended().await, 4);
    assert!(
        waiting.stdout().starts_with("cancelled  "),
        "{}",
        waiting.stdout()
    );
    assert!(
        waiting.stdout().contains("cancelled by cli:"),
        "{}",
        waiting.stdout()
    );
}

#[tokio::test]
async fn a_pause_is_shown_and_holds_the_workers_until_it_is_taken_back() {
    let lab = Lab::new().await;
    assert_eq!(lab.ask(&["status", "--json"]).await["paused"], Value::Null);
    let ran = lab.home.run(&["pause", "--reason", "GitHub is down"]).await;
    assert_eq!(
        words(&ran),
        (0, format!("paused  {}", lab.world.settings.name).as_str(), vec![])
    );
    let paused = lab.ask(&["status", "--json"]).await["paused"].clone();
    assert_eq!(paused["reason"], "GitHub is down");
    assert!(paused["by"].as_str().is_some_and(|by| by.starts_with("cli:")) && paused["at"].is_string());
    let ran = lab.home.run(&["status"]).await;
    assert!(ran.stdout.contains("GitHub is down"), "{}", ran.stdout);
    assert_eq!(lab.home.run(&["pause"]).await.code, 2);
    let id = submitted(&lab).await;
    let worker = lab.worker("worker", &[]).await;
    assert_eq!(lab.ask(&["resume", "--json"]).await["verb"], "resume");
    lab.world
        .until_state(id.parse().expect("an id"), JobState::Done)
        .await;
    assert_eq!(lab.home.run(&["resume"]).await.code, 2);
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.until_ended().await, 0);
}

#[tokio::test]
async fn the_dead_are_listed_exported_put_back_and_dropped() {
    let lab = Lab::new().await;
    let (one, two) = (submitted(&lab).await, submitted(&lab).await);
    assert_eq!(lab.ask(&["dead", "list", "--json"]).await, json!([]));
    lab.ask(&["bury", &one, &two, "--reason", "poison", "--json"])
        .await;
    let list = lab.ask(&["dead", "list", "--match", "poison", "--json"]).await;
    let names: Vec<&String> = list[0].as_object().expect("an object").keys().collect();
    let expected = [
        "attempts",
        "class",
        "died_at",
        "error",
        "fingerprint",
        "id",
        "letter",
        "worker",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (list.as_array().map(Vec::len), &list[0]["class"]),
        (Some(2), &"operator".into())
    );
    let ran = lab.home.run(&["dead", "list"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 3), "{ran:?}");

    let ran = lab.home.run(&["dead", "export", &one, "--with-input"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let exported = ran.json();
    assert_eq!(
        (&exported["id"], &exported["kind"]),
        (&one.as_str().into(), &"review".into())
    );
    assert!(
        exported["input"].as_str().is_some_and(|text| text.contains("@@")),
        "{exported}"
    );
    let ran = lab.home.run(&["dead", "export"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 2));

    let fingerprint = format!("fingerprint:{}", list[0]["fingerprint"].as_str().expect("a text"));
    let dry = lab
        .ask(&["dead", "requeue", "--match", &fingerprint, "--dry-run", "--json"])
        .await;
    assert_eq!(dry["done"].as_array().map(Vec::len), Some(2));
    let ran = lab.home.run(&["dead", "requeue", &one]).await;
    assert_eq!(words(&ran), (0, format!("requeued  {one}").as_str(), vec![]));
    let ran = lab.home.run(&["dead", "drop", "--all"]).await;
    let hint = "millstream: add --reason TEXT";
    assert_eq!(
        words(&ran),
        (2, "", vec!["millstream: 1 will move: a reason is wanted", hint])
    );
    let sure = [
        "dead", "drop", "--all", "--reason", "old", "--count", "1", "--json",
    ];
    let ran = lab.home.run(&sure).await;
    assert_eq!(ran.json()["done"], json!([two]));
    let ran = lab.home.run(&["dead", "drop", "--all"]).await;
    assert_eq!(words(&ran), (2, "", vec!["millstream: nothing dead was found"]));
    let worker = lab.worker("worker", &[]).await;
    lab.until_jobs("done", 1).await;
    lab.until_jobs("dropped", 1).await;
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.until_ended().await, 0);
}

#[tokio::test]
async fn what_a_worker_holds_is_listed_and_taken_from_it() {
    let lab = Lab::new().await;
    let slow = [("OFFLINE_LATENCY", "60s"), ("SHUTDOWN_GRACE", "1s")];
    let worker = lab.worker("slow", &slow).await;
    let id = submitted(&lab).await;
    lab.until_jobs("running", 1).await;
    let list = lab.ask(&["pending", "--json"]).await;
    let names: Vec<&String> = list[0].as_object().expect("an object").keys().collect();
    let expected = [
        "attempt",
        "deliveries",
        "due",
        "entry",
        "id",
        "idle_s",
        "payload",
        "worker",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (&list[0]["id"], &list[0]["attempt"]),
        (&id.as_str().into(), &1.into())
    );
    let ran = lab.home.run(&["pending"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 2), "{ran:?}");
    // Out of the way before, so that nobody else than the next worker takes it.
    worker.signal(rustix::process::Signal::STOP);
    let entry = list[0]["entry"].as_str().expect("an id").to_owned();
    let ran = lab.home.run(&["claim", &entry]).await;
    assert_eq!(words(&ran), (0, format!("claimed  {entry}").as_str(), vec![]));
    let heir = lab.worker("heir", &[]).await;
    let row = lab
        .world
        .until_state(id.parse().expect("an id"), JobState::Done)
        .await;
    assert_eq!(row.attempt, 2);
    let parsed: JobId = id.parse().expect("an id");
    assert_eq!(lab.world.outcomes(parsed).await, ["handed_back", "done"]);
    heir.signal(rustix::process::Signal::TERM);
    assert_eq!(heir.until_ended().await, 0);
    let nowhere = [("DATABASE_URL", "postgres://127.0.0.1:1/x")];
    let ran = lab.home.run_with(&nowhere, &["pending", "--json"], b"").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("the attempts are not known"), "{ran:?}");
}
