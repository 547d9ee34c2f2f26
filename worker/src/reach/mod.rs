//! Tools that reach beyond the diff.
//!
//! What they answer is other people's text, bounded and masked like everything that a model is shown,
//! and what goes wrong in them is told to the model: it never ends a review. The reviewers may call
//! them beside their own tool; the judge has none.
//!
//! [`head_files`] reads files at the commit under review, [`mcp`] has the tools of MCP servers.

pub mod head_files;
pub mod mcp;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tracing::warn;

pub use head_files::HeadFiles;
pub use mcp::{McpServers, McpTool};

use crate::model::ToolSpec;

/// The tools of one review.
#[derive(Default)]
pub struct Reach {
    /// Files at the head commit, for a pull request.
    pub files: Option<HeadFiles>,
    /// Tools of MCP servers.
    pub mcp: Vec<McpTool>,
    /// The provider has refused a request with them: they are not there any more.
    without_servers: AtomicBool,
}

impl Reach {
    /// The tools of a review that reads these files.
    #[must_use]
    pub fn with_files(files: Option<HeadFiles>) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    /// What a model is told about them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let files = self.files.as_ref().map(|_| head_files::spec());
        let mcp = self.of_servers().iter().map(|tool| tool.spec().clone());
        files.into_iter().chain(mcp).collect()
    }

    /// Whether tools of servers are offered.
    #[must_use]
    pub fn offers_servers(&self) -> bool {
        !self.of_servers().is_empty()
    }

    /// Offers no tools of servers from now on: what they say about themselves may be what a provider refuses, and a
    /// review must not end for that.
    pub fn leave_servers_out(&self) {
        if !self.without_servers.swap(true, Ordering::Relaxed) {
            let names: Vec<&str> = self.mcp.iter().map(|tool| tool.spec().name.as_str()).collect();
            let names = names.join(", ");
            warn!(
                "the provider refused a request with tools of MCP servers; the review goes on without {names}"
            );
        }
    }

    fn of_servers(&self) -> &[McpTool] {
        if self.without_servers.load(Ordering::Relaxed) {
            &[]
        } else {
            &self.mcp
        }
    }

    /// Calls one of them; none if there is no tool of that name. The error is for the model.
    pub async fn call(&self, name: &str, arguments: &Value) -> Option<Result<String, String>> {
        match &self.files {
            Some(files) if name == head_files::NAME => Some(files.read(arguments).await),
            _ => {
                let tool = self.of_servers().iter().find(|tool| tool.spec().name == name)?;
                Some(tool.call(arguments).await)
            }
        }
    }
}
