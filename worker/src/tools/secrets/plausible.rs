//! Tells a secret from what only stands where one could: placeholders, look-ups, names, noise.

use super::rules::Proof;

/// A candidate and what stands around it.
pub(super) struct Context<'a> {
    /// The text before the match.
    pub before: &'a str,
    /// The match.
    pub whole: &'a str,
    /// The secret in it.
    pub value: &'a str,
}

/// Whether a candidate is a secret, by the proof that its rule asks for.
pub(super) fn is_secret(proof: Proof, found: &Context<'_>) -> bool {
    let value = found.value;
    if value.contains("(masked)") || lacks_variety(value) {
        return false;
    }
    match proof {
        Proof::Documented => true,
        Proof::Format => !has_placeholder_word(value),
        Proof::Name => !is_cursor(found) && !is_placeholder(value) && is_unlike_words(value),
        Proof::BareName => {
            !is_cursor(found)
                && !is_placeholder(value)
                && is_mixed(value)
                && entropy(value) >= 3.0
                && !value.contains("::")
        }
        Proof::Url => !is_placeholder(value) && !is_harmless_url(found),
    }
}

/// A token that pages through a list, or guards a form, is no secret to keep.
fn is_cursor(found: &Context<'_>) -> bool {
    let name: String = found
        .before
        .chars()
        .rev()
        .take(14)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches(['_', '-']);
    found
        .whole
        .get(..5)
        .is_some_and(|head| head.eq_ignore_ascii_case("token"))
        && ["page", "next", "continuation", "csrf", "xsrf", "sync"]
            .iter()
            .any(|word| name.ends_with(word))
}

/// The password of a server on this machine, or of one in a manual, or one equal to the user's name.
fn is_harmless_url(found: &Context<'_>) -> bool {
    let after = found
        .whole
        .rsplit_once('@')
        .map_or("", |(_, host)| host)
        .to_ascii_lowercase();
    let host = after.split(['/', ':', '?']).next().unwrap_or_default();
    let user = found
        .whole
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once(':'))
        .map_or("", |(user, _)| user);
    [
        "localhost",
        "127.0.0.1",
        "0.0.0.0",
        "[",
        "host",
        "hostname",
        "server",
    ]
    .contains(&host)
        || host.contains("example")
        || user == found.value
        || is_words(found.value)
}

/// Words that stand for "put yours here".
const PLACEHOLDER_WORDS: [&str; 21] = [
    "example",
    "changeme",
    "change_me",
    "change-me",
    "change_this",
    "placeholder",
    "your_",
    "your-",
    "yourpass",
    "yoursecret",
    "yourtoken",
    "yourkey",
    "dummy",
    "redacted",
    "replace",
    "todo",
    "fixme",
    "xxxx",
    "insert",
    "sample",
    "notasecret",
];

fn has_placeholder_word(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    PLACEHOLDER_WORDS.iter().any(|word| lower.contains(word))
        || lower.contains("...")
        || lower.contains("***")
}

/// A template, a path, an address, a pattern, a look-up: something that leads to a secret or
/// describes one and is none.
fn is_placeholder(value: &str) -> bool {
    const LOOK_UPS: [&str; 23] = [
        "${",
        "$(",
        "{{",
        "%(",
        "<",
        "{",
        "process.env",
        "os.environ",
        "getenv",
        "secrets.",
        "import.meta",
        "vault:",
        "arn:aws",
        "env.",
        "://",
        "(?",
        "[^",
        "\\w",
        "\\d",
        "\\s",
        ".*",
        "]+",
        ")+",
    ];
    const STARTS: [&str; 9] = ["$", "%", "@", "/", "./", "../", "http://", "https://", "ENC["];
    has_placeholder_word(value)
        || STARTS.iter().any(|start| value.starts_with(start))
        || LOOK_UPS.iter().any(|look_up| value.contains(look_up))
        || value.chars().any(char::is_whitespace)
        || value
            .strip_prefix('#')
            .is_some_and(|colour| colour.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a quoted value beside a telling name is more than words: `token: "access-token"` names a
/// token, `password = "kT9!.."` is one.
fn is_unlike_words(value: &str) -> bool {
    if is_words(value)
        || value.matches('.').count() >= 1
            && value.chars().all(|c| c.is_ascii_lowercase() || "._-".contains(c))
    {
        return false;
    }
    let letters_only = value.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c))
        || value.chars().all(|c| c.is_ascii_uppercase() || "_-".contains(c));
    let long_word = value.len() >= 16 && !value.contains(['_', '-']);
    let short_is_mixed = value.len() >= 8 || is_mixed(value);
    short_is_mixed && (!letters_only || long_word) && entropy(value) >= 2.0
}

/// Words that name things, secrets among them.
const NAMING: &str = "my the a an some test user username password passwd pass secret secrets token tokens key \
    keys api value string fake mock foo bar baz none null undefined true false access new old current confirm \
    refresh auth bearer id header field input label name type form reset private public client app is not \
    required invalid missing postgres root";

/// Words of which one in a name of several makes it the name of a secret: `EllipticPrivateKey`.
const SECRET_NOUNS: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "key",
    "credential",
    "credentials",
];

/// Whether it only names something: all of its words do, or it has no digit and names a secret.
fn is_words(value: &str) -> bool {
    let words = words(value);
    let letters = value.chars().all(|c| c.is_alphabetic() || "_-".contains(c));
    words
        .iter()
        .all(|word| NAMING.split_whitespace().any(|name| name == word))
        || letters && words.len() > 1 && words.iter().any(|word| SECRET_NOUNS.contains(&word.as_str()))
}

/// Its words in small letters, split at separators and capitals.
fn words(value: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    for letter in value.chars() {
        if !letter.is_alphanumeric() || letter.is_uppercase() && word.ends_with(char::is_lowercase) {
            words.push(std::mem::take(&mut word).to_lowercase());
        }
        if letter.is_alphanumeric() {
            word.push(letter);
        }
    }
    words.push(word.to_lowercase());
    words.retain(|word| !word.is_empty());
    words
}

/// Letters and digits both.
fn is_mixed(value: &str) -> bool {
    value.chars().any(|c| c.is_ascii_digit()) && value.chars().any(char::is_alphabetic)
}

/// `xxxxxxxxxxxx`, `0000000000`, `12345678`: nobody's secret.
fn lacks_variety(value: &str) -> bool {
    let body = value.split_once(['_', '-']).map_or(value, |(_, body)| body);
    let body = body
        .strip_prefix("AKIA")
        .or_else(|| body.strip_prefix("ASIA"))
        .unwrap_or(body);
    let mut letters: Vec<char> = body.chars().take(64).collect();
    let steps = letters
        .windows(2)
        .filter(|pair| u32::from(pair[0]) + 1 == u32::from(pair[1]))
        .count();
    let is_run = value.len() < 12 && letters.len() > 2 && steps + 1 == letters.len();
    letters.sort_unstable();
    letters.dedup();
    letters.len() < 3 || is_run
}

/// Shannon's entropy in bits for each byte.
fn entropy(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|p| -p * p.log2())
        .sum()
}
