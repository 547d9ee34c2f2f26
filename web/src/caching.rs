//! What a client knows already: entity tags, and the answer that nothing has changed.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A strong tag of these parts.
#[must_use]
pub fn etag_of(parts: &[&[u8]]) -> HeaderValue {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let mut tag = "\"".to_owned();
    for byte in &hash.finalize()[..16] {
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::try_from(tag).expect("figures and letters are visible ASCII")
}

/// Whether the client has said that it knows this tag. Proxies weaken tags, so the mark of weakness does not count.
#[must_use]
pub fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

/// 304: what the client knows still holds.
#[must_use]
pub fn unchanged(etag: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_alone_in_a_list_weakened_or_by_a_star() {
        let etag = etag_of(&[b"one"]);
        let text = etag.to_str().expect("ASCII");
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(header::IF_NONE_MATCH, value.parse().expect("a header value"));
            is_known(&headers, &etag)
        };
        assert!(known(text) && known(&format!("W/{text}")) && known(&format!("\"x\", {text}")) && known("*"));
        assert!(!known("\"x\"") && !known(text.trim_matches('"')) && !known(""));
        assert!(!is_known(&HeaderMap::new(), &etag));
    }

    #[test]
    fn parts_that_differ_in_their_ends_have_other_tags() {
        assert_ne!(etag_of(&[b"ab", b"c"]), etag_of(&[b"a", b"bc"]));
    }
}
