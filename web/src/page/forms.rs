//! The form that submits: what was typed comes back with what is wrong with it.

use maud::{Markup, html};
use url::form_urlencoded;
use uuid::Uuid;

/// What was typed, and why it was refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// The address.
    pub url: String,
    /// The diff.
    pub patch: String,
    /// Whether it is urgent.
    pub urgent: bool,
    /// The key of the form: a second press of the button submits nothing twice.
    pub key: String,
    /// Why it was refused.
    pub refused: Option<String>,
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
                "urgent" => typed.urgent = true,
                "key" => typed.key = value.into_owned(),
                _ => {}
            }
        }
        typed
    }
}

/// The form.
pub fn submit(typed: Option<&Typed>) -> Markup {
    let refused = typed.and_then(|typed| typed.refused.as_deref());
    let url = typed.map_or("", |typed| &typed.url);
    let patch = typed.map_or("", |typed| &typed.patch);
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
                        aria-invalid=[refused.map(|_| "true")] aria-describedby=[refused.map(|_| "refused")];
                    button { "Review" }
                }
                details open[!patch.is_empty()] {
                    summary { "or paste a patch" }
                    label.unseen for="patch" { "Patch, a unified diff" }
                    textarea #patch name="patch" rows="10" spellcheck="false" placeholder="diff --git a/… b/…" { (patch) }
                }
                label.check { input type="checkbox" name="urgent" checked[typed.is_some_and(|typed| typed.urgent)]; " before everything else" }
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
        let html = submit(Some(&typed)).into_string();
        assert!(
            !html.contains("<script") && html.contains("no &amp; no"),
            "{html}"
        );
    }
}
