//! Who works, who is slow, who is gone and why?

use chrono::{DateTime, Utc};
use ratatui::style::Style;

use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::history::{MarkKind, TimeMark};
use crate::model::jobs::{short_id, short_input};
use crate::model::trouble::{self, Trouble};
use crate::model::workers::{RUN_TIME_BUCKETS, RunningJob, WorkerLine, WorkerSort, WorkerState, WorkersPage};
use crate::theme::Theme;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::overview::lanes::{name_width, state_words};
use crate::view::state;
use crate::view::widgets::split::Split;
use crate::view::widgets::table::{self, Column, Layout, Row};
use crate::view::widgets::{chart, section, title};
use crate::view::words::Words;

/// The title of the column with the distribution.
const TIMES: &str = "RUN TIMES 1 … 60 s";
/// Rows that the chart of slots takes at most.
const MOST_CHART: u16 = 14;
/// How far back the chart of slots goes.
const SECONDS: u32 = 600;

fn columns(model: &Model) -> [Column; 11] {
    [
        Column::words("NAME", name_width(model), 11),
        Column::words("STATE", 11, 10),
        Column::number("SLOTS", 5, 9),
        Column::number("DONE", 5, 5),
        Column::number("FAIL", 4, 4),
        Column::number("/MIN", 5, 3),
        Column::number("P50", 6, 2),
        Column::number("P95", 6, 6),
        Column::words(TIMES, RUN_TIME_BUCKETS as u16, 1),
        Column::number("BEAT", 6, 7),
        Column::words("LONGEST NOW", 16, 8).elastic(60),
    ]
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    heading(canvas, model);
    let gap = u16::from(airy);
    let top = 1 + gap;
    let aged = canvas.theme.aged();
    let theme = if model.workers.page.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    let split = Split::new(canvas, top, model.workers.selected().map(|_| (0, 0)));
    if let (Some(worker), true, Some(mut beside)) =
        (model.workers.selected(), split.is_beside(), split.detail(canvas))
    {
        preview(&mut beside.themed(theme), worker, model, gap);
        let mut left = split.list(canvas);
        let y = listed(&mut left, model, airy);
        if left.height() >= y + 5 {
            let rows = (left.height() - y).min(MOST_CHART);
            slots(&mut left.themed(theme).part(0, y, u16::MAX, rows), model);
        }
        return;
    }
    let y = top + listed(&mut canvas.below(top), model, airy);
    if !model.workers.list.is_empty() {
        details(&mut canvas.themed(theme).below(y), model, airy);
    }
}

/// The list and what all of them come to; answers the row below it.
fn listed(canvas: &mut Canvas<'_>, model: &Model, airy: bool) -> u16 {
    let gap = u16::from(airy);
    let height = canvas.height();
    let listed = u16::try_from(model.workers.list.len().max(1)).unwrap_or(u16::MAX);
    let many = u16::from(listed > 1 && airy);
    // The list may take half of what there is; the worker under the cursor has the rest.
    let rows = listed.min(((height + 1 + gap) / 2).saturating_sub(2).max(3));
    table(
        &mut canvas.part(0, 0, u16::MAX, 1 + rows + many),
        model,
        rows,
        many > 0,
    );
    1 + rows + many + gap
}

