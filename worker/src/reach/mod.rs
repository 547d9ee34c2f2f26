//! Tools that reach beyond the diff.
//!
//! What they answer is other people's text, bounded and masked like everything that a model is shown,
//! and what goes wrong in them is told to the model: it never ends a review. The reviewers may call
//! them beside their own tool; the judge has none.
//!
//! [`head_files`] reads files at the commit under review, [`mcp`] has the tools of MCP servers.

pub mod head_files;
pub mod mcp;

use serde_json::Value;

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
}

impl Reach {
    /// What a model is told about them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let files = self.files.as_ref().map(|_| head_files::spec());
        let mcp = self.mcp.iter().map(|tool| tool.spec().clone());
        files.into_iter().chain(mcp).collect()
    }

    /// Calls one of them; none if there is no tool of that name. The error is for the model.
    pub async fn call(&self, name: &str, arguments: &Value) -> Option<Result<String, String>> {
        match &self.files {
            Some(files) if name == head_files::NAME => Some(files.read(arguments).await),
            _ => {
                let tool = self.mcp.iter().find(|tool| tool.spec().name == name)?;
                Some(tool.call(arguments).await)
            }
        }
    }
}
