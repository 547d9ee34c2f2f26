//! A list and what is told of the row under the cursor: below it, and beside it where there is room for both.

use crate::model::view::BESIDE_FROM;
use crate::view::canvas::Canvas;

/// Columns of what is told beside it: at least, and at most, of the half of what is more than needed.
const BESIDE: (u16, u16) = (48, 80);
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
    /// Divides a canvas from a row on; below the list the detail has so many rows and a gap above it, and with no rows it
    /// is shown beside the list alone. Without a row to tell of the list has all of the canvas.
    #[must_use]
    pub fn new(canvas: &Canvas<'_>, top: u16, told: Option<(u16, u16)>) -> Self {
        let (width, height) = (canvas.width(), canvas.height());
        let rows = height.saturating_sub(top);
        let Some((detail, gap)) = told else {
            return Self {
                list: (0, top, width, rows),
                detail: None,
            };
        };
        if width >= BESIDE_FROM {
            let (least, most) = BESIDE;
            let beside = (least + (width - BESIDE_FROM) / 2).min(most);
            let list = width - beside - GAP;
            return Self {
                list: (0, top, list, rows),
                detail: Some((list + GAP, top, beside, rows)),
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

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    use super::*;
    use crate::model::look::Look;
    use crate::theme::Theme;

    #[test]
    fn a_list_with_nothing_to_tell_has_all_of_the_room() {
        let theme = Theme::of(&Look::default());
        let places = |width: u16, told| {
            let area = Rect::new(0, 0, width, 40);
            let mut buffer = Buffer::empty(area);
            let split = Split::new(&Canvas::new(&mut buffer, area, &theme), 2, told);
            (split.list, split.detail)
        };
        assert_eq!(places(160, None), ((0, 2, 160, 38), None));
        assert_eq!(
            places(160, Some((0, 1))),
            ((0, 2, 110, 38), Some((112, 2, 48, 38)))
        );
        assert_eq!(
            places(400, Some((0, 1))),
            ((0, 2, 318, 38), Some((320, 2, 80, 38)))
        );
        assert_eq!(
            places(159, Some((5, 1))),
            ((0, 2, 159, 32), Some((0, 35, 159, 5)))
        );
        assert_eq!(places(159, Some((0, 1))), ((0, 2, 159, 38), None));
    }
}