/// The worker under the cursor beside the list: what its columns cut or leave out, and each of its jobs in full.
fn preview(canvas: &mut Canvas<'_>, worker: &WorkerLine, model: &Model, gap: u16) {
    let theme = canvas.theme;
    let now = model.server_now();
    let text = |text: String| Words::of(text, theme.text);
    let none = || Words::of("-", theme.muted);
    let time = |time: Option<std::time::Duration>| time.map_or_else(none, |time| text(format::took(time)));
    let name = Words::of(worker.name.short(), theme.strong());
    section::rule(canvas, &name, &state_words(worker, model, theme));
    let started = worker.started_at.map_or_else(none, |at| {
        let up = format::roughly(format::between(at, now));
        text(format::clock(at)).and(format!("  {up} ago"), theme.muted)
    });
    let mut facts = vec![
        ("name", Words::outside(&worker.name.raw().into(), theme.text)),
        ("process", process(worker, theme)),
        ("started", started),
        ("beat", text(format::silence(worker.silence(model.now)))),
        ("slots", text(format!("{} of {} busy", worker.busy, worker.slots))),
        (
            "done",
            text(format::count(worker.done)).gap(2).and(
                format!("{} a minute", format::rate(worker.per_minute)),
                theme.muted,
            ),
        ),
        ("failed", text(format::count(worker.failed))),
        ("p50", time(worker.p50)),
        ("p95", time(worker.p95)),
        (
            "run times",
            times(&worker.run_times, theme.busy)
                .gap(2)
                .and("1 … 60 s", theme.muted),
        ),
    ];
    facts.extend(trouble_of(worker, model).map(|trouble| ("trouble", flagged(trouble, worker, theme))));
    facts.extend(
        worker
            .ended
            .as_ref()
            .map(|ended| ("ended", Words::outside(ended, theme.lost))),
    );
    let width = canvas.width().saturating_sub(2);
    let y = 1 + table::facts_in_full(&mut canvas.part(1, 1, width, u16::MAX), 0, 11, &facts) + gap;
    let mut below = canvas.below(y);
    section::rule(&mut below, &Words::of("Now", theme.strong()), &Words::default());
    if worker.jobs.is_empty() {
        below.put(1, 1, idles(worker), theme.muted);
    }
    for (nth, job) in (0..).zip(&worker.jobs) {
        if let Some(y) = 2_u16.checked_mul(nth).filter(|y| y + 1 < below.height()) {
            in_two_lines(&mut below.part(0, 1 + y, u16::MAX, 2), job, worker, now);
        }
    }
}

/// A job with its input whole, and below it what runs in it and for how long.
fn in_two_lines(canvas: &mut Canvas<'_>, job: &RunningJob, worker: &WorkerLine, now: DateTime<Utc>) {
    let theme = canvas.theme;
    let (glyph, style) = held(worker, theme);
    let width = canvas.width();
    let input = short_input(&job.input);
    canvas.put(2, 0, glyph, style);
    canvas.put(4, 0, &short_id(job.id), theme.accent);
    canvas.fitted(
        12,
        0,
        &Words::outside(&input, theme.text),
        width.saturating_sub(13),
    );
    let ran = format::took(format::between(job.started_at, now));
    let words = Words::of(ran, theme.text)
        .gap(2)
        .and(format!("try {}", job.attempt), theme.muted);
    let words = match &job.phase {
        Some(phase) => words.gap(2).and_outside(phase, style),
        None => words,
    };
    canvas.fitted(12, 1, &words, width.saturating_sub(13));
}

/// The slots over time, as far as there is room, and what the worker under the cursor runs.
fn details(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let Some(worker) = model.workers.selected() else {
        return;
    };
    let gap = u16::from(airy);
    let below = 1 + u16::try_from(worker.jobs.len().max(1)).unwrap_or(1);
    let spare = canvas.height().saturating_sub(below + gap);
    let most = if airy { MOST_CHART } else { 9 };
    let rows = if spare >= 5 { (spare - gap).min(most) } else { 0 };
    if rows > 0 {
        slots(&mut canvas.part(0, 0, u16::MAX, rows), model);
        now(&mut canvas.below(rows + gap), worker, model);
    } else {
        now(canvas, worker, model);
    }
}

fn heading(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let workers = &model.workers;
    let left =
        Words::of("Workers", theme.strong())
            .gap(3)
            .then(title::filter(canvas, model, &workers.filter));
    let Some(page) = workers.page.value() else {
        title::draw(canvas, &left, &[]);
        return;
    };
    let stale = condition::staleness(&workers.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let live = page.live().count();
    let count = Words::of(format!("{live} live"), theme.text);
    let count = match page.rows.len() - live {
        0 => count,
        lost => count.and(format!(", {lost} lost"), theme.lost),
    };
    let slots = Words::of(
        format!("{} of {} slots", page.busy_slots(), page.live_slots()),
        theme.text,
    );
    // What a lost one ended within the minute was ended, and the row of all of them counts it too.
    let rate: f64 = page.rows.iter().map(|worker| worker.per_minute).sum();
    let rate = Words::of(format!("{} a minute", format::rate(rate)), theme.muted);
    let sort = title::sort(canvas, workers.sort.word(), workers.turned, workers.list.waiting);
    let troubled = troubled(model, page, theme);
    title::draw(
        canvas,
        &left,
        &[stale, sort, rate, slots, troubled, shown(model), count],
    );
}

/// How many of them something is wrong with, lost ones apart, which are told beside it.
fn troubled(model: &Model, page: &WorkersPage, theme: &Theme) -> Words {
    let usual = trouble::usual_cost(&page.rows);
    let now = model.server_now();
    let count = page
        .live()
        .filter(|worker| worker.trouble(now, usual).is_some())
        .count();
    match count {
        0 => Words::default(),
        count => Words::of(format!("{count} in trouble"), theme.retrying),
    }
}

/// How many pass the filter.
fn shown(model: &Model) -> Words {
    let all = model.workers.page.value().map_or(0, |page| page.rows.len());
    if model.workers.filter.is_empty() {
        return Words::default();
    }
    Words::of(format!("{} of {all}", model.workers.list.len()), Style::default())
}

fn table(canvas: &mut Canvas<'_>, model: &Model, rows: u16, totals: bool) {
    let theme = canvas.theme;
    let workers = &model.workers;
    let columns = columns(model);
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, sorted_column(workers.sort));
    if !condition::has_value(canvas, 1, &workers.page) {
        return;
    }
    if workers.list.is_empty() {
        empty(canvas, model);
        return;
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if workers.page.is_stale() { &aged } else { theme });
    for (y, (worker, cursor)) in (1..).zip(workers.visible(usize::from(rows))) {
        let drawn = Row {
            cursor,
            ..row(worker, model, canvas.theme)
        };
        layout.row(&mut canvas, y, &drawn);
    }
    if let (true, Some(page)) = (totals, workers.page.value()) {
        let all = total(page, canvas.theme);
        layout.row(&mut canvas, rows + 1, &all);
    }
}

