//! Which key is which command, in which view: one table for dispatch, footer, help and the README.
//!
//! A key in a view's own scope wins over the same key in [`Scope::Anywhere`]. What is typed into a line, and
//! the answers to a question, are no commands; [`crate::update`] knows those few keys itself.

use serde::{Deserialize, Serialize};

use crate::command::{CommandId, Group};
use crate::model::Model;
use crate::model::view::View;

/// A key as it is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// A character, with Shift where it has one.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Tab with Shift.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

impl Key {
    /// Keys that are written as a word, with the word.
    const NAMED: [(&'static str, Self); 13] = [
        ("Enter", Self::Enter),
        ("Esc", Self::Esc),
        ("Tab", Self::Tab),
        ("Shift-Tab", Self::BackTab),
        ("Backspace", Self::Backspace),
        ("↑", Self::Up),
        ("↓", Self::Down),
        ("←", Self::Left),
        ("→", Self::Right),
        ("PgUp", Self::PageUp),
        ("PgDn", Self::PageDown),
        ("Home", Self::Home),
        ("End", Self::End),
    ];

    /// What stands on the key.
    pub fn label(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("Ctrl-{c}"),
            named => Self::NAMED
                .iter()
                .find(|(_, key)| *key == named)
                .map_or_else(String::new, |(word, _)| (*word).to_owned()),
        }
    }

    /// The key of a word in a key script: `enter`, `shift-tab`, `c-d`, `up`, `space`.
    fn from_word(word: &str) -> Option<Self> {
        let lower = word.to_lowercase();
        match lower.as_str() {
            "space" => Some(Self::Char(' ')),
            "lt" => Some(Self::Char('<')),
            "up" => Some(Self::Up),
            "down" => Some(Self::Down),
            "left" => Some(Self::Left),
            "right" => Some(Self::Right),
            other => match other.strip_prefix("c-") {
                Some(rest) => rest.chars().next().map(Self::Ctrl),
                None => Self::NAMED
                    .iter()
                    .find(|(name, _)| name.to_lowercase() == other)
                    .map(|(_, key)| *key),
            },
        }
    }
}

/// The keys of a script: `jjR<tab><enter>`, `/class:timeout<enter>`.
///
/// # Errors
/// When a word in angle brackets is no key; it is the answer.
pub fn parse(script: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        let word = rest.strip_prefix('<').and_then(|inner| inner.split_once('>'));
        rest = match word {
            Some((word, behind)) => {
                keys.push(Key::from_word(word).ok_or_else(|| word.to_owned())?);
                behind
            }
            None => {
                keys.push(Key::Char(c));
                &rest[c.len_utf8()..]
            }
        };
    }
    Ok(keys)
}

/// Where a key has its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Scope {
    /// In every view.
    Anywhere,
    /// In one view only.
    In(View),
}

/// Where a binding stands in the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Footer {
    /// Nowhere: help tells it.
    No,
    /// Among the first: what this view is for.
    First,
    /// Behind those.
    Last,
}

/// A key with its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// Where.
    pub scope: Scope,
    /// The key.
    pub key: Key,
    /// The command.
    pub command: CommandId,
    /// Its place in the footer.
    pub footer: Footer,
}

const fn bind(scope: Scope, key: Key, command: CommandId, footer: Footer) -> Binding {
    Binding {
        scope,
        key,
        command,
        footer,
    }
}

const ANY: Scope = Scope::Anywhere;
const OVERVIEW: Scope = Scope::In(View::Overview);
const JOBS: Scope = Scope::In(View::Jobs);
const PENDING: Scope = Scope::In(View::Pending);
const DEAD: Scope = Scope::In(View::Dead);
const STREAMS: Scope = Scope::In(View::Streams);
const ACTIVITY: Scope = Scope::In(View::Activity);
const JOB: Scope = Scope::In(View::Job);
const TRACE: Scope = Scope::In(View::Trace);
const WORKERS: Scope = Scope::In(View::Workers);

