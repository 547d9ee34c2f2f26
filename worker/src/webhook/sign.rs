//! Signing, as Standard Webhooks 1.0.0 has it: HMAC-SHA256 over id, time and body.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use millstream::domain::JobId;
use sha2::Sha256;

/// What a secret begins with; some generators leave it out.
const PREFIX: &str = "whsec_";
/// How long the standard wants a secret to be, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that receivers know too. Never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// The text is no secret. It is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no secret: {PREFIX} and 24 to 64 bytes in base64 are wanted, as `openssl rand -base64 32` makes them"
)]
pub struct NotASecret;

impl SigningKey {
    /// Reads a secret: base64, behind `whsec_` or without it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        let bytes = STANDARD.decode(text).map_err(|_| NotASecret)?;
        if LENGTHS.contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(NotASecret)
        }
    }

    /// The signature of a webhook, as it stands in its header.
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The headers of one delivery. With several keys there are as many signatures: a receiver that knows one of them
/// finds its own.
#[must_use]
pub fn headers(
    keys: &[SigningKey],
    id: JobId,
    at: DateTime<Utc>,
    body: &[u8],
) -> [(&'static str, String); 3] {
    let (id, timestamp) = (id.to_string(), at.timestamp().to_string());
    let signatures: Vec<String> = keys.iter().map(|key| key.sign(&id, &timestamp, body)).collect();
    [
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_it_says() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        for right in [
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            format!("whsec_{}", STANDARD.encode([7; 64])),
        ] {
            let key = SigningKey::parse(&right).expect("a secret");
            assert_eq!(format!("{key:?}"), "SigningKey(***)");
        }
        for wrong in [
            "",
            "whsec_",
            "hunter2",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            &STANDARD.encode([7; 23]),
            &STANDARD.encode([7; 65]),
        ] {
            let error = SigningKey::parse(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
