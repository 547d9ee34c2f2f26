//! Help: every key that works here, and those that do not now, with the reason. Made from the key table.

use millstream::domain::JobState;

use crate::command::{Danger, Group};
use crate::format::{self, Trust};
use crate::glyph;
use crate::keymap::{self, Hint};
use crate::model::Model;
use crate::theme::Theme;
use crate::view::canvas::Canvas;
use crate::view::state;
use crate::view::widgets::popup::{self, Border};
use crate::view::words::Words;

/// The widest that reads well.
const WIDTH: u16 = 112;
/// What the border takes at both sides, and at top and bottom.
const BORDER: (u16, u16) = (6, 2);
/// Columns for the keys.
const KEYS: u16 = 12;
/// Rows that are no keys: one above, one between, the legend.
const OTHER_ROWS: u16 = 3;

/// How wordy the help is, by how much room there is.
#[derive(Clone, Copy)]
struct Density {
    columns: u16,
    whole_sentences: bool,
}

/// Draws the help.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let width = WIDTH.min(canvas.width());
    let room = canvas.height().saturating_sub(BORDER.1 + OTHER_ROWS);
    let inner = width.saturating_sub(BORDER.0);
    let blocks = blocks(model, theme, (inner / 2).saturating_sub(KEYS + 2));
    let choices = [(2, true), (3, false), (4, false), (2, false), (1, false)];
    let density = choices
        .map(|(columns, whole_sentences)| Density {
            columns,
            whole_sentences,
        })
        .into_iter()
        .filter(|density| inner / density.columns >= if density.whole_sentences { 45 } else { 16 })
        .find(|density| flow(&blocks, *density, room).is_some())
        .unwrap_or(Density {
            columns: (inner / 16).clamp(1, 4),
            whole_sentences: false,
        });
    let columns = flow(&blocks, density, room).unwrap_or_else(|| pour(&blocks, density, room));
    let tallest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let height = u16::try_from(tallest)
        .unwrap_or(u16::MAX)
        .saturating_add(BORDER.1 + OTHER_ROWS);
    let border = Border {
        name: &format!("Help: {}", model.view().name()),
        note: "made from the key table   Esc close",
        style: theme.accent,
    };
    let mut inside = popup::open(canvas, (width, height), &border);
    let wide = inside.width() / density.columns.max(1);
    for (nth, lines) in (0..).zip(&columns) {
        for (y, words) in (1..).zip(lines) {
            inside.fitted(nth * wide, y, words, wide.saturating_sub(2));
        }
    }
    let y = inside.height().saturating_sub(1);
    let all = inside.width();
    inside.fitted(0, y, &legend(theme, all), all);
}

/// A row in whole sentences, over as many lines as they need, and in a word.
struct Entry {
    long: Vec<Words>,
    short: Words,
}

/// Rows that belong together: a heading and its keys.
struct Block {
    rows: Vec<Entry>,
}

/// A block for each group, one for what changes something here, and one for what cannot be done now.
fn blocks(model: &Model, theme: &Theme, width: u16) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut here, mut refused) = (Vec::new(), Vec::new());
    for group in Group::ALL {
        let (not_now, now): (Vec<_>, Vec<_>) = keymap::help(model, group)
            .into_iter()
            .partition(|hint| hint.refusal.is_some());
        let (writes, now): (Vec<_>, Vec<_>) = now
            .into_iter()
            .partition(|hint| group == Group::Act && hint.command.command().danger > Danger::Look);
        if !now.is_empty() {
            let rows = now.iter().map(|hint| row(hint, theme, width));
            blocks.push(block(group.name(), rows, theme));
        }
        here.extend(writes);
        refused.extend(not_now);
    }
    if !here.is_empty() {
        let name = format!("HERE: {}", model.view().name().to_uppercase());
        let rows = here.iter().map(|hint| write(hint, model, theme, width));
        blocks.push(block(&name, rows, theme));
    }
    if !refused.is_empty() {
        let rows = refused
            .iter()
            .map(|hint| refusal(hint, hint.refusal.unwrap_or_default(), theme));
        blocks.push(block("NOT NOW, AND WHY", rows, theme));
    }
    blocks
}

