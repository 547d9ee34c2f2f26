//! What the offline reviewer says about small diffs.

use super::*;
use crate::agent::parts;
use crate::agent::prompt::Briefing;
use crate::agent::roster::{PERFORMANCE, SECURITY, UX};
use crate::diff::{self, Diff};
use crate::model::RunId;
use crate::tools::Tool;
use millstream::domain::JobId;
use proptest::prelude::*;
use std::sync::Arc;

/// A new file of these lines.
fn new_file(path: &str, text: &str) -> Diff {
    let lines: Vec<String> = text.lines().map(|line| format!("+{line}\n")).collect();
    diff::parse(&format!(
        "--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{} @@\n{}",
        lines.len(),
        lines.concat()
    ))
    .expect("a diff")
}

fn request(agent: &'static str, tool: Option<Tool>, opening: &str) -> TurnRequest {
    TurnRequest {
        run: RunId {
            job: JobId::fresh(),
            attempt: 1,
        },
        agent,
        tier: crate::model::Tier::Medium,
        schema: None,
        turn: 0,
        system: "",
        messages: vec![Message::User(opening.into())],
        tools: tool.iter().map(|tool| tool.spec()).collect(),
        must_answer: false,
        max_tokens: 1_000,
    }
}

/// Holds a reviewer's whole conversation and yields `severity location-line words`.
fn reviewed(agent: &crate::agent::Agent, diff: &Diff) -> Vec<(Severity, Option<u32>, String)> {
    let cut = parts::cut(&Arc::new(diff.clone()), 1_000_000, 1);
    let opening = Briefing::all(cut.parts).expect("text").remove(0).opening;
    let mut request = request(agent.name, agent.tool, &opening);
    let mut said = answer(&request);
    if said.stop == StopReason::ToolUse {
        let results = said
            .calls()
            .map(|call| {
                let content = Tool::ALL
                    .into_iter()
                    .find(|tool| tool.name() == call.name)
                    .map(|tool| tool.call(&call.arguments, diff).expect("its own arguments fit"));
                ToolResult {
                    id: call.id.clone(),
                    content: content.expect("a real tool"),
                    is_error: false,
                }
            })
            .collect();
        request.messages.push(Message::Assistant(said.blocks.clone()));
        request.messages.push(Message::ToolResults(results));
        request.turn = 1;
        said = answer(&request);
    }
    assert_eq!(said.stop, StopReason::EndTurn);
    crate::review::findings::read(agent.name, &said.text(), diff)
        .findings
        .into_iter()
        .map(|finding| (finding.severity, finding.line, finding.note))
        .collect()
}

/// The grade and line of each finding.
fn places(agent: &crate::agent::Agent, path: &str, text: &str) -> Vec<(Severity, Option<u32>)> {
    reviewed(agent, &new_file(path, text))
        .into_iter()
        .map(|(severity, line, _)| (severity, line))
        .collect()
}

use Severity::{Block, Info, Warn};

#[test]
fn secrets_block_and_what_may_be_made_up_warns() {
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let sample = format!("AKIA{}", "IOSFODNN7EXAMPLE");
    for (path, line, expected) in [
        ("src/a.py", format!("KEY = '{key}'"), vec![(Block, Some(2))]),
        ("tests/a.py", format!("KEY = '{key}'"), vec![(Block, Some(2))]),
        (
            "src/a.py",
            "password = 'kT9x.pQ2v'".to_owned(),
            vec![(Block, Some(2))],
        ),
        (
            "tests/test_a.py",
            "password = 'kT9x.pQ2v'".to_owned(),
            vec![(Warn, Some(2))],
        ),
        ("README.md", format!("`{sample}`"), vec![(Info, Some(2))]),
        ("src/a.py", format!("KEY = '{sample}'"), vec![(Block, Some(2))]),
        (
            "src/a.py",
            "# password = 'kT9x.pQ2v'".to_owned(),
            vec![(Warn, Some(2))],
        ),
        ("src/a.py", "password = os.environ['PASSWORD']".to_owned(), vec![]),
    ] {
        assert_eq!(
            places(&SECURITY, path, &format!("x = 1\n{line}")),
            expected,
            "{path}"
        );
    }
}

