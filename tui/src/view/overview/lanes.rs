//! A lane for each worker: who works, on what, how it went in the last minute.

use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::jobs::short_input;
use crate::model::workers::{WorkerLine, WorkerState};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::table::{Column, Layout, Row};
use crate::view::widgets::{lane, section};
use crate::view::words::Words;

/// The title of the column that the lane is drawn into.
const LANE: &str = "LAST 60 SECONDS";
/// What a lane shows.
const SECONDS: u32 = 60;

/// The columns: the lane and what runs share what the names and numbers leave.
fn columns(model: &Model, width: u16) -> [Column; 9] {
    let (lane, longest) = if Room::of(width) == Room::Wide {
        (28, 26)
    } else {
        (16, 21)
    };
    [
        Column::words("NAME", name_width(model), 9),
        Column::words("STATE", 11, 8),
        Column::number("SLOTS", 5, 6),
        Column::words(LANE, lane, 7).elastic(if lane > 16 { 90 } else { 16 }),
        Column::words("LONGEST NOW", longest, 5).elastic(60),
        Column::number("FOR", 6, 4),
        Column::number("DONE", 5, 3),
        Column::number("FAIL", 4, 2),
        Column::number("P50", 6, 1),
    ]
}

/// As wide as the widest name; a foreign worker may be called anything.
#[must_use]
pub fn name_width(model: &Model) -> u16 {
    let rows = model.workers.page.value().map_or(&[][..], |page| &page.rows);
    let widest = rows
        .iter()
        .map(|worker| format::width(&worker.name.short()))
        .max();
    widest.unwrap_or(6).clamp(6, 14)
}

/// Draws the section.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let theme = canvas.theme;
    let count = model.workers.page.value().map_or(0, |page| page.rows.len());
    let known = model.workers.page.value().map(|_| format!("  {count}"));
    let name = format!("Workers{}", known.unwrap_or_default());
    section::rule(canvas, &Words::of(name, theme.strong()), &legend(theme, airy));
    let heading = u16::from(airy);
    if !condition::has_value(canvas, 1 + heading, &model.workers.page) {
        return;
    }
    if count == 0 {
        condition::sentence(
            canvas,
            1 + heading,
            model,
            "No worker is there.",
            &[CommandId::AddWorker],
        );
        return;
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if model.workers.page.is_stale() {
        &aged
    } else {
        theme
    });
    let columns = columns(model, canvas.width());
    let layout = Layout::new(&columns, canvas.width());
    if airy {
        layout.head(&mut canvas.below(1), None);
    }
    let top = 1 + heading;
    let rows = canvas.height().saturating_sub(top);
    for (y, (worker, cursor)) in (top..).zip(model.workers.visible(usize::from(rows))) {
        let drawn = row(worker, cursor, model, canvas.theme);
        layout.row(&mut canvas, y, &drawn);
        if let Some((x, width)) = layout.place_of(LANE) {
            let cells = worker.lane(model.server_now(), SECONDS, usize::from(width));
            lane::draw(&mut canvas.part(x, y, width, 1), &cells);
        }
    }
}

fn legend(theme: &Theme, airy: bool) -> Words {
    if !airy {
        return Words::of("last 60 s", theme.muted);
    }
    let item = |glyph: &str, style, word: &str| Words::of(glyph, style).and(format!(" {word}"), theme.muted);
    item(lane::block(1.0), theme.busy, "all slots")
        .gap(3)
        .then(item(lane::block(0.5), theme.busy, "half"))
        .gap(3)
        .then(item(lane::block(0.0), theme.busy, "idle"))
        .gap(3)
        .then(item(glyph::DEAD, theme.dead, "a try failed"))
}

