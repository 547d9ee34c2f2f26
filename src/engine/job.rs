//! What a job type is: how it travels, and what runs it.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::JobContext;
use crate::domain::{Failure, JobId};
use crate::queue::Wire;
use crate::store::Record;

/// A job type.
pub trait Job: Sized + Send + Sync + 'static {
    /// Its name in the database.
    const KIND: &'static str;
    /// The fields of its stream entries.
    const WIRE: Wire = Wire::JOB;

    /// The payload as its entry carries it.
    fn to_payload(&self) -> String;

    /// Reads the payload of an entry.
    ///
    /// # Errors
    /// One line for people; the job is buried with it, since another attempt reads the same.
    fn from_payload(id: JobId, payload: &str) -> Result<Self, String>;
}

/// The payload of a job type that travels as JSON.
#[must_use]
pub fn json_payload<T: Serialize>(job: &T) -> String {
    serde_json::to_string(job).unwrap_or_default()
}

/// A job type from a JSON payload.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn from_json_payload<T: DeserializeOwned>(payload: &str) -> Result<T, String> {
    serde_json::from_str(payload).map_err(|error| format!("the payload is no such job: {error}"))
}

/// Runs jobs of one type.
pub trait Handler<J: Job>: Send + Sync + 'static {
    /// What it leaves behind, recorded in the transaction that ends the job.
    type Output: Record + Send + 'static;

    /// Runs one attempt. The future is dropped when the lease is lost, the job is cancelled or the
    /// worker's grace is over, so it must be safe to drop at every await.
    fn run(&self, job: J, context: JobContext) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}
