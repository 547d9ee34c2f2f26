//! What the console of the story has sent.

use std::collections::VecDeque;
use std::time::Duration;

use super::ago;
use crate::model::connection::{Sent, Server};

/// They, newest first.
pub fn sent() -> VecDeque<Sent> {
    let row = |seconds: f64, server, text: &str, count, micros| Sent {
        at: ago(seconds),
        server,
        text: text.into(),
        count,
        took: Some(Duration::from_micros(micros)),
    };
    [
        row(
            0.0,
            Server::Postgres,
            "counts and flow, workers, what ended last",
            3,
            1_200,
        ),
        row(
            0.0,
            Server::Valkey,
            "TIME, XLEN, XPENDING, ZCARD, ZRANGE, XRANGE, EXISTS, MGET",
            14,
            300,
        ),
        row(
            1.0,
            Server::Postgres,
            "counts and flow, workers, what ended last",
            3,
            1_250,
        ),
        row(
            1.0,
            Server::Valkey,
            "TIME, XLEN, XPENDING, ZCARD, ZRANGE, XRANGE, EXISTS, MGET",
            14,
            310,
        ),
    ]
    .into()
}
