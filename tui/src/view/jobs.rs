//! Where is mine, why did it end so?

use chrono::{DateTime, Utc};
use millstream::domain::JobState;

use crate::command::CommandId;
use crate::format::{self, Trust};
use crate::glyph;
use crate::model::Model;
use crate::model::jobs::{JobLine, JobSort, JobsPage, short_id};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::split::Split;
use crate::view::widgets::table::{self, Column, Layout, Row};
use crate::view::widgets::{section, title};
use crate::view::words::Words;

/// The columns; on a narrow screen the input is cut, elsewhere others leave before it is.
const fn columns(room: Room) -> [Column; 10] {
    let input = if matches!(room, Room::Narrow) { 16 } else { 21 };
    [
        Column::words("STATUS", 9, 10),
        Column::words("JOB", 6, 9),
        Column::words("INPUT", input, 8).elastic(64),
        Column::words("VERDICT", 15, 2),
        Column::number("TRY", 3, 7),
        Column::words("WORKER", 6, 6).elastic(10),
        Column::number("WAIT", 6, 1),
        Column::number("RUN", 6, 5),
        Column::number("TOKENS", 8, 4),
        Column::number("COST", 7, 3),
    ]
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    heading(canvas, model);
    let top = if airy { 2 } else { 1 };
    let shows_why = canvas.height() >= 8 && Room::of(canvas.width()) != Room::Narrow;
    let told = (u16::from(shows_why), u16::from(airy));
    let split = Split::new(canvas, top, model.jobs.selected().map(|_| told));
    list(&mut split.list(canvas), model);
    let aged = canvas.theme.aged();
    let theme = if model.jobs.page.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    if let (Some(line), Some(mut beside)) = (model.jobs.selected(), split.detail(canvas)) {
        let mut beside = beside.themed(theme);
        if split.is_beside() {
            preview(&mut beside, line, model);
        } else {
            explain(&mut beside, line, model);
        }
    }
}

/// The row under the cursor beside the list: what its columns cut or leave out, and its failure in full.
fn preview(canvas: &mut Canvas<'_>, line: &JobLine, model: &Model) {
    let theme = canvas.theme;
    let now = model.server_now();
    let text = |text: String| Words::of(text, theme.text);
    let time = |at: Option<DateTime<Utc>>| text(at.map_or_else(|| "-".to_owned(), format::moment));
    let name = Words::of(short_id(line.id), theme.strong());
    section::rule(canvas, &name, &state::job_words(theme, line.state));
    let none = || Words::of("-", theme.muted);
    let verdict = line.verdict.as_ref();
    let about = guess(line);
    let mut facts = vec![
        (
            "verdict",
            verdict.map_or_else(none, |verdict| Words::outside(verdict, theme.text)),
        ),
        (
            "try",
            text(format!("{} of {}", line.attempt, line.attempts_allowed)),
        ),
        (
            "worker",
            line.worker
                .as_ref()
                .map_or_else(none, |worker| text(worker.short())),
        ),
        ("accepted", time(Some(line.created_at))),
        ("ended", time(line.finished_at)),
        ("waited", text(format::took(line.wait(now)))),
        (
            "ran",
            line.run(now).map_or_else(none, |time| text(format::took(time))),
        ),
        ("tokens", text(format!("{about}{}", format::tokens(line.tokens)))),
        ("cost", text(format::money(line.cost_usd))),
        ("id", Words::of(line.id.to_string(), theme.muted)),
    ];
    facts.extend(
        line.class
            .as_ref()
            .map(|class| ("class", Words::outside(class, theme.dead))),
    );
    let width = canvas.width().saturating_sub(2);
    let mut body = canvas.part(1, 1, width, u16::MAX);
    // Addresses have no spaces, and need all of the width.
    let y = body.paragraph(0, &line.input.to_string(), theme.strong());
    let y = table::facts_in_full(&mut body, y, 10, &facts);
    if let Some(error) = &line.error {
        body.paragraph(y + 1, &error.to_string(), theme.text);
    }
}

