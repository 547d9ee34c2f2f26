//! The demo's processes: one producer, some workers, each this binary once more.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use millstream::settings::process_environment;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::process::{Guarded, Launch};
use crate::servers::Servers;

/// How long the producer may take to answer for the first time.
const PRODUCER_UP_WITHIN: Duration = Duration::from_secs(20);
/// Longer than a worker's own grace: it ends by itself first.
const BEYOND_GRACE: Duration = Duration::from_secs(5);
/// How long one answer of the producer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Another process may take the port between our look and the producer's.
const PORT_TRIES: u32 = 5;

/// The processes. Workers come and go while it stands.
pub struct Fleet {
    web: Guarded,
    web_url: String,
    workers: Mutex<Workers>,
    ground: Ground,
    concurrency: usize,
    grace: Duration,
}

/// The workers that were started and whose end was not yet seen.
#[derive(Default)]
struct Workers {
    alive: Vec<Arc<Guarded>>,
    /// How many were ever started: log files never share a name.
    started: u32,
}

/// What every process of the demo stands on.
struct Ground {
    valkey_url: String,
    database_url: String,
    folder: PathBuf,
}

impl Fleet {
    /// Starts the producer, waits until it answers, and starts the workers.
    ///
    /// # Errors
    /// When a process cannot be started or the producer does not answer.
    pub async fn start(servers: &Servers, folder: &Path, workers: u16) -> Result<Self, Failure> {
        let settings = millstream_worker::settings::WorkerSettings::read(&process_environment)?;
        let ground = Ground {
            valkey_url: servers.valkey_url.clone(),
            database_url: servers.database_url.clone(),
            folder: folder.to_owned(),
        };
        let (web, web_url) = start_producer(&ground).await?;
        let fleet = Self {
            web,
            web_url,
            workers: Mutex::default(),
            ground,
            concurrency: settings.engine.concurrency,
            grace: settings.engine.grace,
        };
        for _ in 0..workers {
            fleet.add_worker()?;
        }
        Ok(fleet)
    }

    /// Starts one more worker.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn add_worker(&self) -> Result<Arc<Guarded>, Failure> {
        let mut workers = self.workers();
        let name = format!("worker-{}", workers.started + 1);
        let worker = Arc::new(launch(&self.ground, "worker", &name, |launch| launch)?);
        workers.started += 1;
        workers.alive.push(Arc::clone(&worker));
        Ok(worker)
    }

    /// The workers that run.
    pub fn alive(&self) -> Vec<Arc<Guarded>> {
        let mut workers = self.workers();
        workers.alive.retain(|worker| worker.ended().is_none());
        workers.alive.clone()
    }

    /// The worker of a process.
    pub fn worker(&self, pid: u32) -> Option<Arc<Guarded>> {
        self.alive().into_iter().find(|worker| worker.pid() == pid)
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        // A thread that panicked with the lock held leaves nothing half done here.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the producer is.
    pub fn web_url(&self) -> &str {
        &self.web_url
    }

    /// Jobs that all workers together run at a time.
    pub fn slots(&self) -> usize {
        self.concurrency * self.alive().len()
    }

    /// Ends when the producer does, which it should not.
    pub async fn producer_ended(&self) -> Failure {
        let status = self.web.wait().await;
        Failure::Demo(format!(
            "the producer ended ({status}): {}",
            last_words(&self.web)
        ))
    }

    /// Asks everybody to finish, and waits for it.
    pub async fn drain(&self) {
        // The producer first: what it accepts now would only wait.
        self.stop(self.grace + BEYOND_GRACE).await;
    }

    /// Ends everybody at once.
    pub async fn kill(&self) {
        self.stop(Duration::ZERO).await;
    }

    async fn stop(&self, within: Duration) {
        let workers = self.alive();
        let everybody = std::iter::once(&self.web).chain(workers.iter().map(AsRef::as_ref));
        join_all(everybody.map(|process| process.stop(within))).await;
    }
}

async fn start_producer(ground: &Ground) -> Result<(Guarded, String), Failure> {
    let mut last = Failure::Demo("the producer did not start".to_owned());
    for _ in 0..PORT_TRIES {
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let web = launch(ground, "web", "web", |launch| {
            launch.env("PORT", port.to_string()).env("HOST", "127.0.0.1")
        })?;
        match answers(&web, &url).await {
            Ok(()) => return Ok((web, url)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// Waits until the producer answers.
async fn answers(web: &Guarded, url: &str) -> Result<(), Failure> {
    let client = http_client()?;
    let give_up = Instant::now() + PRODUCER_UP_WITHIN;
    loop {
        if client
            .get(format!("{url}/healthz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(());
        }
        if let Some(status) = web.ended() {
            return Err(Failure::Demo(format!(
                "the producer ended ({status}): {}",
                last_words(web)
            )));
        }
        if Instant::now() > give_up {
            return Err(Failure::Demo(format!(
                "the producer does not answer; see {}",
                web.log().display()
            )));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A client for the producer on this machine.
pub fn http_client() -> Result<reqwest::Client, Failure> {
    let failed = |error: String| Failure::Demo(format!("make an HTTP client: {error}"));
    let builder = millstream_worker::http::builder().map_err(|error| failed(error.to_string()))?;
    // A proxy cannot reach this machine.
    builder
        .no_proxy()
        .timeout(ANSWER_WITHIN)
        .build()
        .map_err(|error| failed(error.to_string()))
}

/// A process of this binary, with its output in a log file.
fn launch(
    ground: &Ground,
    verb: &str,
    name: &str,
    more: impl FnOnce(Launch) -> Launch,
) -> Result<Guarded, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::Demo(format!("find the program of this process: {error}")))?;
    let grace = Duration::from_secs(2);
    // A key that happens to lie in the environment is not spent on a demo; who wants it names a model.
    let model = process_environment("AGENT_MODEL").unwrap_or_else(|| "offline".to_owned());
    let launch = Launch::new(program, ground.folder.join(format!("{name}.log")))
        .arg(verb)
        .env("VALKEY_URL", &ground.valkey_url)
        .env("DATABASE_URL", &ground.database_url)
        .env("AGENT_MODEL", model)
        .grace(grace);
    Guarded::spawn(&more(launch)).map_err(|error| Failure::Demo(format!("failed to {error}")))
}

fn free_port() -> Result<u16, Failure> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port())
        .map_err(|error| Failure::Demo(format!("find a free port: {error}")))
}

/// The last line that a process wrote.
fn last_words(process: &Guarded) -> String {
    let output = process.output();
    let last = output
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    millstream::untrusted::one_line(last, 300)
}
