//! What is made from the code and checked in: `.env.example`, the README's settings, the map of the files.
//!
//! `MILLSTREAM_REGENERATE=1 cargo test -p millstream-tests tidy` writes them anew.

use std::fmt::Write as _;
use std::fs;

use millstream::settings::catalog::{ALL, Variable};
use millstream::settings::process_environment;

use super::source::{Source, read, root, under};

/// How they are written anew.
const HOW: &str =
    "type `MILLSTREAM_REGENERATE=1 cargo test -p millstream-tests tidy` and commit what changes";

#[test]
fn the_example_of_an_environment_is_made_from_the_catalog() {
    let mut text = String::from(
        "# The settings of Millstream, each with its default. Millstream reads the environment, not this file:\n\
         # copy it to .env, uncomment what you change, and load it with `set -a; . ./.env; set +a`.\n\
         # Durations have a unit (500ms, 2s, 5m); a bare number is seconds.\n\
         # Made from src/settings/catalog.rs by tests/tidy.\n",
    );
    for variable in ALL {
        let (value, rest) = default(variable);
        let note = rest.map(|rest| format!(" ({value}, {rest})")).unwrap_or_default();
        let _infallible = write!(
            text,
            "\n# {}{note}\n# {}={value}\n",
            sentence(variable.meaning),
            variable.name
        );
    }
    check(".env.example", &text);
}

#[test]
fn the_readme_lists_the_settings_of_the_catalog() {
    let mut table = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for variable in ALL {
        let default = match variable.default {
            "" => "unset".to_owned(),
            text if text.contains(' ') => text.to_owned(),
            text => format!("`{text}`"),
        };
        let _infallible = writeln!(
            table,
            "| `{}` | {default} | {} |",
            variable.name, variable.meaning
        );
    }
    check_part("README.md", "settings", &table);
}

#[test]
fn the_readme_lists_the_keys_of_the_console() {
    check_part("README.md", "keys", &millstream_tui::keymap::markdown());
}

#[test]
fn the_readmes_picture_is_the_overview_as_it_is_drawn() {
    use millstream_tui::frame::scene::{self, Shown, State};
    use millstream_tui::frame::{picture, svg};
    use millstream_tui::model::look::{Colours, Look, ThemeName};
    use millstream_tui::model::view::Size;
    use millstream_tui::theme::Theme;
    let look = Look {
        theme: ThemeName::Dark,
        colours: Colours::True,
        ascii: false,
        still: true,
    };
    let model = scene::model(
        Shown::Overview,
        State::Normal,
        Size {
            width: 120,
            height: 36,
        },
    );
    let buffer = picture(&model, &Theme::of(&look), (120, 36));
    check(
        "docs/pictures/overview.svg",
        &svg::write(&buffer, "Millstream's console: Overview"),
    );
}

#[test]
fn the_map_names_every_file_with_what_it_is_for() {
    let mut map = String::from("```text\n");
    for folder in [
        "src",
        "worker/src",
        "web/src",
        "tui/src",
        "tests",
        "examples",
        "assets/lua",
        "assets/migrations",
    ] {
        let _infallible = writeln!(map, "{folder}/");
        for file in under(folder) {
            let Some(purpose) = purpose(&file) else { continue };
            let name = file.path.trim_start_matches(folder).trim_start_matches('/');
            let _infallible = writeln!(map, "  {name:<28} {purpose}");
        }
        map.push('\n');
    }
    map.truncate(map.trim_end().len());
    map.push_str("\n```\n");
    check_part("ARCHITECTURE.md", "map", &map);
}

/// The value that a variable has when it is unset, and what is said about it besides.
fn default(variable: &Variable) -> (&'static str, Option<&'static str>) {
    match variable.default.split_once(", ") {
        Some((value, rest)) => (value, Some(rest)),
        None => (variable.default, None),
    }
}

/// The text with a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// The first sentence of a file's head, without a full stop.
fn purpose(file: &Source) -> Option<String> {
    let (mark, is_script) = match file.path.rsplit_once('.')?.1 {
        "rs" => ("//!", false),
        "lua" | "sql" => ("--", true),
        _ => return None,
    };
    let head: Vec<&str> = file
        .text
        .lines()
        .map_while(|line| line.strip_prefix(mark))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let head = head.join(" ");
    let end = [". ", ": ", "; "].iter().filter_map(|stop| head.find(stop)).min();
    // A head like `Tests: what they hold` says little before its colon.
    let sentence_end = head.find(". ").unwrap_or(head.len());
    let end = if is_script {
        sentence_end
    } else {
        end.filter(|end| *end > 40).unwrap_or(sentence_end)
    };
    Some(head[..end].trim_end_matches(['.', ':']).to_owned())
}

/// Compares a whole file with what it should be, or writes it.
fn check(path: &str, text: &str) {
    if regenerates() {
        fs::write(root().join(path), text).expect("the repository can be written");
    }
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(found == text, "{path} is not what the code says: {HOW}");
}

/// Compares the part of a file between two markers with what it should be, or writes it.
fn check_part(path: &str, name: &str, part: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let text = read(path);
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{path} has no marker {begin}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{path} has no marker {end}"));
    check(path, &format!("{before}{begin}{part}{end}{after}"));
}

fn regenerates() -> bool {
    process_environment("MILLSTREAM_REGENERATE").is_some_and(|value| value == "1")
}