fn empty(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    if model.workers.filter.is_empty() {
        condition::sentence(canvas, 1, model, "No worker is there.", &[CommandId::AddWorker]);
        return;
    }
    let words = Words::of("No worker matches ", theme.text)
        .and_outside(&model.workers.filter.text.as_str().into(), theme.accent)
        .and(".   Esc clears it", theme.muted);
    canvas.fitted(1, 1, &words, canvas.width().saturating_sub(2));
}

const fn sorted_column(sort: WorkerSort) -> Option<&'static str> {
    match sort {
        WorkerSort::Age => None,
        WorkerSort::State => Some("STATE"),
        WorkerSort::Done => Some("DONE"),
        WorkerSort::Failed => Some("FAIL"),
        WorkerSort::P95 => Some("P95"),
    }
}

fn row(worker: &WorkerLine, model: &Model, theme: &Theme) -> Row {
    let (glyph, style) = state::worker(theme, worker.state);
    let number = |text: String| Words::of(text, theme.text);
    let time = |time: Option<std::time::Duration>| number(time.map_or_else(|| "-".to_owned(), format::took));
    let cells = vec![
        Words::of(worker.name.short(), theme.text),
        state_words(worker, model, theme),
        number(format!("{}/{}", worker.busy, worker.slots)),
        number(format::count(worker.done)),
        number(format::count(worker.failed)),
        number(format::rate(worker.per_minute)),
        time(worker.p50),
        time(worker.p95),
        times(&worker.run_times, theme.busy),
        number(format::silence(worker.silence(model.now))),
        longest(worker, model, theme),
    ];
    Row {
        glyph: Words::of(glyph, style),
        cells,
        ..Row::default()
    }
}

fn times(buckets: &[u32], style: Style) -> Words {
    let counts: Vec<u64> = buckets.iter().map(|count| u64::from(*count)).collect();
    Words::of(chart::columns(&counts), style)
}

/// How long its longest job runs and what runs in it; of a lost one, how it ended.
fn longest(worker: &WorkerLine, model: &Model, theme: &Theme) -> Words {
    if worker.state == WorkerState::Lost {
        return match &worker.ended {
            Some(ended) => Words::outside(ended, theme.lost),
            None => Words::of("not heard of any more", theme.lost),
        };
    }
    let Some(job) = worker.longest() else {
        return Words::of("-", theme.muted);
    };
    let ran = format::between(job.started_at, model.server_now());
    if let Some(trouble) = trouble_of(worker, model) {
        return flagged(trouble, worker, theme);
    }
    let slow = worker.p95.is_some_and(|usual| ran > usual);
    let style = if slow { theme.retrying } else { theme.text };
    let words = Words::of(format::took(ran), style);
    let words = if slow { words.and(" slow", style) } else { words };
    match &job.phase {
        Some(phase) => words.gap(1).and_outside(phase, theme.muted),
        None => words,
    }
}

fn trouble_of(worker: &WorkerLine, model: &Model) -> Option<Trouble> {
    let rows = model.workers.page.value().map_or(&[][..], |page| &page.rows);
    worker.trouble(model.server_now(), trouble::usual_cost(rows))
}

