//! Drives a run that puts dead jobs back, and tells how far it has got.
//!
//! Whoever closes the console lets go of it: the run stands as it is, and any console or `millstream run resume` goes
//! on with it.

use millstream::domain::RunId;
use millstream::ops::{DriveEnd, Operator};

use millstream::store::runs::RunRow;
use millstream::untrusted::Untrusted;
use tokio::sync::mpsc;
use tracing::warn;

use crate::model::order::{Came, Order, RunNews};
use crate::msg::Msg;

/// How far a run has got, for the screen.
fn news(row: &RunRow) -> RunNews {
    RunNews {
        run: row.id.to_string(),
        state: row.state.to_string(),
        why: row.why.clone().map(Untrusted::new),
        total: row.counts.total,
        requeued: row.counts.requeued,
        done: row.counts.done,
        failed: row.counts.failed,
        planned: row.counts.planned,
    }
}

/// What a question says about a run before it goes on.
pub fn in_words(row: &RunRow) -> Vec<Untrusted> {
    let counts = &row.counts;
    let of = row
        .filter
        .as_ref()
        .map_or_else(String::new, |filter| format!(" of {filter}"));
    let far = format!(
        "{} is {}: {} left of {}{of}, {} put back, {} done, {} failed.",
        row.id, row.state, counts.planned, counts.total, counts.requeued, counts.done, counts.failed
    );
    let why = row.why.as_ref().map(|why| Untrusted::new(why.clone()));
    let by = Untrusted::new(format!("Begun by {}: {}", row.actor, row.reason));
    [Untrusted::new(far)].into_iter().chain(why).chain([by]).collect()
}

/// Drives a run until it stands, and answers what is to be told then.
pub async fn to_the_end(operator: Operator, run: RunId, order: Order, sender: mpsc::Sender<Msg>) -> Vec<Msg> {
    let told = sender.clone();
    let tell = move |row: &RunRow| {
        // The next step tells of itself; a console that does not keep up loses nothing by this one.
        if told.try_send(Msg::Run(news(row))).is_err() {
            warn!("the console does not keep up: a step of a run was not told");
        }
    };
    let ended = operator.drive_run(run, tell).await;
    let failed = |why: String| {
        let came = Err(Untrusted::new(why));
        vec![Msg::Carried {
            order: order.clone(),
            came,
        }]
    };
    match ended {
        Ok(DriveEnd::Elsewhere) => failed(format!("{run} is driven elsewhere")),
        Err(error) => failed(format!("{run} stands: {error}; :resume {run} goes on")),
        Ok(DriveEnd::Over(_)) => {
            let found = tokio::try_join!(operator.run_row(run), operator.run_results(run));
            match found {
                Err(error) => failed(format!("{run} is over, and failed to {error}")),
                Ok((row, (done, left))) => {
                    let came = Came {
                        done,
                        refused: left
                            .into_iter()
                            .map(|(id, why)| (id, Untrusted::new(why)))
                            .collect(),
                        ..Came::default()
                    };
                    vec![
                        Msg::Carried {
                            order,
                            came: Ok(came),
                        },
                        Msg::Run(news(&row)),
                    ]
                }
            }
        }
    }
}
