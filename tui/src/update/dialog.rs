//! Keys in a question: its buttons, its fields, and the ways out of it.
//!
//! Enter presses what has the focus, and that is Cancel at first. `y` does it at once on the second rung; where a
//! text is typed it is a letter like every other.

use super::{commands, orders};
use crate::effect::Effect;
use crate::keymap::Key;
use crate::model::Model;
use crate::model::overlay::{Dialog, Field, Focus, Overlay};

/// A key was pressed.
pub fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
        return Vec::new();
    };
    match (dialog.focus, key) {
        (_, Key::Esc) => return cancel(model),
        // It is still looked at what would happen: what is typed ahead is meant for what comes, and must neither close
        // this nor reach the view below.
        _ if dialog.awaits.is_some() => {}
        (_, Key::Tab | Key::Down) => dialog.step(true),
        (_, Key::BackTab | Key::Up) => dialog.step(false),
        (Focus::Field(_), Key::Enter) => dialog.step(true),
        (Focus::Field(nth), key) => type_key(&mut dialog.fields[nth], key),
        (_, Key::Right | Key::Char('l')) => dialog.step(true),
        (_, Key::Left | Key::Char('h')) => dialog.step(false),
        (Focus::Choice(nth), Key::Enter) => return orders::press(model, nth),
        (Focus::Cancel, Key::Enter) | (_, Key::Char('n' | 'q')) => return cancel(model),
        (_, Key::Char('y')) if dialog.rung == 2 && !dialog.choices.is_empty() => {
            return orders::press(model, 0);
        }
        _ => {}
    }
    Vec::new()
}

/// Text was pasted: it goes into the field that has the focus.
pub fn paste(dialog: &mut Dialog, text: &str) {
    if let Focus::Field(nth) = dialog.focus {
        for c in text.chars() {
            type_key(&mut dialog.fields[nth], Key::Char(c));
        }
    }
}

fn type_key(field: &mut Field, key: Key) {
    match key {
        Key::Backspace => {
            field.text.pop();
        }
        Key::Ctrl('u') => field.text.clear(),
        Key::Char(c) if !c.is_control() && field.text.chars().count() < Field::LONGEST => field.text.push(c),
        _ => {}
    }
}

fn cancel(model: &mut Model) -> Vec<Effect> {
    model.overlay = None;
    commands::tell(model, "cancelled, nothing was sent");
    Vec::new()
}
