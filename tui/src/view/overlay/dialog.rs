//! A question before something is done: what will happen, what has to be typed, and buttons of which Cancel is
//! marked first.

use millstream::untrusted::visible;
use ratatui::style::Modifier;

use crate::format;
use crate::glyph;
use crate::model::overlay::{Dialog, Field, Focus};
use crate::view::canvas::Canvas;
use crate::view::widgets::popup::{self, Border};
use crate::view::words::Words;

/// The width of a short question, and of a plan.
const WIDTHS: (u16, u16) = (76, 84);
/// What the border takes at both sides, and what it takes above and below.
const SIDES: u16 = 6;
const EDGES: u16 = 2;
/// The names of facts and fields stand in a column as wide as this at most.
const NAMES: u16 = 22;

/// Draws the question.
pub fn draw(canvas: &mut Canvas<'_>, dialog: &Dialog) {
    let theme = canvas.theme;
    let is_plan = !dialog.fields.is_empty() || !dialog.facts.is_empty();
    let width = if is_plan { WIDTHS.1 } else { WIDTHS.0 }.min(canvas.width());
    let inner = width.saturating_sub(SIDES);
    let said = said(canvas, dialog, inner);
    let room = canvas.height().saturating_sub(EDGES);
    let below = below(dialog);
    // Where there is little room the sentences give way: what has to be typed is never pushed off the screen.
    let airy = rows(said.len()) + below + 3 <= room;
    let shown = rows(said.len()).min(room.saturating_sub(below + if airy { 3 } else { 0 }));
    let border = Border {
        name: &dialog.title.to_string(),
        note: &format!("rung {} of 4", dialog.rung),
        style: if dialog.rung > 1 { theme.dead } else { theme.accent },
    };
    let height = EDGES + shown + below + if airy { 3 } else { 0 };
    let mut inside = popup::open(canvas, (width, height), &border);
    let mut y = u16::from(airy);
    for words in said.iter().take(usize::from(shown)) {
        inside.fitted(0, y, words, inner);
        y += 1;
    }
    y += u16::from(airy);
    for (nth, field) in dialog.fields.iter().enumerate() {
        draw_field(
            &mut inside.part(0, y, u16::MAX, 1),
            field,
            dialog.focus == Focus::Field(nth),
        );
        y += 1;
    }
    if !dialog.fields.is_empty() {
        y += 1;
    }
    buttons(&mut inside, y, dialog);
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX / 2)
}

/// Rows of what is typed and pressed.
fn below(dialog: &Dialog) -> u16 {
    let fields = rows(dialog.fields.len());
    if fields == 0 { 1 } else { fields + 2 }
}

/// What is told, line by line: sentences, then facts with their names.
fn said(canvas: &Canvas<'_>, dialog: &Dialog, inner: u16) -> Vec<Words> {
    let theme = canvas.theme;
    let mut said: Vec<Words> = Vec::new();
    for line in &dialog.lines {
        let lines = format::wrap(&line.to_string(), inner);
        said.extend(lines.into_iter().map(|line| Words::of(line, theme.text)));
    }
    let names = dialog
        .facts
        .iter()
        .map(|(name, _)| format::width(&name.to_string()));
    let column = (names.max().unwrap_or(0) + 2).min(NAMES).min(inner / 2);
    for (name, text) in &dialog.facts {
        let mut name = format::fit(&name.to_string(), column.saturating_sub(1));
        for line in format::wrap(&text.to_string(), inner.saturating_sub(column).max(1)) {
            let name = std::mem::take(&mut name);
            let pad = column.saturating_sub(format::width(&name));
            said.push(Words::of(name, theme.strong()).gap(pad).and(line, theme.text));
        }
    }
    said
}

fn draw_field(canvas: &mut Canvas<'_>, field: &Field, focused: bool) {
    let theme = canvas.theme;
    let width = canvas.width();
    // A queue's name may stand in it, and in the complaint what was pasted.
    let label = visible(&field.label);
    let column = (format::width(&label) + 2)
        .clamp(10, NAMES.max(10))
        .min(width / 2);
    let (name, edge) = if focused {
        (theme.strong(), theme.accent)
    } else {
        (theme.text, theme.muted)
    };
    canvas.fitted(0, 0, &Words::of(label, name), column.saturating_sub(1));
    let complaint = field
        .complaint()
        .map_or_else(String::new, |complaint| visible(&complaint));
    let taken = if complaint.is_empty() {
        0
    } else {
        format::width(&complaint) + 2
    };
    let room = width.saturating_sub(column + 4 + taken).max(4);
    let mut text = visible(&field.text);
    if focused {
        text.push('█');
    }
    // The end of what is typed is what its typist looks at.
    let text = format::fit_tail(&text, room);
    let pad = room.saturating_sub(format::width(&text));
    let words = Words::of("[ ", edge)
        .and(text, theme.strong())
        .gap(pad)
        .and(" ]", edge)
        .gap(if complaint.is_empty() { 0 } else { 2 })
        .and(complaint, theme.dead);
    canvas.fitted(column, 0, &words, width.saturating_sub(column));
}

fn buttons(canvas: &mut Canvas<'_>, y: u16, dialog: &Dialog) {
    let end = canvas.width();
    let mut start = button(canvas, end, y, ("Cancel", dialog.focus == Focus::Cancel, true));
    for (nth, choice) in dialog.choices.iter().enumerate() {
        let face = (
            choice.word.as_str(),
            dialog.focus == Focus::Choice(nth),
            dialog.is_armed(nth),
        );
        start = button(canvas, start.saturating_sub(1), y, face);
    }
    let does_it = dialog.rung == 2 && dialog.fields.is_empty();
    let words = if does_it { " does it   " } else { " next   " };
    let hint = Words::of(if does_it { "y" } else { "Tab" }, canvas.theme.accent)
        .and(words, canvas.theme.muted)
        .and("Esc", canvas.theme.accent)
        .and(" does not", canvas.theme.muted);
    if hint.width() + 2 <= start {
        canvas.words(0, y, &hint);
    }
}

/// A button that ends before a column; answers where it begins. One that is dead is told apart by its brackets, too.
fn button(canvas: &mut Canvas<'_>, end: u16, y: u16, (word, marked, armed): (&str, bool, bool)) -> u16 {
    let theme = canvas.theme;
    let face = theme.text.patch(theme.selected);
    let text = if armed {
        format!("[ {word} ]")
    } else {
        format!("( {word} )")
    };
    let words = if marked {
        let edge = theme.accent.patch(theme.selected);
        Words::of(glyph::CURSOR, edge)
            .and(text, face.add_modifier(Modifier::BOLD | Modifier::UNDERLINED))
            .and(glyph::CURSOR_END, edge)
    } else {
        let style = if armed { theme.text } else { theme.muted };
        Words::of(format!(" {text} "), style)
    };
    canvas.words_before(end, y, &words)
}
