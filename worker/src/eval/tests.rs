//! The offline reviewer on the set that is compiled in, and what is counted of a model's answers.

use std::sync::Arc;

use super::*;
use crate::agent::Limits;
use crate::github::{Github, GithubSettings};
use crate::model::stub::{self, Stub};
use crate::model::{Model, Offline};

fn reviewer(model: impl Model + 'static) -> Reviewer {
    let nowhere = "http://127.0.0.1:9".parse().expect("an address");
    let github = Github::new(GithubSettings::at(nowhere)).expect("settings that work");
    Reviewer::new(Arc::new(model), github, Limits::default())
}

#[tokio::test]
async fn the_offline_reviewer_misses_no_key_and_no_contrast_and_leaves_clean_changes_alone() {
    let cases = cases::built_in().expect("the set is whole");
    let report = run(&reviewer(Offline::new(Duration::ZERO, 0.0)), "offline", cases).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    for kind in ["leaked-key", "contrast"] {
        assert!(
            (report.recall[kind] - 1.0).abs() < 1e-9,
            "{kind}: {:?}",
            report.missed
        );
    }
    for (kind, precision) in &report.precision {
        assert_eq!(*precision, Some(1.0), "{kind}: {:?}", report.unlabelled);
    }
    // Of no change, a clean one among them, it warns beside the labels.
    assert_eq!(report.unlabelled, []);
    assert_eq!(
        (report.false_request_changes, report.missed_request_changes),
        (0, 0)
    );
    // What it has proven itself able to do, it must go on doing.
    for (kind, least) in [
        ("sql-injection", 1.0),
        ("n-plus-one", 1.0),
        ("unbounded-cache", 1.0),
        ("missing-label", 1.0),
    ] {
        assert!(report.recall[kind] >= least, "{kind}: {:?}", report.missed);
    }
    assert_eq!(report.cost_usd, 0.0);
    let agents: Vec<&str> = report.agents.keys().map(String::as_str).collect();
    assert_eq!(agents, ["judge", "performance", "security", "ux"]);
    assert!(report.agents["security"].tokens > 0);
}

/// A case of one added line, with a label on line 2 for security.
fn case(name: &str, verdict: millstream::domain::Verdict, labels: &[u32]) -> Case {
    let label = |line: &u32| Label {
        kind: "k".into(),
        agent: "security".into(),
        file: "x.rs".into(),
        line: *line,
    };
    Case {
        name: name.into(),
        verdict: Some(verdict),
        expect: labels.iter().map(label).collect(),
        patch: "--- a/x.rs\n+++ b/x.rs\n@@ -1 +1,2 @@\n a\n+b\n".into(),
    }
}

#[tokio::test]
async fn what_is_found_missed_and_made_up_is_counted() {
    use millstream::domain::Verdict::{Approve, RequestChanges};
    let stub = Stub::new();
    let at = |severity: &str, line: u32| {
        format!(r#"{{"severity":"{severity}","file":"x.rs","line":{line},"note":"n"}}"#)
    };
    // Right and one too much; only a remark; on a clean change.
    stub.answer(
        "security",
        stub::says(&format!(
            "[{},{{\"severity\":\"warn\",\"note\":\"?\"}}]",
            at("block", 2)
        )),
    );
    stub.answer("security", stub::says(&format!("[{}]", at("info", 2))));
    stub.answer("security", stub::says(&format!("[{}]", at("warn", 1))));
    for verdict in ["request-changes", "approve", "request-changes"] {
        stub.answer(
            "judge",
            stub::says(&format!(r#"{{"verdict":"{verdict}","reason":"r"}}"#)),
        );
    }
    let reviewer = reviewer(stub);
    let mut outcomes = Vec::new();
    for case in [
        case("one", RequestChanges, &[2]),
        case("two", RequestChanges, &[2]),
        case("clean", Approve, &[]),
    ] {
        outcomes.push(reviewed(&reviewer, case).await);
    }
    let report = score::report("stub", &outcomes, Duration::from_secs(1));
    assert_eq!((report.recall["k"], report.precision["k"]), (0.5, Some(0.5)));
    assert_eq!(
        (report.false_request_changes, report.missed_request_changes),
        (1, 1)
    );
    let security = &report.agents["security"];
    assert_eq!(
        (
            security.recall,
            security.precision,
            security.findings,
            security.tokens
        ),
        (Some(0.5), Some(1.0 / 3.0), 3, 360)
    );
    assert_eq!(
        (report.agents["performance"].precision, report.tokens),
        (None, 1_080)
    );
    assert!((report.cost_usd - 0.009).abs() < 1e-9);
    assert_eq!((report.missed.len(), report.unlabelled.len()), (1, 2));
}

#[test]
fn a_finding_stands_for_one_label_and_a_key_is_named_by_its_line() {
    use millstream::domain::{Finding, Severity, Usage, Verdict};
    let finding = |line: u32| Finding {
        agent: "security".into(),
        severity: Severity::Block,
        file: Some("x.rs".into()),
        line: Some(line),
        note: "n".into(),
    };
    let recall = |kind: &str, labels: &[u32], found: &[u32]| {
        let mut case = case("one", Verdict::RequestChanges, labels);
        for label in &mut case.expect {
            label.kind = kind.to_owned();
        }
        let result = ReviewResult {
            verdict: Verdict::RequestChanges,
            reason: String::new(),
            findings: found.iter().map(|line| finding(*line)).collect(),
            notes: vec![],
            usage: Usage::default(),
            cost_usd: 0.0,
        };
        let outcome = Outcome {
            case,
            result: Ok(result),
            agents: BTreeMap::new(),
        };
        let report = score::report("m", &[outcome], Duration::ZERO);
        (report.recall[kind], report.precision[kind])
    };
    assert_eq!(recall("leaked-key", &[4, 7], &[4, 7]), (1.0, Some(1.0)));
    assert_eq!(recall("leaked-key", &[4, 7], &[5, 6]), (1.0, Some(1.0)));
    assert_eq!(recall("leaked-key", &[4], &[6]), (0.0, Some(0.0)));
    assert_eq!(recall("sql-injection", &[4], &[7]), (1.0, Some(1.0)));
    assert_eq!(recall("sql-injection", &[4, 7], &[6]), (0.5, Some(1.0)));
    // The nearest pairs first: 5 is that of label 4, and 8 that of label 7.
    assert_eq!(recall("sql-injection", &[7, 4], &[5, 8]), (1.0, Some(1.0)));
    assert_eq!(recall("sql-injection", &[4, 7], &[5, 5]), (1.0, Some(1.0)));
}

#[test]
fn no_secret_is_in_a_report() {
    use millstream::domain::{Failure, FailureClass, Finding, Severity, Usage, Verdict};
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let made_up = Finding {
        agent: "security".into(),
        severity: Severity::Warn,
        file: None,
        line: None,
        note: key.clone(),
    };
    let result = ReviewResult {
        verdict: Verdict::Approve,
        reason: String::new(),
        findings: vec![made_up],
        notes: vec![],
        usage: Usage::default(),
        cost_usd: 0.0,
    };
    let failure = Failure::passing(FailureClass::Model, key.as_str());
    let outcomes = [Ok(result), Err(failure)].map(|result| Outcome {
        case: case("one", Verdict::Approve, &[]),
        result,
        agents: BTreeMap::new(),
    });
    let report = score::report("m", &outcomes, Duration::ZERO);
    assert_eq!(report.unlabelled[0].note, "AKIA…(masked)");
    assert_eq!(report.failed[0].error, "AKIA…(masked)");
}
