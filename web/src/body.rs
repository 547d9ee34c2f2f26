//! Collects the body of a request within bounds of size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::time::timeout;

/// A client that sends this slowly is not waited for, so it cannot hold memory for long.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// How long the rest of a body that is too large is thrown away before the answer. A connection that
/// is closed under a client that still sends loses the answer on its way.
const LINGER: Duration = Duration::from_secs(5);

/// Why a body was not collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It has more bytes than allowed.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// It broke off.
    Broken,
}

/// The whole body, of at most `limit` bytes; no more than that is ever held.
///
/// # Errors
/// When it is too large, too slow, or broke off.
pub async fn collect(mut body: Body, limit: usize) -> Result<Vec<u8>, Unread> {
    let collected = match timeout(READ_WITHIN, gather(&mut body, limit)).await {
        Ok(collected) => collected,
        Err(_elapsed) => Err(Unread::TooSlow),
    };
    if collected == Err(Unread::TooLarge) {
        // Whether the rest came to its end or not, the answer is the same.
        let _ended = timeout(LINGER, discard(&mut body)).await;
    }
    collected
}

async fn gather(body: &mut Body, limit: usize) -> Result<Vec<u8>, Unread> {
    // A declared length is believed when it is too large, and checked when it is not.
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(data) = next(body).await {
        let data = data?;
        if data.len() > limit - bytes.len() {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn discard(body: &mut Body) {
    while let Some(Ok(_data)) = next(body).await {}
}

/// The next piece of data; trailers count as an empty one.
async fn next(body: &mut Body) -> Option<Result<Bytes, Unread>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(
        frame
            .map(|frame| frame.into_data().unwrap_or_default())
            .map_err(|_| Unread::Broken),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_collected_and_one_byte_more_is_not() {
        assert_eq!(collect(Body::from("12345"), 5).await, Ok(b"12345".to_vec()));
        assert_eq!(collect(Body::from("123456"), 5).await, Err(Unread::TooLarge));
        assert_eq!(collect(Body::empty(), 0).await, Ok(Vec::new()));
    }
}
