//! The demo, from its first line to its last: one JSON object, and nothing left behind however it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::{Home, Started, until};

/// The members of the summary.
const MEMBERS: [&str; 13] = [
    "accepted",
    "cancelled",
    "dead",
    "done",
    "dropped",
    "findings",
    "first_review_s",
    "retrying",
    "running",
    "scheduled",
    "spans",
    "waiting",
    "wall_s",
];
/// The states that add up to what was accepted.
const STATES: [&str; 8] = [
    "scheduled",
    "waiting",
    "running",
    "retrying",
    "dead",
    "dropped",
    "cancelled",
    "done",
];

/// A demo is six processes and two servers: two of them at once would only measure the machine.
pub async fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// Starts a demo and waits until it stands; answers what it tells other verbs.
pub(super) async fn standing(home: &Home, args: &[&str]) -> (Started, Value) {
    let all = [&["demo", "--headless", "--json"], args].concat();
    let demo = home.start("demo", &[], &all);
    let note = home.runtime().join(format!("millstream/{}.json", demo.pid()));
    let running = until("the demo stands", || async {
        let text = std::fs::read_to_string(&note).ok()?;
        serde_json::from_str(&text).ok()
    })
    .await;
    (demo, running)
}

/// The folder that a demo has named.
fn named_folder(stderr: &str) -> Option<PathBuf> {
    let (_, rest) = stderr.split_once("data and logs are in ")?;
    rest.lines().next().map(PathBuf::from)
}

pub(super) fn check_sum(summary: &Value) {
    let members: Vec<&String> = summary.as_object().expect("an object").keys().collect();
    assert_eq!(members, MEMBERS);
    let count = |name: &str| summary[name].as_i64().expect(name);
    assert_eq!(
        count("accepted"),
        STATES.map(count).iter().sum::<i64>(),
        "{summary}"
    );
    assert_eq!(count("running"), 0, "drained: {summary}");
}

fn check_nothing_left(home: &Home, folder: &Path) {
    assert!(!folder.exists(), "{} is left", folder.display());
    assert_eq!(home.processes(folder), [""; 0]);
}

