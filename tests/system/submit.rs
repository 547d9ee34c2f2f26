//! `millstream submit` on every kind of input, with a real worker process behind it.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sqlx::PgPool;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Lab, patch, rows};
use crate::support::Home;
use crate::support::reviews::{CLEAN, KEY};

/// The tables that hold a text; the inputs are left out, since they hold the diff itself.
async fn tables_with(sql: &PgPool, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_schema || '.' || table_name from information_schema.tables
         where table_schema in ('public', 'millstream') and table_type = 'BASE TABLE' and table_name <> 'inputs'",
    )
    .fetch_all(sql)
    .await
    .expect("the catalog");
    assert!(tables.len() > 8, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let query = format!("select count(*) from {table} as t where strpos(t::text, $1) > 0");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(text)
            .fetch_one(sql)
            .await
            .expect("postgres is there");
        if count > 0 {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn a_committed_key_is_found_and_shown_to_nobody() {
    let lab = Lab::new().await;
    let worker = lab.worker("worker", &[("LOG", "trace,sqlx=trace")]).await;
    let ran = lab
        .home
        .run(&["submit", &patch("committed-key"), "--wait", "--json"])
        .await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let review = ran.json();
    assert_eq!(review["verdict"], "request-changes");
    let finding = &review["findings"][0];
    assert_eq!(
        (&finding["severity"], &finding["location"]),
        (&json!("block"), &json!("deploy/settings.py:11"))
    );
    assert!(
        finding["note"]
            .as_str()
            .is_some_and(|note| note.contains("AKIA…(masked)")),
        "{finding}"
    );
    let in_words = lab
        .home
        .run(&["trace", review["id"].as_str().expect("an id")])
        .await;
    assert!(
        tables_with(&lab.world.sql, "AKIA").await.len() >= 4,
        "the search finds the masked key"
    );
    // Half of it would be as bad.
    for part in [KEY, &KEY[4..], &KEY[8..]] {
        assert_eq!(
            tables_with(&lab.world.sql, part).await,
            [""; 0],
            "{part} is in the database"
        );
        for text in [&ran.stdout, &ran.stderr, &in_words.stdout, &worker.stderr()] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }
}

#[tokio::test]
async fn a_clean_change_is_approved_from_a_file_and_from_standard_input() {
    let lab = Lab::new().await;
    let _worker = lab.worker("worker", &[]).await;
    let from_file = lab
        .home
        .run(&["submit", &patch("clean-rust"), "--wait", "--json"])
        .await;
    let args = ["submit", "-", "--wait", "--json"];
    let from_input = lab.home.run_with(&[], &args, CLEAN.as_bytes()).await;
    for ran in [from_file, from_input] {
        assert_eq!(ran.code, 0, "{ran:?}");
        let review = ran.json();
        assert_eq!(
            (
                &review["verdict"],
                &review["status"],
                &review["findings"],
                &review["attempt"]
            ),
            (&json!("approve"), &json!("done"), &json!([]), &json!(1))
        );
    }
    let in_words = lab.home.run(&["submit", &patch("clean-rust"), "--wait"]).await;
    assert!(in_words.stdout.starts_with("approve  "), "{in_words:?}");
}

/// Runs git in a repository of the test's own, with nobody's settings.
fn git(repo: &Path, home: &Home, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(repo)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .env("HOME", home.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git can be run");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[tokio::test]
async fn a_range_and_a_single_commit_of_a_repository_are_reviewed() {
    let lab = Lab::new().await;
    let _worker = lab.worker("worker", &[]).await;
    let repo = lab.home.path().join("ledger");
    std::fs::create_dir_all(repo.join("src")).expect("a folder");
    let commit = |name: &str, text: &str| {
        std::fs::write(repo.join("src").join(name), text).expect("a file");
        git(&repo, &lab.home, &["add", "."]);
        git(&repo, &lab.home, &["commit", "-qm", name]);
        git(&repo, &lab.home, &["rev-parse", "--short=7", "HEAD"])
    };
    git(&repo, &lab.home, &["init", "-q"]);
    let first = commit("one.py", "one = 1\n");
    let second = commit("two.py", &format!("region = 'eu'\nkey = '{KEY}'\n"));
    let third = commit("three.py", "three = 3\n");
    let folder = repo.display().to_string();
    for (range, label, code, location) in [
        ("HEAD~2..HEAD", format!("{first}..{third}"), 3, "src/two.py:2"),
        ("HEAD~1", second.clone(), 3, "src/two.py:2"),
        ("HEAD~1..", format!("{second}..{third}"), 0, ""),
        ("main", third.clone(), 0, ""),
        // The first commit has no parent to be compared with.
        (first.as_str(), first.clone(), 0, ""),
    ] {
        let ran = lab
            .home
            .run(&["submit", "--git", range, "--repo", &folder, "--wait", "--json"])
            .await;
        assert_eq!(ran.code, code, "{range}: {ran:?}");
        assert_eq!(
            ran.json()["findings"][0]["location"].as_str().unwrap_or_default(),
            location
        );
        let jobs = lab.ask(&["jobs", "--limit", "1", "--json"]).await;
        assert_eq!(jobs[0]["input"], format!("git:ledger@{label}"));
    }
}

/// A page of a pull request's files.
fn page(server: &MockServer, number: u32, last: bool, files: &serde_json::Value) -> Mock {
    let next = format!("<{}/any?page={}>; rel=\"next\"", server.uri(), number + 1);
    let answer = ResponseTemplate::new(200).set_body_json(files);
    let answer = if last {
        answer
    } else {
        answer.insert_header("link", next.as_str())
    };
    Mock::given(method("GET"))
        .and(path("/repos/acme/ledger/pulls/7/files"))
        .and(query_param("page", number.to_string()))
        .respond_with(answer)
        .expect(1)
}

#[tokio::test]
async fn all_pages_of_a_pull_request_are_reviewed_and_a_missing_one_is_dead_with_its_reason() {
    let server = MockServer::start().await;
    let harmless: Vec<_> = (0..100)
        .map(|n| json!({"filename": format!("src/f{n}.rs"), "status": "modified", "changes": 2, "patch": "@@ -1 +1 @@\n-a\n+b"}))
        .collect();
    let middle =
        json!([{"filename": "src/m.rs", "status": "added", "changes": 1, "patch": "@@ -0,0 +1 @@\n+m"}]);
    let key = format!("@@ -4 +4,2 @@\n a\n+key = \"{KEY}\"");
    let last = json!([{"filename": "src/last.py", "status": "modified", "changes": 1, "patch": key}]);
    page(&server, 1, false, &json!(harmless)).mount(&server).await;
    page(&server, 2, false, &middle).mount(&server).await;
    page(&server, 3, true, &last).mount(&server).await;
    let lab = Lab::new().await;
    let _worker = lab.worker("worker", &[("GITHUB_API_URL", &server.uri())]).await;
    let ran = lab
        .home
        .run(&[
            "submit",
            "https://github.com/acme/ledger/pull/7",
            "--wait",
            "--json",
        ])
        .await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ran.json()["findings"][0]["location"], "src/last.py:5");
    server.verify().await;

    let ran = lab
        .home
        .run(&[
            "submit",
            "https://github.com/acme/nothing/pull/9",
            "--wait",
            "--json",
        ])
        .await;
    assert_eq!(ran.code, 4, "{ran:?}");
    let review = ran.json();
    assert_eq!(
        (&review["status"], &review["attempt"]),
        (&json!("dead"), &json!(1))
    );
    let reason = review["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("no such pull request") && reason.contains("acme/nothing"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_with_its_own_code_and_the_review_goes_on() {
    let lab = Lab::new().await;
    let ran = lab
        .home
        .run(&[
            "submit",
            &patch("clean-rust"),
            "--wait",
            "--timeout",
            "1s",
            "--json",
        ])
        .await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert_eq!(
        ran.complaint(),
        ["millstream: no result within 1s; the review goes on"]
    );
    assert_eq!(ran.json()["status"], "waiting");
    let _worker = lab.worker("worker", &[]).await;
    lab.until_jobs("done", 1).await;
}

#[tokio::test]
async fn a_later_time_holds_the_review_back_and_a_past_one_does_not() {
    let lab = Lab::new().await;
    let submit = async |at: &str| {
        lab.ask(&["submit", &patch("clean-rust"), "--at", at, "--json"])
            .await
    };
    assert_eq!(submit("2099-01-01T00:00:00+02:00").await["status"], "scheduled");
    assert_eq!(submit("2001-01-01T00:00:00Z").await["status"], "waiting");
    let status = lab.ask(&["status", "--json"]).await;
    assert_eq!((&status["scheduled"], &status["waiting"]), (&json!(1), &json!(1)));
    assert_eq!(
        status["stream"]["entries"], 1,
        "what is scheduled is held in Postgres only"
    );
    // The clock moves on to that time.
    sqlx::query("update millstream.jobs set run_at = now() where state = 'scheduled'")
        .execute(&lab.world.sql)
        .await
        .expect("postgres is there");
    let _worker = lab.worker("worker", &[]).await;
    lab.until_jobs("done", 2).await;
}

#[tokio::test]
async fn the_same_key_is_the_same_review_and_another_diff_under_it_is_refused() {
    let lab = Lab::new().await;
    let submit = async |name: &str| {
        let args = ["submit", &patch(name), "--idempotency-key", "k-1", "--json"];
        lab.home.run(&args).await
    };
    let (first, again) = (submit("clean-rust").await, submit("clean-rust").await);
    assert_eq!((first.code, again.code), (0, 0), "{again:?}");
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = submit("committed-key").await;
    assert_eq!((other.code, other.stdout.as_str()), (2, ""));
    assert_eq!(
        other.complaint(),
        ["millstream: this idempotency key was used for another submission"]
    );
    let jobs = lab.ask(&["jobs", "--json"]).await;
    assert_eq!(jobs.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_submission_needs_postgres_and_is_owed_while_valkey_is_away() {
    let lab = Lab::new().await;
    let file = patch("clean-rust");
    let args = ["submit", file.as_str(), "--json"];
    let before = rows(&lab.world.sql).await;
    let nowhere = [("DATABASE_URL", "postgres://127.0.0.1:1/x")];
    let ran = lab.home.run_with(&nowhere, &args, b"").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (69, ""), "{ran:?}");
    let complaint = ran.complaint();
    assert!(
        complaint.len() == 2 && complaint[0].contains("Postgres"),
        "{complaint:#?}"
    );
    assert_eq!(rows(&lab.world.sql).await, before);

    let ran = lab
        .home
        .run_with(&[("VALKEY_URL", "redis://127.0.0.1:1")], &args, b"")
        .await;
    assert_eq!(
        (ran.code, &ran.json()["status"]),
        (0, &json!("waiting")),
        "{ran:?}"
    );
    let owed: i64 = sqlx::query_scalar("select count(*) from millstream.jobs where entry_id is null")
        .fetch_one(&lab.world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(owed, 1);
}

#[tokio::test]
async fn nothing_of_a_hostile_diff_reaches_the_terminal() {
    let lab = Lab::new().await;
    let worker = lab.worker("worker", &[("LOG", "debug")]).await;
    // Quoted as git does it: an escape sequence, a line end and an override of the direction in a path.
    let name = r#""b/src/\033[31m\n\342\200\256gpj.py""#;
    let body =
        format!("diff --git {name} {name}\n--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+key = '{KEY}'\n");
    let file = lab.home.file("hostile.patch", body);
    let in_words = lab.home.run(&["submit", &file, "--wait"]).await;
    assert_eq!(in_words.code, 3, "{in_words:?}");
    let jobs = lab.ask(&["jobs", "--json"]).await;
    let id = jobs[0]["id"].as_str().expect("an id");
    let json = lab.home.run(&["submit", &file, "--wait", "--json"]).await;
    assert_eq!(json.code, 3, "{json:?}");
    let found = json.json()["findings"][0]["location"].to_string();
    assert!(found.contains("gpj.py"), "{found}");
    let shown = [
        in_words.stdout,
        lab.home.run(&["trace", id]).await.stdout,
        lab.home.run(&["jobs"]).await.stdout,
        worker.stderr(),
    ];
    let is_hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    for text in shown {
        assert!(!text.contains(is_hostile), "{text:?}");
    }
    // JSON is data: it keeps the name, with what a terminal would obey escaped.
    assert!(!json.stdout.trim_end().contains(char::is_control), "{json:?}");
}
