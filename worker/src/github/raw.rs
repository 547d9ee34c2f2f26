//! The raw diff of a pull request: where lines are to be had that the list of files does not show.

use millstream::domain::{Failure, PrUrl, Retry};
use reqwest::header::{ACCEPT, HeaderValue};

use super::{Github, body, unreachable};

impl Github {
    /// Fetches the whole diff as text. None if GitHub finds it too large or refuses it, or it is
    /// larger than the limit: then the list is all there is.
    ///
    /// # Errors
    /// When GitHub is away or limits the rate: a later attempt may well have it.
    pub async fn raw(&self, pull: &PrUrl) -> Result<Option<String>, Failure> {
        let request = self
            .client
            .get(self.place(pull, &[]))
            .header(ACCEPT, HeaderValue::from_static("application/vnd.github.diff"));
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        if !response.status().is_success() {
            let failure = super::refusal(pull, response).await;
            return match failure.retry {
                Retry::Never => Ok(None),
                _ => Err(failure),
            };
        }
        let mut left = self.max_bytes;
        let bytes = body(response, &mut left).await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}
