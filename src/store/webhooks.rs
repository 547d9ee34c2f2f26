//! Webhooks: what is sent, and where. The database writes them itself, in the transaction in which a job with a
//! callback ends (`assets/migrations/0012_webhooks.sql`).

use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use crate::domain::JobId;

/// The kind of a job that is the delivery of a webhook.
pub const WEBHOOK: &str = "webhook";

/// A webhook as it is sent.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WebhookRow {
    /// The review that it tells of.
    pub review_id: Uuid,
    /// Where it goes. It may hold a secret.
    pub url: String,
    /// What it says: the same in each delivery.
    pub body: String,
}

impl std::fmt::Debug for WebhookRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookRow")
            .field("review_id", &self.review_id)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The webhook that a job delivers.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn load_webhook(&self, job: JobId) -> Result<Option<WebhookRow>, StoreError> {
        let asked = async {
            let row =
                sqlx::query_as("select review_id, url, body from millstream.webhooks where job_id = $1")
                    .bind(job.0)
                    .fetch_optional(&self.pool())
                    .await?;
            Ok(row)
        };
        self.bounded(asked).await
    }
}
