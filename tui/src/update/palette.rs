//! The command palette: typed words find commands, Enter runs the marked one with what is typed behind its word.
//!
//! The words are those of the command line: `:bury ID`, `:pause REASON`, `:submit URL`, `:dead requeue`.

use millstream::domain::{JobRef, RunId};

use super::{commands, orders};
use crate::command::{COMMANDS, CommandId};
use crate::effect::Effect;
use crate::keymap::Key;
use crate::model::Model;
use crate::model::look::ThemeName;
use crate::model::order::Verb;
use crate::model::overlay::{Overlay, Palette};

/// More than any command with its ids has.
const LONGEST: usize = 400;
/// Lines that are remembered.
const KEPT: usize = 50;

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
        Key::Ctrl('u') => {
            palette.text.clear();
            find(model);
        }
        Key::Down | Key::Ctrl('n') => {
            palette.at = (palette.at + 1).min(palette.found.len().saturating_sub(1));
        }
        Key::Up | Key::Ctrl('p') if palette.at > 0 => palette.at -= 1,
        Key::Up | Key::Ctrl('p') => recall(model),
        Key::Tab => complete(model),
        Key::Char(c) if palette.text.chars().count() < LONGEST => {
            palette.text.push(c);
            find(model);
        }
        Key::Enter => return run_marked(model),
        _ => {}
    }
    Vec::new()
}

/// What was typed before, one line further back each time.
fn recall(model: &mut Model) {
    let Some(Overlay::Palette(palette)) = &mut model.overlay else {
        return;
    };
    if let Some(line) = model.typed.get(palette.back) {
        palette.text.clone_from(line);
        palette.back += 1;
        find(model);
    }
}

/// Puts the marked command's word into the line, or the theme that begins so.
fn complete(model: &mut Model) {
    let Some(Overlay::Palette(palette)) = &mut model.overlay else {
        return;
    };
    let (_, argument) = split(&palette.text);
    let Some(command) = palette.found.get(palette.at) else {
        return;
    };
    let word = command.command().word;
    let completed = match (command, argument) {
        (_, "") => word.to_owned(),
        (CommandId::Theme, start) => {
            let fits = ThemeName::ALL.iter().find(|name| name.word().starts_with(start));
            format!("{word} {}", fits.map_or(start, |name| name.word()))
        }
        (_, argument) => format!("{word} {argument}"),
    };
    let opens = takes_argument(*command) && argument.is_empty();
    palette.text = completed;
    if opens {
        palette.text.push(' ');
    }
    find(model);
}

/// Commands behind whose word something can be typed.
const fn takes_argument(command: CommandId) -> bool {
    matches!(
        command,
        CommandId::Scale | CommandId::Submit | CommandId::Pause | CommandId::Abort | CommandId::Theme
    )
}

fn run_marked(model: &mut Model) -> Vec<Effect> {
    let (marked, text) = match model.overlay.take() {
        Some(Overlay::Palette(palette)) => (palette.found.get(palette.at).copied(), palette.text),
        _ => (None, String::new()),
    };
    remember(model, &text);
    match marked {
        Some(command) => {
            let (_, argument) = split(&text);
            run(model, command, argument)
        }
        None => {
            commands::refuse(model, "there is no such command");
            Vec::new()
        }
    }
}

fn remember(model: &mut Model, text: &str) {
    let text = text.trim();
    if !text.is_empty() && model.typed.front().is_none_or(|last| last != text) {
        model.typed.push_front(text.to_owned());
        model.typed.truncate(KEPT);
    }
}

/// Runs a command with what was typed behind its word.
fn run(model: &mut Model, command: CommandId, argument: &str) -> Vec<Effect> {
    if argument.is_empty() && command != CommandId::Scale {
        return commands::run(model, command);
    }
    let verb = match command {
        CommandId::Retry => Some(Verb::Retry),
        CommandId::Cancel => Some(Verb::Cancel),
        CommandId::Bury => Some(Verb::Bury),
        CommandId::Claim => Some(Verb::Claim),
        CommandId::Requeue => Some(Verb::Requeue),
        CommandId::Drop => Some(Verb::Drop),
        CommandId::Export => Some(Verb::Export),
        _ => None,
    };
    let is_write = command.command().danger > crate::command::Danger::Look;
    if let Some(why) = crate::command::no_order(model).filter(|_| is_write) {
        commands::refuse(model, why);
        return Vec::new();
    }
    match (command, verb) {
        (_, Some(verb)) => match names(argument, verb) {
            Ok(ids) => orders::ask_named(model, verb, ids),
            Err(why) => {
                commands::refuse(model, &why);
                Vec::new()
            }
        },
        (CommandId::Pause, _) if is_run(argument) => orders::ask_run(model, Verb::PauseRun, argument),
        (CommandId::Resume, _) if is_run(argument) => orders::ask_run(model, Verb::ResumeRun, argument),
        (CommandId::Abort, _) if is_run(argument) => orders::ask_run(model, Verb::AbortRun, argument),
        (CommandId::Pause, _) => orders::ask_queue(model, Verb::Pause, argument),
        (CommandId::Submit, _) => orders::ask_submit(model, argument),
        (CommandId::Scale, _) => orders::ask_scale(model, argument),
        (CommandId::Theme, _) => commands::theme(model, argument),
        _ => {
            let text = format!("`{}` takes nothing behind it", command.command().word);
            commands::refuse(model, &text);
            Vec::new()
        }
    }
}

/// Whether a run is named, as `r-41`.
fn is_run(argument: &str) -> bool {
    argument.starts_with("r-") && argument.parse::<RunId>().is_ok()
}

/// Ids as they are typed on the command line.
fn names(argument: &str, verb: Verb) -> Result<Vec<String>, String> {
    let read = |word: &str| {
        let name = match verb {
            Verb::Claim | Verb::Drop => JobRef::parse_entry_too(word),
            _ => word.parse(),
        };
        name.map(|name| name.to_string())
            .map_err(|error| format!("`{word}`: {error}"))
    };
    argument.split_whitespace().map(read).collect()
}

/// The word of a line and what stands behind it. `dead requeue` is the command line's way to say `requeue`.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if word != "dead" || rest.is_empty() {
        return (word, rest);
    }
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    (word, rest.trim())
}

/// Finds the commands whose word or meaning holds what was typed; words that begin with it come first. Once something
/// stands behind the word, the word has to be whole.
pub fn find(model: &mut Model) {
    let Some(Overlay::Palette(palette)) = &mut model.overlay else {
        return;
    };
    let (word, argument) = split(&palette.text);
    let (typed, has_argument) = (word.to_lowercase(), !argument.is_empty());
    let rank = |id: &CommandId| {
        let command = id.command();
        if command.word == typed {
            Some(0)
        } else if has_argument {
            None
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