/// Every binding. The first key of a command is the one that is shown.
pub const BINDINGS: &[Binding] = &[
    bind(ANY, Key::Char('1'), CommandId::Overview, Footer::No),
    bind(ANY, Key::Char('2'), CommandId::Jobs, Footer::No),
    bind(ANY, Key::Char('3'), CommandId::Pending, Footer::No),
    bind(ANY, Key::Char('4'), CommandId::Workers, Footer::No),
    bind(ANY, Key::Char('5'), CommandId::Dead, Footer::No),
    bind(ANY, Key::Char('6'), CommandId::Trace, Footer::No),
    bind(ANY, Key::Char('7'), CommandId::Streams, Footer::No),
    bind(ANY, Key::Char('8'), CommandId::Activity, Footer::No),
    bind(ANY, Key::Enter, CommandId::Enter, Footer::First),
    bind(ANY, Key::Esc, CommandId::Out, Footer::No),
    bind(ANY, Key::Backspace, CommandId::Previous, Footer::No),
    bind(ANY, Key::Char('j'), CommandId::Down, Footer::No),
    bind(ANY, Key::Down, CommandId::Down, Footer::No),
    bind(ANY, Key::Char('k'), CommandId::Up, Footer::No),
    bind(ANY, Key::Up, CommandId::Up, Footer::No),
    bind(ANY, Key::PageDown, CommandId::PageDown, Footer::No),
    bind(ANY, Key::Ctrl('f'), CommandId::PageDown, Footer::No),
    bind(ANY, Key::PageUp, CommandId::PageUp, Footer::No),
    bind(ANY, Key::Ctrl('b'), CommandId::PageUp, Footer::No),
    bind(ANY, Key::Char('g'), CommandId::First, Footer::No),
    bind(ANY, Key::Home, CommandId::First, Footer::No),
    bind(ANY, Key::Char('G'), CommandId::Last, Footer::No),
    bind(ANY, Key::End, CommandId::Last, Footer::No),
    bind(ANY, Key::Char('t'), CommandId::ShowTrace, Footer::No),
    bind(ANY, Key::Char('/'), CommandId::Filter, Footer::No),
    bind(ANY, Key::Char('p'), CommandId::Freeze, Footer::Last),
    bind(ANY, Key::Char('r'), CommandId::Refresh, Footer::No),
    bind(ANY, Key::Char('I'), CommandId::Interval, Footer::No),
    bind(ANY, Key::Char('T'), CommandId::Theme, Footer::No),
    bind(ANY, Key::Char('?'), CommandId::Help, Footer::Last),
    bind(ANY, Key::Char('@'), CommandId::Sent, Footer::Last),
    bind(ANY, Key::Char(':'), CommandId::Palette, Footer::No),
    bind(ANY, Key::Char('q'), CommandId::Quit, Footer::Last),
    bind(ANY, Key::Ctrl('r'), CommandId::Record, Footer::No),
    bind(ANY, Key::Char('n'), CommandId::Submit, Footer::No),
    bind(ANY, Key::Char('b'), CommandId::Burst, Footer::No),
    bind(ANY, Key::Char('+'), CommandId::AddWorker, Footer::No),
    bind(ANY, Key::Char('-'), CommandId::DrainWorker, Footer::No),
    bind(OVERVIEW, Key::Char('+'), CommandId::AddWorker, Footer::First),
    bind(OVERVIEW, Key::Char('-'), CommandId::DrainWorker, Footer::First),
    bind(OVERVIEW, Key::Char('K'), CommandId::KillWorker, Footer::First),
    bind(OVERVIEW, Key::Char('n'), CommandId::Submit, Footer::First),
    bind(OVERVIEW, Key::Char('b'), CommandId::Burst, Footer::First),
    bind(JOBS, Key::Char('t'), CommandId::ShowTrace, Footer::First),
    bind(JOBS, Key::Char('/'), CommandId::Filter, Footer::First),
    bind(JOBS, Key::Char('s'), CommandId::Sort, Footer::First),
    bind(JOBS, Key::Char('S'), CommandId::Turn, Footer::First),
    bind(JOBS, Key::Char(' '), CommandId::Mark, Footer::First),
    bind(JOBS, Key::Char('*'), CommandId::MarkAll, Footer::No),
    bind(JOBS, Key::Char('u'), CommandId::Unmark, Footer::No),
    bind(PENDING, Key::Char('t'), CommandId::ShowTrace, Footer::First),
    bind(PENDING, Key::Char('/'), CommandId::Filter, Footer::First),
    bind(PENDING, Key::Char('s'), CommandId::Sort, Footer::First),
    bind(PENDING, Key::Char('S'), CommandId::Turn, Footer::First),
    bind(PENDING, Key::Char('g'), CommandId::First, Footer::First),
    bind(PENDING, Key::Char('G'), CommandId::Last, Footer::First),
    bind(PENDING, Key::Char(' '), CommandId::Mark, Footer::No),
    bind(PENDING, Key::Char('*'), CommandId::MarkAll, Footer::No),
    bind(PENDING, Key::Char('u'), CommandId::Unmark, Footer::No),
    bind(DEAD, Key::Char('t'), CommandId::ShowTrace, Footer::First),
    bind(DEAD, Key::Char('/'), CommandId::Filter, Footer::First),
    bind(DEAD, Key::Char('s'), CommandId::Sort, Footer::First),
    bind(DEAD, Key::Char('S'), CommandId::Turn, Footer::First),
    bind(STREAMS, Key::Tab, CommandId::NextPane, Footer::First),
    bind(STREAMS, Key::Char('/'), CommandId::Filter, Footer::First),
    bind(STREAMS, Key::Char('s'), CommandId::Sort, Footer::First),
    bind(STREAMS, Key::Char('S'), CommandId::Turn, Footer::First),
    bind(ACTIVITY, Key::Char('/'), CommandId::Filter, Footer::First),
    bind(JOB, Key::Char('t'), CommandId::ShowTrace, Footer::First),
    bind(JOB, Key::Tab, CommandId::NextPane, Footer::First),
    bind(JOB, Key::Esc, CommandId::Out, Footer::First),
    bind(TRACE, Key::Char('c'), CommandId::CriticalPath, Footer::First),
    bind(TRACE, Key::Char('m'), CommandId::HideShort, Footer::First),
    bind(TRACE, Key::Char('>'), CommandId::ZoomIn, Footer::First),
    bind(TRACE, Key::Char('<'), CommandId::ZoomOut, Footer::First),
    bind(TRACE, Key::Char('h'), CommandId::PanLeft, Footer::First),
    bind(TRACE, Key::Left, CommandId::PanLeft, Footer::No),
    bind(TRACE, Key::Char('l'), CommandId::PanRight, Footer::No),
    bind(TRACE, Key::Right, CommandId::PanRight, Footer::No),
    bind(TRACE, Key::Char('/'), CommandId::Filter, Footer::First),
    bind(TRACE, Key::Char('i'), CommandId::SpanInput, Footer::First),
    bind(TRACE, Key::Char('o'), CommandId::SpanOutput, Footer::First),
    bind(TRACE, Key::Char('a'), CommandId::SpanAttributes, Footer::First),
    bind(TRACE, Key::Char('J'), CommandId::ShowJob, Footer::First),
    bind(WORKERS, Key::Char('+'), CommandId::AddWorker, Footer::First),
    bind(WORKERS, Key::Char('-'), CommandId::DrainWorker, Footer::First),
    bind(WORKERS, Key::Char('K'), CommandId::KillWorker, Footer::First),
    bind(WORKERS, Key::Char('s'), CommandId::Sort, Footer::First),
    bind(WORKERS, Key::Char('S'), CommandId::Turn, Footer::No),
    bind(WORKERS, Key::Char('/'), CommandId::Filter, Footer::First),
];

