//! The settings of each part of the core.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use crate::backoff::Backoff;

/// Where the two servers are. The addresses hold passwords, so they print as `***`.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// `VALKEY_URL`, else `REDIS_URL`.
    pub valkey_url: SecretString,
    /// `DATABASE_URL`.
    pub database_url: SecretString,
}

impl ServerSettings {
    /// Reads both addresses; the defaults are those of a server on this machine.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let valkey = reader.text("VALKEY_URL").map(|url| ("VALKEY_URL", url));
        let redis = reader.text("REDIS_URL").map(|url| ("REDIS_URL", url));
        let valkey_url = match valkey.or(redis) {
            Some((name, url)) => checked(reader, name, url, &["redis", "rediss", "valkey", "valkeys"]),
            None => "redis://127.0.0.1:6379".to_owned(),
        };
        let database_url = match reader.text("DATABASE_URL") {
            Some(url) => checked(reader, "DATABASE_URL", url, &["postgres", "postgresql"]),
            None => "postgres://127.0.0.1:5432/millstream".to_owned(),
        };
        Self {
            valkey_url: valkey_url.into(),
            database_url: database_url.into(),
        }
    }
}

/// The address, with a fault noted when it is none. A wrong one is not quoted: it may hold a password.
fn checked(reader: &mut Reader<'_>, name: &'static str, text: String, schemes: &[&str]) -> String {
    let right = Url::parse(&text).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host());
    if !right {
        reader.fault(
            name,
            format!(
                "not an address that starts with {}:// and names a host",
                schemes[0]
            ),
        );
    }
    text
}

/// Which queue, and how long it may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// `QUEUE`: the stream. The default is the reference's.
    pub name: String,
    /// `QUEUE_GROUP`: its consumer group.
    pub group: String,
    /// `QUEUE_LIMIT`: with this many waiting, for a worker or for their time, submissions are refused.
    pub limit: u64,
}

/// How the queue of a queue's webhooks is called: this, behind the name of the queue.
const WEBHOOKS: &str = ":webhooks";
/// The consumer group of such a queue.
const WEBHOOK_GROUP: &str = "webhooks";

impl QueueSettings {
    /// The queue of this queue's webhooks. The trigger of `assets/migrations/0012_webhooks.sql` puts them there.
    #[must_use]
    pub fn webhooks(&self) -> Self {
        Self {
            name: format!("{}{WEBHOOKS}", self.name),
            group: WEBHOOK_GROUP.to_owned(),
            limit: self.limit,
        }
    }

    /// Whether this is a queue of webhooks.
    #[must_use]
    pub fn is_webhooks(&self) -> bool {
        self.name.ends_with(WEBHOOKS)
    }

    /// Reads the part, for a service that makes or takes reviews.
    pub fn read_for_reviews(reader: &mut Reader<'_>) -> Self {
        let settings = Self::read(reader);
        if settings.is_webhooks() {
            reader.fault(
                "QUEUE",
                format!("ends with {WEBHOOKS}: that is a queue of webhooks"),
            );
        }
        settings
    }

    /// Reads the part. The group of a queue of webhooks is its own, whatever that of the reviews is called.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let mut settings = Self {
            name: name(reader, "QUEUE", "reviews:queue"),
            group: name(reader, "QUEUE_GROUP", "reviewers"),
            limit: reader.number("QUEUE_LIMIT", 10_000, 1..=100_000_000),
        };
        if settings.is_webhooks() {
            WEBHOOK_GROUP.clone_into(&mut settings.group);
        }
        settings
    }
}

/// A stream's or a group's name: braces would move the keys beside it to another cluster slot.
fn name(reader: &mut Reader<'_>, variable: &'static str, default: &str) -> String {
    let text = reader.text(variable).unwrap_or_else(|| default.to_owned());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '/');
    if text.len() > 128 || !text.chars().all(allowed) {
        reader.fault(variable, "may hold up to 128 letters, digits and : - _ . / only");
    }
    text
}

/// Whether a producer takes callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallbackSettings {
    /// `WEBHOOK_SECRET` is set: what is taken can be signed.
    pub signed: bool,
    /// `WEBHOOK_ALLOW_PRIVATE`: callbacks may lead to private addresses, and by HTTP.
    pub allow_private: bool,
}

impl CallbackSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            signed: reader.text("WEBHOOK_SECRET").is_some(),
            allow_private: reader.switch("WEBHOOK_ALLOW_PRIVATE"),
        }
    }
}

/// How a worker runs jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSettings {
    /// `WORKER_CONCURRENCY`: jobs at a time.
    pub concurrency: usize,
    /// `VISIBILITY_TIMEOUT`: how long a silent worker keeps its jobs.
    pub visibility_timeout: Duration,
    /// `MAX_ATTEMPTS`: failed attempts before a job is dead.
    pub max_attempts: u32,
    /// `MAX_CRASHES`: how many workers may vanish with a job before it is dead.
    pub max_crashes: u32,
    /// `RETRY_BACKOFF` and `RETRY_BACKOFF_MAX`.
    pub backoff: Backoff,
    /// `SHUTDOWN_GRACE`: from the signal to the exit.
    pub grace: Duration,
    /// `JOB_DEADLINE`: how long one attempt may run.
    pub deadline: Duration,
    /// `ALLOW_EVICTION`: run on a server that may drop jobs when its memory is full.
    pub allow_eviction: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            visibility_timeout: Duration::from_secs(15),
            max_attempts: 5,
            max_crashes: 5,
            backoff: Backoff {
                first: Duration::from_secs(1),
                most: Duration::from_secs(300),
            },
            grace: Duration::from_secs(25),
            deadline: Duration::from_secs(15 * 60),
            allow_eviction: false,
        }
    }
}