fn row(worker: &WorkerLine, cursor: bool, model: &Model, theme: &Theme) -> Row {
    let (glyph, style) = state::worker(theme, worker.state);
    let (longest, since) = longest(worker, model, theme);
    let number = |text: String| Words::of(text, theme.text);
    let cells = vec![
        Words::of(worker.name.short(), theme.text),
        state_words(worker, model, theme),
        number(format!("{}/{}", worker.busy, worker.slots)),
        Words::default(),
        longest,
        since,
        number(format::count(worker.done)),
        number(format::count(worker.failed)),
        number(worker.p50.map_or_else(|| "-".to_owned(), format::took)),
    ];
    Row {
        glyph: Words::of(glyph, style),
        cells,
        cursor,
        ..Row::default()
    }
}

/// `busy`, or `lost 11 s`.
#[must_use]
pub fn state_words(worker: &WorkerLine, model: &Model, theme: &Theme) -> Words {
    let word = worker.state.word();
    match worker.state {
        WorkerState::Lost => Words::of(
            format!("{word} {}", format::age(worker.silence(model.now))),
            theme.lost,
        ),
        WorkerState::Busy => Words::of(word, theme.busy),
        WorkerState::Draining => Words::of(word, theme.retrying),
        WorkerState::Idle => Words::of(word, theme.muted),
    }
}

/// What it runs longest and since when; of a lost one, where its jobs go.
fn longest(worker: &WorkerLine, model: &Model, theme: &Theme) -> (Words, Words) {
    if worker.state == WorkerState::Lost {
        let words = match (worker.busy, worker.moves_in(model.now)) {
            (0, _) => Words::of("held nothing", theme.muted),
            (held, Some(left)) => {
                let jobs = format::plural(u64::from(held), "job", "jobs");
                Words::of(format!("{jobs} move in ~{}", format::age(left)), theme.retrying)
            }
            (held, None) => Words::of(
                format!("{} held", format::plural(u64::from(held), "job", "jobs")),
                theme.retrying,
            ),
        };
        return (words, Words::default());
    }
    let Some(job) = worker.longest() else {
        return (Words::default(), Words::default());
    };
    let words = Words::outside(&short_input(&job.input), theme.text);
    let words = match &job.phase {
        Some(phase) => words.gap(1).and_outside(phase, theme.muted),
        None => words,
    };
    let since = format::took(format::between(job.started_at, model.server_now()));
    (words, Words::of(since, theme.text))
}

/// A rule and a row for each worker, on a narrow screen.
pub fn narrow(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let width = canvas.width();
    let count = model.workers.page.value().map_or(0, |page| page.rows.len());
    canvas.fill(0, 0, width, glyph::RULE, theme.rule);
    canvas.put(1, 0, &format!(" workers {count} "), theme.strong());
    if !condition::has_value(canvas, 1, &model.workers.page) {
        return;
    }
    if count == 0 {
        condition::sentence(canvas, 1, model, "No worker is there.", &[CommandId::AddWorker]);
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if model.workers.page.is_stale() {
        &aged
    } else {
        theme
    });
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (worker, cursor)) in (1..).zip(model.workers.visible(rows)) {
        narrow_row(&mut canvas, y, worker, model);
        if cursor {
            let style = canvas.theme.accent;
            canvas.put(0, y, glyph::CURSOR, style);
            canvas.select_row(y);
        }
    }
}

fn narrow_row(canvas: &mut Canvas<'_>, y: u16, worker: &WorkerLine, model: &Model) {
    let theme = canvas.theme;
    let width = canvas.width();
    let (glyph, style) = state::worker(theme, worker.state);
    canvas.put(1, y, glyph, style);
    canvas.put(3, y, &format::fit(&worker.name.short(), 6), theme.text);
    canvas.fitted(10, y, &state_words(worker, model, theme), 9);
    let slots = format!("{}/{}", worker.busy, worker.slots);
    canvas.words_before(23, y, &Words::of(slots, theme.text));
    let done = Words::of(format::count(worker.done), theme.text);
    let end = canvas.words_before(width.saturating_sub(1), y, &done);
    let cells = end.saturating_sub(25);
    let lane_cells = worker.lane(model.server_now(), SECONDS, usize::from(cells));
    lane::draw(&mut canvas.part(24, y, cells, 1), &lane_cells);
}