/// The command of a key in a view.
pub fn command(view: View, key: Key) -> Option<CommandId> {
    let in_scope = |scope: Scope| {
        BINDINGS
            .iter()
            .find(|binding| binding.scope == scope && binding.key == key)
            .map(|binding| binding.command)
    };
    in_scope(Scope::In(view)).or_else(|| in_scope(Scope::Anywhere))
}

/// The key that is shown for a command in a view.
pub fn key(view: View, command: CommandId) -> Option<Key> {
    let in_scope = |scope: Scope| {
        BINDINGS
            .iter()
            .find(|binding| binding.scope == scope && binding.command == command)
            .map(|binding| binding.key)
    };
    in_scope(Scope::In(view)).or_else(|| in_scope(Scope::Anywhere))
}

/// A key and what it does, for footer and help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// What stands on the keys.
    pub keys: String,
    /// What they do, in one or two words.
    pub short: &'static str,
    /// What they do, in a few words.
    pub about: &'static str,
    /// The command.
    pub command: CommandId,
}

/// The keys that work here and now, the most useful first. As many of them are drawn as there is room for.
pub fn footer(model: &Model) -> Vec<Hint> {
    let scope = Scope::In(model.view());
    let rank = |binding: &Binding| (binding.footer == Footer::Last, binding.key != Key::Enter);
    let mut shown: Vec<&Binding> = BINDINGS
        .iter()
        .filter(|binding| binding.footer != Footer::No)
        .filter(|binding| binding.scope == scope || binding.scope == Scope::Anywhere)
        .filter(|binding| binding.command.is_available(model))
        .collect();
    shown.sort_by_key(|binding| rank(binding));
    shown
        .iter()
        .map(|binding| hint(&[binding.key], binding.command))
        .collect()
}

