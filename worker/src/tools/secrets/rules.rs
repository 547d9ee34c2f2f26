//! The forms that secrets have: a table, to be added to at the right rank.

use std::sync::LazyLock;

use regex::Regex;

/// How sure the form alone makes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Only a key looks like that: reported unless it has no variety.
    Format,
    /// A key of that form is printed in the vendor's manual; a sample is reported as one.
    Documented,
    /// Only the name beside it says so: the value must look like a secret too.
    Name,
    /// As `Name`, where no quotes tell a value from an expression: it must look random.
    BareName,
    /// The password of a URL, which is often that of a local test server.
    Url,
}

/// A form that secrets have.
pub(super) struct Rule {
    /// What it is called in findings.
    pub kind: &'static str,
    /// What else must be true.
    pub proof: Proof,
    /// The secret is group 1, 2 or 3 where there are groups, else the whole match.
    pub form: Regex,
    /// The secret may stand on a later line than its name: [`GAP`] is in the form.
    pub over_lines: bool,
}

/// What may stand between a name and its value: white space, and at the beginning of a line the marker of a diff. A
/// formatter puts a long value on a line of its own, and a diff puts its marker before that. The blanks behind a marker are
/// those of ASCII: all of Unicode's, so often repeated, make the search eighty times slower.
const GAP: &str = r"\s*(?:\n[+-][ \t\r]*){0,3}";

/// The rules, the most telling first: where two match the same text, the first names it.
pub(super) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    use Proof::{BareName, Documented, Format, Name, Url};
    const NAMES: &str = "api[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?|passwd|password|passphrase|pwd|token|credentials?|private[_-]?key|access[_-]?key";
    let quoted = format!(
        concat!(
            r#"(?i)(?:{})(?:[_-]?\d+|[_-](?:prod|production|live|staging|stage|dev|test|value|text|plain|base64|b64))?"#,
            r#"["'`\]]{{0,2}}(?:\s*:\s*&?(?:'static\s+)?[a-z_][\w.<>]{{0,40}})?{}(?::=|=>|=|:){}"#,
            r#"(?:[bfru]{{1,2}})?(?:"([^"\r\n]{{6,200}})"|'([^'\r\n]{{6,200}})'|`([^`\r\n]{{6,200}})`)"#
        ),
        NAMES, GAP, GAP
    );
    let environment = concat!(
        r"(?m)^[+\- ]?[ \t]*(?:export[ \t]+|set[ \t]+|ENV[ \t]+|-[ \t]+)?[A-Z0-9_]*",
        r"(?:API_?KEY|SECRET|PASSWORD|PASSWD|PWD|PASSPHRASE|TOKEN|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)",
        r#"(?:_KEY|_[0-9]+|_PROD|_DEV)?=([^\s"'`#]{8,200})[ \t]*\r?$"#
    );
    let bare = format!(
        concat!(
            r"(?mi)^[+\- ]?[ \t]*-?[ \t]*[\w.-]*(?:{})[ \t]*[:=][ \t]*",
            r#"([^\s"'`<>${{}}()\[\],;#&*!|%@/\\][^\s"'`<>${{}}()\[\],;]{{7,199}})[ \t]*\r?$"#
        ),
        NAMES
    );
    let table: [(&'static str, Proof, &str); 24] = [
        ("aws_access_key", Documented, r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        (
            "aws_secret_key",
            Documented,
            r#"(?i)(?:aws[\w-]{0,20}|secret_?(?:access_?)?)key["'\]\s]{0,3}(?:=>|[:=])GAP["'`]?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
        ),
        ("github_token", Format, r"\bgh[pousr]_[A-Za-z0-9_]{20,}\b"),
        ("github_pat", Format, r"\bgithub_pat_[A-Za-z0-9_]{22,}\b"),
        (
            "gitlab_token",
            Format,
            r"\bgl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,}",
        ),
        ("anthropic_key", Format, r"\bsk-ant-[A-Za-z0-9_-]{16,}"),
        (
            "openai_key",
            Format,
            r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{16,}",
        ),
        ("openai_key", Format, r"\bsk-[A-Za-z0-9]{32,}\b"),
        ("stripe_key", Format, r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
        ("stripe_webhook_secret", Format, r"\bwhsec_[A-Za-z0-9+/]{24,}"),
        ("slack_token", Format, r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("slack_token", Format, r"\bxapp-[0-9]-[A-Za-z0-9-]{10,}"),
        (
            "slack_webhook",
            Format,
            r"https://hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/]{20,})",
        ),
        ("google_api_key", Format, r"\bAIza[0-9A-Za-z_-]{35}\b"),
        ("npm_token", Format, r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("pypi_token", Format, r"\bpypi-AgE[A-Za-z0-9_-]{40,}"),
        ("sendgrid_key", Format, r"\bSG\.[\w-]{16,32}\.[\w-]{32,64}"),
        ("render_key", Format, r"\brnd_[A-Za-z0-9]{20,}\b"),
        (
            "jwt",
            Format,
            r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        ),
        (
            "authorization_header",
            Name,
            r#"(?i)authorization["'`]?\s{0,3}[:=,]GAP["'`]?(?:bearer|basic|token)\s+([A-Za-z0-9._~+/=-]{16,})"#,
        ),
        (
            "connection_url",
            Url,
            r#"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'"`<>]{0,100}:([^\s/@'"`]{3,200})@[^\s'"`]+"#,
        ),
        ("generic_secret", Name, &quoted),
        ("generic_secret", Name, environment),
        ("generic_secret", BareName, &bare),
    ];
    table
        .into_iter()
        .map(|(kind, proof, form)| {
            // A boundary by ASCII: a key that follows an accented letter is a key.
            let form = form.replace(r"\b", r"(?-u:\b)").replace("GAP", GAP);
            Rule {
                kind,
                proof,
                over_lines: form.contains(GAP),
                form: Regex::new(&form).expect("the rules compile: a test runs them"),
            }
        })
        .collect()
});

/// The head of a private key in PEM form, encrypted or not.
pub(super) static KEY_HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
        .expect("the rule compiles: a test runs it")
});
