//! The page's routes: what a person asks for and sends, answered in HTML.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Extension, Path, Query, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use millstream::clock;
use millstream::domain::{JobId, Priority};
use millstream::ops::submit::Source;
use millstream::ops::{Outcome, Submission, Why};
use serde::Deserialize;
use url::form_urlencoded;

use super::reviews::{away, body_limit, cancel_it, id_of, may_submit, refuse, retry_it, unknown, with_left};
use crate::access::{Client, Scope, let_in};
use crate::body;
use crate::caching::etag_of;
use crate::cookie;
use crate::listen::Peer;
use crate::page::forms::Typed;
use crate::page::list::Listing;
use crate::page::run::Run;
use crate::page::{self, answer, refusal};
use crate::problem::Problem;
use crate::query::{ListQuery, Page};
use crate::shares::Share;
use crate::state::State;
use crate::submission;

/// A form writes a character as up to three.
const FORM_OVER_JSON: usize = 2;
/// A token in a form.
const LONGEST_LOGIN: usize = 4 * 1024;

/// Which part of a page is wanted.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Part {
    /// `live` for the part that is fetched anew.
    #[serde(default)]
    part: Option<String>,
}

impl Part {
    fn is_live(&self) -> bool {
        self.part.as_deref() == Some("live")
    }
}

/// Lets a person through, or shows them the way in.
pub async fn guard(
    extract::State(state): extract::State<State>,
    mut request: Request,
    next: Next,
) -> Response {
    match let_in(&state, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            Redirect::to("/login").into_response()
        }
        Err(problem) => refusal(None, &problem),
    }
}

/// `GET /`: the list.
pub async fn home(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    query: Result<Query<ListQuery>, QueryRejection>,
    part: Result<Query<Part>, QueryRejection>,
) -> Response {
    let part = part.map(|Query(part)| part).unwrap_or_default();
    let shown = async {
        let Query(query) = query.map_err(|refused| Problem::invalid(&refused.body_text()))?;
        list(&state, &client, &query, part.is_live(), None).await
    };
    shown
        .await
        .unwrap_or_else(|problem| refusal(Some(&client), &problem))
}

async fn list(
    state: &State,
    client: &Client,
    query: &ListQuery,
    live: bool,
    typed: Option<&Typed>,
) -> Result<Response, Problem> {
    client.must(Scope::Look)?;
    let asked = Page::read(query)?;
    let mut rows = asked.load(&state.store).await?;
    let next = asked.next(&rows);
    rows.truncate(asked.limit as usize);
    let listing = Listing {
        query,
        rows: &rows,
        next,
        callbacks: state.callbacks,
        now: clock::now(),
    };
    let (status, markup) = match typed {
        _ if live => (StatusCode::OK, page::list::live(&listing)),
        None => (StatusCode::OK, page::list::page(client, &listing, None)),
        Some(typed) => (
            StatusCode::BAD_REQUEST,
            page::list::page(client, &listing, Some(typed)),
        ),
    };
    Ok(answer(status, markup))
}

/// `GET /reviews/{id}`: one of them.
pub async fn run(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
    part: Result<Query<Part>, QueryRejection>,
) -> Response {
    let part = part.map(|Query(part)| part).unwrap_or_default();
    let shown = async {
        client.must(Scope::Look)?;
        let run = load(&state, id_of(path)?).await?;
        let markup = if part.is_live() {
            page::run::live(&client, &run)
        } else {
            page::run::page(&client, &run, None)
        };
        Ok(answer(StatusCode::OK, markup))
    };
    shown
        .await
        .unwrap_or_else(|problem| refusal(Some(&client), &problem))
}

async fn load(state: &State, id: JobId) -> Result<Run, Problem> {
    let store = &state.store;
    // The review is read first: one that says `done` has all its findings by then.
    let review = store.find_review(id).await?.ok_or_else(unknown)?;
    Ok(Run {
        review,
        notes: store.notes_of(id).await?,
        findings: store.findings_of(id).await?,
        attempts: store.attempts_of(id).await?,
        spans: store.spans_in_short(id).await?,
        now: clock::now(),
    })
}

/// `POST /reviews`: what the form submits.
pub async fn submit(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let left = match may_submit(&state, &client) {
        Ok(left) => left,
        Err(problem) => return refusal(Some(&client), &problem),
    };
    let (max_patch, mut room) = (state.max_patch, state.bodies.nothing(client.bucket()));
    let body = match form(request, form_limit(max_patch), max_patch, &mut room).await {
        Ok(body) => body,
        Err(problem) => return refusal(Some(&client), &with_left(left, problem)),
    };
    let mut typed = Typed::read(&body);
    match accept(&state, &client, &mut typed).await {
        Ok(id) => Redirect::to(&format!("/reviews/{id}")).into_response(),
        Err(problem) => {
            let problem = with_left(left, problem);
            typed.refused = Some(problem.detail().to_owned());
            let shown = list(&state, &client, &ListQuery::default(), false, Some(&typed)).await;
            let mut response = shown.unwrap_or_else(|problem| refusal(Some(&client), &problem));
            *response.status_mut() = problem.status();
            problem.name_headers(response.headers_mut());
            response
        }
    }
}

