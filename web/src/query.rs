//! What a list is asked for: filters, a page, and the way to the next one. For the API and for the page.

use millstream::domain::JobState;
use millstream::store::listing::{Behind, ListedRow, MOST_LISTED, ReviewFilter};
use millstream::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;

use crate::problem::Problem;

/// How many reviews the reference lists.
const LISTED: u32 = 50;
/// What is searched for is no longer than an address.
const LONGEST_TEXT: usize = 300;

/// What a list may be asked for. A parameter that is empty counts as absent; unknown ones are ignored, as the
/// reference ignores all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// At most so many, 1 to 200; 50 when it is absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub limit: Option<String>,
    /// Only reviews in this state.
    #[serde(default)]
    #[param(value_type = Option<StateWord>, inline)]
    pub state: Option<String>,
    /// Only reviews with this verdict.
    #[serde(default)]
    #[param(max_length = 300)]
    pub verdict: Option<String>,
    /// Only reviews whose input holds this text, whatever the case.
    #[serde(default)]
    #[param(max_length = 300)]
    pub q: Option<String>,
    /// Behind this place: taken from the `Link` header of the page before.
    #[serde(default)]
    #[param(pattern = "^([0-9]{1,17}-[0-9a-f]{32})?$")]
    pub before: Option<String>,
}

impl ListQuery {
    /// The same as the query of an address; empty when nothing was given.
    #[must_use]
    pub fn given(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("limit", &self.limit),
            ("state", &self.state),
            ("verdict", &self.verdict),
            ("q", &self.q),
            ("before", &self.before),
        ] {
            if let Some(value) = given(value.as_deref()) {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// The states, for the document; an empty word is any of them, as a form sends it.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for the words in the document")]
enum StateWord {
    #[schema(rename = "")]
    Any,
    Scheduled,
    Waiting,
    Running,
    Retrying,
    Dead,
    Dropped,
    Cancelled,
    Done,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Which reviews.
    pub filter: ReviewFilter,
    /// At most so many.
    pub limit: u32,
}

impl Page {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// A 400 that says what is wrong: a filter that was misspelt and ignored would show the wrong list.
    pub fn read(query: &ListQuery) -> Result<Self, Problem> {
        let limit = match given(query.limit.as_deref()) {
            None => LISTED,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST_LISTED).contains(limit))
                .ok_or_else(|| Problem::invalid("limit must be a number from 1 to 200"))?,
        };
        let state = given(query.state.as_deref())
            .map(str::parse::<JobState>)
            .transpose()
            .map_err(|error| Problem::invalid(&format!("state: {error}")))?;
        let behind = given(query.before.as_deref())
            .map(str::parse::<Behind>)
            .transpose()
            .map_err(|error| Problem::invalid(&format!("before {error}")))?;
        for (name, text) in [("q", &query.q), ("verdict", &query.verdict)] {
            if text
                .as_ref()
                .is_some_and(|text| text.chars().count() > LONGEST_TEXT)
            {
                return Err(Problem::invalid(&format!(
                    "{name} has more than {LONGEST_TEXT} characters"
                )));
            }
        }
        Ok(Self {
            filter: ReviewFilter {
                state,
                verdict: given(query.verdict.as_deref()).map(str::to_owned),
                text: given(query.q.as_deref()).map(str::to_owned),
                behind,
            },
            limit,
        })
    }

    /// Loads the page, and one review more if another page follows.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn load(&self, store: &Store) -> Result<Vec<ListedRow>, StoreError> {
        store.reviews_that_fit(&self.filter, self.limit + 1).await
    }

    /// The query of the next page, if there is one.
    #[must_use]
    pub fn next(&self, loaded: &[ListedRow]) -> Option<String> {
        let limit = self.limit as usize;
        let last = loaded
            .get(limit.checked_sub(1)?)
            .filter(|_| loaded.len() > limit)?;
        let behind = Behind {
            at: last.review.created_at,
            id: last.review.id,
        };
        let mut query = Serializer::new(String::new());
        if self.limit != LISTED {
            query.append_pair("limit", &self.limit.to_string());
        }
        if let Some(state) = self.filter.state {
            query.append_pair("state", state.word());
        }
        if let Some(verdict) = &self.filter.verdict {
            query.append_pair("verdict", verdict);
        }
        if let Some(text) = &self.filter.text {
            query.append_pair("q", text);
        }
        Some(query.append_pair("before", &behind.to_string()).finish())
    }
}

/// What was given; an empty field of a form was not.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Page, Problem> {
        let mut query = ListQuery::default();
        for (name, value) in pairs {
            let value = Some((*value).to_owned());
            match *name {
                "limit" => query.limit = value,
                "state" => query.state = value,
                "q" => query.q = value,
                _ => query.before = value,
            }
        }
        Page::read(&query)
    }

    #[test]
    fn what_was_given_is_an_address_again() {
        let mut query = ListQuery {
            state: Some("dead".to_owned()),
            verdict: Some(" ".to_owned()),
            q: Some("a&b=ä".to_owned()),
            ..ListQuery::default()
        };
        assert_eq!(query.given(), "state=dead&q=a%26b%3D%C3%A4");
        (query.state, query.q) = (None, None);
        assert_eq!(query.given(), "");
    }

    #[test]
    fn what_is_not_asked_for_is_the_references_list() {
        let page = read(&[("state", ""), ("q", " ")]).expect("nothing is asked for");
        assert_eq!((page.limit, page.filter), (50, ReviewFilter::default()));
    }

    #[test]
    fn a_filter_that_is_misspelt_is_refused() {
        for wrong in [
            ("limit", "0"),
            ("limit", "201"),
            ("limit", "ten"),
            ("state", "finished"),
            ("before", "yesterday"),
        ] {
            let problem = read(&[wrong]).expect_err("it makes no sense");
            assert!(problem.detail().contains(wrong.0), "{problem:?}");
        }
        assert!(
            read(&[("q", &"ä".repeat(300))]).is_ok(),
            "characters are counted, not bytes"
        );
        assert!(read(&[("q", &"ä".repeat(301))]).is_err());
        assert_eq!(
            read(&[("state", "dead")]).expect("a state").filter.state,
            Some(JobState::Dead)
        );
    }
}