/// `stuck 22 s, p95 5 s judge`: the figures that it is called so for.
fn flagged(trouble: Trouble, worker: &WorkerLine, theme: &Theme) -> Words {
    // Short enough for the column of a usual screen.
    let (figures, job) = match trouble {
        Trouble::Lost(silence) => (format::age(silence), None),
        Trouble::Stuck { ran, p95 } => (
            format!("{}, p95 {}", format::age(ran), format::age(p95)),
            worker.longest(),
        ),
        Trouble::Costly { usd, usual } => (format!("${usd:.2} > ${usual:.2}"), worker.dearest()),
        Trouble::Failing { failed, of } => (format!("{failed} of {of}"), None),
    };
    let words = Words::of(format!("{} ", trouble.word()), theme.retrying).and(figures, theme.text);
    match job.and_then(|job| job.phase.as_ref()) {
        Some(phase) => words.gap(1).and_outside(phase, theme.muted),
        None => words,
    }
}

/// All workers in one row.
fn total(page: &WorkersPage, theme: &Theme) -> Row {
    let sum = |pick: fn(&WorkerLine) -> u64| page.rows.iter().map(pick).sum::<u64>();
    let number = |text: String| Words::of(text, theme.muted);
    let mut buckets = [0_u32; RUN_TIME_BUCKETS];
    for worker in &page.rows {
        for (sum, count) in buckets.iter_mut().zip(worker.run_times) {
            *sum = sum.saturating_add(count);
        }
    }
    let rate: f64 = page.rows.iter().map(|worker| worker.per_minute).sum();
    let cells = vec![
        number("all".to_owned()),
        number(format!("{} live", page.live().count())),
        number(short(format!("{}/{}", page.busy_slots(), page.live_slots()), 5)),
        number(short(format::count(sum(|worker| worker.done)), 5)),
        number(short(format::count(sum(|worker| worker.failed)), 4)),
        number(short(format::rate(rate), 5)),
        Words::default(),
        Words::default(),
        times(&buckets, theme.muted),
    ];
    Row {
        cells,
        ..Row::default()
    }
}

/// A sum, where its column has room for all of it; a part of a figure would be another figure.
fn short(text: String, columns: u16) -> String {
    if format::width(&text) <= columns {
        text
    } else {
        String::new()
    }
}

/// How many slots there were in the last ten minutes, and who joined and left.
fn slots(canvas: &mut Canvas<'_>, model: &Model) {
    const FIGURES: u16 = 6;
    let theme = canvas.theme;
    let legend = Words::of(glyph::JOINED, theme.accent)
        .and(" joined   ", theme.muted)
        .and(glyph::LEFT, theme.accent)
        .and(" left   ", theme.muted)
        .and(glyph::DEAD, theme.lost)
        .and(" lost", theme.muted);
    section::rule(canvas, &Words::of("Slots, last 10 min", theme.strong()), &legend);
    let rows = canvas.height().saturating_sub(4);
    let columns = canvas.width().saturating_sub(FIGURES + 2);
    let now = model.server_now();
    let values = model
        .history
        .columns(now, SECONDS, usize::from(columns) * 2, |point| {
            point.slots.map(f64::from)
        });
    let top = chart::round_up(values.iter().flatten().copied().fold(0.0, f64::max));
    let figures = [
        (0, format::count(top as u64)),
        (rows.saturating_sub(1), "0".to_owned()),
    ];
    let mut body = canvas.below(1);
    chart::axis(
        &mut body,
        FIGURES,
        rows,
        if rows > 1 { &figures } else { &figures[..1] },
    );
    chart::area(
        &mut body.part(FIGURES + 1, 0, columns, rows),
        &values,
        top,
        theme.busy,
    );
    body.put(FIGURES, rows, "└", theme.rule);
    body.fill(FIGURES + 1, rows, columns, glyph::RULE, theme.rule);
    marks(&mut body.part(FIGURES + 1, rows + 1, columns, 1), model);
    times_of_day(&mut body.part(FIGURES + 1, rows + 2, columns, 1), now);
}

/// Who joined and left, each where it happened; the newest stand when two would touch.
fn marks(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let width = canvas.width();
    let mut free_until = width + 1;
    let shown = model
        .history
        .marks()
        .rev()
        .filter(|mark| mark.kind != MarkKind::Burst);
    for mark in shown {
        let (glyph, style) = match mark.kind {
            MarkKind::Lost => (glyph::DEAD, theme.lost),
            MarkKind::Left => (glyph::LEFT, theme.accent),
            MarkKind::Joined | MarkKind::Burst => (glyph::JOINED, theme.accent),
        };
        let words = Words::of(glyph, style)
            .gap(1)
            .and_outside(&mark.label, theme.muted);
        let Some(x) = column(mark, model, width) else {
            continue;
        };
        let x = x.min(width.saturating_sub(words.width()));
        if x + words.width() < free_until {
            canvas.words(x, 0, &words);
            free_until = x;
        }
    }
}

