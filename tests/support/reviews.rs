//! Real reviews in the test's own process: the pipeline on the engine, with a model that the test chooses.

use std::sync::Arc;

use millstream::domain::JobId;
use millstream::ops::Submitter;
use millstream::ops::submit::{Source, Submission};
use millstream::settings::EngineSettings;
use millstream_worker::agent::Limits;
use millstream_worker::github::{Github, GithubSettings};
use millstream_worker::job::{ReviewHandler, ReviewJob};
use millstream_worker::model::Model;
use millstream_worker::review::Reviewer;

use super::world::{Running, World};

/// A committed AWS key: `request-changes`.
pub const COMMITTED_KEY: &str = include_str!("../../assets/demo/committed-key.patch");
/// The key in it; only `inputs` may hold it.
pub const KEY: &str = concat!("AKIA", "Q7FAKE2DEMO4KEY5");
/// Nothing to find: `approve`.
pub const CLEAN: &str = include_str!("../../assets/demo/clean-rust.patch");

impl World {
    /// A way to submit to its queue.
    pub fn submitter(&self) -> Submitter {
        let (store, queue) = (self.store.clone(), self.queue.clone());
        Submitter::new(store, queue, self.settings.clone(), 1 << 20)
    }

    /// Accepts a review as producers do.
    pub async fn submit_review(&self, submission: Submission) -> JobId {
        self.submitter().submit(submission).await.expect("accepted").id
    }

    /// Accepts a patch as producers do.
    pub async fn submit_patch(&self, text: &str) -> JobId {
        let source = Source::Diff {
            label: None,
            text: text.to_owned(),
        };
        self.submit_review(Submission::now(source)).await
    }

    /// Starts a worker that reviews; it can reach no GitHub.
    pub fn reviewer(&self, model: impl Model + 'static, settings: EngineSettings) -> Running {
        self.reviewer_at("http://127.0.0.1:1", model, settings)
    }

    /// Starts a worker that reviews, and asks this GitHub.
    pub fn reviewer_at(
        &self,
        github: &str,
        model: impl Model + 'static,
        settings: EngineSettings,
    ) -> Running {
        let github = GithubSettings::at(github.parse().expect("an address"));
        let github = Github::new(github).expect("settings that work");
        let reviewer = Reviewer::new(Arc::new(model), github, Limits::default());
        self.run::<ReviewJob, _>(ReviewHandler::new(reviewer), settings)
    }
}
