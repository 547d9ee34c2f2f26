//! Where reviews stand, asked again and again by whoever waits for them: bounded, and cheap for many at once.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use crate::domain::{JobId, JobState};

/// Where a review stands, and how far its story goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Which.
    pub id: JobId,
    /// The reference's word.
    pub status: String,
    /// Our word; nothing for a review that only a reference process knows.
    pub state: Option<JobState>,
    /// The judge's decision.
    pub verdict: Option<String>,
    /// The number of its latest stored event; -1 while there is none.
    pub last_seq: i64,
}

impl Watched {
    /// Whether nothing moves it on but an operator. A reference process knows two ends.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.state.map_or_else(
            || matches!(self.status.as_str(), "done" | "error"),
            JobState::is_final,
        )
    }
}

impl FromRow<'_, PgRow> for Watched {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: Option<String> = row.try_get("state")?;
        Ok(Self {
            id: JobId(row.try_get("id")?),
            status: row.try_get("status")?,
            state: state.and_then(|word| word.parse().ok()),
            verdict: row.try_get("verdict")?,
            last_seq: row.try_get("last_seq")?,
        })
    }
}

const WATCHED: &str = "
select r.id, r.status, r.verdict, j.state,
       coalesce((select max(e.seq) from millstream.events e where e.job_id = r.id), -1) as last_seq
from reviews r left join millstream.jobs j on j.id = r.id
where r.id = any($1)";

/// Everything whose change changes what is told about a review, in a few words.
const VERSION: &str = "
select concat_ws('/', r.status, extract(epoch from r.updated_at), j.state, j.attempt, j.failures,
                 (select max(e.seq) from millstream.events e where e.job_id = r.id),
                 (select count(*) || ':' || count(s.ended_at) from spans s where s.run_id = r.id),
                 (select count(*) || ':' || coalesce(max(f.id), 0) from findings f where f.review_id = r.id)) as version,
       coalesce(j.state in ('done', 'dead', 'dropped', 'cancelled'), r.status in ('done', 'error')) as is_final
from reviews r left join millstream.jobs j on j.id = r.id
where r.id = $1";

/// A review's state, told apart from every other by a text.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Version {
    /// Differs whenever anything about the review differs.
    pub version: String,
    /// Whether nothing moves it on but an operator.
    pub is_final: bool,
}

impl Store {
    /// Where reviews stand; unknown ones are left out.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn watched(&self, ids: &[JobId]) -> Result<Vec<Watched>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let asked = async { Ok(sqlx::query_as(WATCHED).bind(&ids).fetch_all(&self.pool()).await?) };
        self.bounded(asked).await
    }

    /// What tells a review's present state from every other.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn version_of(&self, id: JobId) -> Result<Option<Version>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(VERSION)
                .bind(id.0)
                .fetch_optional(&self.pool())
                .await?)
        };
        self.bounded(asked).await
    }
}