fn column(mark: &TimeMark, model: &Model, width: u16) -> Option<u16> {
    let ago = (model.server_now() - mark.at).num_seconds();
    let from_left = i64::from(SECONDS) - ago;
    let inside = ago >= 0 && from_left >= 0;
    inside.then(|| u16::try_from(from_left * i64::from(width) / i64::from(SECONDS)).ok())?
}

fn times_of_day(canvas: &mut Canvas<'_>, now: DateTime<Utc>) {
    let theme = canvas.theme;
    let width = canvas.width();
    for nth in 0..5_u16 {
        let at = now - chrono::TimeDelta::seconds(i64::from(SECONDS) * i64::from(5 - nth) / 5);
        let x = u32::from(width) * u32::from(nth) / 5;
        canvas.put(
            u16::try_from(x).unwrap_or(0),
            0,
            &at.format("%H:%M").to_string(),
            theme.muted,
        );
    }
    canvas.words_before(width, 0, &Words::of("now", theme.muted));
}

/// What the worker under the cursor runs, and on which machine.
fn now(canvas: &mut Canvas<'_>, worker: &WorkerLine, model: &Model) {
    let theme = canvas.theme;
    let name = Words::of(format!("{} now", worker.name.short()), theme.strong());
    let name = match trouble_of(worker, model) {
        Some(trouble) if worker.state != WorkerState::Lost => {
            name.gap(3).then(flagged(trouble, worker, theme))
        }
        _ => name,
    };
    let up = match worker.started_at.filter(|_| worker.state != WorkerState::Lost) {
        Some(start) => format!(
            ", up {}",
            format::roughly(format::between(start, model.server_now()))
        ),
        None => String::new(),
    };
    let process = process(worker, theme).and(up, theme.muted);
    let process = match worker.is_ours {
        true => process.and(", ", theme.muted).and("ours", theme.accent),
        false => process,
    };
    section::rule(canvas, &name, &process);
    if worker.jobs.is_empty() {
        canvas.put(1, 1, idles(worker), theme.muted);
        return;
    }
    for (y, job) in (1..canvas.height()).zip(&worker.jobs) {
        running(canvas, y, job, worker, model);
    }
}

/// What is said of a worker without jobs.
const fn idles(worker: &WorkerLine) -> &'static str {
    match worker.state {
        WorkerState::Lost => "It held nothing that is not elsewhere already.",
        _ => "It waits for work.",
    }
}

/// The glyph of a job that a worker holds.
const fn held(worker: &WorkerLine, theme: &Theme) -> (&'static str, Style) {
    match worker.state {
        WorkerState::Lost => (glyph::LOST, theme.lost),
        _ => (glyph::RUNNING, theme.busy),
    }
}

fn process(worker: &WorkerLine, theme: &Theme) -> Words {
    let mut words = Words::default();
    if let Some(pid) = worker.pid {
        words = words.and(format!("pid {pid}"), theme.muted);
    }
    if let Some(host) = &worker.host {
        words = words.and(" on ", theme.muted).and_outside(host, theme.muted);
    }
    words
}

fn running(canvas: &mut Canvas<'_>, y: u16, job: &RunningJob, worker: &WorkerLine, model: &Model) {
    let theme = canvas.theme;
    let width = canvas.width();
    let (glyph, style) = held(worker, theme);
    canvas.put(2, y, glyph, style);
    canvas.put(4, y, &short_id(job.id), theme.accent);
    let input = (width / 3).clamp(16, 48);
    canvas.fitted(
        12,
        y,
        &Words::outside(&short_input(&job.input), theme.text),
        input,
    );
    let ran = format::took(format::between(job.started_at, model.server_now()));
    canvas.words_before(12 + input + 9, y, &Words::of(ran, theme.text));
    let attempt = Words::of(format!("try {}", job.attempt), theme.muted);
    let words = match &job.phase {
        Some(phase) => attempt.gap(3).and_outside(phase, style),
        None => attempt,
    };
    canvas.fitted(12 + input + 12, y, &words, width.saturating_sub(input + 25));
}
