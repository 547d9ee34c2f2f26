//! One stream with the screen for itself: its figures, and all that is told of it in panes.

use millstream::domain::EntryId;

use super::{drains, lag, lag_age, oldest, told};
use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::streams::{Detail, Lag, StreamLine, StreamPane};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::widgets::table::{self, Layout, Row};
use crate::view::widgets::{section, title};
use crate::view::words::Words;

/// Columns of the names of the figures.
const LABEL: u16 = 11;
/// Rows of figures.
const FACTS: u16 = 6;

/// Draws it.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let streams = &model.streams;
    let gap = u16::from(airy);
    let Some(line) = streams.selected() else {
        canvas.put(1, 0, "Streams", canvas.theme.strong());
        let text = "This stream, or this group of it, is gone.";
        condition::sentence(canvas, 1 + gap, model, text, &[CommandId::Out]);
        return;
    };
    heading(canvas, line, model);
    let aged = canvas.theme.aged();
    let stale = streams.page.is_stale();
    let mut canvas = canvas.themed(if stale { &aged } else { canvas.theme });
    let top = 1 + gap;
    facts(&mut canvas.part(1, top, u16::MAX, FACTS), line, model);
    let y = top + FACTS + gap;
    panes(&mut canvas.part(0, y, u16::MAX, 1), line, model);
    let mut below = canvas.below(y + 1);
    match streams.shown_pane() {
        StreamPane::Groups => groups(&mut below, model),
        _ => told::lines(&mut below, line, model, streams.first_line),
    }
}