impl EngineSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        const MS: Duration = Duration::from_millis(1);
        const DAY: Duration = Duration::from_secs(86_400);
        let usual = Self::default();
        Self {
            concurrency: reader.number("WORKER_CONCURRENCY", usual.concurrency, 1..=4096),
            // Leases are renewed at a third of this; under 3 s a busy machine would lose them.
            visibility_timeout: reader.duration(
                "VISIBILITY_TIMEOUT",
                usual.visibility_timeout,
                Duration::from_secs(3)..=DAY,
            ),
            max_attempts: reader.number("MAX_ATTEMPTS", usual.max_attempts, 1..=1000),
            max_crashes: reader.number("MAX_CRASHES", usual.max_crashes, 1..=1000),
            backoff: Backoff {
                first: reader.duration("RETRY_BACKOFF", usual.backoff.first, MS..=DAY),
                most: reader.duration("RETRY_BACKOFF_MAX", usual.backoff.most, MS..=DAY),
            },
            grace: reader.duration("SHUTDOWN_GRACE", usual.grace, MS * 100..=DAY),
            deadline: reader.duration("JOB_DEADLINE", usual.deadline, MS * 100..=DAY),
            allow_eviction: reader.switch("ALLOW_EVICTION"),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors: one JSON object a line.
    Json,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `LOG`: a level, or a filter in the syntax of `tracing-subscriber`.
    pub filter: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
}

impl LogSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let filter = reader.text("LOG").unwrap_or_else(|| "info".to_owned());
        if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
            reader.fault(
                "LOG",
                "is no level (error, warn, info, debug, trace) and no filter",
            );
        }
        let format = match reader.text("LOG_FORMAT").as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => {
                reader.fault("LOG_FORMAT", "is neither text nor json");
                LogFormat::Text
            }
        };
        Self { filter, format }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read_all(
        pairs: &[(&str, &str)],
    ) -> Result<(ServerSettings, QueueSettings, EngineSettings), super::super::Faults> {
        let vars = |name: &str| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        let mut reader = Reader::new(&vars);
        let all = (
            ServerSettings::read(&mut reader),
            QueueSettings::read(&mut reader),
            EngineSettings::read(&mut reader),
        );
        reader.finish(all)
    }

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let (servers, queue, engine) = read_all(&[]).expect("defaults are right");
        assert_eq!(servers.valkey_url.expose_secret(), "redis://127.0.0.1:6379");
        assert_eq!(
            (queue.name.as_str(), queue.group.as_str()),
            ("reviews:queue", "reviewers")
        );
        assert_eq!(engine, EngineSettings::default());
    }

    #[test]
    fn all_faults_come_together_and_no_password_is_shown() {
        let faults = read_all(&[
            ("VALKEY_URL", "http://user:hunter2@host"),
            ("DATABASE_URL", "nonsense"),
            ("WORKER_CONCURRENCY", "0"),
            ("VISIBILITY_TIMEOUT", "soon"),
            ("QUEUE", "a{b}"),
            ("ALLOW_EVICTION", "perhaps"),
        ])
        .expect_err("six are wrong")
        .to_string();
        let names: Vec<&str> = faults.lines().filter_map(|line| line.split(':').next()).collect();
        let expected = [
            "VALKEY_URL",
            "DATABASE_URL",
            "QUEUE",
            "WORKER_CONCURRENCY",
            "VISIBILITY_TIMEOUT",
            "ALLOW_EVICTION",
        ];
        assert_eq!(names, expected);
        assert!(!faults.contains("hunter2"), "{faults}");
    }

    #[test]
    fn a_queue_of_webhooks_is_named_after_its_queue_and_brings_its_group() {
        let reviews = read_all(&[]).expect("right").1;
        let hooks = reviews.webhooks();
        assert_eq!(
            (hooks.name.as_str(), hooks.group.as_str()),
            ("reviews:queue:webhooks", "webhooks")
        );
        assert!(hooks.is_webhooks() && !reviews.is_webhooks());
        let vars = [("QUEUE", hooks.name.as_str()), ("QUEUE_GROUP", "reviewers")];
        assert_eq!(read_all(&vars).expect("right").1, hooks);
        let vars = |name: &str| (name == "QUEUE").then(|| hooks.name.clone());
        let mut reader = Reader::new(&vars);
        let read = QueueSettings::read_for_reviews(&mut reader);
        let faults = reader.finish(read).expect_err("no queue of reviews").to_string();
        assert!(faults.starts_with("QUEUE: ends with :webhooks"), "{faults}");
    }

    #[test]
    fn valkey_wins_over_redis_and_empty_is_unset() {
        let url = |pairs: &[(&str, &str)]| {
            read_all(pairs)
                .expect("right")
                .0
                .valkey_url
                .expose_secret()
                .to_owned()
        };
        assert_eq!(url(&[("REDIS_URL", "redis://r/1")]), "redis://r/1");
        assert_eq!(
            url(&[("VALKEY_URL", " redis://v/2 "), ("REDIS_URL", "redis://r/1")]),
            "redis://v/2"
        );
        assert_eq!(
            url(&[("VALKEY_URL", " "), ("REDIS_URL", "redis://r/1")]),
            "redis://r/1"
        );
    }

    #[test]
    fn durations_are_read_with_a_unit_or_as_seconds() {
        let grace = |text| read_all(&[("SHUTDOWN_GRACE", text)]).map(|all| all.2.grace.as_millis());
        assert_eq!(grace("500ms"), Ok(500));
        assert_eq!(grace("2"), Ok(2_000));
        assert_eq!(grace("1m 30s"), Ok(90_000));
        assert!(grace("-1").is_err() && grace("NaN").is_err() && grace("1e300").is_err());
    }
}
