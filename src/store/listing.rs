//! The list of reviews: filtered, and walked in pages whose places stay where they are while new ones come.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use super::reviews::ReviewRow;
use super::text::clean;
use crate::domain::JobState;

/// The most reviews on one page.
pub const MOST_LISTED: u32 = 200;

/// A place in the list: behind this review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// Which of those that were accepted in the same instant.
    pub id: Uuid,
}

/// The text is no place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no place in the list: take it from the Link header of the page before")]
pub struct NotAPlace;

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.timestamp_micros(), self.id.simple())
    }
}

impl FromStr for Behind {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (micros, id) = text.rsplit_once('-').ok_or(NotAPlace)?;
        let at = DateTime::from_timestamp_micros(micros.parse().map_err(|_| NotAPlace)?).ok_or(NotAPlace)?;
        // What Postgres can hold: a time beyond it is no place either.
        if !(0..=9999).contains(&chrono::Datelike::year(&at)) {
            return Err(NotAPlace);
        }
        Ok(Self {
            at,
            id: Uuid::try_parse(id).map_err(|_| NotAPlace)?,
        })
    }
}

/// Which reviews are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReviewFilter {
    /// In this state, in our words. A review that only a reference process knows has none.
    pub state: Option<JobState>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// Whose input holds this text, whatever the case.
    pub text: Option<String>,
    /// Behind this one.
    pub behind: Option<Behind>,
}

/// A review of the list.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ListedRow {
    /// The review.
    #[sqlx(flatten)]
    pub review: ReviewRow,
    /// From its last start to its end, or until now; of one that a reference worker ran, from its acceptance.
    pub run_s: Option<f64>,
}

const LISTED: &str = "
select r.id, r.pr_url, r.status, r.verdict, r.reason, r.source, r.workflow, r.input_tokens, r.output_tokens,
       r.created_at, r.updated_at, j.state, j.attempt,
       extract(epoch from case when j.id is null and r.status = 'done' then r.updated_at - r.created_at
                               else coalesce(j.finished_at, case when j.state = 'running' then now() end, r.updated_at)
                                    - j.started_at end)::float8 as run_s
from reviews r left join millstream.jobs j on j.id = r.id
where ($1::text is null or j.state = $1)
  and ($2::text is null or r.verdict = $2)
  and ($3::text is null or position(lower($3) in lower(r.pr_url)) > 0)
  and ($4::timestamptz is null or (r.created_at <= $4 and (r.created_at < $4 or r.id > $5)))
order by r.created_at desc, r.id
limit $6";

impl Store {
    /// The newest reviews that fit, at most [`MOST_LISTED`].
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn reviews_that_fit(
        &self,
        filter: &ReviewFilter,
        limit: u32,
    ) -> Result<Vec<ListedRow>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(LISTED)
                .bind(filter.state.map(JobState::word))
                .bind(filter.verdict.as_deref().map(clean))
                .bind(filter.text.as_deref().map(clean))
                .bind(filter.behind.map(|place| place.at))
                .bind(filter.behind.map(|place| place.id))
                // One more than a page, so that the caller sees whether another follows.
                .bind(i64::from(limit.min(MOST_LISTED + 1)))
                .fetch_all(&self.pool())
                .await?)
        };
        self.bounded(asked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is_one() {
        let place = Behind {
            at: DateTime::from_timestamp_micros(1_795_321_965_421_108).expect("a time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in [
            "",
            "-",
            "7",
            "7-8",
            "x-00000000000000000000000000000007",
            "9223372036854775807-00000000000000000000000000000007",
            "-9223372036854775808-00000000000000000000000000000007",
        ] {
            assert_eq!(wrong.parse::<Behind>(), Err(NotAPlace), "{wrong}");
        }
    }
}
