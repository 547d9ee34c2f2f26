//! The worker's settings: the core's parts, and what the review needs.

use std::time::Duration;

use millstream::settings::{EngineSettings, Faults, LogSettings, QueueSettings, Reader, ServerSettings};
use secrecy::SecretString;
use url::Url;

use crate::agent::Limits;
use crate::github::GithubSettings;
use crate::model::choice::ModelSettings;
use crate::otlp::OtlpSettings;
use crate::reach::mcp::{self, McpServer};
use crate::review::letter::Votes;
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
    /// Where spans go beside Postgres.
    pub otlp: Option<OtlpSettings>,
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
        let servers = ServerSettings::read(&mut reader);
        let queue = QueueSettings::read_for_reviews(&mut reader);
        let engine = EngineSettings::read(&mut reader);
        let settings = Self {
            servers,
            otlp: OtlpSettings::read(&mut reader, &queue),
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
    /// Which model answers.
    pub model: ModelSettings,
    /// What a review may spend.
    pub limits: Limits,
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
    /// `GITHUB_POST_REVIEW` and `GITHUB_POST_VOTES`: whether and how verdicts are posted.
    pub post: Option<Votes>,
    /// `MCP_SERVERS`: whose tools the reviewers may call.
    pub mcp: Vec<McpServer>,
}

impl ReviewSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            model: ModelSettings::read(reader),
            limits: limits(reader),
            offline_latency: reader.duration(
                "OFFLINE_LATENCY",
                Duration::from_millis(500),
                Duration::ZERO..=Duration::from_secs(3_600),
            ),
            offline_failure_rate: reader.ratio("OFFLINE_FAILURE_RATE", 0.0),
            max_patch: reader.number("MAX_PATCH", 8 << 20, 1..=64 << 20),
            github_api: address(reader, "GITHUB_API_URL", "https://api.github.com"),
            github_token: reader.text("GITHUB_TOKEN").map(SecretString::from),
            post: posting(reader),
            mcp: mcp::settings::read(reader),
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

fn posting(reader: &mut Reader<'_>) -> Option<Votes> {
    let votes = match reader.text("GITHUB_POST_VOTES").as_deref() {
        None | Some("none") => Votes::None,
        Some("request-changes") => Votes::RequestChanges,
        Some("both") => Votes::Both,
        Some(_) => {
            reader.fault("GITHUB_POST_VOTES", "neither none nor request-changes nor both");
            Votes::None
        }
    };
    let wanted = reader.switch("GITHUB_POST_REVIEW");
    if wanted && reader.text("GITHUB_TOKEN").is_none() {
        reader.fault(
            "GITHUB_POST_REVIEW",
            "posting needs a GITHUB_TOKEN that may write to pull requests",
        );
    }
    wanted.then_some(votes)
}

/// Reads what a review may spend.
fn limits(reader: &mut Reader<'_>) -> Limits {
    let usual = Limits::default();
    Limits {
        turns: reader.number("AGENT_MAX_TURNS", usual.turns, 1..=100),
        tokens: reader.number("AGENT_MAX_TOKENS", usual.tokens, 1_000..=100_000_000),
        cost_usd: reader.number("AGENT_MAX_COST", usual.cost_usd, 0.001..=10_000.0),
        wall: reader.duration(
            "AGENT_MAX_TIME",
            usual.wall,
            Duration::from_secs(1)..=Duration::from_secs(3_600),
        ),
        answer_tokens: usual.answer_tokens,
        review_tokens: reader.number("REVIEW_MAX_TOKENS", usual.review_tokens, 1_000..=100_000_000),
        review_cost_usd: reader.number("REVIEW_MAX_COST", usual.review_cost_usd, 0.001..=10_000.0),
    }
}

/// An address that a setting may change.
pub(crate) fn address(reader: &mut Reader<'_>, name: &'static str, usual: &str) -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    let usual = Url::parse(usual).expect("the constant is an address");
    let Some(text) = reader.text(name) else {
        return usual;
    };
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => {
            reader.fault(name, "not an address that starts with https:// and names a host");
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
    fn verdicts_are_posted_only_when_asked_and_with_a_token() {
        assert_eq!(
            read(&[("GITHUB_POST_VOTES", "both")]).expect("right").review.post,
            None
        );
        let all = [
            ("GITHUB_POST_REVIEW", "1"),
            ("GITHUB_POST_VOTES", "both"),
            ("GITHUB_TOKEN", "t"),
        ];
        assert_eq!(read(&all).expect("right").review.post, Some(Votes::Both));
        let faults = read(&[("GITHUB_POST_REVIEW", "1"), ("GITHUB_POST_VOTES", "all")]).expect_err("wrong");
        let names: Vec<&str> = faults.0.iter().map(|fault| fault.name).collect();
        assert_eq!(names, ["GITHUB_POST_VOTES", "GITHUB_POST_REVIEW"]);
    }

    #[test]
    fn a_model_that_is_not_there_is_a_fault_like_the_others() {
        let faults = read(&[
            ("AGENT_MODEL", "gpt-4o"),
            ("AGENT_MAX_TURNS", "0"),
            ("REVIEW_MAX_COST", "free"),
            ("OFFLINE_LATENCY", "fast"),
            ("OFFLINE_FAILURE_RATE", "2"),
            ("MAX_PATCH", "0"),
            ("GITHUB_API_URL", "api.github.com"),
        ])
        .expect_err("seven are wrong");
        let names: Vec<&str> = faults.0.iter().map(|fault| fault.name).collect();
        let expected = [
            "AGENT_MODEL",
            "AGENT_MAX_TURNS",
            "REVIEW_MAX_COST",
            "OFFLINE_LATENCY",
            "OFFLINE_FAILURE_RATE",
            "MAX_PATCH",
            "GITHUB_API_URL",
        ];
        assert_eq!(names, expected);
        assert!(read(&[("AGENT_MODEL", "mock")]).is_ok());
    }
}
