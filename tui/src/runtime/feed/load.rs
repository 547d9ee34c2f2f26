//! The console's own load, over the last five seconds.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::connection::{Load, Server};

/// A refresh every second, some of them dearer: five of them make a fair mean.
const OVER: Duration = Duration::from_secs(5);

/// Counts what was sent.
#[derive(Debug, Default)]
pub struct Meter {
    sent: VecDeque<(Instant, Server, u32)>,
    first: Option<Instant>,
}

impl Meter {
    /// Notes so many commands or statements.
    pub fn count(&mut self, server: Server, count: u32, now: Instant) {
        self.first.get_or_insert(now);
        self.sent.push_back((now, server, count));
    }

    /// The load up to now.
    pub fn load(&mut self, now: Instant) -> Load {
        while self.sent.front().is_some_and(|(at, ..)| now - *at > OVER) {
            self.sent.pop_front();
        }
        let over = self
            .first
            .map_or(OVER, |first| now - first)
            .clamp(Duration::from_secs(1), OVER);
        let rate = |wanted: Server| {
            let sum: u32 = self
                .sent
                .iter()
                .filter(|(_, server, _)| *server == wanted)
                .map(|(_, _, count)| count)
                .sum();
            f64::from(sum) / over.as_secs_f64()
        };
        Load {
            commands_per_s: rate(Server::Valkey),
            queries_per_s: rate(Server::Postgres),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_a_mean_of_the_last_seconds() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for second in 0..10 {
            meter.count(Server::Valkey, 13, start + Duration::from_secs(second));
        }
        let load = meter.load(start + Duration::from_millis(9_500));
        assert!((load.commands_per_s - 13.0).abs() < 0.1, "{load:?}");
        assert_eq!(meter.load(start + Duration::from_secs(60)), Load::default());
    }
}
