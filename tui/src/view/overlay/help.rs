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
/// Columns for the keys, and where only the first of them is told.
const KEYS: u16 = 12;
const FIRST_KEY: u16 = 7;
/// Between two columns of rows.
const GAP: u16 = 2;
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
    let choices = [(2, true), (3, false), (4, false), (2, false), (1, false)];
    let choices = choices.map(|(columns, whole_sentences)| Density {
        columns,
        whole_sentences,
    });
    let fits = |density: &Density| inner / density.columns >= if density.whole_sentences { 45 } else { 16 };
    let all = |density: Density| {
        let blocks = blocks(model, theme, density, inner / density.columns);
        flow(&blocks, density.columns, room)
            .or_else(|| pour(&blocks, density.columns, room))
            .map(|columns| (density, columns))
    };
    let narrowest = Density {
        columns: (inner / 16).clamp(1, 4),
        whole_sentences: false,
    };
    let (density, columns, note) = match choices.into_iter().filter(fits).find_map(all) {
        Some((density, columns)) => (density, columns, "made from the key table   Esc close"),
        None => {
            let blocks = blocks(model, theme, narrowest, inner / narrowest.columns);
            let columns = break_off(&blocks, narrowest.columns, room);
            (narrowest, columns, "not all of it fits")
        }
    };
    let tallest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let height = u16::try_from(tallest)
        .unwrap_or(u16::MAX)
        .saturating_add(BORDER.1 + OTHER_ROWS);
    let border = Border {
        name: &format!("Help: {}", model.view().name()),
        note,
        style: theme.accent,
    };
    let mut inside = popup::open(canvas, (width, height), &border);
    let wide = inside.width() / density.columns.max(1);
    for (nth, lines) in (0..).zip(&columns) {
        for (y, words) in (1..).zip(lines) {
            inside.fitted(nth * wide, y, words, wide.saturating_sub(GAP));
        }
    }
    let y = inside.height().saturating_sub(1);
    let all = inside.width();
    inside.fitted(0, y, &legend(theme, all), all);
}

/// Rows that belong together: a heading and its keys.
type Block = Vec<Words>;

/// A block for each group, one for what changes something here, and one for what cannot be done now; no row is wider
/// than a column, which is so wide with the gap behind it.
fn blocks(model: &Model, theme: &Theme, density: Density, wide: u16) -> Vec<Block> {
    let page = Page {
        model,
        theme,
        density,
        width: wide.saturating_sub(GAP),
    };
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
            let rows = now.iter().flat_map(|hint| page.row(hint, ""));
            blocks.push(block(group.name(), rows, theme));
        }
        here.extend(writes);
        refused.extend(not_now);
    }
    if !here.is_empty() {
        let name = format!("HERE: {}", model.view().name().to_uppercase());
        let rows = here.iter().flat_map(|hint| page.write(hint));
        blocks.push(block(&name, rows, theme));
    }
    if !refused.is_empty() {
        let rows = refused.iter().flat_map(|hint| page.refusal(hint));
        blocks.push(block("NOT NOW, AND WHY", rows, theme));
    }
    blocks
}

fn block(name: &str, rows: impl Iterator<Item = Words>, theme: &Theme) -> Block {
    let heading = Words::of(name, theme.muted);
    std::iter::once(heading).chain(rows).collect()
}

/// What the rows of the help are written on.
struct Page<'a> {
    model: &'a Model,
    theme: &'a Theme,
    density: Density,
    width: u16,
}

