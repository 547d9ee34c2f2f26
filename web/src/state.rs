//! What every request may use: the way to submit, the way to read, and who may do either.

use std::sync::Arc;

use millstream::ops::{Callbacks, Submitter};
use millstream::queue::Queue;
use millstream::settings::QueueSettings;
use millstream::store::Store;

use crate::access::Access;
use crate::settings::WebSettings;

/// Shared by all requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    /// Reads what became of a review.
    pub store: Store,
    /// Accepts a review.
    pub submitter: Submitter,
    /// Who may do so.
    pub access: Arc<Access>,
    /// The largest diff that is taken, in bytes.
    pub max_patch: usize,
}

impl State {
    /// The state of one web producer.
    #[must_use]
    pub fn new(store: Store, queue: Queue, queue_settings: &QueueSettings, web: &WebSettings) -> Self {
        let submitter = Submitter::new(store.clone(), queue, queue_settings.clone(), web.max_patch)
            .with_callbacks(Callbacks::of(&web.callbacks));
        Self {
            store,
            submitter,
            access: Arc::new(Access::new(web)),
            max_patch: web.max_patch,
        }
    }
}
