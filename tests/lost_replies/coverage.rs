//! The scenarios leave out no script and no statement that writes.

use std::collections::BTreeSet;

use crate::support::pg_frames::one_line;
use crate::support::resp_frames::scripts_of_ours;
use crate::tidy::source::under;

/// Makes the schema: no part of a job's way.
const LEFT_OUT: &str = "src/store/migrate.rs";
/// Takes down what is nobody's, by what it finds there: it is called again within minutes, whether it was heard or not.
const FORGET: &str = "forget";
const WRITES: [&str; 3] = ["insert into ", "update ", "delete from "];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scenarios_call_every_script_and_every_statement_that_writes() {
    let places = super::listed().await;
    let steps: BTreeSet<&str> = places.iter().map(|place| place.step.name.as_str()).collect();
    let scripts = scripts_of_ours().into_iter().map(|(name, _)| name);
    let scripts = scripts.filter(|name| name != FORGET);
    let mut missing: Vec<String> = scripts.filter(|name| !steps.contains(name.as_str())).collect();
    for statement in statements_that_write() {
        let stands = |step: &&&str| step.starts_with(statement.as_str());
        if !steps.iter().any(|step| stands(&step)) {
            missing.push(statement);
        }
    }
    assert!(
        missing.is_empty(),
        "no scenario comes to:\n{}",
        missing.join("\n")
    );
}

/// The texts in the store that write, on one line each.
fn statements_that_write() -> Vec<String> {
    let mut found = Vec::new();
    for file in under("src/store") {
        if file.path == LEFT_OUT {
            continue;
        }
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        found.extend(texts(code).into_iter().map(|text| one_line(&text)));
    }
    found.retain(|text| {
        let statement = ["with ", "insert ", "update ", "delete "]
            .iter()
            .any(|word| text.starts_with(word));
        statement && WRITES.iter().any(|word| text.contains(word)) && !is_left_out(text)
    });
    found
}

/// `forget_queue` serves measurements. Postings, and the commits by which newer ones are known, have their own tests,
/// `tests/worker/posting.rs`: they need a GitHub. Tokens are no part of a job's way: who creates one again hears that its
/// name is taken, and revokes it.
fn is_left_out(text: &str) -> bool {
    text.contains("millstream.postings")
        || text.contains("millstream.heads")
        || text.contains("millstream.tokens")
        || text.starts_with("delete from millstream.jobs where queue")
}

/// The texts in Rust code, without its comments.
fn texts(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (kind, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match kind {
            b'/' if behind.starts_with('/') => behind.split_once('\n').map_or("", |(_, rest)| rest),
            b'\'' if behind.starts_with("\"'") => &behind[2..],
            b'"' => {
                let mut end = 0;
                let bytes = behind.as_bytes();
                while end < bytes.len() && bytes[end] != b'"' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                found.push(behind[..end].replace("\\\"", "\"").replace("\\\n", ""));
                behind.get(end + 1..).unwrap_or_default()
            }
            _ => behind,
        };
    }
    found
}
