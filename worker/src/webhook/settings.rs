//! The settings of webhooks: secrets, how far they may reach, and how their queue is run.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use millstream::backoff::Backoff;
use millstream::domain::CallbackReach;
use millstream::ops;
use millstream::settings::{CallbackSettings, EngineSettings, Reader};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::sign::SigningKey;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
/// One secret takes the place of another; more than a few are a mistake, and each makes the header longer.
const MOST_KEYS: usize = 4;
/// All roots that a system has are a quarter of it.
const LARGEST_CA_FILE: u64 = 1 << 20;
/// What an attempt needs beyond the call itself: the store is asked first.
const BESIDE_THE_CALL: Duration = Duration::from_secs(15);

/// How webhooks are delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookSettings {
    /// `WEBHOOK_SECRET`: what they are signed with.
    pub keys: Vec<SigningKey>,
    /// `WEBHOOK_ALLOW_PRIVATE`.
    pub reach: CallbackReach,
    /// `WEBHOOK_TIMEOUT`: how long a receiver may take.
    pub timeout: Duration,
    /// `WEBHOOK_CONCURRENCY_EACH`: how many deliveries one receiver has at a time.
    pub per_receiver: usize,
    /// `WEBHOOK_CA_FILE`: who may vouch for a receiver beside the web's own roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// How their queue is run.
    pub engine: EngineSettings,
}

impl WebhookSettings {
    /// The usual times, with these keys: sixteen attempts, whose waits come to a day on the average.
    #[must_use]
    pub fn with(keys: Vec<SigningKey>, reach: CallbackReach) -> Self {
        Self {
            keys,
            reach,
            timeout: Duration::from_secs(15),
            per_receiver: 4,
            roots: Vec::new(),
            engine: EngineSettings {
                concurrency: 16,
                max_attempts: 16,
                backoff: Backoff {
                    first: Duration::from_secs(10),
                    most: DAY / 2,
                },
                ..EngineSettings::default()
            },
        }
    }

    /// Reads the part; nothing when no secret is set. `reviews` is how the worker runs its other jobs: what concerns
    /// the process and not the jobs is the same.
    pub fn read(reader: &mut Reader<'_>, reviews: &EngineSettings) -> Option<Self> {
        let reach = ops::reach(&CallbackSettings::read(reader));
        let usual = Self::with(keys(reader), reach);
        let timeout = reader.duration("WEBHOOK_TIMEOUT", usual.timeout, MS * 100..=MS * 120_000);
        let engine = EngineSettings {
            concurrency: reader.number("WEBHOOK_CONCURRENCY", usual.engine.concurrency, 1..=1024),
            visibility_timeout: reader.duration(
                "WEBHOOK_VISIBILITY_TIMEOUT",
                usual.engine.visibility_timeout,
                Duration::from_secs(3)..=DAY,
            ),
            max_attempts: reader.number("WEBHOOK_MAX_ATTEMPTS", usual.engine.max_attempts, 1..=1000),
            backoff: Backoff {
                first: reader.duration("WEBHOOK_RETRY_BACKOFF", usual.engine.backoff.first, MS..=DAY),
                most: reader.duration("WEBHOOK_RETRY_BACKOFF_MAX", usual.engine.backoff.most, MS..=DAY),
            },
            deadline: timeout + BESIDE_THE_CALL,
            ..reviews.clone()
        };
        let settings = Self {
            timeout,
            per_receiver: reader.number("WEBHOOK_CONCURRENCY_EACH", usual.per_receiver, 1..=1024),
            roots: roots(reader),
            engine,
            ..usual
        };
        (!settings.keys.is_empty()).then_some(settings)
    }
}

