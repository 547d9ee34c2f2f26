//! What is a secret, what is none, and that no mask lets one through.

use super::*;
use crate::diff;
use crate::diff::Diff;
use proptest::prelude::*;
use serde_json::json;

/// Made up here, piece by piece, so that no scanner takes this file for a leak.
fn secrets() -> Vec<(&'static str, String, String)> {
    let random = "q7Zr2Vx9Lm4Tn8Kp3Ws6Yd1Hb5Jc0Fg7Ra2Qe9Xu";
    let of = |kind, secret: &str, line: &str| (kind, secret.to_owned(), line.replace("SECRET", secret));
    let with = |prefix: &str| format!("{prefix}{random}");
    vec![
        of(
            "aws_access_key",
            &format!("AKIA{}", "Q7FAKE2DEMO4KEY5"),
            "key = SECRET",
        ),
        of(
            "aws_access_key",
            &format!("AKIA{}", "ABCDEFGHIJKLMNOP"),
            "key = SECRET",
        ),
        of("aws_secret_key", &random[..40], "aws_secret_access_key = SECRET"),
        of("aws_secret_key", &random[..40], "\"secretAccessKey\": \"SECRET\""),
        of("github_token", &with("ghp_"), "x SECRET y"),
        of("github_pat", &with("github_pat_11A_"), "x SECRET y"),
        of("gitlab_token", &with("glpat-"), "x SECRET y"),
        of("anthropic_key", &with("sk-ant-api03-"), "KEY=SECRET"),
        of("openai_key", &with("sk-proj-"), "KEY=SECRET"),
        of("openai_key", &with("sk-"), "KEY=SECRET"),
        of("stripe_key", &with("sk_live_"), "x SECRET y"),
        of(
            "slack_token",
            &format!("xoxb-{}-{}", "1234567890", &random[..20]),
            "x SECRET y",
        ),
        of(
            "slack_webhook",
            &format!("T0{}/B0{}/{}", "AB12CD3", "EF45GH6", &random[..24]),
            "https://hooks.slack.com/services/SECRET",
        ),
        of("google_api_key", &format!("AIza{}", &random[..35]), "x SECRET y"),
        of(
            "connection_url",
            "hunt3r-two",
            "postgres://app:SECRET@db.internal.acme.io:5432/ledger",
        ),
        of("connection_url", "p4ss.word", "redis://:SECRET@cache.acme.io"),
        of(
            "authorization_header",
            random,
            "\"Authorization\": \"Bearer SECRET\"",
        ),
        of("generic_secret", "kT9x.pQ2v", "my_password='SECRET'"),
        of("generic_secret", "kT9x.pQ2v", "{\"password\": \"SECRET\"}"),
        of(
            "generic_secret",
            "hunter2hunter2",
            "const dbPassword: string = \"SECRET\";",
        ),
        of("generic_secret", "hunter2", "password = \"SECRET\""),
        of("generic_secret", "kT9x.pQ2v", "config[\"api_key\"] = `SECRET`"),
        of("generic_secret", "kT9xpQ2vLm", "  'client_secret' => 'SECRET',"),
        of("generic_secret", "kT9xpQ2vLm", "+export DB_PASSWORD=SECRET"),
        of("generic_secret", "kT9xpQ2vLm", "  db_password: SECRET"),
    ]
}

#[test]
fn every_known_form_is_found_and_masked() {
    for (kind, secret, line) in secrets() {
        let hits = scan(&line);
        assert_eq!(hits.len(), 1, "{kind} in {}", mask(&line));
        assert_eq!((hits[0].kind, &line[hits[0].at.clone()]), (kind, secret.as_str()));
        let shown = mask(&line);
        assert!(!shown.contains(&secret) && shown.contains("…(masked)"), "{shown}");
        assert_eq!(mask(&shown), shown, "a mask is masked once");
    }
    assert_eq!(mask(&format!("k AKIA{}", "Q7FAKE2DEMO4KEY5")), "k AKIA…(masked)");
}

#[test]
fn what_only_looks_like_a_secret_is_left_alone() {
    for line in [
        "password = os.environ[\"DB_PASSWORD\"]",
        "password: process.env.DB_PASSWORD",
        "password = \"${DB_PASSWORD}\"",
        "password = \"<your password>\"",
        "password: \"changeme\"",
        "api_key = \"your-api-key-here\"",
        "ANTHROPIC_API_KEY=sk-ant-your-api-key-here",
        "OPENAI_API_KEY=",
        "api_key: \"example-key-123\"",
        "token = \"xxxxxxxxxxxxxxxx\"",
        "secret: \"00000000000000\"",
        "password = \"12345678\"",
        "let token = next_token(&mut stream)?;",
        "token_count = \"12345678\"",
        "nextToken: \"eyJabc123def456\"",
        "token: \"accessToken\",",
        "<label for=\"password\">Password: \"required\"</label>",
        "password: \"auth.password.label\"",
        "secretName: database-credentials",
        "secret: 'database-credentials'",
        "password = self.password",
        "token: token2,",
        "PWD=/home/app",
        "postgres://postgres:postgres@db:5432/app",
        "postgres://user:s3cretpw@localhost/app",
        "postgres://user:${PASSWORD}@db.acme.io/app",
        "https://user:password@example.com/",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAXXXXXXXXXXXXXXXX",
        "the secret is to be patient: \"always wait your turn\"",
        "fn password(&self) -> &str",
        "tokenizer: \"cl100k_base\"",
        "private_key: \"_EllipticCurvePrivateKey\"",
        "Token: \"#ABB2BF\",",
        "token = r'[^\\W\\d]\\w*'",
        "- Password: `redis://user:password@127.0.0.1:6379`",
        "_START = b\"-----BEGIN OPENSSH PRIVATE KEY-----\"",
        "enter your password:\n- \"then press the key\"",
        "passwords:\n- \"see the vault\"\n- \"none\"",
        "token =\n+\n+// \"q7Zr2Vx9Lm4Tn8Kp3Ws6\" was its name",
        "/// begins with `-----BEGIN PRIVATE KEY-----`.",
    ] {
        assert_eq!(scan(line), [], "{line}");
    }
}

