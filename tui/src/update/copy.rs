//! What is put on the clipboard: a row's id, or the row as JSON, with nothing in it that a terminal would obey.

use millstream::untrusted::visible;
use serde::Serialize;

use super::commands::{refuse, tell};
use crate::effect::Effect;
use crate::model::Model;
use crate::model::dead::DeadRow;
use crate::model::view::View;

/// Terminals drop what is longer; k9s and tmux stop near the same figure.
const LONGEST: usize = 48 * 1024;

/// Copies what is under the cursor.
pub fn copy(model: &mut Model, as_json: bool) -> Vec<Effect> {
    let text = if as_json { json(model) } else { model.copied_id() };
    let Some(text) = text.map(|text| visible(&text)) else {
        refuse(model, "nothing is under the cursor");
        return Vec::new();
    };
    if text.len() > LONGEST {
        refuse(
            model,
            "it is too long for a clipboard: millstream jobs --json prints it",
        );
        return Vec::new();
    }
    let what = if as_json { "the row as JSON" } else { &text };
    tell(model, &format!("copied {what}"));
    vec![Effect::Copy(text)]
}

fn json(model: &Model) -> Option<String> {
    match model.view() {
        View::Overview | View::Workers => written(model.workers.selected()?),
        View::Jobs => written(model.jobs.selected()?),
        View::Job => written(model.job.as_ref()?.known()?),
        View::Pending => written(model.pending.selected()?),
        View::Dead => match model.dead.selected()? {
            DeadRow::Cause(cause) => written(cause),
            DeadRow::Job(line) => written(line),
            DeadRow::Letter(line) => written(line),
        },
        View::Trace => {
            let id = model.trace.selected_span()?;
            written(model.trace.known()?.spans.iter().find(|span| span.id == id)?)
        }
        View::Streams => written(model.streams.selected()?),
        View::Activity => written(model.activity.selected()?),
    }
}

fn written<T: Serialize>(row: &T) -> Option<String> {
    serde_json::to_string(row).ok()
}