#[test]
fn unsafe_code_warns_and_safe_code_does_not() {
    for (path, unsafe_line, safe_line) in [
        (
            "a.py",
            "db.execute(f\"SELECT a FROM b WHERE c = {c}\")",
            "db.execute(\"SELECT a FROM b WHERE c = %s\", (c,))",
        ),
        (
            "a.py",
            "q = \"DELETE FROM b WHERE c = \" + c",
            "q = \"DELETE FROM b WHERE c = ?\"",
        ),
        (
            "a.ts",
            "await q(`SELECT a FROM b WHERE c = ${c}`)",
            "await sql`SELECT a FROM b WHERE c = ${c}`",
        ),
        (
            "a.rs",
            "let q = format!(\"SELECT a FROM b WHERE c = '{c}'\");",
            "let q = format!(\"{a} of {b}\");",
        ),
        (
            "a.go",
            "q := fmt.Sprintf(\"SELECT a FROM b WHERE c = %s\", c)",
            "q := fmt.Sprintf(\"%s\", c)",
        ),
        (
            "a.py",
            "requests.get(url, verify=False)",
            "requests.get(url, verify=bundle)",
        ),
        ("a.js", "el.innerHTML = text", "el.textContent = text"),
        (
            "a.py",
            "subprocess.run(line, shell=True)",
            "subprocess.run([\"ls\", path])",
        ),
        ("a.py", "yaml.load(text)", "yaml.safe_load(text)"),
        ("a.py", "# verify=False is unsafe", "x = 1"),
    ] {
        let warns = usize::from(!unsafe_line.starts_with('#'));
        assert_eq!(places(&SECURITY, path, unsafe_line).len(), warns, "{unsafe_line}");
        assert_eq!(places(&SECURITY, path, safe_line), [], "{safe_line}");
    }
}

#[test]
fn queries_in_loops_are_found_by_their_indent() {
    for (path, text, expected) in [
        (
            "a.py",
            "for i in ids:\n    row = db.get(i)\n",
            vec![(Warn, Some(2))],
        ),
        ("a.py", "for i in ids:\n    use(i)\nrow = db.get(1)\n", vec![]),
        ("a.py", "for row in conn.execute(query):\n    use(row)\n", vec![]),
        ("a.py", "rows = [db.get(i) for i in ids]\n", vec![(Warn, Some(1))]),
        ("a.py", "rows = [r.id for r in db.all(q)]\n", vec![]),
        (
            "a.ts",
            "for (const id of ids) {\n  const row = await db.query(sql, [id]);\n}\n",
            vec![(Warn, Some(2))],
        ),
        (
            "a.ts",
            "await Promise.all(ids.map(async (id) => db.query(sql, [id])));\n",
            vec![(Warn, Some(1))],
        ),
        (
            "a.ts",
            "ids.forEach((id) => {\n  fetch(`/api/${id}`);\n});\nfetch('/api');\n",
            vec![(Warn, Some(2))],
        ),
        (
            "a.rs",
            "for id in ids {\n    let row = sqlx::query(Q)\n        .bind(id)\n        .fetch_one(&pool)\n        .await?;\n}\n",
            vec![(Warn, Some(2))],
        ),
        (
            "a.rs",
            "for id in ids {\n    handle(id).await;\n}\n",
            vec![(Info, Some(2))],
        ),
        (
            "a.rs",
            "loop {\n    tokio::time::sleep(PAUSE).await;\n}\n",
            vec![(Info, Some(2))],
        ),
        (
            "a.go",
            "for _, id := range ids {\n\trow := db.QueryRow(q, id)\n}\n",
            vec![(Warn, Some(2))],
        ),
        ("a.md", "for i in ids:\n    row = db.get(i)\n", vec![]),
        (
            "a.rs",
            "impl Model for Stub {\n    fn turn() {\n        pool.execute(q);\n    }\n}\n",
            vec![],
        ),
    ] {
        assert_eq!(places(&PERFORMANCE, path, text), expected, "{text}");
    }
}

#[test]
fn large_hunks_and_whole_tables_are_named() {
    let long = "let a = 1;\n".repeat(300);
    assert_eq!(places(&PERFORMANCE, "a.rs", &long), [(Warn, Some(1))]);
    assert_eq!(places(&PERFORMANCE, "a.rs", &long[11..]), []);
    assert_eq!(places(&PERFORMANCE, "a.json", &long), []);
    assert_eq!(
        places(&PERFORMANCE, "a.sql", "SELECT * FROM b;\n"),
        [(Warn, Some(1))]
    );
    assert_eq!(
        places(&PERFORMANCE, "a.sql", "SELECT * FROM b WHERE c = 1;\n"),
        [(Info, Some(1))]
    );
}