/// Every command of a group that has a key here, with all its keys, and why it cannot be done now.
pub fn help(model: &Model, group: Group) -> Vec<(Hint, Option<&'static str>)> {
    let scope = Scope::In(model.view());
    let mut rows: Vec<(Hint, Option<&'static str>)> = Vec::new();
    for binding in BINDINGS
        .iter()
        .filter(|binding| binding.command.command().group == group)
    {
        let here = binding.scope == scope || binding.scope == Scope::Anywhere;
        if !here || rows.iter().any(|(hint, _)| hint.command == binding.command) {
            continue;
        }
        let mut keys: Vec<Key> = BINDINGS
            .iter()
            .filter(|other| {
                other.command == binding.command && (other.scope == scope || other.scope == Scope::Anywhere)
            })
            .map(|other| other.key)
            .collect();
        keys.dedup();
        rows.push((hint(&keys, binding.command), binding.command.refusal(model)));
    }
    rows
}

/// All bindings as a table in Markdown, for the README.
pub fn markdown() -> String {
    let mut lines = vec![
        "| where | key | what it does |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    for binding in BINDINGS {
        let place = match binding.scope {
            Scope::Anywhere => "anywhere",
            Scope::In(view) => view.name(),
        };
        let about = binding.command.command().about;
        lines.push(format!("| {place} | `{}` | {about} |", binding.key.label()));
    }
    lines.join("\n") + "\n"
}

fn hint(keys: &[Key], command: CommandId) -> Hint {
    let facts = command.command();
    let labels: Vec<String> = keys.iter().map(|key| key.label()).collect();
    Hint {
        keys: labels.join(" "),
        short: facts.short,
        about: facts.about,
        command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::COMMANDS;
    use std::collections::HashSet;

    #[test]
    fn no_key_is_bound_twice_in_a_scope() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            assert!(seen.insert((binding.scope, binding.key)), "{binding:?}");
        }
    }

    #[test]
    fn every_command_has_a_key() {
        for command in COMMANDS {
            let bound = BINDINGS.iter().any(|binding| binding.command == command.id);
            assert!(bound, "{:?}", command.id);
        }
    }

    #[test]
    fn a_script_is_read_as_a_person_would_press_it() {
        let keys = parse("jR<tab><enter>/a<lt>b<c-d>").unwrap();
        assert_eq!(keys.len(), 9);
        assert_eq!(
            (keys[2], keys[3], keys[8]),
            (Key::Tab, Key::Enter, Key::Ctrl('d'))
        );
        assert_eq!(parse("<nokey>"), Err("nokey".to_owned()));
    }

    #[test]
    fn the_views_own_key_wins() {
        assert_eq!(command(View::Trace, Key::Char('h')), Some(CommandId::PanLeft));
        assert_eq!(command(View::Jobs, Key::Char('h')), None);
        assert_eq!(key(View::Workers, CommandId::KillWorker), Some(Key::Char('K')));
    }
}
