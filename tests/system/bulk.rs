//! Many jobs at once, from the command line: plans and their runs, which outlive a `kill -9`; undo; the book; workers.

use millstream::domain::JobState;
use rustix::process::Signal;
use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::demo::{one_at_a_time, standing};
use super::{Lab, patch};
use crate::support::{Home, until};

/// So many dead reviews of one cause.
async fn pile(lab: &Lab, count: usize) -> Vec<String> {
    let count = count.to_string();
    let burst = lab.ask(&["burst", &count, "--json"]).await;
    let ids: Vec<String> = serde_json::from_value(burst["done"].clone()).expect("ids");
    let args = [&["bury", "--reason", "the model was slow", "--json"][..]].concat();
    let named: Vec<&str> = ids.iter().map(String::as_str).collect();
    lab.ask(&[args, named].concat()).await;
    ids
}

const SLOW: [&str; 4] = ["dead", "requeue", "--match", "error:slow"];

async fn refusal(lab: &Lab, more: &[&str]) -> String {
    let ran = lab.home.run(&[&SLOW, more].concat()).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    ran.stderr
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn what_a_filter_finds_moves_with_a_reason_and_its_number() {
    let lab = Lab::new().await;
    let ids = pile(&lab, 3).await;
    let dry = lab.ask(&[&SLOW[..], &["--dry-run", "--json"]].concat()).await;
    let members: Vec<&String> = dry.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["done", "dry_run", "plan", "refused", "run", "verb"]);
    assert_eq!(
        dry["plan"]["counts"],
        json!({ "total": 3, "eligible": 3, "already_requeued": 0, "payload_gone": 0, "tries_used_up": 0, "no_longer_dead": 0 })
    );
    assert!(
        refusal(&lab, &[])
            .await
            .contains("3 will move: a reason is wanted")
    );
    assert!(
        refusal(&lab, &["--reason", "now fast"])
            .await
            .contains("3 will move: type the number to confirm it")
    );
    assert!(
        refusal(&lab, &["--reason", "now fast", "--count", "4"])
            .await
            .contains("you typed 4, 3 will run")
    );
    let back = lab.home.run(&["dead", "requeue", &ids[0]]).await;
    assert_eq!(back.code, 0, "one that is named is meant: {back:?}");
    let ran = lab
        .home
        .run(&[&SLOW[..], &["--reason", "now fast", "--yes", "--json"]].concat())
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let moved = ran.json();
    assert_eq!(moved["done"].as_array().map(Vec::len), Some(2));
    let run = moved["run"].as_str().expect("a run").to_owned();
    let shown = lab.ask(&["run", "show", &run, "--json"]).await;
    assert_eq!(
        (&shown["state"], &shown["counts"]["requeued"], &shown["hash"]),
        (&json!("done"), &json!(2), &moved["plan"]["hash"])
    );
    assert_eq!(lab.ask(&["runs", "--json"]).await[0]["id"], run.as_str());
    assert_eq!(lab.home.run(&["run", "pause", &run]).await.code, 2);
    assert_eq!(lab.home.run(&["run", "show", "r-999999"]).await.code, 2);

    let dry = lab.ask(&["undo", &run, "--dry-run", "--json"]).await;
    assert_eq!(dry["left"], json!({ "back": 2, "late": 0 }));
    let undone = lab.ask(&["undo", "--json"]).await;
    assert_eq!(undone["done"].as_array().map(Vec::len), Some(2));
    let book = lab.ask(&["activity", "--match", "requeue", "--json"]).await;
    let run_line = book
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["run"] == run.as_str())
        .expect("the run")
        .clone();
    let members: Vec<&String> = run_line.as_object().expect("an object").keys().collect();
    let expected = [
        "at",
        "broke_glass",
        "detail",
        "ended_at",
        "filter",
        "id",
        "ids",
        "ids_hash",
        "left",
        "outcome",
        "profile",
        "reason",
        "result",
        "run",
        "undoes",
        "undone_by",
        "verb",
        "who",
    ];
    assert_eq!(members, expected);
    assert_eq!(
        (&run_line["filter"], &run_line["reason"]),
        (&json!("error:slow"), &json!("now fast"))
    );
    assert!(
        run_line["who"]
            .as_str()
            .is_some_and(|who| who.starts_with("cli:") && who.contains('@')),
        "{run_line}"
    );
    assert!(run_line["undone_by"].is_i64(), "{run_line}");
    assert_eq!(
        lab.ask(&["activity", "--since", "1h", "--limit", "2", "--json"])
            .await
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(
        lab.ask(&["activity", "--match", "nobody", "--json"]).await,
        json!([])
    );
    for args in [&["activity"][..], &["runs"], &["run", "show", &run]] {
        let ran = lab.home.run(args).await;
        assert!(
            ran.code == 0 && ran.stdout.contains("requeue") || ran.stdout.contains(&run),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn a_run_outlives_every_kill_of_its_driver() {
    let lab = Lab::new().await;
    let ids = pile(&lab, 40).await;
    let worker = lab.worker("worker", &[("OFFLINE_LATENCY", "1ms")]).await;
    let begin = [
        "--reason",
        "now fast",
        "--count",
        "40",
        "--canary",
        "1",
        "--rate",
        "100",
        "--in-flight",
        "6",
    ];
    let mut driver = lab.home.start("driver", &[], &[&SLOW[..], &begin].concat());
    driver.until_said("run r-").await;
    let log = driver.stderr();
    let run = log
        .split("run ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("its name")
        .to_owned();
    for (nth, gone) in [3, 9, 16, 24, 33].into_iter().enumerate() {
        until(&format!("{gone} are back"), || async {
            let back: i64 =
                sqlx::query_scalar("select count(*) from millstream.run_items where state = 'requeued'")
                    .fetch_one(&lab.world.sql)
                    .await
                    .expect("postgres is there");
            (back >= gone || driver.ended().is_some()).then_some(())
        })
        .await;
        if driver.ended().is_none() {
            driver.signal(Signal::KILL);
        }
        assert_ne!(driver.until_ended().await, 0);
        driver = lab
            .home
            .start(&format!("driver-{nth}"), &[], &["run", "resume", &run, "--json"]);
    }
    assert_eq!(driver.until_ended().await, 0, "{}", driver.stderr());
    for id in &ids {
        let row = lab
            .world
            .until_state(id.parse().expect("an id"), JobState::Done)
            .await;
        assert_eq!(row.attempt, 1, "it had never been started, and was once");
    }
    let twice: i64 = sqlx::query_scalar(
        "select count(*) from (select job_id from millstream.moved where how = 'requeue' group by job_id
                               having count(*) > 1) as twice",
    )
    .fetch_one(&lab.world.sql)
    .await
    .expect("postgres is there");
    assert_eq!(twice, 0);
    let shown = lab.ask(&["run", "show", &run, "--json"]).await;
    assert_eq!(
        (&shown["state"], &shown["counts"]["requeued"]),
        (&json!("done"), &json!(40))
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0);
}

#[tokio::test]
async fn a_dead_review_is_edited_and_another_takes_its_place() {
    let lab = Lab::new().await;
    let ids = pile(&lab, 2).await;
    let ran = lab
        .home
        .run(&["dead", "edit", &ids[0], &patch("clean-rust"), "--reason", "typo"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let new = ran.stdout.split_whitespace().nth(2).expect("an id").to_owned();
    assert_eq!(ran.stdout.trim_end(), format!("edited  {}  {new}", ids[0]));
    let again = lab
        .home
        .run(&["dead", "edit", &ids[0], &patch("clean-rust")])
        .await;
    assert_eq!(
        (again.code, again.complaint()),
        (2, vec![format!("millstream: {}: it is dropped", ids[0]).as_str()])
    );
    let wrong = lab.home.run(&["dead", "edit", &ids[1], "/nowhere.patch"]).await;
    assert_eq!(wrong.code, 2);
    let worker = lab.worker("worker", &[]).await;
    lab.world
        .until_state(new.parse().expect("an id"), JobState::Done)
        .await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0);
}

#[tokio::test]
async fn a_drop_by_filter_leaves_what_nobody_has_exported() {
    let lab = Lab::new().await;
    let ids = pile(&lab, 2).await;
    assert_eq!(lab.home.run(&["dead", "export", &ids[0]]).await.code, 0);
    let sure = [
        "dead",
        "drop",
        "--match",
        "error:slow",
        "--reason",
        "old",
        "--yes",
        "--json",
    ];
    let ran = lab.home.run(&sure).await;
    assert_eq!((ran.code, ran.json()["done"].clone()), (2, json!([ids[0]])));
    assert_eq!(
        ran.json()["refused"][0]["why"],
        "not exported since it died: use `millstream dead export` first"
    );
    let ran = lab.home.run(&[&sure[..], &["--without-export"]].concat()).await;
    assert_eq!((ran.code, ran.json()["done"].clone()), (0, json!([ids[1]])));
}

#[tokio::test]
async fn with_postgres_away_a_pause_needs_a_broken_glass() {
    let lab = Lab::new().await;
    let away = [("DATABASE_URL", "postgres://127.0.0.1:1/x")];
    let pause = ["pause", "--reason", "an outage"];
    assert_eq!(lab.home.run_with(&away, &pause, b"").await.code, 69);
    let ran = lab.home.run_with(&away, &["pause", "--break-glass"], b"").await;
    assert_eq!(ran.code, 64, "without a reason: {ran:?}");
    let ran = lab
        .home
        .run_with(&away, &[&pause[..], &["--break-glass"]].concat(), b"")
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("the action is noted in Valkey"), "{ran:?}");
    // The next verb with Postgres brings it into the book.
    assert_eq!(lab.home.run(&["resume"]).await.code, 0);
    let book = lab.ask(&["activity", "--match", "outage", "--json"]).await;
    assert_eq!(
        (&book[0]["verb"], &book[0]["broke_glass"], &book[0]["outcome"]),
        (&json!("pause"), &json!(true), &json!("ok"))
    );
}

#[tokio::test]
async fn the_demo_has_as_many_workers_as_it_is_asked_for() {
    let _turn = one_at_a_time().await;
    let home = Home::new().with("OFFLINE_LATENCY", "10ms");
    let (demo, _running) = standing(&home, &["--workers", "1"]).await;
    let scaled = until("the demo answers", || async {
        let ran = home.run(&["scale", "3", "--reason", "a backlog", "--json"]).await;
        (ran.code == 0).then(|| ran.json())
    })
    .await;
    assert_eq!(
        scaled,
        json!({ "verb": "scale", "dry_run": false, "from": 1, "to": 3 })
    );
    let workers = |count: usize| {
        let home = &home;
        until("so many workers are there", move || async move {
            let ran = home.run(&["workers", "--json"]).await;
            let list: Value = ran.json();
            (list.as_array().map(Vec::len) == Some(count)).then_some(())
        })
    };
    workers(3).await;
    let ran = home.run(&["undo"]).await;
    assert_eq!(
        (ran.code, ran.stdout.trim_end()),
        (0, "taken back  1 workers"),
        "{ran:?}"
    );
    workers(1).await;
    assert_eq!(home.run(&["scale", "65"]).await.code, 2);
    demo.signal(Signal::TERM);
    assert_eq!(demo.until_ended().await, 0, "{}", demo.stderr());
}

#[tokio::test]
async fn on_render_the_number_of_instances_is_set() {
    let (lab, server) = (Lab::new().await, MockServer::start().await);
    assert_eq!(
        lab.home.run(&["scale", "4"]).await.code,
        2,
        "nobody is there to ask"
    );
    let service = |details: Value| {
        let answer =
            ResponseTemplate::new(200).set_body_json(json!({ "id": "srv-1", "serviceDetails": details }));
        Mock::given(method("GET"))
            .and(path("/v1/services/srv-1"))
            .and(header("authorization", "Bearer rnd_secret"))
            .respond_with(answer)
    };
    service(json!({ "numInstances": 2 }))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/v1/services/srv-1/scale"))
        .and(header("authorization", "Bearer rnd_secret"))
        .and(body_json(json!({ "numInstances": 4 })))
        .respond_with(ResponseTemplate::new(202))
        .expect(1)
        .mount(&server)
        .await;
    let url = format!("{}/v1", server.uri());
    let vars = [
        ("RENDER_API_KEY", "rnd_secret"),
        ("RENDER_WORKER_SERVICE_ID", "srv-1"),
        ("RENDER_API_URL", &url),
    ];
    let ran = lab.home.run_with(&vars, &["scale", "4"], b"").await;
    assert_eq!(
        (ran.code, ran.stdout.trim_end()),
        (0, "scaled  2 > 4 workers"),
        "{ran:?}"
    );
    service(json!({ "numInstances": 2, "autoscaling": { "enabled": true } }))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let ran = lab.home.run_with(&vars, &["scale", "4"], b"").await;
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("autoscaling is on"), "{ran:?}");
    let later = ResponseTemplate::new(429).insert_header("ratelimit-reset", "30");
    Mock::given(method("GET"))
        .respond_with(later)
        .mount(&server)
        .await;
    let ran = lab.home.run_with(&vars, &["scale", "4"], b"").await;
    assert_eq!(
        (ran.code, ran.complaint()),
        (
            69,
            vec!["millstream: failed to scale: reach the fleet: Render asks to come back later (30 s)"]
        )
    );
    assert!(!ran.stderr.contains("rnd_secret"));
    server.verify().await;
}
