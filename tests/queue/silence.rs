//! Lines that fall silent: nobody hears that they are dead, and the next command goes by a new one.

use std::time::Duration;

use millstream::queue::{Patience, Queue};

use crate::support::World;
use crate::support::line::Line;

/// Longer than a caller must have waited to count as one who found the server silent.
const A_CALLERS_PATIENCE: Duration = Duration::from_millis(1_200);

async fn by_a_line(world: &World, answer: Duration) -> (Line, Queue) {
    let line = Line::to(&world.valkey_url).await;
    let patience = Patience {
        answer,
        ..Patience::default()
    };
    let url = line.through(&world.valkey_url).into();
    let queue = Queue::open_with(&url, &world.settings, world.queue.wire(), patience).expect("an address");
    queue.check().await.expect("valkey is there");
    (line, queue)
}

#[tokio::test]
async fn a_command_that_is_not_answered_in_time_is_the_last_one_on_its_line() {
    let world = World::new().await;
    let (line, queue) = by_a_line(&world, Duration::from_secs(2)).await;
    line.silence();
    let unheard = queue.check().await.expect_err("nothing comes back");
    assert!(unheard.is_passing(), "{unheard}");
    queue.check().await.expect("the next command is answered");
}

#[tokio::test]
async fn who_stops_waiting_leaves_no_dead_line_to_the_next() {
    let world = World::new().await;
    let (line, queue) = by_a_line(&world, Patience::default().answer).await;
    let replaced = queue.replacements();
    line.silence();
    // A connection that has just been made may still be on its way: not the first who stops waiting ends it.
    while !replaced.has_changed().expect("the queue is there") {
        let waited = tokio::time::timeout(A_CALLERS_PATIENCE, queue.check()).await;
        assert!(waited.is_err(), "nothing comes back");
    }
    queue.check().await.expect("the next command is answered");
}
