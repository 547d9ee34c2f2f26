//! The worker's settings: the core's parts, and what the review needs.

use std::time::Duration;

use millstream::settings::{EngineSettings, Faults, LogSettings, QueueSettings, Reader, ServerSettings};
use secrecy::SecretString;
use url::Url;

use crate::github::GithubSettings;
use crate::webhook::settings::WebhookSettings;

/// Everything that a worker reads.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Where the servers are.
    pub servers: ServerSettings,
    /// Which queue.
    pub queue: QueueSettings,
    /// How jobs run.
    pub engine: EngineSettings,
    /// How reviews are made.
    pub review: ReviewSettings,
    /// How webhooks are delivered; nothing when no secret is set.
    pub webhooks: Option<WebhookSettings>,
    /// What is logged.
    pub log: LogSettings,
    /// Render's name for the instance, if it runs there.
    pub instance: Option<String>,
}

impl WorkerSettings {
    /// Reads all parts.
    ///
    /// # Errors
    /// Every fault, together.
    pub fn read(vars: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader::new(vars);
        let (servers, queue) = (
            ServerSettings::read(&mut reader),
            QueueSettings::read_for_reviews(&mut reader),
        );
        let engine = EngineSettings::read(&mut reader);
        let settings = Self {
            servers,
            queue,
            review: ReviewSettings::read(&mut reader),
            webhooks: WebhookSettings::read(&mut reader, &engine),
            engine,
            log: LogSettings::read(&mut reader),
            instance: vars("RENDER_INSTANCE_ID"),
        };
        reader.finish(settings)
    }
}

/// How reviews are made.
#[derive(Debug, Clone)]
pub struct ReviewSettings {
    /// `OFFLINE_LATENCY`: how long the offline model takes for a turn.
    pub offline_latency: Duration,
    /// `OFFLINE_FAILURE_RATE`: the share of its turns that fail.
    pub offline_failure_rate: f64,
    /// `MAX_PATCH`: the largest diff in bytes.
    pub max_patch: usize,
    /// `GITHUB_API_URL`.
    pub github_api: Url,
    /// `GITHUB_TOKEN`.
    pub github_token: Option<SecretString>,
}

impl ReviewSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        if let Some(model) = reader.text("AGENT_MODEL")
            && !matches!(model.as_str(), "offline" | "mock")
        {
            reader.fault(
                "AGENT_MODEL",
                "there is no such model; offline and mock are there",
            );
        }
        Self {
            offline_latency: reader.duration(
                "OFFLINE_LATENCY",
                Duration::from_millis(500),
                Duration::ZERO..=Duration::from_secs(3_600),
            ),
            offline_failure_rate: reader.ratio("OFFLINE_FAILURE_RATE", 0.0),
            max_patch: reader.number("MAX_PATCH", 8 << 20, 1..=64 << 20),
            github_api: github_api(reader),
            github_token: reader.text("GITHUB_TOKEN").map(SecretString::from),
        }
    }

    /// What the client for GitHub needs.
    #[must_use]
    pub fn github(&self) -> GithubSettings {
        GithubSettings {
            token: self.github_token.clone(),
            max_bytes: self.max_patch,
            ..GithubSettings::at(self.github_api.clone())
        }
    }
}

fn github_api(reader: &mut Reader<'_>) -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    let usual = Url::parse("https://api.github.com").expect("the constant is an address");
    let Some(text) = reader.text("GITHUB_API_URL") else {
        return usual;
    };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => {
            reader.fault(
                "GITHUB_API_URL",
                "not an address that starts with https:// and names a host",
            );
            usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<WorkerSettings, Faults> {
        WorkerSettings::read(&|name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let review = read(&[]).expect("defaults are right").review;
        assert_eq!(review.offline_latency, Duration::from_millis(500));
        assert_eq!(review.max_patch, 8_388_608);
        assert_eq!(review.github_api.as_str(), "https://api.github.com/");
    }

    #[test]
    fn a_model_that_is_not_there_is_a_fault_like_the_others() {
        let faults = read(&[
            ("AGENT_MODEL", "gpt-4o"),
            ("OFFLINE_LATENCY", "fast"),
            ("OFFLINE_FAILURE_RATE", "2"),
            ("MAX_PATCH", "0"),
            ("GITHUB_API_URL", "api.github.com"),
        ])
        .expect_err("five are wrong");
        let names: Vec<&str> = faults.0.iter().map(|fault| fault.name).collect();
        let expected = [
            "AGENT_MODEL",
            "OFFLINE_LATENCY",
            "OFFLINE_FAILURE_RATE",
            "MAX_PATCH",
            "GITHUB_API_URL",
        ];
        assert_eq!(names, expected);
        assert!(read(&[("AGENT_MODEL", "mock")]).is_ok());
    }
}
