//! Which key is which command, in which view: one table for dispatch, footer, help and the README.
//!
//! A key in a view's own scope wins over the same key in [`Scope::Anywhere`]. A key may stand for several commands of
//! a scope: the first of them that can be done now is meant, so `R` runs a retrying job now and re-queues a dead one.
//! What is typed into a line, and the answers to a question, are no commands; [`crate::update`] knows those few
//! keys itself. [`mod@file`] reads what a person wants otherwise.

mod bindings;
pub mod file;
mod key;

use serde::{Deserialize, Serialize};

use crate::command::{CommandId, Danger, Group};
use crate::model::view::View;
use crate::model::{Access, Model};

pub use bindings::BINDINGS;
pub use key::{Key, parse};

/// Where a key has its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// In every view.
    Anywhere,
    /// In one view only.
    In(View),
}

impl Scope {
    /// The word of tables and files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Anywhere => "anywhere",
            Self::In(view) => view.name(),
        }
    }
}

/// Where a binding stands in the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Footer {
    /// Nowhere: help tells it.
    No,
    /// Among the first: what this view is for.
    First,
    /// Behind those.
    Last,
}

/// A key with its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// The keys as they are bound for this person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys(Vec<Binding>);

impl Default for Keys {
    fn default() -> Self {
        Self(BINDINGS.to_vec())
    }
}

impl Keys {
    /// Whether nobody has bound anything anew: such keys need not be recorded.
    pub fn are_usual(&self) -> bool {
        self.0 == BINDINGS
    }

    /// All of them.
    pub fn bindings(&self) -> &[Binding] {
        &self.0
    }

    /// The commands of a key in a view: those of its own scope, else those of everywhere.
    fn commands(&self, view: View, key: Key) -> Vec<CommandId> {
        let in_scope = |scope: Scope| -> Vec<CommandId> {
            let bound = self.0.iter();
            bound
                .filter(|binding| binding.scope == scope && binding.key == key)
                .map(|binding| binding.command)
                .collect()
        };
        let own = in_scope(Scope::In(view));
        if own.is_empty() {
            in_scope(Scope::Anywhere)
        } else {
            own
        }
    }

    /// The key that is shown for a command in a view.
    pub fn key(&self, view: View, command: CommandId) -> Option<Key> {
        let in_scope = |scope: Scope| {
            let mut bound = self.0.iter();
            bound
                .find(|binding| binding.scope == scope && binding.command == command)
                .map(|binding| binding.key)
        };
        in_scope(Scope::In(view)).or_else(|| in_scope(Scope::Anywhere))
    }
}

/// The command that a key means now: the first of its commands that can be done, else the first.
pub fn command(model: &Model, key: Key) -> Option<CommandId> {
    let bound = model.keys.commands(model.view(), key);
    let able = bound.iter().find(|command| command.is_available(model));
    able.or(bound.first()).copied()
}

/// The key that is shown for a command in the open view.
pub fn key(model: &Model, command: CommandId) -> Option<Key> {
    model.keys.key(model.view(), command)
}

/// A key and what it does, for footer and help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// What stands on the keys.
    pub keys: String,
    /// What they do, in one or two words.
    pub short: &'static str,
    /// What they do, in a few words.
    pub about: &'static str,
    /// The command.
    pub command: CommandId,
    /// Why it cannot be done now.
    pub refusal: Option<&'static str>,
}

/// The keys that work here and now, the most useful first. As many of them are drawn as there is room for.
///
/// What acts on rows and does not fit this row stays in its place, dimmed. What the console may not do at all is not
/// among them.
pub fn footer(model: &Model) -> Vec<Hint> {
    let scope = Scope::In(model.view());
    let rank = |binding: &Binding| (binding.footer == Footer::Last, binding.key != Key::Enter);
    let bindings = model.keys.bindings().iter();
    let mut shown: Vec<&Binding> = bindings
        .filter(|binding| binding.footer != Footer::No)
        .filter(|binding| binding.scope == scope || binding.scope == Scope::Anywhere)
        .filter(|binding| has_place(model, binding.command))
        .filter(|binding| binding.command.is_available(model) || is_told_of(model, binding.command))
        .collect();
    shown.sort_by_key(|binding| rank(binding));
    let mut hints: Vec<Hint> = Vec::new();
    for binding in shown {
        let said = hint(model, &[binding.key], binding.command);
        // Of several commands on one key the first that can be done is told, else the first.
        match hints.iter_mut().find(|known| known.keys == said.keys) {
            Some(known) if known.refusal.is_some() && said.refusal.is_none() => *known = said,
            Some(_) => {}
            None => hints.push(said),
        }
    }
    hints
}

/// Whether a command of this view is worth its place in the footer now: one stream that has the whole screen has a way
/// back and no list, and an action is told beside its row already.
fn has_place(model: &Model, command: CommandId) -> bool {
    let is_of_list = matches!(
        command,
        CommandId::Enter | CommandId::Filter | CommandId::Sort | CommandId::Turn
    );
    match model.view() {
        View::Streams if model.streams.open => !is_of_list,
        View::Streams => command != CommandId::Out,
        View::Activity => command != CommandId::Enter,
        _ => true,
    }
}