/// The roots in a file, with a fault noted for one that holds none.
fn roots(reader: &mut Reader<'_>) -> Vec<CertificateDer<'static>> {
    let Some(path) = reader.text("WEBHOOK_CA_FILE") else {
        return Vec::new();
    };
    match read_roots(Path::new(&path)) {
        Ok(roots) => roots,
        Err(problem) => {
            reader.fault("WEBHOOK_CA_FILE", problem);
            Vec::new()
        }
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_CA_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST_CA_FILE {
        return Err(format!("is larger than {LARGEST_CA_FILE} bytes"));
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let roots = read.map_err(|error| format!("is no file of certificates in PEM: {error}"))?;
    if roots.is_empty() {
        return Err("holds no certificate in PEM".to_owned());
    }
    for root in &roots {
        let added = RootCertStore::empty().add(root.clone());
        added.map_err(|error| format!("holds what is no root: {error}"))?;
    }
    Ok(roots)
}

/// The secrets, with a fault noted for one that is none. None of them is quoted.
fn keys(reader: &mut Reader<'_>) -> Vec<SigningKey> {
    let text = reader.text("WEBHOOK_SECRET").unwrap_or_default();
    let mut keys = Vec::new();
    for word in text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
    {
        match SigningKey::parse(word) {
            Ok(key) => keys.push(key),
            Err(error) => {
                reader.fault("WEBHOOK_SECRET", error.to_string());
                break;
            }
        }
    }
    if keys.len() > MOST_KEYS {
        reader.fault("WEBHOOK_SECRET", format!("holds more than {MOST_KEYS} secrets"));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(pairs: &[(&str, &str)]) -> Result<Option<WebhookSettings>, String> {
        let vars = |name: &str| {
            let pair = pairs.iter().find(|(n, _)| *n == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        let mut reader = Reader::new(&vars);
        let settings = WebhookSettings::read(&mut reader, &EngineSettings::default());
        reader.finish(settings).map_err(|faults| faults.to_string())
    }

    #[test]
    fn without_a_secret_there_are_no_webhooks() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("WEBHOOK_SECRET", " ")]), Ok(None));
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = read(&[("WEBHOOK_SECRET", SECRET)])
            .expect("right")
            .expect("a secret is set");
        let key = SigningKey::parse(SECRET).expect("a secret");
        let mut usual = WebhookSettings::with(vec![key], CallbackReach::Public);
        usual.engine.deadline = Duration::from_secs(30);
        assert_eq!(settings, usual);
        // With full jitter a wait is half its ceiling on the average.
        let ceilings = (1..settings.engine.max_attempts).map(|n| settings.engine.backoff.ceiling(n));
        let hours = ceilings.sum::<Duration>().as_secs_f64() / 3_600.0;
        assert!(
            (46.0..48.0).contains(&hours),
            "{hours} h at most, about a day on the average"
        );
    }

    #[test]
    fn a_file_of_roots_that_holds_none_is_a_fault() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (path, fault) in [
            ("/nowhere/ca.pem", "cannot be read"),
            (manifest, "holds no certificate in PEM"),
        ] {
            let faults = read(&[("WEBHOOK_SECRET", SECRET), ("WEBHOOK_CA_FILE", path)]).expect_err("wrong");
            assert!(
                faults.starts_with("WEBHOOK_CA_FILE: ") && faults.contains(fault),
                "{faults}"
            );
        }
    }

    #[test]
    fn several_secrets_are_read_and_a_wrong_one_is_not_quoted() {
        let several = format!("{SECRET}, whsec_{}\n", "QUFB".repeat(8));
        let settings = read(&[("WEBHOOK_SECRET", &several)])
            .expect("right")
            .expect("secrets");
        assert_eq!(settings.keys.len(), 2);
        for (text, fault) in [
            (format!("{SECRET} hunter2"), "is no secret"),
            ([SECRET; 5].join(" "), "more than 4"),
        ] {
            let faults = read(&[("WEBHOOK_SECRET", &text)]).expect_err("wrong");
            assert!(
                faults.starts_with("WEBHOOK_SECRET: ") && faults.contains(fault),
                "{faults}"
            );
            assert!(!faults.contains("hunter2"), "{faults}");
        }
    }
}