fn heading(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let jobs = &model.jobs;
    let left = Words::of("Jobs", theme.strong())
        .gap(3)
        .then(title::filter(canvas, model, &jobs.filter));
    let marked = match jobs.list.marks.len() {
        0 => Words::default(),
        marked => Words::of(format!("{marked} marked"), theme.marked),
    };
    let stale = condition::staleness(&jobs.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let sort = title::sort(canvas, jobs.sort.word(), jobs.turned, jobs.list.waiting);
    title::draw(
        canvas,
        &left,
        &[stale, sort, marked, matching(canvas, jobs.page.value(), model)],
    );
}

/// `11 of 640 =`, or `640 =` without a filter.
fn matching(canvas: &Canvas<'_>, page: Option<&JobsPage>, model: &Model) -> Words {
    let theme = canvas.theme;
    let Some(page) = page else {
        return Words::of(glyph::MORE, theme.muted);
    };
    let mark = match (model.jobs.page.is_stale(), page.matching_at_least) {
        (true, _) => Trust::Unknown,
        (false, true) => Trust::AtLeast,
        (false, false) => Trust::Exact,
    };
    let words = Words::of(format::count(page.matching), theme.strong());
    let words = if page.filter.is_empty() {
        words
    } else {
        words
            .and(" of ", theme.muted)
            .and(format::count(page.total), theme.text)
    };
    words.gap(1).and(mark.mark(), theme.muted)
}

fn list(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let jobs = &model.jobs;
    let columns = columns(Room::of(canvas.width()));
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, sorted_column(jobs.sort));
    if !condition::has_value(canvas, 1, &jobs.page) {
        return;
    }
    if jobs.list.is_empty() {
        empty(canvas, model);
        return;
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if jobs.page.is_stale() { &aged } else { theme });
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (line, cursor)) in (1..).zip(jobs.visible(rows)) {
        let drawn = Row {
            cursor,
            marked: jobs.list.marks.contains(&line.id),
            ..row(line, model, canvas.theme)
        };
        layout.row(&mut canvas, y, &drawn);
    }
}

fn empty(canvas: &mut Canvas<'_>, model: &Model) {
    let filter = &model.jobs.filter;
    if filter.is_empty() {
        condition::sentence(
            canvas,
            1,
            model,
            "No job was ever accepted.",
            &[CommandId::Submit, CommandId::Burst],
        );
        return;
    }
    condition::no_match(canvas, 2, "No job", filter);
}

const fn sorted_column(sort: JobSort) -> Option<&'static str> {
    match sort {
        JobSort::Age => None,
        JobSort::Status => Some("STATUS"),
        JobSort::Run => Some("RUN"),
        JobSort::Cost => Some("COST"),
        JobSort::Tokens => Some("TOKENS"),
        JobSort::Tries => Some("TRY"),
    }
}

/// Tokens of a try that goes on or broke off were counted by us, not by the model.
fn guess(line: &JobLine) -> &'static str {
    let counted = line.state != JobState::Done && line.tokens > 0;
    if counted { Trust::Estimated.mark() } else { "" }
}

fn row(line: &JobLine, model: &Model, theme: &Theme) -> Row {
    let now = model.server_now();
    let style = state::job(theme, line.state);
    let text = |text: String| Words::of(text, theme.text);
    let about = guess(line);
    let started = line.attempt > 0;
    let cells = vec![
        Words::of(line.state.word(), style),
        Words::of(short_id(line.id), theme.accent),
        Words::outside(&line.short_input(), theme.text),
        outcome(line, theme),
        text(format!("{}/{}", line.attempt, line.attempts_allowed)),
        text(
            line.worker
                .as_ref()
                .map_or_else(|| "-".to_owned(), |worker| worker.short()),
        ),
        text(format::age(line.wait(now))),
        text(line.run(now).map_or_else(|| "-".to_owned(), format::took)),
        text(if started {
            format!("{about}{}", format::tokens(line.tokens))
        } else {
            "-".to_owned()
        }),
        text(if started {
            format::money(line.cost_usd)
        } else {
            "-".to_owned()
        }),
    ];
    Row {
        glyph: Words::of(glyph::state(line.state), style),
        cells,
        ..Row::default()
    }
}

/// The verdict, or the step that runs now.
fn outcome(line: &JobLine, theme: &Theme) -> Words {
    match (&line.verdict, &line.phase, line.state) {
        (Some(verdict), ..) => Words::outside(verdict, state::verdict(theme, verdict.raw())),
        (None, Some(phase), JobState::Running) => {
            Words::outside(phase, theme.busy).and(glyph::MORE, theme.busy)
        }
        _ => Words::of("-", theme.muted),
    }
}

/// The row under the cursor in a sentence: since when, and why.
fn explain(canvas: &mut Canvas<'_>, line: &JobLine, model: &Model) {
    let theme = canvas.theme;
    let at = line.finished_at.or(line.started_at).unwrap_or(line.created_at);
    let words = Words::of(short_id(line.id), theme.accent)
        .gap(1)
        .and(line.state.word(), state::job(theme, line.state))
        .and(format!(" {}", format::clock(at)), theme.muted)
        .gap(3);
    let words = match (&line.class, &line.error, line.due_at) {
        (class, Some(error), _) => {
            let class = class
                .as_ref()
                .map(|class| Words::outside(class, theme.dead).gap(3));
            words
                .then(class.unwrap_or_default())
                .and_outside(error, theme.text)
        }
        (_, None, Some(due)) => {
            let left = format::age(format::between(model.server_now(), due));
            words.and(format!("due in {left}"), theme.text)
        }
        _ => words.and_outside(&line.input, theme.text),
    };
    canvas.fitted(1, 0, &words, canvas.width().saturating_sub(2));
}