/// How many files of running demos there are.
fn notes(home: &Home) -> usize {
    std::fs::read_dir(home.runtime().join("millstream")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_demo_prints_one_object_whose_counts_add_up_and_leaves_nothing() {
    let _turn = one_at_a_time().await;
    let home = Home::new().with("OFFLINE_LATENCY", "50ms");
    let ran = home
        .run(&["demo", "--headless", "--workers", "2", "--for", "6s", "--json"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let summary = ran.json();
    check_sum(&summary);
    for name in ["done", "findings", "spans"] {
        assert!(
            summary[name].as_i64().is_some_and(|count| count > 0),
            "{name}: {summary}"
        );
    }
    let (first, wall) = (summary["first_review_s"].as_f64(), summary["wall_s"].as_f64());
    assert!(
        first.is_some_and(|s| s > 0.0) && first < wall && wall >= Some(6.0),
        "{summary}"
    );
    check_nothing_left(&home, &named_folder(&ran.stderr).expect("it names its folder"));
    assert_eq!(notes(&home), 0);
}

#[tokio::test]
async fn a_demo_that_is_asked_to_end_early_prints_the_same_and_leaves_nothing() {
    let _turn = one_at_a_time().await;
    let home = Home::new().with("OFFLINE_LATENCY", "50ms");
    let (demo, running) = standing(&home, &["--workers", "2", "--for", "10m"]).await;
    let folder = PathBuf::from(running["data_dir"].as_str().expect("a folder"));
    assert_eq!(named_folder(&demo.stderr()), Some(folder.clone()));
    assert!(!home.processes(&folder).is_empty(), "this is how they are found");
    demo.signal(Signal::TERM);
    assert_eq!(demo.until_ended().await, 0, "{}", demo.stderr());
    check_sum(&demo.json());
    check_nothing_left(&home, &folder);
    assert_eq!(notes(&home), 0);
}

#[tokio::test]
async fn a_demo_that_is_stopped_before_it_stands_leaves_nothing() {
    let _turn = one_at_a_time().await;
    let home = Home::new();
    let demo = home.start("demo", &[], &["demo", "--headless", "--json"]);
    let folder = until("it names its folder", || async { named_folder(&demo.stderr()) }).await;
    demo.signal(Signal::TERM);
    assert_eq!(demo.until_ended().await, 1, "{}", demo.stderr());
    assert_eq!(demo.stdout(), "");
    assert!(
        demo.stderr().ends_with("millstream: stopped before it stood\n"),
        "{}",
        demo.stderr()
    );
    until("everything is gone", || async {
        (home.processes(&folder).is_empty() && !folder.exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_demo_had_started_is_gone_in_seconds_and_the_next_one_sweeps_its_folder() {
    let _turn = one_at_a_time().await;
    let home = Home::new().with("OFFLINE_LATENCY", "50ms");
    let (demo, running) = standing(&home, &["--workers", "2"]).await;
    let folder = PathBuf::from(running["data_dir"].as_str().expect("a folder"));
    demo.signal(Signal::KILL);
    assert_eq!(demo.until_ended().await, 128 + 9);
    let killed = Instant::now();
    until("servers, producer and workers are gone", || async {
        home.processes(&folder).is_empty().then_some(())
    })
    .await;
    eprintln!(
        "killed: everything was gone after {} ms",
        killed.elapsed().as_millis()
    );
    let lost = home.run(&["status"]).await;
    assert_ne!(lost.code, 0, "a killed demo is not found: {lost:?}");
    let next = home
        .run(&["demo", "--headless", "--workers", "1", "--for", "1s", "--json"])
        .await;
    assert_eq!(next.code, 0, "{next:?}");
    check_sum(&next.json());
    assert!(!folder.exists(), "the next demo sweeps {}", folder.display());
    assert_eq!(notes(&home), 0);
}

#[tokio::test]
async fn a_demo_on_given_servers_counts_there_and_leaves_them_running() {
    let _turn = one_at_a_time().await;
    let lab = super::Lab::new().await;
    let args = ["demo", "--headless", "--workers", "1", "--for", "2s", "--json"];
    let ran = lab.home.run(&args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let (summary, status) = (ran.json(), lab.ask(&["status", "--json"]).await);
    check_sum(&summary);
    for name in STATES {
        assert_eq!(summary[name], status[name], "{name}");
    }
    check_nothing_left(
        &lab.home,
        &named_folder(&ran.stderr).expect("it names its folder"),
    );
}

#[tokio::test]
async fn a_demo_with_a_folder_of_its_own_goes_on_where_it_ended() {
    let _turn = one_at_a_time().await;
    let home = Home::new().with("OFFLINE_LATENCY", "20ms");
    let kept = tempfile::Builder::new()
        .prefix("millstream-kept-")
        .tempdir_in("/tmp");
    let kept = kept.expect("a folder can be made");
    // As root, Postgres is another account, which must be able to enter.
    std::fs::set_permissions(kept.path(), std::fs::Permissions::from_mode(0o711)).expect("our folder");
    let folder = kept.path().join("data");
    let named = folder.display().to_string();
    let (demo, running) = standing(&home, &["--workers", "1", "--data", &named]).await;
    assert_eq!(running["data_dir"], named);
    until("a review is done", || async {
        let jobs = home.run(&["jobs", "--state", "done", "--json"]).await;
        (jobs.json() != Value::Array(Vec::new())).then_some(())
    })
    .await;
    demo.signal(Signal::TERM);
    assert_eq!(demo.until_ended().await, 0, "{}", demo.stderr());
    let first = demo.json();
    assert!(folder.join("worker-1.log").is_file(), "data and logs are kept");
    assert_eq!(home.processes(&folder), [""; 0]);
    let args = [
        "demo",
        "--headless",
        "--workers",
        "1",
        "--for",
        "1s",
        "--json",
        "--data",
        &named,
    ];
    let ran = home.run(&args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let second = ran.json();
    check_sum(&second);
    for name in ["accepted", "done", "findings", "spans"] {
        assert!(
            second[name].as_i64() >= first[name].as_i64(),
            "{name}: {first} then {second}"
        );
    }
}
