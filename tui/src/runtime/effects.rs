//! Does what the update asks for: tells the feed what to watch, and the demo what to do.

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::feed::Plan;
use super::link::Ask;
use crate::effect::Effect;
use crate::model::Model;
use crate::update::wish;

/// Whoever does the effects.
pub struct Doer {
    plan: watch::Sender<Plan>,
    asks: Option<mpsc::Sender<Ask>>,
}

impl Doer {
    /// One that steers this feed and, in the demo, these processes.
    pub const fn new(plan: watch::Sender<Plan>, asks: Option<mpsc::Sender<Ask>>) -> Self {
        Self { plan, asks }
    }

    /// Tells the feed where the console begins.
    pub fn begin(&self, model: &Model) {
        self.plan.send_modify(|plan| {
            plan.wish = wish(model);
            plan.interval = model.interval;
        });
    }

    /// Does an effect; none of them waits.
    pub fn perform(&self, effect: Effect) {
        match effect {
            Effect::Watch(wish) => self.plan.send_modify(|plan| plan.wish = wish),
            Effect::Refresh => self.plan.send_modify(|plan| plan.asked += 1),
            Effect::Every(interval) => self.plan.send_modify(|plan| plan.interval = interval),
            Effect::Submit(diffs) => self.ask(Ask::Submit(diffs)),
            Effect::AddWorker => self.ask(Ask::AddWorker),
            Effect::DrainWorker(worker) => self.ask(Ask::Drain(worker.pid)),
            Effect::KillWorker(worker) => self.ask(Ask::Kill(worker.pid)),
            // The loop does these itself.
            Effect::Record | Effect::Redraw | Effect::Stop | Effect::Quit => {}
        }
    }

    fn ask(&self, ask: Ask) {
        let Some(asks) = &self.asks else { return };
        if asks.try_send(ask).is_err() {
            warn!("the demo does not keep up: {ask:?} was dropped");
        }
    }
}
