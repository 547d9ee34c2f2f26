//! A list and what is told of the row under the cursor: below it, and beside it where there is room for both.

use crate::view::canvas::Canvas;

/// From this width on the row under the cursor is told beside the list.
const BESIDE_FROM: u16 = 160;
/// Columns of what is told beside it.
const BESIDE: u16 = 48;
/// Between the two.
const GAP: u16 = 2;

/// A rectangle of a canvas: column, row, columns, rows.
type Place = (u16, u16, u16, u16);

/// Where the list stands, and where the row under the cursor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    list: Place,
    detail: Option<Place>,
}

impl Split {
    /// Divides a canvas from a row on; below the list the detail has so many rows and a gap above it. Without any it is
    /// not shown there.
    #[must_use]
    pub fn new(canvas: &Canvas<'_>, top: u16, (detail, gap): (u16, u16)) -> Self {
        let (width, height) = (canvas.width(), canvas.height());
        let rows = height.saturating_sub(top);
        if width >= BESIDE_FROM {
            let list = width - BESIDE - GAP;
            return Self {
                list: (0, top, list, rows),
                detail: Some((list + GAP, top, BESIDE, rows)),
            };
        }
        let below = if detail > 0 { detail + gap } else { 0 };
        Self {
            list: (0, top, width, rows.saturating_sub(below)),
            detail: (detail > 0).then(|| (0, height.saturating_sub(detail), width, detail)),
        }
    }

    /// Whether it stands beside the list.
    #[must_use]
    pub const fn is_beside(&self) -> bool {
        matches!(self.detail, Some((x, ..)) if x > 0)
    }

    /// The part of the list.
    pub fn list<'b>(&self, canvas: &'b mut Canvas<'_>) -> Canvas<'b> {
        let (x, y, width, height) = self.list;
        canvas.part(x, y, width, height)
    }

    /// The part of the detail; nothing where there is no room for it.
    pub fn detail<'b>(&self, canvas: &'b mut Canvas<'_>) -> Option<Canvas<'b>> {
        let (x, y, width, height) = self.detail?;
        Some(canvas.part(x, y, width, height))
    }
}