#[test]
fn a_masked_diff_hides_what_each_side_says_and_nothing_else() {
    let (old, new) = ("q7Zr2Vx9Lm4Tn8Kp3Ws6", "Yd1Hb5Jc0Fg7Ra2Qe9Xu");
    let text = format!("@@ -1,3 +1,3 @@\n é\n token =\n-  \"{old}\"\n+  \"{new}\"\n+other(\"{old}\")\n");
    assert_eq!(
        mask_diff(&text),
        format!(
            "@@ -1,3 +1,3 @@\n é\n token =\n-  \"q7Zr…(masked)\"\n+  \"Yd1H…(masked)\"\n+other(\"{old}\")\n"
        )
    );
}

#[test]
fn the_key_of_the_manual_is_reported_as_a_sample() {
    let hits = scan(&format!("AKIA{}", "IOSFODNN7EXAMPLE"));
    assert_eq!((hits.len(), hits[0].sample), (1, true));
}

#[test]
fn a_private_key_is_hidden_to_its_last_line_and_a_masked_diff_is_still_a_diff() {
    for (head, foot) in [
        ("RSA PRIVATE KEY", true),
        ("ENCRYPTED PRIVATE KEY", true),
        ("PRIVATE KEY", false),
    ] {
        let end = if foot {
            format!("+-----END {head}-----\n")
        } else {
            String::new()
        };
        let lines = 4 + usize::from(foot);
        let text = format!(
            "--- /dev/null\n+++ b/k.pem\n@@ -0,0 +1,{lines} @@\n+x\n+-----BEGIN {head}-----\n+MIIEabc/def+ghi=\n+Zm9vYmFyYmF6cXV4\n{end}@@ -9 +20 @@\n-a\n+b\n"
        );
        let hidden = mask(&text);
        assert!(!hidden.contains("MIIE") && !hidden.contains("Zm9v"), "{hidden}");
        assert_eq!(hidden.lines().count(), text.lines().count());
        let diff = diff::parse(&hidden).expect("the masked diff");
        assert_eq!(
            diff.files[0].added().last().map(|line| (line.number, line.text)),
            Some((20, "b"))
        );
    }
    let inline = "key = \"-----BEGIN PRIVATE KEY-----\\nMIIEabc\\n-----END PRIVATE KEY-----\\n\"; next()";
    assert_eq!(mask(inline), "key = \"----…(masked)\\n\"; next()");
}

#[test]
fn findings_of_a_diff_have_file_and_line_and_only_added_lines_are_scanned() {
    let (old, new) = (
        format!("AKIA{}", "Q7FAKE2DEMO4OLD5"),
        format!("AKIA{}", "Q7FAKE2DEMO4NEW5"),
    );
    let text = format!(
        "--- a/c.py\n+++ b/c.py\n@@ -5,3 +5,3 @@\n KEEP = '{old}'\n-OLD = '{old}'\n+# é\n+NEW = 'é{new}'\n-x\n"
    );
    let diff = diff::parse(&text).expect("a diff");
    let answer = call(&json!({}), &diff).expect("fits");
    assert_eq!(
        answer["findings"],
        json!([{"pattern": "aws_access_key", "match": "AKIA…(masked)", "index": 8, "sample": false, "file": "c.py", "line": 7}])
    );
    let answer = call(&json!({"text": format!("é {new}")}), &Diff::default()).expect("fits");
    assert_eq!(
        (&answer["scannedLength"], &answer["findings"][0]["index"]),
        (&json!(22), &json!(2))
    );
}

#[test]
fn a_long_list_is_cut_and_the_rest_is_counted() {
    let text: String = (0..130)
        .map(|n| format!("AKIA{:0>16}\n", format!("Q7ABC{n}")))
        .collect();
    let answer = call(&json!({ "text": text }), &Diff::default()).expect("fits");
    assert_eq!(
        (answer["findings"].as_array().map(Vec::len), &answer["notListed"]),
        (Some(100), &json!(30))
    );
}

#[test]
fn json_is_masked_at_every_depth_and_by_the_name_of_a_member() {
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let value = json!({"a": [{"b": key}], "password": "hunter2hunter2", "n": 1, key.clone(): null});
    let text = mask_json(&value).to_string();
    assert!(!text.contains(&key) && !text.contains("hunter2"), "{text}");
}

proptest! {
    #[test]
    fn any_text_is_scanned_without_a_panic_and_keeps_its_lines(text in "(?s)(.{0,30}(AKIA[A-Z0-9]{16}|password ?= ?\"[^\"]{6,12}\"|-----BEGIN PRIVATE KEY-----\n?|\n)){0,6}") {
        let hidden = mask(&text);
        prop_assert_eq!(hidden.split('\n').count(), text.split('\n').count());
        prop_assert_eq!(scan(&hidden).iter().filter(|hit| hit.kind == "aws_access_key").count(), 0);
    }
}
