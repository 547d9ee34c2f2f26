//! The one function that changes the model: a message comes in, what must be done goes out.
//!
//! It asks no clock and no server, so a run of the console can be replayed and tested from its messages alone.
//! `keys`, `dialog`, `mouse` and `palette` are what a person does, `commands`, `orders`, `plan` and `copy` what comes of
//! it, `answers` what the servers say, `needs` what follows from it, `watch` what must be asked for now, [`replay`] the
//! keys of somebody who watches a recording.

mod answers;
mod commands;
mod copy;
mod dialog;
mod keys;
mod mouse;
mod needs;
mod orders;
mod palette;
mod plan;
pub mod replay;
mod watch;

#[cfg(test)]
mod orders_tests;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use crate::effect::Effect;
use crate::model::Model;
use crate::model::connection::Sent;
use crate::model::notice::Notice;
use crate::model::view::View;
use crate::msg::Msg;

pub use watch::wish;

/// Commands that are remembered for `@`.
const SENT_KEPT: usize = 500;

/// Takes a message and answers what must be done.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let before = wish(model);
    let mut effects = take(model, msg);
    let after = wish(model);
    if after != before {
        effects.push(Effect::Watch(after));
    }
    effects
}

fn take(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Tick { now } => tick(model, now),
        Msg::Resize(size) => {
            model.size = size;
            answers::arrange_all(model);
            return vec![Effect::Redraw];
        }
        Msg::Key(key) => return keys::press(model, key),
        Msg::Paste(text) => return keys::paste(model, &text),
        Msg::Mouse(pointed) => return mouse::point(model, &pointed),
        Msg::Answer(answer) => answers::receive(model, *answer),
        Msg::Unchanged { topic } => answers::confirm(model, topic),
        Msg::Missed { topic, why } => answers::miss(model, topic, &why),
        Msg::Up {
            server,
            latency,
            clock_ahead_ms,
        } => {
            let now = model.now;
            model.connection.lamp_mut(server).answered(latency, now);
            if let Some(ahead) = clock_ahead_ms {
                model.connection.clock_ahead_ms = ahead;
            }
        }
        Msg::Down {
            server,
            why,
            next_try,
        } => {
            let now = model.now;
            model.connection.lamp_mut(server).failed(why, next_try, now);
        }
        Msg::Load(load) => model.connection.load = load,
        Msg::Sent(sent) => remember(model, sent),
        Msg::Fleet(fleet) => model.fleet = Some(fleet),
        Msg::WorkerEnded { pid, how, in_order } => {
            // One that left in order is simply not among the next answer's.
            if !in_order {
                answers::worker_ended(model, pid, &how);
            }
        }
        Msg::Foreseen { order, came } => orders::foreseen(model, order, came),
        Msg::Carried { order, came } => return orders::carried(model, &order, came),
        Msg::Run(news) => return orders::run_went_on(model, &news),
        Msg::Told { tone, text } => model.notice = Some(Notice::new(tone, text.raw(), model.now)),
        Msg::Recording(recording) => model.recording = recording,
        Msg::Quit => return quit(model),
    }
    Vec::new()
}

/// Ends the console. What is drawn after this is drawn for nobody.
fn quit(model: &mut Model) -> Vec<Effect> {
    model.leaving = true;
    vec![Effect::Quit]
}

fn tick(model: &mut Model, now: DateTime<Utc>) {
    model.now = now;
    if model.notice.as_ref().is_some_and(|notice| notice.until <= now) {
        model.notice = None;
    }
    if model.interval.is_some() && model.frozen.is_none() {
        grow_old(model, now);
    }
}

/// What the open view asks for grows old when no answer comes; what nobody asks for is just not looked at.
fn grow_old(model: &mut Model, now: DateTime<Utc>) {
    let limit = model.stale_after();
    match model.view() {
        View::Overview => {
            model.overview.queue.outlive(limit, now);
            model.overview.ledger.outlive(limit, now);
            model.workers.page.outlive(limit, now);
        }
        View::Workers => model.workers.page.outlive(limit, now),
        View::Jobs => model.jobs.page.outlive(limit, now),
        View::Pending => model.pending.page.outlive(limit, now),
        View::Dead => {
            model.dead.page.outlive(limit, now);
            model.dead.letters.outlive(limit, now);
        }
        View::Streams => model.streams.page.outlive(limit, now),
        View::Activity => model.activity.page.outlive(limit, now),
        View::Trace => model.trace.facts.outlive(limit, now),
        View::Job => {
            if let Some(job) = &mut model.job {
                job.facts.outlive(limit, now);
            }
        }
    }
}

fn remember(model: &mut Model, sent: Sent) {
    model.sent.push_front(sent);
    model.sent.truncate(SENT_KEPT);
}
