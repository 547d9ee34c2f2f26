//! Webhooks: whoever submitted a review is told how it ended.
//!
//! A webhook is a job of the engine, on a queue of its own beside the reviews: retried, taken over from a worker that
//! vanished, dead after its last attempt, and seen and moved by the same verbs. Its row is written by the database in
//! the transaction in which the review ends, so there is one for each end, whatever happens to whom. It is delivered at
//! least once; its id is the same in each delivery, which is how a receiver knows a repeat.
//!
//! [`sign`] is what a receiver checks, [`resolve`] what keeps us from calling where we must not, [`places`] what keeps
//! one receiver from holding up the others, [`receiver`] the call and what its answer means.

pub mod places;
pub mod receiver;
pub mod resolve;
pub mod settings;
pub mod sign;

use std::sync::Arc;

use millstream::domain::{CallbackReach, CallbackUrl, Failure, FailureClass, JobId};
use millstream::engine::{Handler, Job, JobContext};
use millstream::store::Store;
use millstream::store::webhooks::{WEBHOOK, WebhookRow};

use places::{Place, Places};
use receiver::Receivers;
use resolve::Lookup;
use settings::WebhookSettings;
use sign::SigningKey;

/// A webhook to be delivered. Its payload says for people what it tells of whom: `review.done <id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookJob {
    event: String,
    review: JobId,
}

impl Job for WebhookJob {
    const KIND: &'static str = WEBHOOK;

    fn to_payload(&self) -> String {
        format!("{} {}", self.event, self.review)
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        let unreadable = || "the payload is no webhook: a type and the id of a review are wanted".to_owned();
        let (event, review) = payload.split_once(' ').ok_or_else(unreadable)?;
        Ok(Self {
            event: event.to_owned(),
            review: review.parse().map_err(|_| unreadable())?,
        })
    }
}

/// Delivers webhooks.
#[derive(Debug, Clone)]
pub struct WebhookHandler {
    store: Store,
    receivers: Receivers,
    places: Places,
    keys: Arc<[SigningKey]>,
    reach: CallbackReach,
}

impl WebhookHandler {
    /// A handler that signs with these keys, and looks names up like this.
    ///
    /// # Errors
    /// When no client can be made; it says why.
    pub fn new(store: Store, settings: &WebhookSettings, lookup: impl Lookup) -> Result<Self, String> {
        Ok(Self {
            store,
            receivers: Receivers::new(settings, lookup)?,
            places: Places::new(settings.per_receiver),
            keys: settings.keys.clone().into(),
            reach: settings.reach,
        })
    }

    /// A place with a receiver. Where none is free nothing is wrong with the webhook: it comes back.
    fn place(&self, url: &CallbackUrl) -> Result<Place, Failure> {
        let origin = url.origin();
        self.places.take(&origin).map_err(|pause| {
            let count = self.places.each();
            let text = format!("{origin} is being called {count} times already, which is all that it gets");
            Failure::waiting(FailureClass::Webhook, text, pause)
        })
    }

    /// What a job sends. An outage of the store is another attempt's chance.
    async fn load(&self, id: JobId, job: &WebhookJob) -> Result<WebhookRow, Failure> {
        let row = self
            .store
            .load_webhook(id)
            .await
            .map_err(|error| Failure::passing(FailureClass::Store, format!("failed to {error}")))?;
        row.filter(|row| row.review_id == job.review.0).ok_or_else(|| {
            let text = format!("there is no webhook {id} of the review {}", job.review);
            Failure::lasting(FailureClass::Input, text)
        })
    }
}

impl Handler<WebhookJob> for WebhookHandler {
    type Output = ();

    async fn run(&self, job: WebhookJob, context: JobContext) -> Result<(), Failure> {
        let id = context.lease().job;
        let row = self.load(id, &job).await?;
        // What was allowed when it was submitted may not be any more.
        let url = CallbackUrl::parse(&row.url, self.reach)
            .map_err(|error| Failure::lasting(FailureClass::Webhook, error.to_string()))?;
        let _place = self.place(&url)?;
        let headers = sign::headers(&self.keys, id, crate::agent::trace::now(), row.body.as_bytes());
        self.receivers.deliver(&url, headers, row.body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_back_and_anything_else_is_not() {
        let id = JobId::fresh();
        let text = format!("review.done {id}");
        let job = WebhookJob::from_payload(JobId::fresh(), &text).expect("its own payload");
        assert_eq!((job.to_payload(), job.review), (text, id));
        for wrong in ["", "review.done", "review.done x", "https://example.com/hooks"] {
            assert!(WebhookJob::from_payload(id, wrong).is_err(), "{wrong}");
        }
    }
}
