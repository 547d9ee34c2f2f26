//! What the console can do to the demo: submit, start, drain and kill. What came of it goes back as news.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use millstream::untrusted::Untrusted;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::feed::Feed;
use super::fleet::Fleet;
use crate::model;
use crate::model::notice::Tone;
use crate::msg::Msg;
use crate::process::Guarded;
use crate::runtime::link::{Ask, DemoLink};

/// A person presses no more keys than these before the first is done.
const CAPACITY: usize = 64;

/// The demo's end of the way to the console.
pub struct Hands {
    fleet: Arc<Fleet>,
    feed: Arc<Feed>,
    asks: mpsc::Receiver<Ask>,
    news: mpsc::Sender<Msg>,
    ours: watch::Sender<Vec<u32>>,
    /// Workers whose end is waited for.
    ends: FuturesUnordered<BoxFuture<'static, (u32, ExitStatus)>>,
}

/// What the console is told of the fleet.
pub fn fleet(fleet: &Fleet) -> model::Fleet {
    model::Fleet {
        workers: u32::try_from(fleet.alive().len()).unwrap_or(u32::MAX),
        web_url: Untrusted::new(fleet.web_url()),
    }
}

impl Hands {
    /// Both ends of the way.
    pub fn new(fleet: Arc<Fleet>, feed: Arc<Feed>) -> (Self, DemoLink) {
        let (ask, asks) = mpsc::channel(CAPACITY);
        let (tell, news) = mpsc::channel(CAPACITY);
        let alive = fleet.alive();
        let (ours, pids) = watch::channel(pids(&alive));
        let hands = Self {
            fleet,
            feed,
            asks,
            news: tell,
            ours,
            ends: alive.into_iter().map(end).collect(),
        };
        let link = DemoLink {
            asks: ask,
            news,
            ours: pids,
        };
        (hands, link)
    }

    /// Works until the console lets go.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.act(ask).await,
                    None => return,
                },
                Some((pid, status)) = self.ends.next() => self.ended(pid, status).await,
            }
        }
    }

    async fn act(&mut self, ask: Ask) {
        info!("asked to {ask:?}");
        match ask {
            Ask::Submit(diffs) => self.submit(diffs).await,
            Ask::AddWorker => self.add_worker().await,
            Ask::Drain(pid) => {
                let what = "finishes what it has and leaves";
                self.signal(pid, Guarded::terminate, what).await;
            }
            Ask::Kill(pid) => self.signal(pid, Guarded::kill, "was killed").await,
        }
    }

    async fn submit(&self, diffs: u32) {
        let (taken, why) = self.feed.burst(diffs).await;
        match why {
            None => self.tell(Tone::Good, format!("{taken} submitted")).await,
            Some(why) => {
                let text = format!("{taken} of {diffs} submitted: the producer says {why}");
                self.tell(Tone::Bad, text).await;
            }
        }
    }

    async fn add_worker(&mut self) {
        match self.fleet.add_worker() {
            Ok(worker) => {
                let text = format!("a worker starts as process {}", worker.pid());
                self.ends.push(end(worker));
                self.count().await;
                self.tell(Tone::Good, text).await;
            }
            Err(failure) => self.tell(Tone::Bad, failure.to_string()).await,
        }
    }

    async fn signal(&self, pid: u32, send: fn(&Guarded) -> std::io::Result<()>, what: &str) {
        let Some(worker) = self.fleet.worker(pid) else {
            return self
                .tell(Tone::Bad, format!("process {pid} is gone already"))
                .await;
        };
        match send(&worker) {
            Ok(()) => self.tell(Tone::Plain, format!("process {pid} {what}")).await,
            Err(error) => self.tell(Tone::Bad, format!("process {pid}: {error}")).await,
        }
    }

    async fn ended(&self, pid: u32, status: ExitStatus) {
        info!("worker process {pid} ended: {status}");
        self.count().await;
        let how = Untrusted::new(in_words(status));
        let in_order = status.success();
        self.send(Msg::WorkerEnded { pid, how, in_order }).await;
    }

    /// Tells how many workers there are, and which processes are ours.
    async fn count(&self) {
        self.ours.send_replace(pids(&self.fleet.alive()));
        self.send(Msg::Fleet(fleet(&self.fleet))).await;
    }

    async fn tell(&self, tone: Tone, text: String) {
        let text = Untrusted::new(text);
        self.send(Msg::Told { tone, text }).await;
    }

    async fn send(&self, msg: Msg) {
        if self.news.send(msg).await.is_err() {
            warn!("the console is gone before it heard the news");
        }
    }
}

fn pids(workers: &[Arc<Guarded>]) -> Vec<u32> {
    workers.iter().map(|worker| worker.pid()).collect()
}

fn end(worker: Arc<Guarded>) -> BoxFuture<'static, (u32, ExitStatus)> {
    Box::pin(async move {
        let status = worker.wait().await;
        (worker.pid(), status)
    })
}

fn in_words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("exit by signal {signal}"),
        (None, Some(0)) => "left in order".to_owned(),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "its end is unknown".to_owned(),
    }
}
