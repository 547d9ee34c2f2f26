//! What cannot be done: the exit code, one line that says what is wrong, and nothing written.

use std::fmt::Write as _;

use super::{Lab, patch, rows};
use crate::support::Ran;

/// One line that says what is wrong, and at most one more that says what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lines {
    One,
    WithHint,
}

/// Checks a refusal; answers its line.
fn refused(ran: &Ran, code: i32, lines: Lines) -> String {
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
    let complaint = ran.complaint();
    assert_eq!(
        complaint.len(),
        if lines == Lines::One { 1 } else { 2 },
        "{complaint:#?}"
    );
    assert!(
        complaint.iter().all(|line| line.starts_with("millstream: ")),
        "{complaint:#?}"
    );
    complaint[0].to_owned()
}

#[tokio::test]
async fn what_is_no_change_is_refused_in_one_line_and_nothing_is_written() {
    let lab = Lab::new().await;
    let home = &lab.home;
    let empty = home.file("empty.patch", "");
    let blank = home.file("blank.patch", " \n\n");
    let binary = home.file("binary.patch", b"\x7fELF\0\x01\x02");
    let latin = home.file("latin.patch", b"--- a\xe4\n");
    let prose = home.file("prose.patch", "Dear all,\nplease review.\n");
    let mut long = String::from("--- a/x\n+++ b/x\n@@ -0,0 +1,3000 @@\n");
    for number in 0..3_000 {
        let _infallible = writeln!(long, "+line {number}");
    }
    let large = home.file("large.patch", &long);
    let folder = home.path().display().to_string();
    let repo = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let gone = format!("{folder}/gone.patch");
    let before = rows(&lab.world.sql).await;
    for (args, words) in [
        (&[empty.as_str()][..], "empty"),
        (&[blank.as_str()], "empty"),
        (&[binary.as_str()], "binary"),
        (&[latin.as_str()], "UTF-8"),
        (&[prose.as_str()], "not a unified diff"),
        (&[large.as_str()], "MAX_PATCH"),
        (&[gone.as_str()], "gone.patch"),
        (&[folder.as_str()], "folder"),
        (&["--git", "nobody..HEAD", "--repo", repo], "nobody"),
        (&["--git", "HEAD..nobody", "--repo", repo], "nobody"),
        (
            &[
                "--git",
                "0123456789abcdef0123456789abcdef01234567",
                "--repo",
                repo,
            ],
            "0123456",
        ),
        (&["--git", "HEAD..HEAD", "--repo", repo], "empty"),
        (&["--git", "HEAD", "--repo", &folder], "not a git repository"),
        (&["--git", "HEAD", "--repo", "/no/such/folder"], "/no/such/folder"),
    ] {
        let all = [&["submit", "--json"], args].concat();
        let ran = home.run_with(&[("MAX_PATCH", "20000")], &all, b"").await;
        let line = refused(&ran, 2, Lines::One);
        assert!(line.contains(words), "{args:?}: {line}");
    }
    for input in [&b""[..], b"Dear all", b"\0\0"] {
        refused(&home.run_with(&[], &["submit", "-"], input).await, 2, Lines::One);
    }
    assert_eq!(rows(&lab.world.sql).await, before);
}

