//! Keys, pastes and sizes from the terminal, in our words.

use crossterm::event::{
    Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent,
    MouseEventKind,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::keymap::Key;
use crate::model::view::Size;
use crate::msg::{Msg, Pointed, Pointing};

/// Reads until the terminal is gone, which ends the console.
pub async fn read(sender: mpsc::Sender<Msg>) {
    let mut events = EventStream::new();
    while let Some(Ok(event)) = events.next().await {
        let Some(msg) = message(event) else { continue };
        #[cfg(debug_assertions)]
        panic_on_demand(&msg);
        if sender.send(msg).await.is_err() {
            return;
        }
    }
    // Without a terminal nobody can leave by a key.
    let _ended = sender.send(Msg::Quit).await;
}

/// As Ctrl-\\ makes the loop of a debug build panic, Ctrl-] does it to a task beside the loop.
#[cfg(debug_assertions)]
fn panic_on_demand(msg: &Msg) {
    // Terminals send the byte 0x1d for it, which is named after another key.
    let is_asked_for = matches!(msg, Msg::Key(Key::Ctrl('5' | ']')));
    assert!(!is_asked_for, "the panic of a task that was asked for");
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => translate(key).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Mouse(mouse) => pointed(mouse).map(Msg::Mouse),
        Event::Resize(width, height) => Some(Msg::Resize(Size { width, height })),
        _ => None,
    }
}

/// What we do with a mouse. What stands there is added by whoever has drawn it.
fn pointed(event: MouseEvent) -> Option<Pointed> {
    let what = match event.kind {
        MouseEventKind::Down(MouseButton::Left) => Pointing::Click,
        MouseEventKind::ScrollUp => Pointing::WheelUp,
        MouseEventKind::ScrollDown => Pointing::WheelDown,
        _ => return None,
    };
    Some(Pointed {
        what,
        x: event.column,
        y: event.row,
        line: String::new(),
        cursor: None,
    })
}

fn translate(event: KeyEvent) -> Option<Key> {
    // Alt belongs to the terminal or the window manager.
    if event.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    Some(match event.code {
        KeyCode::Char(c) if ctrl => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_in_our_words() {
        let key = |code, modifiers| translate(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('K'), KeyModifiers::SHIFT), Some(Key::Char('K')));
        assert_eq!(
            key(KeyCode::Char('C'), KeyModifiers::CONTROL),
            Some(Key::Ctrl('c'))
        );
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::ALT), None);
        assert_eq!(key(KeyCode::F(1), KeyModifiers::NONE), None);
    }
}
