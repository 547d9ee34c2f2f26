//! Collects the body of a request within bounds of size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::time::timeout;

use crate::shares::{Full, Share};

/// What every body may hold without a share: what names a pull request must come through however many diffs are on
/// their way.
const SMALL: usize = 16 * 1024;
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
    /// There was no room left for it.
    NoRoom(Full),
}

/// The whole body, of at most `limit` bytes; no more than that is ever held. The share is as large as what has arrived,
/// not as what was declared: who declares much and sends nothing takes no room from others.
///
/// # Errors
/// When it is too large, too slow, or broke off, or there is no room for it; then nothing of it is held.
pub async fn collect(mut body: Body, limit: usize, share: &mut Share) -> Result<Vec<u8>, Unread> {
    let collected = match timeout(READ_WITHIN, gather(&mut body, limit, share)).await {
        Ok(collected) => collected,
        Err(_elapsed) => Err(Unread::TooSlow),
    };
    if collected.is_err() {
        share.give_back();
    }
    if matches!(collected, Err(Unread::TooLarge | Unread::NoRoom(_))) {
        // Whether the rest came to its end or not, the answer is the same.
        let _ended = timeout(LINGER, discard(&mut body)).await;
    }
    collected
}

async fn gather(body: &mut Body, limit: usize, share: &mut Share) -> Result<Vec<u8>, Unread> {
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
        let total = bytes.len() + data.len();
        if total > SMALL {
            share.grow_to(total).map_err(Unread::NoRoom)?;
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
    use crate::shares::Shares;

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_collected_and_one_byte_more_is_not() {
        let mut none = Shares::new(0, 0).nothing("ada");
        let small = collect(Body::from("12345"), 5, &mut none).await;
        assert_eq!(small, Ok(b"12345".to_vec()), "it needs no share");
        let large = collect(Body::from("123456"), 5, &mut none).await;
        assert_eq!(large, Err(Unread::TooLarge));
        assert_eq!(collect(Body::empty(), 0, &mut none).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_large_body_has_a_share_as_large_as_it_is_and_none_when_it_is_refused() {
        let (shares, limit) = (Shares::new(2 * SMALL, 2 * SMALL), 4 * SMALL);
        let body = |bytes| Body::from(vec![b'x'; bytes]);
        let mut share = shares.nothing("ada");
        assert!(collect(body(2 * SMALL), limit, &mut share).await.is_ok());
        assert_eq!(shares.held(), 2 * SMALL);
        let mut other = shares.nothing("bob");
        let refused = collect(body(SMALL + 1), limit, &mut other).await;
        assert_eq!(refused, Err(Unread::NoRoom(Full::Everybodys)));
        assert!(
            collect(body(SMALL), limit, &mut other).await.is_ok(),
            "it is small"
        );
        drop(share);
        let mut again = shares.nothing("ada");
        let refused = collect(body(2 * SMALL + 1), limit, &mut again).await;
        assert_eq!((refused, shares.held()), (Err(Unread::NoRoom(Full::Yours)), 0));
    }
}
