//! The list of reviews: submit, filter, walk through the pages.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use millstream::domain::JobState;
use millstream::ops::Callbacks;
use millstream::store::listing::ListedRow;
use millstream::untrusted::visible;

use super::forms::{self, Typed};
use super::words::{ago, count, duration, input, look, state_pill, verdict_pill};
use crate::access::{Client, Scope};
use crate::query::ListQuery;

/// The verdicts that can be asked for.
const VERDICTS: [&str; 3] = ["approve", "request-changes", "unknown"];

/// What the list shows.
#[derive(Debug)]
pub struct Listing<'a> {
    /// What was asked for.
    pub query: &'a ListQuery,
    /// The reviews.
    pub rows: &'a [ListedRow],
    /// The query of the next page.
    pub next: Option<String>,
    /// What becomes of a callback that the form names.
    pub callbacks: Callbacks,
    /// The clock.
    pub now: DateTime<Utc>,
}

/// The page.
pub fn page(client: &Client, listing: &Listing<'_>, typed: Option<&Typed>) -> Markup {
    let main = html! {
        h1.unseen { "Reviews" }
        @if client.may(Scope::Submit) { (forms::submit(typed, listing.callbacks)) }
        section aria-labelledby="list-title" {
            div.bar {
                h2 #list-title { "Reviews" }
                (filters(listing.query))
            }
            (live(listing))
        }
    };
    super::whole(Some(client), "Reviews", &main)
}

fn filters(query: &ListQuery) -> Markup {
    let state = query.state.as_deref().unwrap_or_default();
    let verdict = query.verdict.as_deref().unwrap_or_default();
    html! {
        form.filters method="get" action="/" role="search" {
            label.unseen for="q" { "Input" }
            input #q type="search" name="q" placeholder="Search input" maxlength="300"
                value=(query.q.as_deref().unwrap_or_default());
            label.unseen for="state" { "Status" }
            select #state name="state" {
                option value="" { "any status" }
                @for one in JobState::ALL {
                    option value=(one) selected[one.word() == state] { (one) }
                }
            }
            label.unseen for="verdict" { "Verdict" }
            select #verdict name="verdict" {
                option value="" { "any verdict" }
                @for one in VERDICTS {
                    option value=(one) selected[one == verdict] { (one) }
                }
            }
            button.quiet { "Filter" }
        }
    }
}

/// The part that is fetched anew.
pub fn live(listing: &Listing<'_>) -> Markup {
    html! {
        div #live data-live="list" data-page=(address(listing.query)) {
            @if listing.rows.is_empty() {
                (empty(listing.query))
            } @else {
                div.scroll {
                    table.reviews role="table" {
                        caption.unseen { "Reviews, the newest first" }
                        thead role="rowgroup" {
                            tr role="row" {
                                @for title in ["Status", "Input", "Verdict", "Tokens", "Run time", "Submitted"] {
                                    th scope="col" role="columnheader" { (title) }
                                }
                            }
                        }
                        tbody role="rowgroup" { @for row in listing.rows { (line(row, listing.now)) } }
                    }
                }
            }
            (pager(listing))
        }
    }
}

/// The list's own address, wherever it is shown: a form that was refused has another one.
fn address(query: &ListQuery) -> String {
    let given = query.given();
    if given.is_empty() {
        "/".to_owned()
    } else {
        format!("/?{given}")
    }
}

fn line(listed: &ListedRow, now: DateTime<Utc>) -> Markup {
    let row = &listed.review;
    let look = look(row.state.as_deref(), &row.status);
    let tokens = i64::from(row.input_tokens) + i64::from(row.output_tokens);
    html! {
        tr role="row" {
            td role="cell" data-label="Status" { (state_pill(look)) }
            th.input scope="row" role="rowheader" {
                a id={ "r-" (row.id) } href={ "/reviews/" (row.id) } { (input(&row.pr_url)) }
                @if row.attempt.is_some_and(|attempt| attempt > 1) {
                    span.hint { " attempt " (row.attempt.unwrap_or_default()) }
                }
            }
            td role="cell" data-label="Verdict" {
                @match row.verdict.as_deref() {
                    Some(verdict) => (verdict_pill(verdict)),
                    None => span.none { @if look.is_final { "none" } @else { "none yet" } }
                }
            }
            td.figure role="cell" data-label="Tokens" { (count(tokens)) }
            td.figure role="cell" data-label="Run time" {
                @match listed.run_s { Some(seconds) => (duration(seconds)), None => span.none { "not started" } }
            }
            td.figure role="cell" data-label="Submitted" { (ago(row.created_at, now)) }
        }
    }
}

fn empty(query: &ListQuery) -> Markup {
    let text = query.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
    html! {
        div.empty {
            @if *query == ListQuery::default() {
                p { "Nothing was submitted yet." }
                p.hint { "Name a pull request above, or type " code { "millstream submit HEAD.patch" } "." }
            } @else {
                p {
                    "No review fits"
                    @if let Some(text) = text { " “" (visible(text)) "”" }
                    ". "
                    a href="/" { "Show all" }
                }
            }
        }
    }
}

fn pager(listing: &Listing<'_>) -> Markup {
    let further = listing
        .query
        .before
        .as_deref()
        .is_some_and(|text| !text.is_empty());
    html! {
        @if further || listing.next.is_some() {
            nav.pager aria-label="Pages" {
                @if further { a #newest href="/" { "Newest" } }
                @if let Some(next) = &listing.next { a #older href={ "/?" (next) } rel="next" { "Older" } }
            }
        }
    }
}
