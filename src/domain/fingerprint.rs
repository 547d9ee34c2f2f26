//! The fingerprint of a failure: equal causes have the same one, whatever their ids, numbers and names.
//!
//! A failure's text is reduced to its form first: what differs from one job to the next (identities, numbers,
//! what stands between quotes, the changing parts of an address) is replaced by a sign. The fingerprint is the
//! hash of the class and the form. It is shown and typed, so it is short; two causes in a pile of dead jobs
//! meet by accident once in billions.

use sha2::{Digest, Sha256};

/// Characters of a text that count: a form is made from its beginning.
const READ: usize = 2_000;
/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 12;

/// The fingerprint of a failure.
#[must_use]
pub fn fingerprint(class: Option<&str>, error: Option<&str>) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    hash.update(class.unwrap_or_default());
    hash.update([0]);
    hash.update(form(error.unwrap_or_default()));
    hash.finalize()
        .iter()
        .take(DIGITS / 2)
        .fold(String::with_capacity(DIGITS), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
}

/// A failure's text without what differs from one job to the next.
#[must_use]
pub fn form(text: &str) -> String {
    let beginning: String = text.chars().take(READ).collect();
    let words: Vec<String> = without_quoted(&beginning)
        .split_whitespace()
        .map(word_form)
        .collect();
    words.join(" ")
}

/// What stands between two quotes of a kind becomes `"…"`; an apostrophe inside a word quotes nothing.
fn without_quoted(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let opens =
            matches!(c, '"' | '`' | '\'' | '“' | '‘') && (at == 0 || !chars[at - 1].is_alphanumeric());
        let close = match c {
            '“' => '”',
            '‘' => '’',
            same => same,
        };
        let ends =
            |i: usize| chars[i] == close && chars.get(i + 1).is_none_or(|next| !next.is_alphanumeric());
        let end = if opens {
            (at + 1..chars.len()).find(|i| ends(*i))
        } else {
            None
        };
        match end {
            Some(end) => {
                out.push_str("\"…\"");
                at = end + 1;
            }
            None => {
                out.push(c);
                at += 1;
            }
        }
    }
    out
}

/// A word: of an address only the host stays, the rest is cut at punctuation.
fn word_form(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        let scheme = scheme.trim_start_matches(|c: char| !c.is_alphanumeric());
        let host = rest
            .split(['/', '?', '#', ':', ')', ',', ';'])
            .next()
            .unwrap_or_default();
        // Whoever is named in front of the host is no cause.
        let host = host.rsplit('@').next().unwrap_or_default();
        return format!("{scheme}://{}/…", pieces(host));
    }
    pieces(word)
}

/// Each run of letters and digits is a word of its own, or a sign where it is an identity or a number.
fn pieces(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars() {
        if c.is_alphanumeric() || c == '_' {
            run.push(c);
        } else {
            out.push_str(&piece(&run));
            run.clear();
            out.push(c);
        }
    }
    out.push_str(&piece(&run));
    // An id, a version or an address is several runs: `#-#-#` says no more than `#`.
    let mut short = out;
    for joint in ['-', '.', ':', '/'] {
        let double = format!("#{joint}#");
        while short.contains(&double) {
            short = short.replace(&double, "#");
        }
    }
    short.to_lowercase()
}

fn piece(run: &str) -> String {
    let digits = run.chars().filter(char::is_ascii_digit).count();
    let is_hex = run.chars().all(|c| c.is_ascii_hexdigit());
    if run.is_empty() || digits == 0 && !(is_hex && run.len() >= 12) {
        return run.to_owned();
    }
    if is_hex || run.len() >= 16 {
        return "#".to_owned();
    }
    // `30s`, `HTTP2`, `attempt3`: the number goes, the letters stay.
    let mut out = String::new();
    for c in run.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_causes_have_one_form() {
        let pairs = [
            (
                "GitHub answered 502 for https://api.github.com/repos/acme/ledger/pulls/7.diff",
                "GitHub answered 503 for https://api.github.com/repos/beta/shop/pulls/2241.diff",
            ),
            (
                "no model answer within 30s (request 9f86d081884c7d65)",
                "no model answer within 120s (request 2c26b46b68ffc68f)",
            ),
            (
                "job 469158fd-3a28-4a20-94da-ff62f3c15321 is gone",
                "job f3efad5b-1fb1-4a29-8cc8-71a9abd0bacd is gone",
            ),
            (
                "there is no file \"src/a.rs\"",
                "there is no file \"docs/long name.md\"",
            ),
            ("the field `a` is missing", "the field `other` is missing"),
            ("connect to 10.0.0.1:6379", "connect to 192.168.1.12:6380"),
        ];
        for (one, other) in pairs {
            assert_eq!(form(one), form(other), "{one}");
            assert_eq!(
                fingerprint(Some("c"), Some(one)),
                fingerprint(Some("c"), Some(other))
            );
        }
    }

    #[test]
    fn other_causes_have_other_ones() {
        let texts = [
            "",
            "the model refused",
            "the model did not answer",
            "the reviewer's answer could not be read",
            "the judge's answer could not be read",
            "https://api.github.com/x",
            "https://api.openai.com/x",
        ];
        let mut prints: Vec<String> = texts.iter().map(|text| fingerprint(None, Some(text))).collect();
        prints.push(fingerprint(Some("model"), Some("the model refused")));
        let count = prints.len();
        prints.sort();
        prints.dedup();
        assert_eq!(prints.len(), count);
        assert!(prints.iter().all(|print| print.len() == DIGITS));
    }

    #[test]
    fn an_apostrophe_quotes_nothing() {
        assert_eq!(
            form("the job's worker doesn't answer"),
            "the job's worker doesn't answer"
        );
        assert_eq!(form("can't read 'a b' twice"), "can't read \"…\" twice");
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_fingerprint(text: String) {
            proptest::prop_assert_eq!(fingerprint(None, Some(&text)).len(), DIGITS);
        }
    }
}
