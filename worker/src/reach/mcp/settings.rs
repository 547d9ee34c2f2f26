//! Which MCP servers there are: `MCP_SERVERS`, in the shape that other clients read from their files.

use std::collections::BTreeMap;
use std::fmt;

use millstream::settings::Reader;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

/// Servers at most: each is asked at the beginning of a review.
const MOST: usize = 8;

/// The longest name; tools are called after it.
const LONGEST_NAME: usize = 20;

/// A server that offers tools.
#[derive(Clone)]
pub struct McpServer {
    /// Its name, with which those of its tools begin.
    pub name: String,
    /// How it is reached.
    pub way: Way,
}

/// How a server is reached.
#[derive(Clone)]
pub enum Way {
    /// A program that speaks on its standard input and output.
    Program {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, beside `PATH` and `HOME`. Nothing else of ours is handed on.
        env: BTreeMap<String, String>,
    },
    /// An address that speaks streamable HTTP.
    Address {
        /// Where.
        url: Url,
        /// Headers that it is sent.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}

impl fmt::Debug for McpServer {
    /// Neither arguments nor environment nor headers: they may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A server as it is spelt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelt {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Reads the servers.
pub fn read(reader: &mut Reader<'_>) -> Vec<McpServer> {
    const NAME: &str = "MCP_SERVERS";
    let Some(text) = reader.text(NAME) else {
        return Vec::new();
    };
    match servers(&text) {
        Ok(servers) => servers,
        Err(problem) => {
            reader.fault(NAME, problem);
            Vec::new()
        }
    }
}

/// Reads the text of the setting. What it says of a fault repeats no value: that may be a key.
fn servers(text: &str) -> Result<Vec<McpServer>, String> {
    let spelt: BTreeMap<String, Spelt> = serde_json::from_str(text).map_err(|error| {
        format!(
            "not an object like {{\"docs\": {{\"url\": \"https://..\"}}}} (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if spelt.len() > MOST {
        return Err(format!("more than {MOST} servers"));
    }
    spelt.into_iter().map(server).collect()
}

fn server((name, spelt): (String, Spelt)) -> Result<McpServer, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return Err(format!(
            "a server's name has at most {LONGEST_NAME} letters, digits and hyphens"
        ));
    }
    let Spelt {
        command,
        args,
        env,
        url,
        headers,
    } = spelt;
    let way = match (command, url) {
        (Some(command), None) if headers.is_empty() => Way::Program { command, args, env },
        (None, Some(url)) if args.is_empty() && env.is_empty() => Way::Address {
            url: address(&name, &url)?,
            headers: headers
                .into_iter()
                .map(|pair| header(&name, pair))
                .collect::<Result<_, _>>()?,
        },
        _ => {
            return Err(format!(
                "{name} needs either a command, with args and env, or a url, with headers"
            ));
        }
    };
    Ok(McpServer { name, way })
}

fn address(name: &str, url: &str) -> Result<Url, String> {
    Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| format!("the url of {name} does not start with https:// and name a host"))
}

fn header(name: &str, (header, value): (String, String)) -> Result<(HeaderName, HeaderValue), String> {
    let pair = HeaderName::try_from(header)
        .ok()
        .zip(HeaderValue::try_from(value).ok());
    let (header, mut value) = pair.ok_or_else(|| format!("a header of {name} cannot be sent"))?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_read_and_nothing_of_them_is_shown() {
        let text = r#"{
            "docs": {"url": "https://mcp.example/mcp", "headers": {"authorization": "Bearer k3y"}},
            "lint": {"command": "lint-mcp", "args": ["--quick"], "env": {"TOKEN": "k3y"}}
        }"#;
        let read = servers(text).expect("two servers");
        assert!(matches!(&read[0].way, Way::Address { headers, .. } if headers.len() == 1));
        assert!(matches!(&read[1].way, Way::Program { args, .. } if args.len() == 1));
        assert!(!format!("{read:?}").contains("k3y"));
    }

    #[test]
    fn what_cannot_work_is_refused_without_repeating_a_value() {
        for wrong in [
            "docs=https://k3y",
            r#"{"docs": {"url": "k3y"}}"#,
            r#"{"docs": {}}"#,
            r#"{"docs": {"url": "https://x", "command": "k3y"}}"#,
            r#"{"do cs": {"command": "k3y"}}"#,
            r#"{"docs": {"command": "x", "key": "k3y"}}"#,
            r#"{"docs": {"url": "https://x", "headers": {"a b": "k3y"}}}"#,
        ] {
            let problem = servers(wrong).expect_err(wrong);
            assert!(!problem.contains("k3y") && !problem.contains('\n'), "{problem}");
        }
    }
}
