//! One attempt: the handler under its deadline, and whatever ends it made a failure like another.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::context::JobContext;
use super::job::{Handler, Job};
use crate::domain::{Failure, FailureClass};
use crate::queue::entry::Carried;
use crate::store::Record;

/// Runs the handler; a panic in it is a failure, and so is its deadline.
pub async fn run_handler<J: Job, H: Handler<J>>(
    handler: &Arc<H>,
    carried: &Carried,
    context: JobContext,
    deadline: Duration,
) -> Result<Box<dyn Record>, Failure> {
    // However this ends, also by being dropped: what the handler has started elsewhere hears of it.
    let _over = context.cancel_when_dropped();
    let attempt = async {
        let job = J::from_payload(carried.job, &carried.payload)
            .map_err(|message| Failure::lasting(FailureClass::Input, message))?;
        handler.run(job, context).await
    };
    let run = AssertUnwindSafe(attempt).catch_unwind();
    match tokio::time::timeout(deadline, run).await {
        Ok(Ok(Ok(output))) => Ok(Box::new(output)),
        Ok(Ok(Err(failure))) => Err(failure),
        Ok(Err(panic)) => Err(panicked(panic.as_ref())),
        Err(_elapsed) => {
            let text = format!(
                "the attempt ran into its deadline of {} s",
                deadline.as_secs_f64()
            );
            Err(Failure::passing(FailureClass::Timeout, text))
        }
    }
}

/// What a panic says.
pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    let line = crate::untrusted::one_line(&text, 300);
    Failure::passing(FailureClass::Panic, format!("the handler panicked: {line}"))
}

/// The end of a job with which too many workers vanished.
pub fn quarantined(crashes: u32) -> Failure {
    Failure::lasting(
        FailureClass::Crash,
        format!("{crashes} workers vanished while they ran this job"),
    )
}
