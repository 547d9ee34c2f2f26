//! Keys: what floats takes them first, then the line that is typed, then the view.

use super::{answers, commands, dialog, palette};
use crate::effect::Effect;
use crate::keymap::{self, Key};
use crate::model::overlay::Overlay;
use crate::model::view::View;
use crate::model::{Model, Typing};

/// A filter longer than this is no filter.
const LONGEST: usize = 200;

/// A key was pressed.
pub fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    // Ctrl-C and Ctrl-Z are signals that raw mode has turned into keys; they end and stop the console wherever it
    // stands.
    if key == Key::Ctrl('c') {
        return super::quit(model);
    }
    if key == Key::Ctrl('z') {
        return vec![Effect::Stop];
    }
    match &model.overlay {
        Some(Overlay::Dialog(_)) => return dialog::press(model, key),
        Some(Overlay::Palette(_)) => return palette::press(model, key),
        Some(Overlay::Help) => return in_help(model, key),
        Some(Overlay::Sent { .. }) => return in_sent(model, key),
        None => {}
    }
    if model.typing.is_some() {
        type_filter(model, key);
        return Vec::new();
    }
    match keymap::command(model, key) {
        Some(command) => commands::run(model, command),
        None => Vec::new(),
    }
}

/// Text was pasted: it goes into the line that is typed, and is no command.
pub fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    let visible = text.chars().filter(|c| !c.is_control());
    if let Some(typing) = &mut model.typing {
        typing.text.extend(visible);
        apply(model);
    } else if let Some(Overlay::Palette(open)) = &mut model.overlay {
        open.text.extend(visible);
        palette::find(model);
    } else if let Some(Overlay::Dialog(question)) = &mut model.overlay {
        dialog::paste(question, text);
    }
    Vec::new()
}

fn in_help(model: &mut Model, key: Key) -> Vec<Effect> {
    if matches!(key, Key::Esc | Key::Enter | Key::Char('?' | 'q')) {
        model.overlay = None;
    }
    Vec::new()
}

fn in_sent(model: &mut Model, key: Key) -> Vec<Effect> {
    let last = model.sent.len().saturating_sub(1);
    let page = usize::from(model.size.height / 2).max(1);
    if let Some(Overlay::Sent { offset }) = &mut model.overlay {
        *offset = match key {
            Key::Char('j') | Key::Down => *offset + 1,
            Key::Char('k') | Key::Up => offset.saturating_sub(1),
            Key::PageDown => *offset + page,
            Key::PageUp => offset.saturating_sub(page),
            Key::Char('g') | Key::Home => 0,
            Key::Char('G') | Key::End => last,
            _ => *offset,
        }
        .min(last);
    }
    if matches!(key, Key::Esc | Key::Enter | Key::Char('@' | 'q')) {
        model.overlay = None;
    }
    Vec::new()
}

/// Typing narrows the rows at once; Postgres is asked for the whole of it with the next refresh.
fn type_filter(model: &mut Model, key: Key) {
    let Some(typing) = &mut model.typing else { return };
    match key {
        Key::Enter => {
            model.typing = None;
            return;
        }
        Key::Esc => {
            typing.text = typing.before.clone();
            apply(model);
            model.typing = None;
            return;
        }
        Key::Backspace if typing.text.is_empty() => {
            model.typing = None;
            return;
        }
        Key::Backspace => {
            typing.text.pop();
        }
        Key::Ctrl('u') => typing.text.clear(),
        Key::Char(c) if typing.text.chars().count() < LONGEST => typing.text.push(c),
        _ => return,
    }
    apply(model);
}

/// Starts typing the filter of the open view.
pub fn start_typing(model: &mut Model) {
    if let Some(text) = filter_text(model).map(|text| text.clone()) {
        model.typing = Some(Typing {
            before: text.clone(),
            text,
        });
    }
}

/// Puts what is typed into the view's filter.
fn apply(model: &mut Model) {
    let Some(typed) = model.typing.as_ref().map(|typing| typing.text.clone()) else {
        return;
    };
    if let Some(text) = filter_text(model) {
        *text = typed.chars().take(LONGEST).collect();
    }
    answers::rearrange(model);
    if model.view() == View::Trace {
        let height = model.list_height();
        model.trace.select_match(height);
    }
}

/// The filter of the open view; none where there is nothing to filter.
pub fn filter_text(model: &mut Model) -> Option<&mut String> {
    match model.view() {
        View::Jobs => Some(&mut model.jobs.filter.text),
        View::Trace => Some(&mut model.trace.filter.text),
        View::Workers => Some(&mut model.workers.filter.text),
        View::Pending => Some(&mut model.pending.filter.text),
        View::Dead => Some(&mut model.dead.filter.text),
        View::Streams => Some(&mut model.streams.filter.text),
        View::Activity => Some(&mut model.activity.filter.text),
        View::Overview | View::Job => None,
    }
}
