//! Is it keeping up, and what needs me?
//!
//! [`tiles`] are the figures and the sum that must be right, [`charts`] the last five minutes, [`lanes`]
//! the workers, [`recent`] what just happened and what needs a person. This file shares out the rows:
//! figures first, then lanes, then what needs a person, then charts; the rest is for what just happened.

pub mod charts;
pub mod lanes;
pub mod recent;
pub mod tiles;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::connection::{LampState, Server};
use crate::model::overview::worker_rows;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// How the rows are shared out.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Empty rows between two sections.
    gap: u16,
    /// Rows of the figures.
    tiles: u16,
    /// Rows of the charts, heading and axis included; 0 when there is no room.
    charts: u16,
    /// Rows of the lanes, headings included.
    lanes: u16,
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    match Room::of(canvas.width()) {
        Room::Narrow => narrow(canvas, model),
        room => tall(canvas, model, room, airy),
    }
}

fn tall(canvas: &mut Canvas<'_>, model: &Model, room: Room, airy: bool) {
    let plan = plan(canvas.height(), model, room, airy);
    let mut y = plan.gap;
    tiles::draw(&mut canvas.below(y), model, room, airy);
    y += plan.tiles + plan.gap;
    if has_loss(model) {
        y += loss(&mut canvas.below(y), model) + plan.gap;
    } else if airy {
        tiles::sum(&mut canvas.below(y), model);
        y += 1 + plan.gap;
    }
    if plan.charts > 0 {
        charts::draw(&mut canvas.part(0, y, u16::MAX, plan.charts), model, room, airy);
        y += plan.charts + plan.gap;
    }
    lanes::draw(&mut canvas.part(0, y, u16::MAX, plan.lanes), model, airy);
    y += plan.lanes + plan.gap;
    recent::draw(&mut canvas.below(y), model, room);
}

fn plan(height: u16, model: &Model, room: Room, airy: bool) -> Plan {
    let gap = u16::from(airy);
    let tiles = if airy { 4 } else { 3 };
    let band = match (has_loss(model), airy) {
        (true, _) => 2 + gap,
        (false, true) => 1 + gap,
        (false, false) => 0,
    };
    let workers = model
        .workers
        .page
        .value()
        .map_or(1, |page| page.rows.len().max(1));
    let lanes = 1 + gap + u16::try_from(workers.min(worker_rows(model.size))).unwrap_or(3);
    let needs = u16::try_from(model.overview.needs.len().clamp(1, 2)).unwrap_or(2);
    // Under the lanes: both lists beside each other, or one under the other.
    let below = if room == Room::Wide {
        if airy { 7 } else { 4 }
    } else {
        1 + needs + 3
    };
    let taken = gap + tiles + gap + band + lanes + gap + below;
    // On a tall screen half of what is left over goes to the charts.
    let (least, most) = if airy {
        (7, 11 + height.saturating_sub(31) / 2)
    } else {
        (4, 6)
    };
    let spare = height.saturating_sub(taken);
    let charts = if spare < least {
        0
    } else {
        spare.saturating_sub(gap).min(most)
    };
    Plan {
        gap,
        tiles,
        charts,
        lanes,
    }
}

/// Whether a server is away, which is said before anything else.
fn has_loss(model: &Model) -> bool {
    model.connection.valkey.is_lost() || model.connection.postgres.is_lost()
}

/// Two rows about a server that is away: what it says, and what that means. Answers the rows.
fn loss(canvas: &mut Canvas<'_>, model: &Model) -> u16 {
    let theme = canvas.theme;
    let connection = &model.connection;
    let both = connection.valkey.is_lost() && connection.postgres.is_lost();
    let server = if connection.valkey.is_lost() {
        Server::Valkey
    } else {
        Server::Postgres
    };
    let lamp = connection.lamp(server);
    let LampState::Lost { why, tries, .. } = &lamp.state else {
        return 0;
    };
    let tries = format::plural(u64::from(*tries), "try", "tries");
    let what = Words::of(glyph::LAMP_OUT, theme.lost)
        .gap(1)
        .and(
            if both {
                "Valkey and Postgres are away, Valkey at ".to_owned()
            } else {
                format!("{} at ", server.name())
            },
            theme.text,
        )
        .and_outside(&lamp.place, theme.text)
        .and(": ", theme.text)
        .and_outside(why, theme.text)
        .and(format!(", {tries}."), theme.text);
    let means = match (both, server) {
        (true, _) => "What is shown is what was known last. Nothing accepted is lost.",
        (false, Server::Valkey) => {
            "What it told us is dated; jobs and costs are live. Nothing accepted is lost."
        }
        (false, Server::Postgres) => {
            "What it told us is dated; the queue is live. Results wait until it is back."
        }
    };
    let width = canvas.width().saturating_sub(2);
    canvas.fitted(1, 0, &what, width);
    canvas.fitted(3, 1, &Words::of(means, theme.muted), width.saturating_sub(2));
    2
}

/// One column of facts, then a lane for each worker.
fn narrow(canvas: &mut Canvas<'_>, model: &Model) {
    let rows = tiles::facts(canvas, model);
    lanes::narrow(&mut canvas.below(rows), model);
}
