//! A job type whose handler stands at a gate until the test opens it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream::domain::{Failure, JobId};
use millstream::engine::job::{from_json_payload, json_payload};
use millstream::engine::{Handler, Job, JobContext};
use millstream::store::Lease;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore, mpsc};

/// A job that says a word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestJob {
    pub word: String,
}

impl Job for TestJob {
    const KIND: &'static str = "test";

    fn to_payload(&self) -> String {
        json_payload(self)
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        from_json_payload(payload)
    }
}

/// Runs test jobs: tells each start, waits at the gate, then does what the script says.
#[derive(Clone)]
pub struct Gated {
    starts: mpsc::UnboundedSender<Lease>,
    started: Arc<Mutex<mpsc::UnboundedReceiver<Lease>>>,
    ends: mpsc::UnboundedSender<Lease>,
    ended: Arc<Mutex<mpsc::UnboundedReceiver<Lease>>>,
    gate: Arc<Semaphore>,
    failures: Arc<Mutex<Vec<Failure>>>,
    runs: Arc<AtomicUsize>,
}

impl Gated {
    /// A handler whose gate is open.
    pub fn open() -> Self {
        let gated = Self::shut();
        gated.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        gated
    }

    /// A handler whose gate is shut.
    pub fn shut() -> Self {
        let (starts, started) = mpsc::unbounded_channel();
        let (ends, ended) = mpsc::unbounded_channel();
        Self {
            ends,
            ended: Arc::new(Mutex::new(ended)),
            starts,
            started: Arc::new(Mutex::new(started)),
            gate: Arc::new(Semaphore::new(0)),
            failures: Arc::default(),
            runs: Arc::default(),
        }
    }

    /// The next attempts fail like this, the last one first.
    pub async fn fail_with(&self, failures: impl IntoIterator<Item = Failure>) {
        self.failures.lock().await.extend(failures);
    }

    /// Lets this many attempts through.
    pub fn let_through(&self, attempts: usize) {
        self.gate.add_permits(attempts);
    }

    /// The next start.
    pub async fn next_start(&self) -> Lease {
        self.started
            .lock()
            .await
            .recv()
            .await
            .expect("the handler holds the sender")
    }

    /// The next attempt whose token fired.
    pub async fn next_end(&self) -> Lease {
        self.ended
            .lock()
            .await
            .recv()
            .await
            .expect("the handler holds the sender")
    }

    /// How many attempts have got through the gate.
    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Handler<TestJob> for Gated {
    type Output = ();

    async fn run(&self, job: TestJob, context: JobContext) -> Result<(), Failure> {
        self.starts
            .send(*context.lease())
            .expect("the test holds the receiver");
        let (ends, over) = (self.ends.clone(), context.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "what a handler has started elsewhere outlives its future"
        )]
        tokio::spawn(async move {
            over.cancelled().await;
            // The test may be over.
            let _unheard = ends.send(*over.lease());
        });
        self.gate.acquire().await.expect("never closed").forget();
        self.runs.fetch_add(1, Ordering::SeqCst);
        assert_ne!(job.word, "panic", "as the test asked");
        match self.failures.lock().await.pop() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}
