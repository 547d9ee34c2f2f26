//! What is on the screen, and so must be asked for; nothing else is.

use crate::effect::Wish;
use crate::model::Model;
use crate::model::filter::Filter;
use crate::model::view::View;

/// What the open view needs.
pub fn wish(model: &Model) -> Wish {
    match model.view() {
        View::Overview => Wish::Overview,
        View::Jobs => Wish::Jobs {
            filter: Filter::new(model.jobs.filter.text.trim()),
            limit: model.jobs.limit,
        },
        View::Pending => Wish::Pending {
            place: model.pending.place,
            limit: model.pending.limit(),
        },
        View::Dead => Wish::Dead {
            unfolded: model.dead.unfolded.clone(),
        },
        View::Streams => Wish::Streams {
            near: model.streams.list.cursor.clone(),
            pane: model.streams.shown_pane(),
            open: model.streams.open,
        },
        View::Activity => Wish::Activity {
            limit: model.activity.limit,
        },
        View::Job => model.job.as_ref().map_or(Wish::Nothing, |job| Wish::Job(job.id)),
        View::Trace => model.trace.id.map_or(Wish::Nothing, |id| Wish::Trace {
            id,
            span: model.trace.selected_span(),
        }),
        View::Workers => Wish::Workers,
    }
}
