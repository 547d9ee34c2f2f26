//! One bar of a waterfall, on a scale that all bars of a picture share.

use std::time::Duration;

use ratatui::style::Style;

use crate::glyph;
use crate::view::canvas::Canvas;

/// What a number of columns stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Columns of the picture.
    pub columns: u16,
    /// The time at its left edge.
    pub from: Duration,
    /// The time that one column stands for; never nought.
    pub per_column: Duration,
}

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// On the critical path.
    Critical,
    /// Beside it.
    Other,
    /// Paid for earlier and kept.
    Kept,
}

/// How a bar ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ended.
    Whole,
    /// It still grows.
    Live,
    /// It failed.
    Failed,
}

impl Scale {
    /// A scale on which so much time fills the columns, with room for a live edge.
    #[must_use]
    pub fn fitting(columns: u16, time: Duration) -> Self {
        let room = u32::from(columns.saturating_sub(1)).max(1);
        // In steps, so that what grows does not shift everything else at every tick.
        let step = whole(time) / room;
        Self {
            columns,
            from: Duration::ZERO,
            per_column: step.max(Duration::from_micros(100)),
        }
    }

    /// The column of a time, from the left edge; before it is 0.
    #[must_use]
    pub fn column(&self, time: Duration) -> u32 {
        let beyond = time.saturating_sub(self.from).as_micros();
        u32::try_from(beyond / self.per_column.as_micros().max(1)).unwrap_or(u32::MAX)
    }

    /// The time from tick to tick: round, and wide enough for the figures.
    #[must_use]
    pub fn step(&self) -> Duration {
        nice(self.per_column * 8)
    }

    /// The ticks of the scale: column and time.
    #[must_use]
    pub fn ticks(&self) -> Vec<(u16, Duration)> {
        let step = self.step();
        let mut ticks = Vec::new();
        let mut at = step * u32::try_from(self.from.as_micros() / step.as_micros().max(1)).unwrap_or(0);
        while self.column(at) < u32::from(self.columns) && ticks.len() < 64 {
            if at >= self.from {
                ticks.push((u16::try_from(self.column(at)).unwrap_or(u16::MAX), at));
            }
            at += step;
        }
        ticks
    }
}

/// The next round time that a scale ends at: 10, 12, 15, 20, 25, 30, 40, 50, 60, 80 of any power of ten.
fn whole(time: Duration) -> Duration {
    const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 100).max(1);
    let mut decade = 1;
    while decade < u64::MAX / 1_000 {
        if let Some(step) = STEPS.into_iter().find(|step| step * decade >= millis) {
            return Duration::from_millis(step * decade);
        }
        decade *= 10;
    }
    time
}

/// The next of 1, 2, 5, 10, 20, 50 .. milliseconds, seconds, and minutes from there on.
fn nice(time: Duration) -> Duration {
    const MINUTES: [u64; 8] = [60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600];
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut decade = 1;
    while decade <= 10_000 {
        for step in [decade, decade * 2, decade * 5] {
            if step >= millis && step <= 30_000 {
                return Duration::from_millis(step);
            }
        }
        decade *= 10;
    }
    let seconds = millis.div_ceil(1_000);
    let step = MINUTES.into_iter().find(|step| *step >= seconds);
    Duration::from_secs(step.unwrap_or_else(|| seconds.div_ceil(86_400) * 86_400))
}

/// Draws a bar over the first row of the canvas, which is as wide as the scale.
pub fn draw(canvas: &mut Canvas<'_>, scale: &Scale, span: (Duration, Duration), look: (Weight, End, Style)) {
    let (weight, end, style) = look;
    let (first, last) = (
        scale.column(span.0),
        scale.column(span.1).max(scale.column(span.0)),
    );
    let edge = u32::from(canvas.width());
    if span.1 < scale.from {
        canvas.put(0, 0, glyph::EARLIER, style);
    }
    if span.1 < scale.from || first >= edge {
        return;
    }
    let line = match weight {
        Weight::Critical => glyph::HEAVY,
        Weight::Other => glyph::RULE,
        Weight::Kept => glyph::KEPT,
    };
    let until = last.max(first + 1).min(edge);
    for column in first..until {
        canvas.put(u16::try_from(column).unwrap_or(u16::MAX), 0, line, style);
    }
    let tip = match end {
        End::Whole => return,
        End::Live => glyph::LIVE,
        End::Failed => glyph::DEAD,
    };
    let at = if end == End::Live {
        until
    } else {
        until.saturating_sub(1)
    };
    canvas.put(
        u16::try_from(at.min(edge.saturating_sub(1))).unwrap_or(u16::MAX),
        0,
        tip,
        style,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_takes_round_steps_and_holds_all_of_the_time() {
        for seconds in [1, 7, 25, 31, 97, 600, 7_200, 90_000] {
            let time = Duration::from_secs(seconds);
            let scale = Scale::fitting(45, time);
            assert!(
                scale.column(time) <= 45,
                "{seconds} s ends in column {}",
                scale.column(time)
            );
            let ticks = scale.ticks();
            assert!(
                (2..=9).contains(&ticks.len()),
                "{seconds} s has {} ticks",
                ticks.len()
            );
            assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 5));
        }
    }
}
