//! The way from the console to the demo's processes and back.

use tokio::sync::{mpsc, watch};

use crate::msg::Msg;

/// What the console asks of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Submit so many diffs.
    Submit(u32),
    /// Start a worker.
    AddWorker,
    /// Let the worker of that process finish and leave.
    Drain(u32),
    /// Kill the worker of that process.
    Kill(u32),
}

/// The console's end.
#[derive(Debug)]
pub struct DemoLink {
    /// What is asked.
    pub asks: mpsc::Sender<Ask>,
    /// What came of it, and what happened by itself.
    pub news: mpsc::Receiver<Msg>,
    /// The processes that are the demo's own.
    pub ours: watch::Receiver<Vec<u32>>,
}

/// Carries the demo's news into the console's channel.
pub(super) async fn carry_news(mut news: mpsc::Receiver<Msg>, sender: mpsc::Sender<Msg>) {
    while let Some(msg) = news.recv().await {
        if sender.send(msg).await.is_err() {
            return;
        }
    }
}
