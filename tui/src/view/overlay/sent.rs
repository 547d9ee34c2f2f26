//! Every command that the console sent: what it costs the servers, for everybody to see.

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::connection::Sent;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::widgets::popup::{self, Border};
use crate::view::words::Words;

/// Draws the list from a number on.
pub fn draw(canvas: &mut Canvas<'_>, offset: usize, model: &Model) {
    let theme = canvas.theme;
    // A screen of a usual width has none to spare.
    let margin = if Room::of(canvas.width()) == Room::Wide {
        8
    } else {
        0
    };
    let size = (
        canvas.width().saturating_sub(margin),
        canvas.height().saturating_sub(4),
    );
    let border = Border {
        name: &format!("Sent  {}", model.sent.len()),
        note: "newest first   j k scroll   Esc close",
        style: theme.accent,
    };
    let mut inside = popup::open(canvas, size, &border);
    if model.sent.is_empty() {
        inside.put(0, 1, "Nothing was sent yet.", theme.muted);
        return;
    }
    let shown = model.sent.iter().skip(offset);
    for (y, sent) in (1..inside.height().saturating_sub(1)).zip(shown) {
        row(&mut inside.part(0, y, u16::MAX, 1), sent);
    }
}

fn row(canvas: &mut Canvas<'_>, sent: &Sent) {
    let theme = canvas.theme;
    let took = match sent.took {
        Some(took) => Words::of(format::latency(took), theme.text),
        None => Words::of(format!("{} no answer", glyph::DEAD), theme.dead),
    };
    let end = canvas.words_before(canvas.width(), 0, &took).saturating_sub(2);
    let count = Words::of(format!("{}x", sent.count), theme.muted);
    let end = canvas
        .words_before(end.min(canvas.width().saturating_sub(11)), 0, &count)
        .saturating_sub(2);
    canvas.put(0, 0, &format::moment(sent.at), theme.muted);
    canvas.put(10, 0, sent.server.word(), theme.accent);
    canvas.fitted(
        20,
        0,
        &Words::outside(&sent.text, theme.text),
        end.saturating_sub(20),
    );
}
