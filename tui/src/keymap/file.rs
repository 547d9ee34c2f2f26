//! Keys as a person wants them: a file that binds commands to other keys, read with all its faults at once.
//!
//! A table for each view, and one for everywhere; in it commands by the words of the palette:
//!
//! ```toml
//! [anywhere]
//! freeze = "F"
//! [Jobs]
//! cancel = ["x", "c-x"]
//! mark = "space"
//! ```
//!
//! What is named loses the keys it had there and gets these. Two commands on one key are a fault, unless no row is fit
//! for both of them. Ctrl-C always leaves.

use toml::{Table, Value};

use super::{BINDINGS, Binding, Footer, Key, Keys, Scope};
use crate::command::{COMMANDS, CommandId};
use crate::model::view::View;

/// Larger than every command in every view with every key.
const LONGEST: usize = 64 * 1024;
/// Every place where a key has a meaning.
const SCOPES: [Scope; 10] = [
    Scope::Anywhere,
    Scope::In(View::Overview),
    Scope::In(View::Jobs),
    Scope::In(View::Job),
    Scope::In(View::Pending),
    Scope::In(View::Workers),
    Scope::In(View::Dead),
    Scope::In(View::Trace),
    Scope::In(View::Streams),
    Scope::In(View::Activity),
];

/// Reads the keys of a file.
///
/// # Errors
/// With everything that is wrong with it.
pub fn read(text: &str) -> Result<Keys, Vec<String>> {
    if text.len() > LONGEST {
        return Err(vec![format!("it is larger than {LONGEST} bytes")]);
    }
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let error: toml::de::Error = error;
            return Err(vec![error.message().to_owned()]);
        }
    };
    let (mut wanted, mut faults) = (Vec::new(), Vec::new());
    for (place, commands) in &table {
        let scope = SCOPES
            .into_iter()
            .find(|scope| scope.word().eq_ignore_ascii_case(place));
        match (scope, commands) {
            (Some(scope), Value::Table(commands)) => read_scope(scope, commands, &mut wanted, &mut faults),
            (Some(_), _) => faults.push(format!("{place}: a table of commands is wanted")),
            (None, _) => {
                let places: Vec<&str> = SCOPES.iter().map(|scope| scope.word()).collect();
                faults.push(format!(
                    "{place}: no view is called so; there are {}",
                    places.join(", ")
                ));
            }
        }
    }
    let keys = merged(&wanted);
    faults.extend(conflicts(&keys));
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn read_scope(scope: Scope, commands: &Table, wanted: &mut Vec<Binding>, faults: &mut Vec<String>) {
    for (word, keys) in commands {
        let place = format!("{}.{word}", scope.word());
        let Some(command) = COMMANDS.iter().find(|command| command.word == word) else {
            faults.push(format!("{place}: no command is called so"));
            continue;
        };
        let labels: Vec<&Value> = match keys {
            Value::Array(keys) => keys.iter().collect(),
            key => vec![key],
        };
        for label in labels {
            match label.as_str().map(key) {
                Some(Some(Key::Ctrl('c'))) => faults.push(format!("{place}: Ctrl-C always leaves")),
                Some(Some(key)) => wanted.push(Binding {
                    scope,
                    key,
                    command: command.id,
                    footer: footer(scope, command.id),
                }),
                _ => {
                    let shown = label.as_str().unwrap_or("what stands there");
                    faults.push(format!(
                        "{place}: {shown} is no key; write one letter, or a word like enter, space, up, c-x for Ctrl-X"
                    ));
                }
            }
        }
    }
}

/// One character stands for itself; everything longer is a word.
fn key(label: &str) -> Option<Key> {
    let mut chars = label.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !c.is_control() => Some(Key::Char(c)),
        _ => Key::from_word(label),
    }
}

/// A command keeps its place in the footer.
fn footer(scope: Scope, command: CommandId) -> Footer {
    let mut bound = BINDINGS.iter();
    bound
        .find(|binding| binding.scope == scope && binding.command == command)
        .map_or(Footer::No, |binding| binding.footer)
}

/// The table with what is wanted in place of what was there.
fn merged(wanted: &[Binding]) -> Keys {
    let is_named = |binding: &Binding| {
        let mut named = wanted.iter();
        named.any(|other| other.scope == binding.scope && other.command == binding.command)
    };
    let kept = BINDINGS.iter().filter(|binding| !is_named(binding)).copied();
    Keys(kept.chain(wanted.iter().copied()).collect())
}

/// Every key that two commands of a scope would share, though they may meet.
fn conflicts(keys: &Keys) -> Vec<String> {
    let mut faults = Vec::new();
    let all = keys.bindings();
    for (nth, binding) in all.iter().enumerate() {
        let same = |other: &&Binding| other.scope == binding.scope && other.key == binding.key;
        for other in all[..nth].iter().filter(same) {
            if !may_share(binding.command, other.command) {
                faults.push(format!(
                    "{}: {} is bound to {} and to {}",
                    binding.scope.word(),
                    binding.key.label(),
                    other.command.command().word,
                    binding.command.command().word
                ));
            }
        }
    }
    faults
}

/// Whether the table as it comes has them on one key somewhere.
fn may_share(a: CommandId, b: CommandId) -> bool {
    let keys = |command| {
        let bound = BINDINGS.iter().filter(move |binding| binding.command == command);
        bound.map(|binding| (binding.scope, binding.key))
    };
    a == b || keys(a).any(|place| keys(b).any(|other| place == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_changes_nothing() {
        assert_eq!(read(""), Ok(Keys::default()));
    }

    #[test]
    fn a_command_moves_to_its_new_keys_and_leaves_the_old_ones() {
        let keys = read("[Jobs]\ncancel = ['x', 'c-x']\n[anywhere]\nfreeze = 'F'").unwrap();
        assert_eq!(keys.key(View::Jobs, CommandId::Cancel), Some(Key::Char('x')));
        assert_eq!(keys.commands(View::Jobs, Key::Ctrl('x')), [CommandId::Cancel]);
        assert_eq!(keys.commands(View::Jobs, Key::Char('X')), []);
        assert_eq!(
            keys.commands(View::Pending, Key::Char('X')),
            [CommandId::Cancel],
            "elsewhere it stays"
        );
        assert_eq!(keys.commands(View::Trace, Key::Char('F')), [CommandId::Freeze]);
    }

    #[test]
    fn all_faults_of_a_file_are_told_together() {
        let text = "[Jobs]\ncancel = 'B'\nfly = 'f'\nbury = 'nokey'\n[Kitchen]\nopen = 'o'\n[anywhere]\nhelp = 'c-c'";
        let faults = read(text).unwrap_err().join("\n");
        for fault in [
            "Jobs.fly: no command",
            "Jobs.bury: nokey is no key",
            "Kitchen: no view",
            "anywhere.help: Ctrl-C always leaves",
            "Jobs: B is bound to bury and to cancel",
        ] {
            assert!(faults.contains(fault), "{fault} is not in\n{faults}");
        }
    }

    #[test]
    fn keys_that_trade_places_are_no_conflict() {
        let keys = read("[Jobs]\ncancel = 'B'\nbury = 'X'").unwrap();
        assert_eq!(keys.key(View::Jobs, CommandId::Bury), Some(Key::Char('X')));
    }

    #[test]
    fn what_no_row_is_fit_for_both_of_may_share_a_key() {
        let keys = read("[Jobs]\nretry = 'a'\nrequeue = 'a'").unwrap();
        let both = keys.commands(View::Jobs, Key::Char('a'));
        assert!(both.contains(&CommandId::Retry) && both.contains(&CommandId::Requeue));
    }
}
