//! A screen too small for any view: one sentence with what matters most, cut from the right.

use crate::model::Model;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// The smallest screen that a view is drawn on.
const LEAST: (u16, u16) = (40, 10);

/// Whether no view fits.
#[must_use]
pub const fn is_tiny(width: u16, height: u16) -> bool {
    width < LEAST.0 || height < LEAST.1
}

/// Draws the sentence.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let queue = model.overview.queue.value();
    let waiting = queue.map_or("?".to_owned(), |queue| queue.waiting.to_string());
    let ledger = model.overview.ledger.value();
    let dead = ledger.map_or("?".to_owned(), |ledger| ledger.counts.dead.to_string());
    let lost = model.workers.page.value().map_or("?".to_owned(), |page| {
        (page.rows.len() - page.live().count()).to_string()
    });
    let words = Words::of(format!("{waiting} waiting"), theme.text)
        .and(format!(" {dead} dead"), theme.dead)
        .and(format!(" {lost} lost"), theme.lost)
        .and(format!(" - needs {}x{}", LEAST.0, LEAST.1), theme.muted);
    let width = canvas.width();
    canvas.fitted(0, 0, &words, width);
}