fn heading(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model) {
    let theme = canvas.theme;
    let within = format!(" {} ", glyph::WITHIN);
    let left = Words::of("Streams", theme.text)
        .and(within.as_str(), theme.muted)
        .and_outside(&line.stream, theme.accent);
    let left = match &line.group {
        Some(group) => left.and(within, theme.muted).and_outside(group, theme.accent),
        None => left,
    };
    let whose = if line.ours {
        "of this queue"
    } else {
        "another application's: only looked at"
    };
    let stale = condition::staleness(&model.streams.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    title::draw(canvas, &left, &[Words::of(whose, theme.muted), stale]);
}

/// Figures of the group, if it is one, and of the stream below them; answers how many rows they took.
pub fn facts_below(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model) -> u16 {
    let [of_stream, of_group] = figures(line, model, canvas.theme);
    let y = match line.lag {
        Lag::None => 0,
        _ => table::facts_in_full(canvas, 0, LABEL, &of_group),
    };
    table::facts_in_full(canvas, y, LABEL, &of_stream)
}

/// Figures in two columns where there is room for them.
fn facts(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model) {
    let [of_stream, of_group] = figures(line, model, canvas.theme);
    if line.lag == Lag::None {
        table::facts(canvas, 0, LABEL, &of_stream);
        return;
    }
    if Room::of(canvas.width()) == Room::Narrow {
        // What can be trusted about the lag matters most.
        table::facts(canvas, 0, LABEL, &of_group);
        return;
    }
    let half = canvas.width() / 2;
    table::facts(
        &mut canvas.part(0, 0, half.saturating_sub(1), FACTS),
        0,
        LABEL,
        &of_stream,
    );
    table::facts(&mut canvas.beside(half), 0, LABEL, &of_group);
}

/// What is known of the stream, and of its group.
fn figures(line: &StreamLine, model: &Model, theme: &Theme) -> [[(&'static str, Words); FACTS as usize]; 2] {
    let stale = model.streams.page.is_stale();
    let text = |text: String| Words::of(text, theme.text);
    let id = |id: Option<EntryId>| text(id.map_or_else(|| "-".to_owned(), |id| id.to_string()));
    let count = |count: Option<u64>| text(count.map_or_else(|| "?".to_owned(), format::count));
    let rate = |rate: Option<f64>| match rate.filter(|_| !stale) {
        Some(rate) => text(format!("{} a second", format::rate(rate))),
        None => Words::of("?", theme.muted),
    };
    let of_stream = [
        ("length", text(format::count(line.length))),
        ("first", id(line.first)),
        ("last", id(line.last)),
        ("added ever", count(line.added)),
        ("in", rate(line.in_per_s)),
        ("groups", text(model.streams.groups().len().to_string())),
    ];
    let of_group = [
        (
            "lag",
            lag(line.lag, stale, theme)
                .gap(2)
                .and(line.lag.why(), theme.muted),
        ),
        ("lag age", lag_age(line, model.server_now(), theme)),
        ("pending", pending(line, theme)),
        ("given out", count(line.read)),
        ("out", rate(line.out_per_s)),
        ("drains in", drains(line, stale, theme)),
    ];
    [of_stream, of_group]
}

/// `212  oldest 4m 10s, 8 consumers`: what is cut first is told in a pane of its own.
fn pending(line: &StreamLine, theme: &Theme) -> Words {
    let consumers = format::plural(line.consumers, "consumer", "consumers");
    let words = Words::of(format::count(line.pending), theme.text).gap(2);
    if line.pending == 0 {
        return words.and(consumers, theme.muted);
    }
    words
        .and("oldest ", theme.muted)
        .then(oldest(line, theme))
        .and(format!(", {consumers}"), theme.muted)
}

/// The panes by their names, the open one told apart, and which lines of it are shown.
fn panes(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model) {
    let theme = canvas.theme;
    let streams = &model.streams;
    let shown = streams.shown_pane();
    let there =
        |pane: &StreamPane| line.group.is_some() || matches!(pane, StreamPane::Entries | StreamPane::Groups);
    let names = StreamPane::ALL.into_iter().filter(there);
    let names = names.fold(Words::default(), |words, pane| {
        let style = if pane == shown { theme.accent } else { theme.muted };
        let gap = if words.is_empty() { 0 } else { 3 };
        words.gap(gap).and(pane.name(), style)
    });
    section::rule(canvas, &names, &Words::of(range(line, model), theme.muted));
}

/// `1 to 24 of 212`, and of many consumers how old the list is.
fn range(line: &StreamLine, model: &Model) -> String {
    let streams = &model.streams;
    let lines = streams.lines();
    let all = match (streams.shown_pane(), streams.detail()) {
        (StreamPane::Groups, _) => lines as u64,
        (_, Some(Detail::Pending(_))) => line.pending,
        (_, Some(Detail::Consumers(Some(told)))) => told.of,
        (_, Some(Detail::Entries(_))) => line.length,
        (_, Some(Detail::Consumers(None)) | None) => return String::new(),
    };
    if lines == 0 {
        return String::new();
    }
    let first = streams.first_line.min(lines - 1);
    let last = (first + model.list_height()).min(lines);
    let text = format!(
        "{} to {last} of {}",
        first + 1,
        format::count(all.max(lines as u64))
    );
    match streams.detail() {
        Some(Detail::Consumers(Some(told))) if told.of > lines as u64 => {
            let age = format::age(format::between(told.at, model.now));
            format!("{text}, those that hold most, {age} ago")
        }
        _ => text,
    }
}

fn groups(canvas: &mut Canvas<'_>, model: &Model) {
    let streams = &model.streams;
    let stale = streams.page.is_stale();
    let columns = super::columns(Room::of(canvas.width()));
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, None);
    let groups = streams.groups();
    if groups.is_empty() {
        canvas.put(1, 1, "No group reads this stream.", canvas.theme.muted);
    }
    let shown = groups.into_iter().skip(streams.first_line);
    for (y, group) in (1..canvas.height()).zip(shown) {
        let row = super::row(group, (stale, model.server_now()), canvas.theme);
        let cursor = streams.list.cursor.as_ref() == Some(&group.key);
        layout.row(canvas, y, &Row { cursor, ..row });
    }
}
