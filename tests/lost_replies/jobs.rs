//! A job type whose jobs do what their address says, and leave a finding in their transaction.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::domain::review::AgentNote;
use millstream::domain::{
    Failure, FailureClass, Finding, JobId, Phase, Progress, ReviewResult, Severity, SpanEnd, SpanId,
    SpanKind, SpanStart, SpanStatus, Usage, Verdict,
};
use millstream::engine::{Handler, Job, JobContext};
use millstream::queue::Wire;
use millstream::store::jobs::REVIEW;
use millstream::store::{Lease, Record, StoreError};
use serde_json::json;
use sqlx::PgConnection;
use tokio::sync::watch;

/// A job that does what its word says.
#[derive(Debug)]
pub struct Errand {
    word: String,
}

impl Job for Errand {
    const KIND: &'static str = REVIEW;
    const WIRE: Wire = Wire::REVIEW;

    fn to_payload(&self) -> String {
        address(&self.word)
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        let word = payload.split('/').nth(4).unwrap_or("told");
        Ok(Self {
            word: word.to_owned(),
        })
    }
}

/// The pull request that has a word for its repository.
pub fn address(word: &str) -> String {
    format!("https://github.com/errands/{word}/pull/1")
}

/// What an errand leaves behind.
pub enum Left {
    /// Nothing: such ends are taken down together.
    Nothing,
    /// A review with one note and one finding.
    Review(ReviewResult),
}

impl Record for Left {
    fn writes_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        match self {
            Self::Nothing => ().record(transaction, lease),
            Self::Review(result) => result.record(transaction, lease),
        }
    }
}

/// Runs errands, and counts the starts of each job.
#[derive(Clone)]
pub struct Runner {
    gate: watch::Sender<bool>,
    healed: Arc<AtomicBool>,
    starts: Arc<Mutex<HashMap<JobId, usize>>>,
}

impl Runner {
    /// A runner whose gate is shut.
    pub fn new() -> Self {
        Self {
            gate: watch::Sender::new(false),
            healed: Arc::default(),
            starts: Arc::default(),
        }
    }

    /// Lets those at the gate through, and all who come.
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// What failed for good succeeds from now on.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    /// How often handlers were started.
    pub fn starts(&self) -> usize {
        self.starts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .sum()
    }
}

impl Handler<Errand> for Runner {
    type Output = Left;

    async fn run(&self, job: Errand, context: JobContext) -> Result<Left, Failure> {
        let lease = *context.lease();
        let nth = {
            let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = starts.entry(lease.job).or_default();
            *count += 1;
            *count
        };
        let fails = |pause| Failure::passing(FailureClass::Model, "503").not_before(pause);
        match job.word.as_str() {
            "plain" => return Ok(Left::Nothing),
            "again" if nth == 1 => return Err(fails(Duration::ZERO)),
            "slow" if nth == 1 => return Err(fails(Duration::from_secs(60))),
            "later" if nth == 1 => return Err(fails(Duration::from_secs(3_600))),
            "lasting" if !self.healed.load(Ordering::SeqCst) => {
                return Err(Failure::lasting(FailureClass::Input, "no such thing"));
            }
            "gated" => {
                let mut gate = self.gate.subscribe();
                // The runner holds the sender.
                let _open = gate.wait_for(|open| *open).await;
            }
            "told" => tell(&context).await?,
            _ => {}
        }
        Ok(Left::Review(result()))
    }
}

/// Everything that an attempt can tell and keep.
async fn tell(context: &JobContext) -> Result<(), Failure> {
    context.progress(&Progress::phase(Phase::Review));
    let (id, at) = (SpanId::fresh(), chrono::DateTime::UNIX_EPOCH);
    context.span_start(SpanStart {
        id,
        parent: None,
        kind: SpanKind::Llm,
        name: "turn".to_owned(),
        input: json!({}),
        at,
    });
    if context.load_checkpoint("turn").await?.is_none() {
        context.save_checkpoint("turn", &json!({ "said": "so" })).await?;
    }
    context.input().await?;
    context.span_end(SpanEnd {
        id,
        status: SpanStatus::Ok,
        output: json!({}),
        error: None,
        usage: Usage::default(),
        cost_usd: 0.0,
        model: None,
        at,
    });
    Ok(())
}

fn result() -> ReviewResult {
    ReviewResult {
        verdict: Verdict::Approve,
        reason: "fine".to_owned(),
        findings: vec![Finding {
            agent: "judge".to_owned(),
            severity: Severity::Info,
            file: None,
            line: None,
            note: "one".to_owned(),
        }],
        notes: vec![AgentNote {
            agent: "judge".to_owned(),
            note: "one".to_owned(),
        }],
        usage: Usage::default(),
        cost_usd: 0.0,
    }
}
