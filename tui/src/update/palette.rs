//! The command palette: typed words find commands, Enter runs the marked one.

use super::commands;
use crate::command::{COMMANDS, CommandId};
use crate::effect::Effect;
use crate::keymap::Key;
use crate::model::Model;
use crate::model::overlay::{Overlay, Palette};

/// More letters than any command has.
const LONGEST: usize = 40;

/// Opens it.
pub fn open(model: &mut Model) {
    model.overlay = Some(Overlay::Palette(Palette::default()));
    find(model);
}

/// A key was pressed in it.
pub fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(Overlay::Palette(palette)) = &mut model.overlay else {
        return Vec::new();
    };
    match key {
        Key::Esc => model.overlay = None,
        Key::Backspace if palette.text.is_empty() => model.overlay = None,
        Key::Backspace => {
            palette.text.pop();
            find(model);
        }
        Key::Down | Key::Ctrl('n') => {
            palette.at = (palette.at + 1).min(palette.found.len().saturating_sub(1));
        }
        Key::Up | Key::Ctrl('p') => palette.at = palette.at.saturating_sub(1),
        Key::Tab => {
            if let Some(command) = palette.found.get(palette.at) {
                palette.text = command.command().word.to_owned();
                find(model);
            }
        }
        Key::Char(c) if palette.text.chars().count() < LONGEST => {
            palette.text.push(c);
            find(model);
        }
        Key::Enter => return run_marked(model),
        _ => {}
    }
    Vec::new()
}

fn run_marked(model: &mut Model) -> Vec<Effect> {
    let marked = match &model.overlay {
        Some(Overlay::Palette(palette)) => palette.found.get(palette.at).copied(),
        _ => None,
    };
    model.overlay = None;
    match marked {
        Some(command) => commands::run(model, command),
        None => {
            commands::refuse(model, "there is no such command");
            Vec::new()
        }
    }
}

/// Finds the commands whose word or meaning holds what was typed; words that begin with it come first.
pub fn find(model: &mut Model) {
    let Some(Overlay::Palette(palette)) = &mut model.overlay else {
        return;
    };
    let typed = palette.text.trim().to_lowercase();
    let rank = |id: &CommandId| {
        let command = id.command();
        if command.word == typed {
            Some(0)
        } else if command.word.starts_with(&typed) {
            Some(1)
        } else if command.word.contains(&typed) {
            Some(2)
        } else if command.about.to_lowercase().contains(&typed) {
            Some(3)
        } else {
            None
        }
    };
    let mut found: Vec<(u8, CommandId)> = COMMANDS
        .iter()
        .filter_map(|command| rank(&command.id).map(|rank| (rank, command.id)))
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    palette.found = found.into_iter().map(|(_, id)| id).collect();
    palette.at = 0;
}
