//! The mouse, for whoever asked for it: the wheel moves the cursor, a click puts it on a row, another click there opens it,
//! and a click on a tab opens its view.
//!
//! Where things stand on the screen is told by the message: what was drawn is known to whoever drew it.

use super::commands;
use crate::command::CommandId;
use crate::effect::Effect;
use crate::model::Model;
use crate::model::list::Step;
use crate::model::overlay::Overlay;
use crate::model::view::View;
use crate::msg::{Pointed, Pointing};

/// Rows of a turn of the wheel.
const WHEEL: i32 = 3;
/// The row of the tabs.
const TABS: u16 = 1;

/// The mouse was used.
pub fn point(model: &mut Model, pointed: &Pointed) -> Vec<Effect> {
    if let Some(Overlay::Sent { offset }) = &mut model.overlay {
        let last = model.sent.len().saturating_sub(1);
        match pointed.what {
            Pointing::WheelUp => *offset = offset.saturating_sub(WHEEL.unsigned_abs() as usize),
            Pointing::WheelDown => *offset = (*offset + WHEEL.unsigned_abs() as usize).min(last),
            Pointing::Click => {}
        }
        return Vec::new();
    }
    // A question is answered by keys: nothing is pressed by a hand that slips.
    if model.overlay.is_some() || model.typing.is_some() {
        return Vec::new();
    }
    match pointed.what {
        Pointing::WheelUp => commands::step(model, Step::By(-WHEEL)),
        Pointing::WheelDown => commands::step(model, Step::By(WHEEL)),
        Pointing::Click if pointed.y == TABS => {
            if let Some(view) = tab(&pointed.line, usize::from(pointed.x)) {
                return commands::run(model, view);
            }
        }
        Pointing::Click => return click(model, pointed),
    }
    Vec::new()
}

/// The view of the tab at a column.
fn tab(line: &str, x: usize) -> Option<CommandId> {
    let commands = [
        CommandId::Overview,
        CommandId::Jobs,
        CommandId::Pending,
        CommandId::Workers,
        CommandId::Dead,
        CommandId::Trace,
        CommandId::Streams,
        CommandId::Activity,
    ];
    let mut from = 0;
    let mut hit = None;
    for ((number, view), command) in View::TABS.into_iter().zip(commands) {
        let names = [view.name(), view.short_name()].map(|name| format!("{number} {name}"));
        let found = names
            .iter()
            .find_map(|name| line.get(from..)?.find(name.as_str()));
        let Some(at) = found.map(|at| at + from) else {
            continue;
        };
        from = at;
        // Every glyph of the row is one cell wide.
        let column = line[..at].chars().count();
        if column <= x {
            hit = Some(command);
        }
    }
    hit
}

/// A row that is listed gets the cursor; the row under the cursor is opened.
fn click(model: &mut Model, pointed: &Pointed) -> Vec<Effect> {
    let Some(cursor) = pointed.cursor else {
        return Vec::new();
    };
    let rows = i32::from(pointed.y) - i32::from(cursor);
    if rows == 0 {
        return commands::run(model, CommandId::Enter);
    }
    if model.shows_row(rows) {
        commands::step(model, Step::By(rows));
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn at(what: Pointing, y: u16, cursor: Option<u16>) -> Pointed {
        Pointed {
            what,
            x: 4,
            y,
            line: String::new(),
            cursor,
        }
    }

    #[test]
    fn a_click_puts_the_cursor_on_a_row_and_another_opens_it() {
        let mut model = sample::jobs();
        model.jobs.list.step(Step::First, 20);
        let third = model.jobs.list.order[2];
        point(&mut model, &at(Pointing::Click, 9, Some(7)));
        assert_eq!(model.jobs.list.cursor, Some(third));
        assert_eq!(model.view(), View::Jobs);
        point(&mut model, &at(Pointing::Click, 9, Some(9)));
        assert_eq!(model.view(), View::Job);
    }

    #[test]
    fn a_click_below_the_last_row_moves_nothing() {
        let mut model = sample::jobs();
        let before = model.jobs.list.cursor;
        point(&mut model, &at(Pointing::Click, 60, Some(7)));
        point(&mut model, &at(Pointing::Click, 0, Some(7)));
        point(&mut model, &at(Pointing::Click, 9, None));
        assert_eq!(model.jobs.list.cursor, before);
    }

    #[test]
    fn tabs_open_views_where_they_stand() {
        let line = "  1 Overview   2 Jobs   3 Pending 14   4 Workers 3   5 Dead 7 x   6 Trace";
        assert_eq!(tab(line, 0), None);
        assert_eq!(tab(line, 4), Some(CommandId::Overview));
        assert_eq!(
            tab(line, 33),
            Some(CommandId::Pending),
            "its figure belongs to it"
        );
        assert_eq!(tab(line, 41), Some(CommandId::Workers));
        let short = " 1 Over  2 Jobs  3 Pend 14";
        assert_eq!(tab(short, 12), Some(CommandId::Jobs));
    }

    #[test]
    fn no_click_answers_a_question() {
        let mut model = sample::dialog();
        for y in 0..36 {
            assert!(point(&mut model, &at(Pointing::Click, y, Some(7))).is_empty());
        }
        assert!(model.overlay.is_some());
    }
}
