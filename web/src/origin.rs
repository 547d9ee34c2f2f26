//! Pages of other sites change nothing here, whoever looks at them.
//!
//! A browser says with each request from which site it comes. What would change something and comes from another one
//! is refused. A program that is no browser says nothing, and carries no cookie of anybody's.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::headers::single;
use crate::problem::Problem;

/// A browser's word for how the page that asks stands to us.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page of another site wants changed.
pub async fn guard(request: Request, next: Next) -> Response {
    if changes(request.method()) && !is_ours(request.headers(), request.uri()) {
        let detail = "a page of another site asked for this";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    next.run(request).await
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_ours(headers: &HeaderMap, uri: &Uri) -> bool {
    if headers.contains_key(&SEC_FETCH_SITE) {
        return matches!(single(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"));
    }
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let asks = single(headers, &header::ORIGIN).and_then(|origin| {
        let (_scheme, authority) = origin.split_once("://")?;
        authority.parse::<Authority>().ok()
    });
    let asked = match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => single(headers, &header::HOST).and_then(|host| host.parse().ok()),
    };
    asks.is_some() && asks == asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(pairs: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "millstream.example:3000".parse().expect("a host"));
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        is_ours(&headers, &Uri::from_static("/reviews"))
    }

    #[test]
    fn a_page_of_ours_and_a_program_may_ask_and_no_other_page() {
        assert!(ours(&[]));
        assert!(ours(&[("sec-fetch-site", "same-origin")]) && ours(&[("sec-fetch-site", "none")]));
        assert!(ours(&[("origin", "https://millstream.example:3000")]));
        for wrong in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", ""),
            ("origin", "null"),
            ("origin", "https://evil.example"),
            ("origin", "https://millstream.example"),
            ("origin", "https://millstream.example:3000.evil.example"),
        ] {
            assert!(!ours(&[wrong]), "{wrong:?}");
        }
    }
}
