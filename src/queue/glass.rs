//! The notes of a broken glass: a bounded stream in which operators write down what they do while Postgres is away.
//!
//! Nothing is trimmed from it: whoever finds it full does nothing. A note goes once it is in the book.

use super::connect::Queue;
use super::error::QueueError;
use crate::domain::EntryId;
use crate::domain::glass::{GlassHalf, GlassNote};

/// The most notes that wait for Postgres.
pub const MOST_NOTES: u64 = 10_000;
/// Notes in one reply.
const PAGE: usize = 100;

type Row = (String, Vec<String>);

impl Queue {
    /// Writes a note down.
    ///
    /// # Errors
    /// When the server is away, or too many notes wait already; then nothing may be done.
    pub async fn add_glass(&self, note: &GlassNote) -> Result<(), QueueError> {
        let key = &self.keys().glass;
        let waiting: u64 = redis::cmd("XLEN")
            .arg(key)
            .query_async(&mut self.connection())
            .await?;
        if waiting >= MOST_NOTES {
            let text = format!("{MOST_NOTES} notes wait in {key} until Postgres is back");
            return Err(QueueError::Refused(text));
        }
        let _id: String = redis::cmd("XADD")
            .arg(key)
            .arg("*")
            .arg("token")
            .arg(note.token.to_string())
            .arg("half")
            .arg(note.half.word())
            .arg("body")
            .arg(note.body.to_string())
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }

    /// The oldest notes, each with its id, whose time is that of the server. One that nobody can read has no note.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn glass_page(&self) -> Result<Vec<(EntryId, Option<GlassNote>)>, QueueError> {
        let rows: Vec<Row> = redis::cmd("XRANGE")
            .arg(&self.keys().glass)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(PAGE)
            .query_async(&mut self.connection())
            .await?;
        rows.into_iter()
            .map(|(id, fields)| {
                let id = id
                    .parse()
                    .map_err(|_| QueueError::Answer(format!("note id {id}")))?;
                Ok((id, read(&fields)))
            })
            .collect()
    }

    /// Takes notes out that are in the book.
    ///
    /// # Errors
    /// When the server is away; then they are found in the book the next time.
    pub async fn remove_glass(&self, ids: &[EntryId]) -> Result<(), QueueError> {
        if ids.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let _count: u64 = redis::cmd("XDEL")
            .arg(&self.keys().glass)
            .arg(texts)
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }
}

fn read(fields: &[String]) -> Option<GlassNote> {
    let value = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0] == name);
        pair.map(|pair| pair[1].as_str())
    };
    Some(GlassNote {
        token: value("token")?.parse().ok()?,
        half: GlassHalf::from_word(value("half")?)?,
        body: serde_json::from_str(value("body")?).ok()?,
    })
}
