//! Does what the update asks for: tells the feed what to watch, and the demo what to do.

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::feed::Plan;
use super::link::Ask;
use super::orders;
use crate::effect::Effect;
use crate::model::Model;
use crate::model::order::Order;
use crate::update::wish;

/// Whoever does the effects.
pub struct Doer {
    plan: watch::Sender<Plan>,
    asks: Option<mpsc::Sender<Ask>>,
    orders: mpsc::Sender<orders::Ask>,
}

impl Doer {
    /// One that steers this feed, gives orders and, in the demo, has these processes.
    pub const fn new(
        plan: watch::Sender<Plan>,
        asks: Option<mpsc::Sender<Ask>>,
        orders: mpsc::Sender<orders::Ask>,
    ) -> Self {
        Self { plan, asks, orders }
    }

    /// Tells the feed where the console begins.
    pub fn begin(&self, model: &Model) {
        self.plan.send_modify(|plan| {
            plan.wish = wish(model);
            plan.interval = model.interval;
        });
    }

    /// Does an effect; none of them waits. Answers the order that could not be given, since too many are on their way.
    pub fn perform(&self, effect: Effect) -> Option<Order> {
        match effect {
            Effect::Watch(wish) => self.plan.send_modify(|plan| plan.wish = wish),
            Effect::Refresh => self.plan.send_modify(|plan| plan.asked += 1),
            Effect::Every(interval) => self.plan.send_modify(|plan| plan.interval = interval),
            Effect::Foresee(order) => return self.order(orders::Ask::Foresee(order)),
            Effect::Carry(order) => return self.order(orders::Ask::Carry(order)),
            Effect::Submit(diffs) => self.ask(Ask::Submit(diffs)),
            Effect::AddWorker => self.ask(Ask::AddWorker),
            Effect::DrainWorker(worker) => self.ask(Ask::Drain(worker.pid)),
            Effect::KillWorker(worker) => self.ask(Ask::Kill(worker.pid)),
            // The loop does these itself.
            Effect::Record | Effect::Redraw | Effect::Copy(_) | Effect::Stop | Effect::Quit => {}
        }
        None
    }

    fn order(&self, ask: orders::Ask) -> Option<Order> {
        match self.orders.try_send(ask) {
            Ok(()) => None,
            Err(error) => match error.into_inner() {
                orders::Ask::Foresee(order) | orders::Ask::Carry(order) => Some(order),
            },
        }
    }

    fn ask(&self, ask: Ask) {
        let Some(asks) = &self.asks else { return };
        if asks.try_send(ask).is_err() {
            warn!("the demo does not keep up: {ask:?} was dropped");
        }
    }
}