/// Whether a command that cannot be done now is told of all the same.
fn is_told_of(model: &Model, command: CommandId) -> bool {
    let facts = command.command();
    facts.group == Group::Act && facts.danger > Danger::Look && model.access == Access::ReadWrite
}

/// Every command of a group that has a key here, with all its keys, and why it cannot be done now.
pub fn help(model: &Model, group: Group) -> Vec<Hint> {
    let scope = Scope::In(model.view());
    let here = |binding: &&Binding| binding.scope == scope || binding.scope == Scope::Anywhere;
    let bindings: Vec<&Binding> = model.keys.bindings().iter().filter(here).collect();
    let mut rows: Vec<Hint> = Vec::new();
    for binding in &bindings {
        let is_known = rows.iter().any(|hint| hint.command == binding.command);
        if binding.command.command().group != group || is_known {
            continue;
        }
        let same = bindings.iter().filter(|other| other.command == binding.command);
        let mut keys: Vec<Key> = same.map(|other| other.key).collect();
        keys.dedup();
        rows.push(hint(model, &keys, binding.command));
    }
    // Of several commands on one key only what it means now is told.
    let meant = |row: &Hint| {
        let stands_in = |other: &Binding| {
            let means_it = bindings
                .iter()
                .any(|own| own.command == row.command && own.key == other.key);
            means_it && other.command != row.command && other.command.is_available(model)
        };
        row.refusal.is_none() || !bindings.iter().any(|other| stands_in(other))
    };
    let told: Vec<bool> = rows.iter().map(meant).collect();
    let mut told = told.into_iter();
    rows.retain(|_| told.next().unwrap_or(true));
    rows
}

/// All bindings as a table in Markdown, for the README.
pub fn markdown() -> String {
    let mut lines = vec![
        "| where | key | what it does |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    for binding in BINDINGS {
        let about = binding.command.command().about;
        lines.push(format!(
            "| {} | `{}` | {about} |",
            binding.scope.word(),
            binding.key.label()
        ));
    }
    lines.join("\n") + "\n"
}

fn hint(model: &Model, keys: &[Key], command: CommandId) -> Hint {
    let facts = command.command();
    let labels: Vec<String> = keys.iter().map(|key| key.label()).collect();
    Hint {
        keys: labels.join(" "),
        short: facts.short,
        about: facts.about,
        command,
        refusal: command.refusal(model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::COMMANDS;
    use std::collections::HashSet;

    /// Commands that share a key in a scope, since no row is fit for two of them.
    const SHARED: [CommandId; 4] = [
        CommandId::Retry,
        CommandId::Requeue,
        CommandId::Pause,
        CommandId::Resume,
    ];

    #[test]
    fn no_key_is_bound_twice_in_a_scope_but_for_what_never_meets() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            let is_new = seen.insert((binding.scope, binding.key));
            assert!(is_new || SHARED.contains(&binding.command), "{binding:?}");
        }
    }

    #[test]
    fn every_command_has_a_key_but_what_is_typed() {
        for command in COMMANDS {
            let bound = BINDINGS.iter().any(|binding| binding.command == command.id);
            let is_typed = command.danger == Danger::Forever
                || matches!(command.id, CommandId::Scale | CommandId::Abort);
            assert_eq!(bound, !is_typed, "{:?}", command.id);
        }
    }

    #[test]
    fn the_views_own_key_wins() {
        let mut model = crate::sample::trace();
        assert_eq!(command(&model, Key::Char('h')), Some(CommandId::PanLeft));
        model.path = vec![View::Jobs];
        assert_eq!(command(&model, Key::Char('h')), None);
        model.path = vec![View::Workers];
        assert_eq!(key(&model, CommandId::KillWorker), Some(Key::Char('K')));
    }

    #[test]
    fn one_stream_on_the_whole_screen_has_a_way_back_and_no_list() {
        let told = |model: &Model| -> Vec<CommandId> {
            let of_list = [
                CommandId::Enter,
                CommandId::Filter,
                CommandId::Sort,
                CommandId::Out,
            ];
            let hints = footer(model).into_iter().map(|hint| hint.command);
            hints.filter(|command| of_list.contains(command)).collect()
        };
        let mut model = crate::sample::streams();
        assert_eq!(
            told(&model),
            [CommandId::Enter, CommandId::Filter, CommandId::Sort]
        );
        model.streams.open();
        assert_eq!(told(&model), [CommandId::Out]);
    }

    #[test]
    fn one_key_means_what_fits_the_row() {
        let mut model = crate::sample::jobs();
        model.jobs.list.marks.clear();
        let meant = |model: &Model| command(model, Key::Char('R'));
        assert_eq!(meant(&model), Some(CommandId::Requeue), "the row is dead");
        let retrying = model.jobs.list.order.iter().copied();
        let state = |id| model.jobs.line(id).map(|line| line.state);
        let retrying = retrying
            .into_iter()
            .find(|id| state(*id) == Some(millstream::domain::JobState::Retrying));
        model.jobs.list.select(&retrying.unwrap(), 20);
        assert_eq!(meant(&model), Some(CommandId::Retry));
    }
}