async fn accept(state: &State, client: &Client, typed: &mut Typed) -> Result<JobId, Problem> {
    let source = match (typed.url.is_empty(), typed.patch.trim().is_empty()) {
        (false, true) => submission::pull_request(&typed.url)?,
        (true, false) => Source::Diff {
            label: None,
            text: typed.patch.clone(),
        },
        (true, true) => return Err(Problem::invalid("name a pull request, or paste a patch")),
        (false, false) => return Err(Problem::invalid("name a pull request or paste a patch, not both")),
    };
    let callback = (!typed.callback.is_empty()).then(|| typed.callback.clone());
    // Asked for itself, so that the field that is wrong can be named.
    if let Some(text) = &callback {
        typed.is_callback = true;
        let read = state.callbacks.read(text);
        read.map_err(|refused| Problem::invalid(&refused.to_string()))?;
        typed.is_callback = false;
    }
    // A second press of the button is the same submission; another text behind the same form is another one.
    let content = etag_of(&[
        typed.key.as_bytes(),
        typed.url.as_bytes(),
        typed.patch.as_bytes(),
        typed.callback.as_bytes(),
        &[u8::from(typed.urgent)],
    ]);
    let key = content
        .to_str()
        .map(|tag| format!("page:{}", tag.trim_matches('"')));
    let submission = Submission {
        source,
        run_at: None,
        priority: if typed.urgent {
            Priority::High
        } else {
            Priority::Normal
        },
        callback,
        idempotency: key.ok().map(|key| (client.keys().to_owned(), key)),
        traceparent: None,
    };
    Ok(state.submitter.submit(submission).await?.id)
}

/// `GET /reviews`: where a form was refused stands the address that it was sent to, and a person loads it again.
pub async fn to_list() -> Redirect {
    Redirect::to("/")
}

/// `GET /reviews/{id}/cancel` and `/retry`: likewise.
pub async fn to_run(
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    match id_of(path) {
        Ok(id) => Redirect::to(&format!("/reviews/{id}")).into_response(),
        Err(problem) => refusal(Some(&client), &problem),
    }
}

/// `POST /reviews/{id}/cancel`
pub async fn cancel(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let moved = async {
        client.must(Scope::Operate)?;
        let id = id_of(path)?;
        Ok((id, cancel_it(&state, &client, id).await?))
    };
    tell(&state, &client, moved.await).await
}

/// `POST /reviews/{id}/retry`
pub async fn retry(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let moved = async {
        client.must(Scope::Operate)?;
        let id = id_of(path)?;
        Ok((id, retry_it(&state, &client, id).await?))
    };
    tell(&state, &client, moved.await).await
}

/// What a move came to: the review as it stands now, or why nothing was done.
async fn tell(state: &State, client: &Client, moved: Result<(JobId, Outcome), Problem>) -> Response {
    let shown = async {
        let (id, outcome) = moved?;
        let Some(refusal) = outcome.refused.into_iter().next() else {
            return Ok(Redirect::to(&format!("/reviews/{id}")).into_response());
        };
        let told = match refusal.why {
            Why::Unknown => return Err(unknown()),
            why @ (Why::ValkeyAway(_) | Why::PostgresAway(_)) => {
                return Err(Problem::unavailable(&away(&why)));
            }
            why => format!("Nothing was done: {why}."),
        };
        let run = load(state, id).await?;
        Ok(answer(
            StatusCode::CONFLICT,
            page::run::page(client, &run, Some(&told)),
        ))
    };
    shown
        .await
        .unwrap_or_else(|problem| refusal(Some(client), &problem))
}

/// `GET /login`
pub async fn login() -> Response {
    answer(StatusCode::OK, page::login(None))
}

/// `POST /login`: a token that counts is kept in a cookie.
pub async fn enter(extract::State(state): extract::State<State>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let headers = request.headers().clone();
    // Nobody is a client before they have shown a token; what they type there is small.
    let mut room = state.bodies.nothing("");
    let body = match form(request, LONGEST_LOGIN, state.max_patch, &mut room).await {
        Ok(body) => body,
        Err(problem) => return refusal(None, &problem),
    };
    let token = form_urlencoded::parse(&body)
        .find(|(name, _)| name == "token")
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default();
    let mut shown = headers.clone();
    shown.remove(header::AUTHORIZATION);
    shown.remove(header::COOKIE);
    if let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) {
        shown.insert(header::AUTHORIZATION, value);
    }
    match (
        state.access.known(&state.store, &shown, peer).await,
        cookie::keep(&token, &headers),
    ) {
        (Ok(Some(_)), Some(kept)) => ([(header::SET_COOKIE, kept)], Redirect::to("/")).into_response(),
        (Ok(_), _) => answer(
            StatusCode::UNAUTHORIZED,
            page::login(Some("This token does not count.")),
        ),
        (Err(problem), _) => refusal(None, &problem),
    }
}

/// `POST /logout`
pub async fn leave(headers: HeaderMap) -> Response {
    let mut response = Redirect::to("/").into_response();
    if let Some(forgotten) = cookie::forget(&headers) {
        response.headers_mut().insert(header::SET_COOKIE, forgotten);
    }
    response
}

/// The largest form that is read.
pub const fn form_limit(max_patch: usize) -> usize {
    body_limit(max_patch).saturating_mul(FORM_OVER_JSON)
}

/// The body of a form.
async fn form(
    request: Request,
    limit: usize,
    max_patch: usize,
    room: &mut Share,
) -> Result<Vec<u8>, Problem> {
    body::collect(request.into_body(), limit, room)
        .await
        .map_err(|unread| refuse(unread, limit, max_patch))
}
