//! What every request may use: the way to submit, the way to read, who may do either, and what is counted.

use std::ops::Deref;
use std::sync::Arc;

use millstream::ops::{Callbacks, Submitter};
use millstream::queue::Queue;
use millstream::settings::QueueSettings;
use millstream::store::Store;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::routes::health::Readiness;
use crate::routes::pages::form_limit;
use crate::settings::{MOST_WAITING, WebSettings};
use crate::shares::Shares;

/// Bytes of large bodies that one client may have on their way: a burst of large diffs comes one after another. What is
/// read from a body takes as much again, twice, before it is written.
const BODIES_EACH: usize = 32 << 20;

/// Shared by all requests. Cheap to clone, which each request does several times.
#[derive(Debug, Clone)]
pub struct State(Arc<Shared>);

/// What is shared.
#[derive(Debug)]
pub struct Shared {
    /// Reads what became of a review.
    pub store: Store,
    /// The queue, for an operator's moves and for what is told of it.
    pub queue: Queue,
    /// Accepts a review.
    pub submitter: Submitter,
    /// What becomes of a callback.
    pub callbacks: Callbacks,
    /// Who may do what.
    pub access: Access,
    /// How fast one client may submit; nothing for any speed.
    pub limits: Option<Limits>,
    /// Streams and answers that wait.
    pub waiting: Shares,
    /// Bytes of large bodies that are on their way.
    pub bodies: Shares,
    /// Hears the progress of reviews.
    pub hub: Hub,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether both servers were there lately.
    pub readiness: Readiness,
    /// The process is about to end: whoever waits is sent away, to come back to another one.
    pub stopping: CancellationToken,
    /// The largest diff that is taken, in bytes.
    pub max_patch: usize,
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl State {
    /// The state of one web producer.
    #[must_use]
    pub fn new(store: Store, queue: Queue, queue_settings: &QueueSettings, web: &WebSettings) -> Self {
        let callbacks = Callbacks::of(&web.callbacks);
        let submitter = Submitter::new(
            store.clone(),
            queue.clone(),
            queue_settings.clone(),
            web.max_patch,
        )
        .with_callbacks(callbacks);
        // Any one body that is allowed must fit.
        let bodies_each = BODIES_EACH.max(form_limit(web.max_patch));
        Self(Arc::new(Shared {
            store,
            queue,
            submitter,
            callbacks,
            access: Access::new(web),
            limits: Limits::new("submit", "submissions", web.submit_rate, web.submit_burst),
            waiting: Shares::new(web.streams_each, MOST_WAITING),
            bodies: Shares::new(bodies_each, bodies_each.saturating_mul(2)),
            hub: Hub::default(),
            metrics: Metrics::default(),
            readiness: Readiness::default(),
            stopping: CancellationToken::new(),
            max_patch: web.max_patch,
        }))
    }
}

#[cfg(test)]
impl State {
    /// The same with other room for large bodies.
    pub(crate) fn with_bodies(self, bodies: Shares) -> Self {
        let mut shared = Arc::into_inner(self.0).expect("nobody else has it yet");
        shared.bodies = bodies;
        Self(Arc::new(shared))
    }
}
