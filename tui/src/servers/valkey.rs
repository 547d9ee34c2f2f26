//! How Valkey (or Redis) is started, and how it shows that it is ready.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::ServersError;
use super::program::Program;
use super::server::{Recipe, loopback};
use crate::process::Launch;

/// An answer on the loopback takes less than a millisecond; a server that is reading its file answers too.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// A Valkey in a data folder.
#[derive(Debug)]
pub(super) struct Valkey {
    program: Program,
    data: PathBuf,
    log: PathBuf,
    aof: bool,
    lock: Arc<File>,
}

impl Valkey {
    /// Makes its folder.
    pub fn prepare(
        program: Program,
        data_dir: &Path,
        aof: bool,
        lock: Arc<File>,
    ) -> Result<Valkey, ServersError> {
        let data = data_dir.join("valkey");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&data);
        made.map_err(ServersError::folder(&data))?;
        Ok(Valkey {
            program,
            data,
            log: data_dir.join("valkey.log"),
            aof,
            lock,
        })
    }
}

impl Recipe for Valkey {
    const NAME: &'static str = "valkey";

    fn launch(&self, port: u16) -> Launch {
        let launch = Launch::new(&self.program.server, &self.log)
            .current_dir(&self.data)
            .holding(Arc::clone(&self.lock));
        let launch = match &self.program.libraries {
            Some(libraries) => launch.env("LD_LIBRARY_PATH", libraries),
            None => launch,
        };
        launch
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--protected-mode", "yes"])
            .args(["--daemonize", "no", "--logfile", "", "--always-show-logo", "no"])
            .arg("--dir")
            .arg(&self.data)
            // Snapshots would fork a copy of the data every minute; the append-only file is what promises.
            .args(["--save", "", "--appendonly", if self.aof { "yes" } else { "no" }])
            .args(["--appendfsync", "everysec"])
            // A queue that may be evicted loses jobs.
            .args(["--maxmemory-policy", "noeviction"])
    }

    async fn is_ready(&self, pid: u32, port: u16) -> bool {
        tokio::time::timeout(ANSWER_LIMIT, ask(pid, port))
            .await
            .is_ok_and(|answer| answer.unwrap_or(false))
    }
}

/// Whether the server on the port has read its data (`+PONG` and not `-LOADING`) and is the process `pid`.
async fn ask(pid: u32, port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(loopback(port)).await?;
    stream.write_all(b"PING\r\nINFO server\r\n").await?;
    let mut answer = Vec::new();
    // The section ends long before this; a stranger that keeps talking is cut off.
    while answer.len() < 64 * 1024 && stream.read_buf(&mut answer).await? > 0 {
        if !answer.starts_with(b"+PONG\r\n"[..answer.len().min(7)].as_ref()) {
            return Ok(false);
        }
        if let Some(process) = process_id(&String::from_utf8_lossy(&answer)) {
            return Ok(process == pid.to_string());
        }
    }
    Ok(false)
}

/// The process id in the answer to `INFO server`, once its line is complete.
fn process_id(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("\r\nprocess_id:")?;
    rest.split_once("\r\n").map(|(process, _)| process.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_id_is_read_once_its_line_is_whole() {
        assert_eq!(process_id("+PONG\r\n$99\r\n# Server\r\nprocess_id:12"), None);
        assert_eq!(
            process_id("# Server\r\nprocess_id:123\r\nrun_id:1").as_deref(),
            Some("123")
        );
    }
}