#[test]
fn contrast_is_measured_within_a_rule() {
    for (path, text, expected) in [
        (
            "a.css",
            ".a {\n  color: #999;\n  background: #fff;\n}\n",
            vec![(Warn, Some(2))],
        ),
        ("a.css", ".a {\n  color: #333;\n  background: #fff;\n}\n", vec![]),
        ("a.css", ".a { color: #999; }\n.b { background: #fff; }\n", vec![]),
        (
            "a.css",
            ".a { color: rgb(153, 153, 153); background-color: white }\n",
            vec![(Warn, Some(1))],
        ),
        (
            "a.css",
            ".a { color: #999; background: linear-gradient(#fff, #eee); }\n",
            vec![],
        ),
        ("a.css", ".a { border-color: #999; background: #fff; }\n", vec![]),
        (
            "a.scss",
            ".a {\n  color: #999;\n  .b { background: #fff; }\n}\n",
            vec![],
        ),
        (
            "a.html",
            "<p style=\"color:#999;background:#fff\">x</p>\n",
            vec![(Warn, Some(1))],
        ),
        (
            "a.tsx",
            "<p style={{ color: '#999', backgroundColor: '#fff' }}>x</p>\n",
            vec![(Warn, Some(1))],
        ),
        ("a.rs", "// .a { color: #999; background: #fff; }\n", vec![]),
    ] {
        assert_eq!(places(&UX, path, text), expected, "{text}");
    }
    let notes = reviewed(&UX, &new_file("a.css", ".a { color: #999; background: #fff; }\n"));
    assert!(
        notes[0].2.contains("2.85:1") && notes[0].2.contains("too little even for large text"),
        "{}",
        notes[0].2
    );
}

#[test]
fn markup_that_shuts_people_out_is_found() {
    for (path, bad, good) in [
        ("a.html", "<img src=\"a.png\">", "<img src=\"a.png\" alt=\"\">"),
        ("a.tsx", "<img\n  src={a}\n/>", "<img\n  src={a}\n  alt={b}\n/>"),
        (
            "a.tsx",
            "<div onClick={() => go()}>x</div>",
            "<button onClick={() => go()}>x</button>",
        ),
        (
            "a.vue",
            "<span @click=\"go\">x</span>",
            "<span role=\"button\" tabindex=\"0\" @click=\"go\">x</span>",
        ),
        (
            "a.css",
            "a:focus {\n  outline: none;\n}",
            "a:focus {\n  outline: none;\n  box-shadow: 0 0 0 2px;\n}",
        ),
        (
            "a.html",
            "<meta name=\"viewport\" content=\"width=device-width, user-scalable=no\">",
            "<meta name=\"viewport\" content=\"width=device-width\">",
        ),
    ] {
        assert_eq!(places(&UX, path, bad).len(), 1, "{bad}");
        assert_eq!(places(&UX, path, good), [], "{good}");
    }
}

#[test]
fn fields_without_a_label_are_found_and_those_that_may_have_one_are_left_alone() {
    for bad in [
        "<input name=\"a\" placeholder=\"A\">",
        "<label>B <input name=\"b\" title=\"b\"></label>\n<select\n  name=\"c\"\n>\n</select>",
        "<textarea name=\"a\"></textarea>\n<label for=\"b\">B</label>",
    ] {
        assert_eq!(places(&UX, "a.html", bad).len(), 1, "{bad}");
    }
    for good in [
        "<input id=\"a\" name=\"a\">",
        "<input type=\"hidden\" name=\"a\"><input type='submit'>",
        "<input name=\"a\" aria-label=\"A\">",
        "<label>A\n<input name=\"a\">\n</label>",
        "A <input name=\"a\"></label>",
        "<Field label=\"A\">\n  <input name=\"a\" />\n</Field>",
        "<input {...register('a')} />",
        "<input-mask name=\"a\"></input-mask>",
    ] {
        assert_eq!(places(&UX, "a.tsx", good), [], "{good}");
    }
}