impl Page<'_> {
    /// A key and what it does, over as many lines as that needs.
    fn row(&self, hint: &Hint, behind: &str) -> Vec<Words> {
        let theme = self.theme;
        let first = hint.keys.split(' ').next().unwrap_or_default();
        let (keys, indent, about) = if self.density.whole_sentences {
            (format::fit(&hint.keys, KEYS - 1), KEYS, hint.about)
        } else {
            (first.to_owned(), FIRST_KEY, hint.short)
        };
        let pad = indent.saturating_sub(format::width(&keys)).max(1);
        let keys = Words::of(keys, theme.accent).gap(pad);
        let mut lines = keys.and(about, theme.text).wrap(self.width, indent);
        let behind = Words::of(behind, theme.muted);
        match lines.last_mut() {
            _ if behind.is_empty() => {}
            Some(last) if last.width() + 1 + behind.width() <= self.width => {
                let free = self.width - last.width() - behind.width();
                // In whole sentences it stands in a column of its own.
                let gap = if self.density.whole_sentences { free } else { 1 };
                *last = std::mem::take(last).gap(gap).then(behind);
            }
            _ => lines.push(Words::default().gap(indent).then(behind)),
        }
        lines
    }

    /// A row of what changes something, with the rung it stands on.
    fn write(&self, hint: &Hint) -> Vec<Words> {
        self.row(hint, &format!("rung {}", hint.command.rung(self.model)))
    }

    /// What cannot be done now.
    fn refusal(&self, hint: &Hint) -> Vec<Words> {
        let theme = self.theme;
        let why = hint.refusal.unwrap_or_default();
        let (start, indent) = if self.density.whole_sentences {
            let key = format::fit(&hint.keys, KEYS - 1);
            let pad = KEYS.saturating_sub(format::width(&key));
            let name = format!("{}: ", hint.short);
            (Words::of(key, theme.muted).gap(pad).and(name, theme.muted), KEYS)
        } else {
            (Words::of(format!("{}: ", hint.short), theme.muted), 2)
        };
        start.and(why, theme.text).wrap(self.width, indent)
    }
}

/// The blocks in so many columns, none broken; none when they are too tall.
fn flow(blocks: &[Block], most: u16, room: u16) -> Option<Vec<Vec<Words>>> {
    let mut columns: Vec<Vec<Words>> = vec![Vec::new()];
    for block in blocks {
        let open = columns.last_mut()?;
        let gap = usize::from(!open.is_empty());
        if open.len() + gap + block.len() > usize::from(room) {
            columns.push(Vec::new());
        }
        let open = columns.last_mut()?;
        if !open.is_empty() {
            open.push(Words::default());
        }
        open.extend(block.iter().cloned());
        if open.len() > usize::from(room) {
            return None;
        }
    }
    (columns.len() <= usize::from(most)).then_some(columns)
}

/// The blocks one below the other, broken where a column ends, but never behind a heading; none when they are too tall.
fn pour(blocks: &[Block], most: u16, room: u16) -> Option<Vec<Vec<Words>>> {
    let room = usize::from(room);
    let mut columns: Vec<Vec<Words>> = vec![Vec::new()];
    for block in blocks {
        for (nth, line) in block.iter().enumerate() {
            let open = columns.last_mut()?;
            let gap = usize::from(nth == 0 && !open.is_empty());
            // A heading takes its first row with it.
            let takes = gap + if nth == 0 { 2 } else { 1 };
            if open.len() + takes > room {
                columns.push(Vec::new());
            } else if gap > 0 {
                open.push(Words::default());
            }
            columns.last_mut()?.push(line.clone());
        }
    }
    (columns.len() <= usize::from(most)).then_some(columns)
}

/// The blocks without anything between them; what does not fit is left out.
fn break_off(blocks: &[Block], most: u16, room: u16) -> Vec<Vec<Words>> {
    let lines: Vec<Words> = blocks.iter().flatten().cloned().collect();
    lines
        .chunks(usize::from(room.max(1)))
        .take(usize::from(most))
        .map(<[Words]>::to_vec)
        .collect()
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
    let states = shown.into_iter().map(|state| state::job_words(theme, state));
    let lost = Words::of(format!("{} lost", glyph::LOST), theme.lost);
    // As many as there is room for, none of them cut.
    let words = states.chain([lost]).fold(Words::default(), |words, state| {
        let gap = if words.is_empty() { 0 } else { 2 };
        let longer = words.clone().gap(gap).then(state);
        if longer.width() <= width { longer } else { words }
    });
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
