//! The form that submits: what was typed comes back with what is wrong with it.

use maud::{Markup, html};
use millstream::domain::CallbackReach;
use millstream::ops::Callbacks;
use url::form_urlencoded;
use uuid::Uuid;

/// What was typed, and why it was refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// The address.
    pub url: String,
    /// The diff.
    pub patch: String,
    /// The address that is told of the end.
    pub callback: String,
    /// Whether it is urgent.
    pub urgent: bool,
    /// The key of the form: a second press of the button submits nothing twice.
    pub key: String,
    /// Why it was refused.
    pub refused: Option<String>,
    /// Whether it is the callback that was refused.
    pub is_callback: bool,
}

impl Typed {
    /// Reads the body of the form.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let mut typed = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match name.as_ref() {
                "prUrl" => typed.url = value.trim().to_owned(),
                // A browser sends every line end of a text field as two characters.
                "patch" => typed.patch = value.replace("\r\n", "\n"),
                "callbackUrl" => typed.callback = value.trim().to_owned(),
                "urgent" => typed.urgent = true,
                "key" => typed.key = value.into_owned(),
                _ => {}
            }
        }
        typed
    }
}

/// The form. A callback is asked for only where it would be called.
pub fn submit(typed: Option<&Typed>, callbacks: Callbacks) -> Markup {
    let refused = typed.and_then(|typed| typed.refused.as_deref());
    let url = typed.map_or("", |typed| &typed.url);
    let patch = typed.map_or("", |typed| &typed.patch);
    let wrong_callback = typed.is_some_and(|typed| typed.refused.is_some() && typed.is_callback);
    let wrong_source = refused.filter(|_| !wrong_callback);
    html! {
        section.card aria-labelledby="submit-title" {
            h2 #submit-title { "Have a change reviewed" }
            @if let Some(text) = refused { p #refused .alert role="alert" { (text) } }
            form.submit method="post" action="/reviews" {
                input type="hidden" name="key" value=(Uuid::new_v4());
                label for="pr-url" { "Pull request" }
                div.row {
                    input #pr-url type="text" inputmode="url" name="prUrl" value=(url) autocomplete="off" spellcheck="false"
                        placeholder="https://github.com/owner/repo/pull/7"
                        aria-invalid=[wrong_source.map(|_| "true")] aria-describedby=[wrong_source.map(|_| "refused")];
                    button { "Review" }
                }
                details open[!patch.is_empty()] {
                    summary { "or paste a patch" }
                    label.unseen for="patch" { "Patch, a unified diff" }
                    textarea #patch name="patch" rows="10" spellcheck="false" placeholder="diff --git a/… b/…" { (patch) }
                }
                @if let Callbacks::Taken(reach) = callbacks { (callback(typed, reach, wrong_callback)) }
                label.check { input type="checkbox" name="urgent" checked[typed.is_some_and(|typed| typed.urgent)]; " before everything else" }
            }
        }
    }
}

fn callback(typed: Option<&Typed>, reach: CallbackReach, wrong: bool) -> Markup {
    let text = typed.map_or("", |typed| &typed.callback);
    html! {
        details open[!text.is_empty()] {
            summary { "and be told of the end by a webhook" }
            label for="callback" { "Callback" }
            input #callback type="text" inputmode="url" name="callbackUrl" value=(text) autocomplete="off" spellcheck="false"
                placeholder="https://example.com/hooks" aria-invalid=[wrong.then_some("true")]
                aria-describedby=(if wrong { "refused callback-hint" } else { "callback-hint" });
            p #callback-hint .hint {
                "This address gets the result, signed. "
                @match reach {
                    CallbackReach::Public => "It starts with https:// and leads to a public address.",
                    CallbackReach::Anywhere => "It may lead into this network.",
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_and_what_was_typed_comes_back_as_text() {
        let mut typed = Typed::read(b"prUrl=+%22%3E%3Cscript%3E&patch=a%0D%0Ab&urgent=on&key=k&x=y");
        assert_eq!(
            (typed.url.as_str(), typed.patch.as_str()),
            ("\"><script>", "a\nb")
        );
        assert!(typed.urgent && typed.key == "k");
        typed.refused = Some("no & no".to_owned());
        let html = submit(Some(&typed), Callbacks::Refused).into_string();
        assert!(
            !html.contains("<script") && html.contains("no &amp; no"),
            "{html}"
        );
    }

    #[test]
    fn a_callback_is_asked_for_where_it_is_taken_and_is_what_is_wrong_when_it_is() {
        let mut typed = Typed::read(b"prUrl=x&callbackUrl=+http%3A%2F%2Fexample.com%2F%22+");
        assert_eq!(typed.callback, "http://example.com/\"");
        (typed.refused, typed.is_callback) = (Some("no".to_owned()), true);
        let none = submit(Some(&typed), Callbacks::Refused).into_string();
        assert!(!none.contains("callbackUrl"), "{none}");
        let html = submit(Some(&typed), Callbacks::Taken(CallbackReach::Public)).into_string();
        assert!(html.contains("http://example.com/&quot;"), "{html}");
        let wrong: Vec<&str> = html
            .split("<input")
            .filter(|input| input.contains("aria-invalid"))
            .collect();
        assert!(wrong.len() == 1 && wrong[0].contains("callbackUrl"), "{html}");
    }
}