/// A row of what changes something, with the rung it stands on.
fn write(hint: &Hint, model: &Model, theme: &Theme, width: u16) -> Entry {
    let rung = format!("rung {}", hint.command.rung(model));
    let room = width.saturating_sub(format::width(&rung) + 2);
    let mut entry = row(hint, theme, room);
    if let Some(first) = entry.long.first_mut() {
        let said = std::mem::take(first);
        let pad = (KEYS + room + 2).saturating_sub(said.width());
        *first = said.gap(pad).and(rung.as_str(), theme.muted);
    }
    entry.short = entry.short.gap(1).and(rung, theme.muted);
    entry
}

fn block(name: &str, rows: impl Iterator<Item = Entry>, theme: &Theme) -> Block {
    let heading = Words::of(name, theme.muted);
    let mut all = vec![Entry {
        long: vec![heading.clone()],
        short: heading,
    }];
    all.extend(rows);
    Block { rows: all }
}

fn row(hint: &Hint, theme: &Theme, width: u16) -> Entry {
    let first = hint.keys.split(' ').next().unwrap_or_default();
    let mut keys = format::fit(&hint.keys, KEYS - 1);
    let long = format::wrap(hint.about, width.max(1)).into_iter().map(|line| {
        let keys = std::mem::take(&mut keys);
        let pad = KEYS.saturating_sub(format::width(&keys));
        Words::of(keys, theme.accent).gap(pad).and(line, theme.text)
    });
    Entry {
        long: long.collect(),
        short: Words::of(first, theme.accent)
            .gap(7_u16.saturating_sub(format::width(first)).max(1))
            .and(hint.short, theme.text),
    }
}

fn refusal(hint: &Hint, why: &str, theme: &Theme) -> Entry {
    let key = format::fit(&hint.keys, KEYS - 1);
    let pad = KEYS.saturating_sub(format::width(&key));
    let long = Words::of(key, theme.muted)
        .gap(pad)
        .and(format!("{}: ", hint.short), theme.muted)
        .and(why, theme.text);
    Entry {
        long: vec![long],
        short: Words::of(format!("{} ", hint.short), theme.muted).and(why, theme.text),
    }
}

/// The blocks in so many columns, none broken; none when they are too tall.
fn flow(blocks: &[Block], density: Density, room: u16) -> Option<Vec<Vec<Words>>> {
    let mut columns: Vec<Vec<Words>> = vec![Vec::new()];
    for block in blocks {
        let open = columns.last_mut()?;
        let gap = usize::from(!open.is_empty());
        let said = said(block, density);
        if open.len() + gap + said.len() > usize::from(room) {
            columns.push(Vec::new());
        }
        let open = columns.last_mut()?;
        if !open.is_empty() {
            open.push(Words::default());
        }
        open.extend(said);
        if open.len() > usize::from(room) {
            return None;
        }
    }
    (columns.len() <= usize::from(density.columns)).then_some(columns)
}

/// The blocks one after the other, broken where a column ends; what does not fit is left out.
fn pour(blocks: &[Block], density: Density, room: u16) -> Vec<Vec<Words>> {
    let lines: Vec<Words> = blocks.iter().flat_map(|block| said(block, density)).collect();
    lines
        .chunks(usize::from(room.max(1)))
        .take(usize::from(density.columns))
        .map(<[Words]>::to_vec)
        .collect()
}

fn said(block: &Block, density: Density) -> Vec<Words> {
    let rows = block.rows.iter();
    if density.whole_sentences {
        rows.flat_map(|entry| entry.long.iter().cloned()).collect()
    } else {
        rows.map(|entry| entry.short.clone()).collect()
    }
}

/// What the glyphs and the marks mean.
fn legend(theme: &Theme, width: u16) -> Words {
    let shown = [
        JobState::Done,
        JobState::Running,
        JobState::Waiting,
        JobState::Retrying,
        JobState::Dead,
    ];
    let words = shown.into_iter().fold(Words::default(), |words, state| {
        words.then(state::job_words(theme, state)).gap(2)
    });
    let words = words.and(format!("{} lost", glyph::LOST), theme.lost);
    let marks = [
        (Trust::Exact, "exact"),
        (Trust::Estimated, "estimate"),
        (Trust::Unknown, "unknown"),
    ];
    let with_marks = marks
        .into_iter()
        .fold(words.clone().gap(2), |words, (trust, word)| {
            words.gap(2).and(format!("{} {word}", trust.mark()), theme.muted)
        });
    if with_marks.width() <= width {
        with_marks
    } else {
        words
    }
}
