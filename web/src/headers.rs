//! What the headers of a submission ask for. Pure: a header map in, a meaning out.

use axum::http::{HeaderMap, HeaderName, header};

use crate::problem::Problem;

/// The IETF draft's name for the key that makes a repeat safe.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The W3C's name for the trace context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longer keys are a mistake, and would bloat an index.
const LONGEST_KEY: usize = 255;

/// Whether the body is declared as JSON.
///
/// A page of another origin can send a form or text without asking, but never this type: the check
/// keeps strangers' pages from submitting with the rights of whoever looks at them.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    single(headers, &header::CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The client's key for this submission, bare or as a quoted string of RFC 8941.
///
/// # Errors
/// When there is one that is no key: to ignore it would make a repeat unsafe without a word.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if !headers.contains_key(&IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let key = single(headers, &IDEMPOTENCY_KEY).and_then(parse_key);
    key.map(Some).ok_or_else(|| {
        Problem::invalid(&format!(
            "the Idempotency-Key header must hold one key of 1 to {LONGEST_KEY} visible ASCII characters"
        ))
    })
}

/// The caller's trace context; one that is not valid counts as none, as the W3C has it.
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    single(headers, &TRACEPARENT)
        .filter(|text| is_traceparent(text))
        .map(ToOwned::to_owned)
}

/// The value of a header that must not come twice, if it is text.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok().map(str::trim)
}

fn parse_key(text: &str) -> Option<String> {
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest)?,
        None if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        None => return None,
    };
    (1..=LONGEST_KEY).contains(&key.len()).then_some(key)
}

/// The text of a quoted string behind its opening quote; nothing may follow the closing one.
fn unquoted(rest: &str) -> Option<String> {
    let mut text = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(text),
            '\\' => match chars.next()? {
                escaped @ ('"' | '\\') => text.push(escaped),
                _ => return None,
            },
            c @ ' '..='~' => text.push(c),
            _ => return None,
        }
    }
}

/// `version-trace-parent-flags`, in lower-case hexadecimal, with ids that are not all zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else {
        return false;
    };
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |id: &str| id.bytes().any(|b| b != b'0');
    hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && some(trace)
        && hex(parent, 16)
        && some(parent)
        && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            map.append(name, value);
        }
        map
    }

    #[test]
    fn only_json_is_json() {
        for right in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            " application/json ;x=y",
        ] {
            assert!(is_json(&headers("content-type", &[right])), "{right}");
        }
        for wrong in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "text/plain; application/json",
            "application/json-patch+json",
            "application/vnd.api+json",
            "application/json, text/plain",
        ] {
            assert!(!is_json(&headers("content-type", &[wrong])), "{wrong}");
        }
        assert!(!is_json(&HeaderMap::new()));
        let twice = headers("content-type", &["application/json", "text/plain"]);
        assert!(!is_json(&twice));
    }

    #[test]
    fn a_key_is_read_bare_or_quoted() {
        let longest = "k".repeat(255);
        for (sent, key) in [
            ("a", "a"),
            (" 8e03978e-40d5 ", "8e03978e-40d5"),
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            (r#""a \"b\" \\c""#, r#"a "b" \c"#),
            ("~!@#$%^&*()", "~!@#$%^&*()"),
            (longest.as_str(), longest.as_str()),
        ] {
            let found = idempotency_key(&headers("idempotency-key", &[sent]));
            assert_eq!(found, Ok(Some(key.to_owned())), "{sent}");
        }
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_ignored() {
        let too_long = "k".repeat(256);
        for wrong in [
            "",
            "  ",
            "two words",
            "\"\"",
            "\"open",
            "\"",
            r#""a"b"#,
            r#""a"; q=1"#,
            r#""a\n""#,
            r#""a\"#,
            "clé",
            "a\tb",
            too_long.as_str(),
        ] {
            let problem = idempotency_key(&headers("idempotency-key", &[wrong])).expect_err(wrong);
            assert_eq!(problem.status().as_u16(), 400, "{wrong}");
        }
        assert!(idempotency_key(&headers("idempotency-key", &["a", "a"])).is_err());
    }

    #[test]
    fn only_a_valid_trace_context_is_passed_on() {
        let right = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            traceparent(&headers("traceparent", &[right])).as_deref(),
            Some(right)
        );
        for wrong in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-011",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(traceparent(&headers("traceparent", &[wrong])), None, "{wrong}");
        }
        assert_eq!(traceparent(&headers("traceparent", &[right, right])), None);
    }
}
