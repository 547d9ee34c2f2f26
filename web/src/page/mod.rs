//! The page: HTML that is whole without any script. A small script of ours only fetches parts of it anew.
//!
//! Everything from outside (titles, patches, what models wrote) is text to `maud`, which escapes it, and passes through
//! `untrusted` before, so that nobody is misled by characters that cannot be seen. Neither styles nor scripts stand in
//! the HTML: the policy of [`CONTENT_SECURITY_POLICY`] would refuse them.

pub mod forms;
pub mod list;
pub mod run;
mod waterfall;
mod words;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::access::{Client, Scope};
use crate::problem::Problem;
use crate::routes::assets;

/// What a browser may load for the page: our own files, and nothing in the HTML itself.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A mill's wheel in a stream.
const MARK: &str = r#"<svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false"><circle cx="12" cy="10.5" r="7" fill="none" stroke="currentColor" stroke-width="1.6"/><circle cx="12" cy="10.5" r="1.7" fill="currentColor"/><path d="M12 3.5v14M5 10.5h14M7 5.6l10 9.8M17 5.6l-10 9.8" stroke="currentColor" stroke-width="1.2"/><path d="M1 21q2.750-2.400 5.500 0t5.500 0 5.500 0 5.500 0" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/></svg>"#;

/// A whole page.
pub fn whole(client: Option<&Client>, title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="dark light";
                title { (title) " · millstream" }
                link rel="stylesheet" href=(assets::style());
                link rel="icon" type="image/svg+xml" href=(assets::icon());
                script src=(assets::script()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { (PreEscaped(MARK)) span { "millstream" } }
                    @if let Some(client) = client { (who(client)) }
                }
                main #main tabindex="-1" { (main) }
                footer.bottom {
                    p {
                        "Reviews by agents, off a queue. "
                        a href=(crate::contract::PATH) { "API" }
                        " · "
                        a href="/readyz" { "health" }
                    }
                }
                p #announce .unseen role="status" {}
            }
        }
    }
}

/// Who looks, and the way in or out.
fn who(client: &Client) -> Markup {
    html! {
        nav.who aria-label="Account" {
            @if client.is_anybody() {
                @if !client.may(Scope::Operate) { a href="/login" { "Sign in" } }
            } @else {
                form method="post" action="/logout" { button.quiet { "Sign out" } }
            }
        }
    }
}

/// An answer to a browser.
pub fn answer(status: StatusCode, markup: Markup) -> Response {
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    (status, headers, Html(markup.into_string())).into_response()
}

/// A refusal, to a browser.
pub fn refusal(client: Option<&Client>, problem: &Problem) -> Response {
    let title = problem.status().canonical_reason().unwrap_or("Error");
    let main = html! {
        section.card.narrow {
            h1 { (title) }
            p { (problem.detail()) }
            p { a href="/" { "To the reviews" } }
        }
    };
    let mut response = answer(problem.status(), whole(client, title, &main));
    problem.name_headers(response.headers_mut());
    response
}

/// The way in.
pub fn login(refused: Option<&str>) -> Markup {
    let main = html! {
        section.card.narrow {
            h1 { "Sign in" }
            @if let Some(text) = refused { p.alert role="alert" { (text) } }
            form.stack method="post" action="/login" {
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password" aria-describedby="token-hint";
                p #token-hint .hint { "One of " code { "millstream token create" } ", or the producer's own." }
                button { "Sign in" }
            }
        }
    };
    whole(None, "Sign in", &main)
}
