//! The key that stops all fetches of a queue: a copy of what Postgres says, for the scripts to see.

use super::connect::Queue;
use super::error::QueueError;

impl Queue {
    /// Stops the fetches. The text says for people who did it, when and why; the scripts only ask whether the
    /// key is there.
    ///
    /// # Errors
    /// When the server is away; the reconciler makes the key again from the row.
    pub async fn set_pause(&self, text: &str) -> Result<(), QueueError> {
        let () = redis::cmd("SET")
            .arg(&self.keys().pause)
            .arg(text)
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }

    /// Lets the fetches go on. Answers whether the key was there.
    ///
    /// # Errors
    /// When the server is away; the reconciler takes the key away.
    pub async fn clear_pause(&self) -> Result<bool, QueueError> {
        let deleted: u64 = redis::cmd("DEL")
            .arg(&self.keys().pause)
            .query_async(&mut self.connection())
            .await?;
        Ok(deleted > 0)
    }

    /// The text of the key, while it is there.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn pause_text(&self) -> Result<Option<String>, QueueError> {
        let text: Option<Vec<u8>> = redis::cmd("GET")
            .arg(&self.keys().pause)
            .query_async(&mut self.connection())
            .await?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}
