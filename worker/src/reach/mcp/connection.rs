//! A connection to one MCP server.

use std::collections::HashMap;
use std::process::Stdio;

use millstream::settings::process_environment;
use reqwest::redirect;
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, CallToolResult, PaginatedRequestParams, Tool};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::settings::{McpServer, Way};
use crate::http;

/// Bytes that a program may say over its whole life; one that says more is ended, and begun again for
/// a later review. So neither a line without end nor an endless stream fills the memory.
const LIFETIME: u64 = 64 * 1024 * 1024;

/// The largest answer over HTTP.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Pages of a list of tools.
const PAGES: usize = 4;

/// A server that has introduced itself.
pub(super) struct Connection {
    service: RunningService<RoleClient, ()>,
    /// The program; it ends with the connection.
    _program: Option<Child>,
}

impl Connection {
    /// Connects and introduces itself. The error is in words for the log.
    pub(super) async fn open(server: &McpServer) -> Result<Self, String> {
        match &server.way {
            Way::Program { command, args, env } => {
                let mut program = Command::new(command);
                // A server gets no key of ours: its environment is what the setting says.
                program.args(args).env_clear().envs(env);
                for name in ["PATH", "HOME"] {
                    if let Some(value) = process_environment(name).filter(|_| !env.contains_key(name)) {
                        program.env(name, value);
                    }
                }
                program
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null());
                let mut program = program
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(|error| error.to_string())?;
                let (Some(output), Some(input)) = (program.stdout.take(), program.stdin.take()) else {
                    return Err("its input and output cannot be had".to_owned());
                };
                let service = ().serve((output.take(LIFETIME), input)).await;
                Ok(Self {
                    service: service.map_err(|error| error.to_string())?,
                    _program: Some(program),
                })
            }
            Way::Address { url, headers } => {
                let mut builder = http::builder().map_err(|error| error.to_string())?;
                // Headers may hold a key, which is for this server alone.
                builder = builder.redirect(redirect::Policy::none());
                if http::is_loopback(url) {
                    builder = builder.no_proxy();
                }
                let client = builder.build().map_err(|error| error.to_string())?;
                let headers: HashMap<_, _> = headers.iter().cloned().collect();
                let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .custom_headers(headers)
                    .max_json_response_size(LARGEST_ANSWER)
                    .max_sse_event_size(LARGEST_ANSWER);
                let transport = StreamableHttpClientTransport::with_client(client, config);
                let service = ().serve(transport).await;
                Ok(Self {
                    service: service.map_err(|error| error.to_string())?,
                    _program: None,
                })
            }
        }
    }

    /// Whether the server is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.service.is_transport_closed()
    }

    /// The server's tools, a few pages of them.
    pub(super) async fn list(&self) -> Result<Vec<Tool>, String> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let listed = self.service.list_tools(Some(page)).await;
            let listed = listed.map_err(|error| error.to_string())?;
            tools.extend(listed.tools);
            cursor = listed.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool.
    pub(super) async fn call(&self, request: CallToolRequestParams) -> Result<CallToolResult, String> {
        self.service
            .call_tool(request)
            .await
            .map_err(|error| error.to_string())
    }
}
