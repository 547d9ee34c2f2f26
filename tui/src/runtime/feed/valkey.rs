//! What is asked of Valkey: one look at the whole queue, or only a sign of life.

use millstream::queue::glance::Glance;
use tokio::time::Instant;

use super::{Feed, within};
use crate::effect::Wish;
use crate::model::connection::Server;
use crate::model::figures::QueueFigures;
use crate::msg::{Answer, Topic};

impl Feed {
    /// Looks at the queue: figures, and which workers there are.
    pub(super) async fn glance(&mut self, wish: &Wish) {
        let started = Instant::now();
        let glance = within(self.queue.glance()).await;
        let took = started.elapsed();
        match glance {
            Ok(glance) => {
                self.valkey_lost = false;
                let text = "TIME XLEN XINFO ZCARD ZRANGE EXISTS ZREVRANGE, XRANGE COUNT 1, MGET cards";
                self.sent(Server::Valkey, text, glance.commands, Some(took)).await;
                // It was two round trips.
                self.up(Server::Valkey, took / 2, None).await;
                self.answer(Answer::Queue(figures(&glance))).await;
                self.seen = glance.workers;
            }
            Err(why) => {
                self.sent(Server::Valkey, "TIME XLEN XINFO ..", 1, None).await;
                self.down(Server::Valkey, &why).await;
                if *wish == Wish::Overview {
                    self.miss(Topic::Queue, &why).await;
                }
                self.miss(Topic::Workers, &why).await;
            }
        }
    }

    /// Asks only for a sign of life: nothing of Valkey's is on the screen but its lamp.
    pub(super) async fn ping(&mut self) {
        let started = Instant::now();
        let alive = within(self.queue.check()).await;
        let took = started.elapsed();
        match alive {
            Ok(()) => {
                self.valkey_lost = false;
                self.sent(Server::Valkey, "PING", 1, Some(took)).await;
                self.up(Server::Valkey, took, None).await;
            }
            Err(why) => {
                self.sent(Server::Valkey, "PING", 1, None).await;
                self.down(Server::Valkey, &why).await;
            }
        }
    }
}

const fn figures(glance: &Glance) -> QueueFigures {
    QueueFigures {
        waiting: glance.waiting,
        pending: glance.pending,
        parked: glance.parked,
        dead_letters: glance.dead,
        oldest_waiting: glance.oldest_waiting,
        next_retry: glance.next_due,
        paused: glance.paused,
    }
}
