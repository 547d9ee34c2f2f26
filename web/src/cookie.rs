//! The token in a browser: a cookie that no script can read and no other site's page can send.

use axum::http::{HeaderMap, HeaderValue, header};

/// The cookie's name.
const NAME: &str = "millstream_token";
/// A month, in seconds.
const MONTH: u32 = 30 * 24 * 3600;

/// The token that a browser shows.
#[must_use]
pub fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == NAME && !value.is_empty())
        .map(|(_, value)| value)
}

/// Keeps a token; nothing for one that no header can carry.
#[must_use]
pub fn keep(token: &str, headers: &HeaderMap) -> Option<HeaderValue> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\');
    if token.is_empty() || !token.bytes().all(plain) {
        return None;
    }
    set(token, MONTH, headers)
}

/// Forgets it.
#[must_use]
pub fn forget(headers: &HeaderMap) -> Option<HeaderValue> {
    set("", 0, headers)
}

fn set(value: &str, seconds: u32, headers: &HeaderMap) -> Option<HeaderValue> {
    let forwarded = headers.get("x-forwarded-proto");
    // Whoever forges this only keeps the cookie from their own browser.
    let secure = if forwarded.is_some_and(|proto| proto == "https") {
        "; Secure"
    } else {
        ""
    };
    let text = format!("{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let none = HeaderMap::new();
        let kept = keep("mst_0a", &none).expect("a token");
        let kept = kept.to_str().expect("ASCII");
        assert_eq!(
            kept,
            "millstream_token=mst_0a; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"
        );
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "x=y; millstream_token=mst_0a".parse().expect("a value"),
        );
        assert_eq!(token(&headers), Some("mst_0a"));
        assert_eq!(token(&none), None);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert!(
            forget(&headers).is_some_and(|value| value.to_str().is_ok_and(|text| text.ends_with("; Secure")))
        );
    }

    #[test]
    fn what_would_be_another_cookie_is_not_kept() {
        for wrong in ["", "a;b", "a b", "a\nb", "ä", "a,b"] {
            assert!(keep(wrong, &HeaderMap::new()).is_none(), "{wrong}");
        }
    }
}