#[tokio::test]
async fn an_address_that_is_no_pull_request_is_a_usage_error() {
    let lab = Lab::new().await;
    let before = rows(&lab.world.sql).await;
    for address in [
        "https://github.com/acme/ledger/issues/7",
        "https://github.com/acme/ledger",
        "https://evil.example/acme/ledger/pull/7",
        "https://github.com/../user?x=/pull/1",
        "github.com/acme",
        "ftp://x",
        "https://github.com/a/b/pull/0",
        "https://github.com/a/b/pull/1\n[worker] forged \u{1b}[31m",
    ] {
        let line = refused(
            &lab.home.run(&["submit", address, "--json"]).await,
            64,
            Lines::One,
        );
        assert!(
            line.contains("pull request") || line.contains("pull/"),
            "{address}: {line}"
        );
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    for range in ["--upload-pack=x", "a b", ""] {
        let arg = format!("--git={range}");
        refused(&lab.home.run(&["submit", &arg]).await, 64, Lines::One);
    }
    assert_eq!(rows(&lab.world.sql).await, before);
}

#[tokio::test]
async fn servers_that_are_away_are_named_with_what_to_type() {
    let lab = Lab::new().await;
    let away = [
        ("VALKEY_URL", "redis://127.0.0.1:1"),
        ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x"),
    ];
    let file = patch("clean-rust");
    let verbs = [&["submit", &file][..], &["status"], &["jobs"], &["workers"]];
    let all = futures_util::future::join_all(verbs.map(|verb| lab.home.run_with(&away, verb, b""))).await;
    for ran in all {
        let line = refused(&ran, 69, Lines::WithHint);
        assert!(
            !ran.stderr.contains("hunter2") && line.contains("failed to"),
            "{ran:?}"
        );
        assert!(ran.complaint()[1].contains("./demo"), "{ran:?}");
    }
}

#[tokio::test]
async fn all_wrong_variables_are_told_at_once_a_line_for_each() {
    let lab = Lab::new().await;
    let before = rows(&lab.world.sql).await;
    let wrong = [
        ("VALKEY_URL", "http://u:hunter2@h"),
        ("DATABASE_URL", "nonsense"),
        ("QUEUE", "a{b}"),
        ("MAX_PATCH", "much"),
    ];
    let file = patch("clean-rust");
    let more = [
        ("WORKER_CONCURRENCY", "0"),
        ("VISIBILITY_TIMEOUT", "1s"),
        ("OFFLINE_FAILURE_RATE", "2"),
        ("LOG_FORMAT", "xml"),
    ];
    let port = [("PORT", "99999"), ("HOST", "example.com")];
    for (verb, vars) in [
        (&["submit", &file][..], wrong.to_vec()),
        (&["status"], wrong[..3].to_vec()),
        (&["worker"], [&wrong[..], &more].concat()),
        (&["web"], [&wrong[..], &port].concat()),
        (&["demo", "--headless"], more.to_vec()),
    ] {
        let ran = lab.home.run_with(&vars, verb, b"").await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{verb:?}: {ran:?}");
        let complaint = ran.complaint();
        let mut told: Vec<&str> = complaint
            .iter()
            .filter_map(|line| line.strip_prefix("millstream: ")?.split(':').next())
            .collect();
        let mut expected: Vec<&str> = vars.iter().map(|(name, _)| *name).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "{verb:?}: {complaint:#?}");
        assert!(!ran.stderr.contains("hunter2"), "{complaint:#?}");
    }
    assert_eq!(rows(&lab.world.sql).await, before);
}

#[tokio::test]
async fn what_is_typed_wrong_is_a_usage_error_that_names_it() {
    let lab = Lab::new().await;
    let before = rows(&lab.world.sql).await;
    let file = patch("clean-rust");
    for (args, word) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["status", "--frob"], "--frob"),
        (&["jobs", "--state", "nonsense"], "nonsense"),
        (&["jobs", "--limit", "0"], "0"),
        (&["trace", "7"], "7"),
        (&["submit"], "URL|FILE|-"),
        (&["submit", &file, "--git", "HEAD"], "--git"),
        (&["submit", &file, "--timeout", "1s"], "--wait"),
        (&["submit", &file, "--at", "soon"], "soon"),
        (&["submit", &file, "--idempotency-key", "two words"], "two words"),
        (&["demo", "--for", "0s"], "0s"),
        (&["demo", "--workers", "0"], "0"),
    ] {
        let ran = lab.home.run(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{args:?}: {ran:?}");
    }
    assert_eq!(rows(&lab.world.sql).await, before);
    for help in [&["--help"][..], &["submit", "--help"], &["--version"]] {
        let ran = lab.home.run(help).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{help:?}");
    }
}