#[test]
fn buttons_that_show_only_an_icon_are_found_and_those_with_a_name_are_left_alone() {
    for bad in [
        "<button onClick={() => close()}><CloseIcon /></button>",
        "<button>\n  <svg viewBox=\"0 0 8 8\"><path d=\"M0 0\" /></svg>\n</button>",
        "<button><i className=\"fa fa-close\"></i></button>",
        "<button><span className=\"icon-close\"></span></button>",
    ] {
        assert_eq!(places(&UX, "a.tsx", bad), [(Warn, Some(1))], "{bad}");
    }
    for good in [
        "<button aria-label=\"Close\"><CloseIcon /></button>",
        "<button><CloseIcon /> Close</button>",
        "<button><CloseIcon />{text}</button>",
        "<button><CloseIcon label=\"Close\" /></button>",
        "<button><i class=\"x\"></i><span class=\"sr-only\">Close</span></button>",
        "<button {...props}><CloseIcon /></button>",
        "<button><Slot /></button>",
        "<button onClick={close}><CloseIcon />",
    ] {
        assert_eq!(places(&UX, "a.tsx", good), [], "{good}");
    }
}

#[test]
fn only_so_many_pairs_are_measured_and_the_rest_is_counted() {
    let text: String = (0..25)
        .map(|n| format!(".a{n} {{ color: #0000{n:02x}; background: #fff; }}\n"))
        .collect();
    let remarks = reviewed(&UX, &new_file("a.css", &text));
    assert_eq!(remarks, [(Info, None, "5 colour pairs not measured.".to_owned())]);
}

#[test]
fn the_judge_counts_and_names_the_worst() {
    let finding = |severity, line| millstream::domain::Finding {
        agent: "security".into(),
        severity,
        file: Some("a.rs".into()),
        line: Some(line),
        note: format!("note {line}."),
    };
    for (findings, expected) in [
        (
            vec![],
            r#"{"findings":[],"reason":"The reviewers found nothing that stands in the way.","verdict":"approve"}"#,
        ),
        (
            vec![finding(Info, 1), finding(Warn, 2), finding(Warn, 3)],
            r#"{"findings":[],"reason":"Nothing blocks. 2 warnings, the gravest: a.rs:2: note 2.","verdict":"approve"}"#,
        ),
        (
            vec![finding(Warn, 1), finding(Warn, 2), finding(Warn, 3)],
            r#"{"findings":[],"reason":"3 warnings together ask for changes, the first: a.rs:1: note 1.","verdict":"request-changes"}"#,
        ),
        (
            vec![finding(Warn, 1), finding(Block, 2)],
            r#"{"findings":[],"reason":"Blocked by a.rs:2: note 2.","verdict":"request-changes"}"#,
        ),
    ] {
        let opening = prompt::for_judge(&findings, &[]).expect("text");
        assert_eq!(answer(&request("judge", None, &opening)).text(), expected);
    }
}

#[tokio::test]
async fn failures_come_at_their_rate_and_the_same_every_time() {
    let opening = prompt::for_judge(&[], &[]).expect("text");
    let requests: Vec<TurnRequest> = (0..400).map(|_| request("judge", None, &opening)).collect();
    for (rate, least, most) in [(0.0, 0, 0), (0.25, 50, 150), (1.0, 400, 400), (f64::NAN, 0, 0)] {
        let model = Offline::new(Duration::ZERO, rate);
        let failed = requests.iter().filter(|request| model.fails(request)).count();
        assert!((least..=most).contains(&failed), "{failed} of 400 at {rate}");
        assert!(
            requests
                .iter()
                .all(|request| model.fails(request) == model.fails(&request.clone()))
        );
    }
    let failure = Offline::new(Duration::ZERO, 1.0)
        .turn(&requests[0], &|_| ())
        .await
        .expect_err("it always fails");
    assert_eq!(
        failure.failure,
        Failure::passing(
            FailureClass::Model,
            "offline model: simulated failure (OFFLINE_FAILURE_RATE)"
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_change_is_reviewed_without_a_panic(
        path in prop_oneof![Just("a.css"), Just("a.tsx"), Just("a.py"), Just("a.html"), Just("a.rs")],
        lines in proptest::collection::vec(
            prop_oneof![
                Just("for x in y:".to_owned()), Just("<img é".to_owned()), Just("color: #999; }".to_owned()),
                Just("{ background: é".to_owned()), Just("<div onclick=".to_owned()), Just("outline: none".to_owned()),
                Just("  db.get(x)".to_owned()), Just("style=\"color:#1".to_owned()), "\\PC{0,20}",
            ], 1..12)
    ) {
        let diff = new_file(path, &lines.join("\n"));
        for agent in [&SECURITY, &PERFORMANCE, &UX] {
            reviewed(agent, &diff);
        }
    }
}
