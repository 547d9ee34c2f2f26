//! A queue of its own beside others on the same servers, with lines between it and them on which replies get lost.

use std::time::Duration;

use millstream::domain::{CallbackReach, JobId, JobState, Priority};
use millstream::engine::{EngineError, Handler, Identity, Job, Stop, Worker};
use millstream::ops::submit::Source;
use millstream::ops::{Callbacks, Operator, OpsError, Rights, Submission, Submitter};
use millstream::queue::{Patience, Queue, Wire};
use millstream::settings::{EngineSettings, QueueSettings};
use millstream::store::Store;
use millstream_worker::webhook::resolve::SystemLookup;
use millstream_worker::webhook::settings::WebhookSettings;
use millstream_worker::webhook::sign::SigningKey;
use millstream_worker::webhook::{WebhookHandler, WebhookJob};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::jobs::{Errand, Runner, address};
use crate::support::lossy::{Book, GIVES_UP_AFTER, Loss, Lossy, Named, Step};
use crate::support::pg_frames::Postgres;
use crate::support::resp_frames::Resp;
use crate::support::{World, until_within};

/// How long whoever waits for an answer to a move waits until it is made again.
const ASKS_AGAIN_AFTER: Duration = Duration::from_secs(6);
/// How long a scenario may wait for anything: many are played at a time, on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it looks.
const LOOKS_EVERY: Duration = Duration::from_millis(150);
/// How often a move is made before the test fails.
const TRIES: usize = 8;

/// A receiver that nobody calls.
const NOBODY: &str = "http://127.0.0.1:1/hooks";
/// What webhooks are signed with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What one scenario plays on.
pub struct Stage {
    /// The same queue without any loss, to prepare and to look.
    pub world: World,
    pub runner: Runner,
    pub book: Book,
    /// By the lines.
    pub queue: Queue,
    pub store: Store,
    pub expected: Vec<(JobId, JobState)>,
    /// Whoever waits for an answer is to give up soon.
    waits: bool,
    _lines: (Lossy, Lossy),
    /// The webhooks that were delivered, and the line of who delivered them.
    pub delivered: Vec<JobId>,
    _hooks_line: Option<Lossy>,
}

/// A worker on a stage.
pub struct Hand {
    stop: Stop,
    /// Ends with the test, if that fails.
    ended: JoinSet<Result<(), EngineError>>,
}

impl Hand {
    /// Drains it; twice asked it hands back what runs.
    pub async fn drain(mut self, asked: usize) {
        for _ in 0..asked {
            self.stop.ask();
        }
        let ended = timeout(Duration::from_secs(20), self.ended.join_next()).await;
        ended
            .expect("it leaves in time")
            .expect("it is there")
            .expect("it does not panic")
            .expect("it has run");
    }
}

impl Stage {
    /// A stage on which one reply is lost, or none.
    pub async fn set(base: &World, fault: Option<(Step, Loss)>) -> Self {
        let settings = QueueSettings {
            name: format!("t{}:queue", JobId::fresh().0.simple()),
            group: "reviewers".to_owned(),
            limit: 10_000,
        };
        // Who is cut off knows at once. Only who waits for what never comes, or comes too late, is to give up soon; on
        // a machine that is busy with other things that would be one more fault.
        let waits = fault.as_ref().is_some_and(|(_, loss)| *loss != Loss::Cut);
        let patience = Patience {
            answer: if waits {
                GIVES_UP_AFTER
            } else {
                Patience::default().answer
            },
            block: Duration::from_secs(1),
        };
        let book = Book::new(fault);
        let valkey = Lossy::to(&base.valkey_url, book.clone(), Resp::new).await;
        let postgres = Lossy::to(&base.database_url, book.clone(), Postgres::default).await;
        let (url, wire) = (valkey.through(&base.valkey_url), Wire::REVIEW);
        let queue = Queue::open_with(&url.into(), &settings, wire, patience).expect("an address of ours");
        let url = postgres.through(&base.database_url);
        let store = Store::open_for_worker(&url.into(), "lossy", 3).expect("an address of ours");
        let direct =
            Queue::open(&base.valkey_url.clone().into(), &settings, wire).expect("an address of ours");
        let stage = Self {
            world: World {
                queue: direct,
                store: base.store.clone(),
                settings,
                sql: base.sql.clone(),
                valkey: base.valkey.clone(),
                valkey_url: base.valkey_url.clone(),
                database_url: base.database_url.clone(),
            },
            runner: Runner::new(),
            book,
            queue,
            store: if waits {
                store.answering_within(GIVES_UP_AFTER)
            } else {
                store
            },
            expected: Vec::new(),
            waits,
            _lines: (valkey, postgres),
            delivered: Vec::new(),
            _hooks_line: None,
        };
        stage.steady().await;
        stage
    }

    pub fn settings() -> EngineSettings {
        EngineSettings {
            visibility_timeout: Duration::from_secs(3),
            ..World::engine()
        }
    }

    /// Starts a worker on the lines. A process manager starts one again that could not reach its servers.
    pub fn work(&self) -> Hand {
        let runner = self.runner.clone();
        work_on::<Errand, _>(self.queue.clone(), self.store.clone(), runner, Self::settings())
    }

    /// Starts a worker that delivers webhooks. What it does to its queue is what every worker does, so only what it
    /// asks the store goes by a line on which replies are lost.
    pub async fn deliver(&mut self) -> Hand {
        let (world, book) = (&self.world, self.book.clone());
        let frames = || Named("webhooks", Postgres::default());
        let line = Lossy::to(&world.database_url, book, frames).await;
        let url = line.through(&world.database_url);
        let store = Store::open_for_worker(&url.into(), "lossy webhooks", 3).expect("an address of ours");
        let store = if self.waits {
            store.answering_within(GIVES_UP_AFTER)
        } else {
            store
        };
        self._hooks_line = Some(line);
        let hooks = world.settings.webhooks();
        let queue = Queue::open(&world.valkey_url.clone().into(), &hooks, Wire::of(&hooks));
        let key = SigningKey::parse(SECRET).expect("a secret");
        let settings = WebhookSettings::with(vec![key], CallbackReach::Anywhere);
        let handler = WebhookHandler::new(store.clone(), &settings, SystemLookup).expect("a client");
        let queue = queue.expect("an address of ours");
        work_on::<WebhookJob, _>(queue, store, handler, Self::settings())
    }

    /// The only webhook of a review, once it is delivered.
    pub async fn until_told(&mut self, review: JobId) -> JobId {
        let (world, hooks) = (&self.world, self.world.settings.webhooks());
        let hook = self
            .help_until("its webhook is delivered", || async {
                let hook: Option<uuid::Uuid> =
                    sqlx::query_scalar("select job_id from millstream.webhooks where review_id = $1")
                        .bind(review.0)
                        .fetch_optional(&world.sql)
                        .await
                        .expect("postgres is there");
                let hook = JobId(hook?);
                let row = world.store.find_job(&hooks.name, hook).await;
                let row = row.expect("postgres is there")?;
                (row.status == JobState::Done.word()).then_some(hook)
            })
            .await;
        self.delivered.push(hook);
        hook
    }
}

/// Starts a worker. A process manager starts one again that could not reach its servers.
fn work_on<J: Job, H: Handler<J> + Clone>(
    queue: Queue,
    store: Store,
    handler: H,
    settings: EngineSettings,
) -> Hand {
    let make = move || -> Worker<J, H, Store> {
        let (queue, store) = (queue.clone(), store.clone());
        Worker::new(
            queue,
            store,
            handler.clone(),
            settings.clone(),
            Identity::default(),
        )
    };
    let stop = Stop::new();
    let asked = stop.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut ended = make().run(asked.clone()).await;
        for _ in 1..TRIES {
            match ended {
                Err(EngineError::Queue(_) | EngineError::Store(_)) => {
                    ended = make().run(asked.clone()).await;
                }
                other => return other,
            }
        }
        ended
    });
    Hand { stop, ended: task }
}

impl Stage {
    /// An operator on the lines.
    pub fn operator(&self) -> Operator {
        Operator::new(
            self.store.clone(),
            self.queue.clone(),
            "cli:ada",
            Rights::Explicit,
        )
    }

    /// Submits an errand until somebody says that it was accepted.
    pub async fn submit(&mut self, word: &str, end: JobState) -> JobId {
        let source = Source::PullRequest(address(word).parse().expect("an address"));
        self.submit_this(Submission::now(source), end).await
    }

    /// Submits until somebody says that it was accepted, by a key of its own.
    pub async fn submit_this(&mut self, submission: Submission, end: JobState) -> JobId {
        let key = format!("{}-{}", self.world.settings.name, self.expected.len());
        let submission = Submission {
            idempotency: Some(("tests".to_owned(), key)),
            // Its end is told, once, whoever delivers that.
            callback: submission.callback.or_else(|| Some(NOBODY.to_owned())),
            ..submission
        };
        let settings = self.world.settings.clone();
        let submitter = Submitter::new(self.store.clone(), self.queue.clone(), settings, 1_000_000)
            .with_callbacks(Callbacks::Taken(CallbackReach::Anywhere));
        let operator = self.operator();
        let submitted = insist("submit", async || {
            submitter.submit_as(&operator, submission.clone()).await
        })
        .await;
        self.expected.push((submitted.id, end));
        submitted.id
    }

    /// Submits without a key. Who is not answered looks whether it was accepted before asking again.
    pub async fn submit_without_key(&mut self, word: &str, end: JobState) -> JobId {
        let source = Source::PullRequest(address(word).parse().expect("an address"));
        let (store, queue) = (self.store.clone(), self.queue.clone());
        let submitter = Submitter::new(store, queue, self.world.settings.clone(), 1_000_000);
        let known: Vec<uuid::Uuid> = self.expected.iter().map(|(job, _)| job.0).collect();
        let id = insist("submit without a key", async || {
            let found: Option<uuid::Uuid> =
                sqlx::query_scalar("select id from millstream.jobs where queue = $1 and not (id = any($2))")
                    .bind(&self.world.settings.name)
                    .bind(&known)
                    .fetch_optional(&self.world.sql)
                    .await
                    .expect("postgres is there");
            match found {
                Some(id) => Ok(JobId(id)),
                None => Ok(submitter.submit(Submission::now(source.clone())).await?.id),
            }
        })
        .await;
        self.expected.push((id, end));
        id
    }

    /// An urgent diff.
    pub async fn submit_diff(&mut self, end: JobState) -> JobId {
        let text = include_str!("../../assets/demo/clean-rust.patch").to_owned();
        let submission = Submission {
            priority: Priority::High,
            ..Submission::now(Source::Diff { label: None, text })
        };
        self.submit_this(submission, end).await
    }

    /// Accepts an errand without any loss.
    pub async fn submit_safely(&mut self, word: &str, end: JobState) -> JobId {
        let source = Source::PullRequest(address(word).parse().expect("an address"));
        let (store, queue) = (self.world.store.clone(), self.world.queue.clone());
        let submitter = Submitter::new(store, queue, self.world.settings.clone(), 1_000_000);
        let submitted = submitter
            .submit(Submission::now(source))
            .await
            .expect("the servers are there");
        self.expected.push((submitted.id, end));
        submitted.id
    }

    /// Waits until a job is in one of these states.
    pub async fn until_in(&self, job: JobId, states: &[JobState]) -> JobState {
        self.help_until(&format!("{job} is {states:?}"), || async {
            let row = self.world.store.find_job(&self.world.settings.name, job).await;
            let state: JobState = row.expect("postgres is there")?.status.parse().expect("a state");
            states.contains(&state).then_some(state)
        })
        .await
    }

    /// Waits while the clock of what is owed moves on: an enqueue whose reply was lost is paid half a minute later.
    pub async fn help_until<T, F>(&self, what: &str, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let ask = &ask;
        until_within(PATIENCE, LOOKS_EVERY, what, || async move {
            let found = ask().await;
            if found.is_none() {
                self.age_debts().await;
            }
            found
        })
        .await
    }

    async fn age_debts(&self) {
        sqlx::query(
            "update millstream.jobs set updated_at = updated_at - interval '40 s'
             where queue = $1 and state = 'waiting' and entry_id is null
               and updated_at between now() - interval '30 s' and now() - interval '1 s'",
        )
        .bind(&self.world.settings.name)
        .execute(&self.world.sql)
        .await
        .expect("postgres is there");
    }

    /// Nobody has to be heard for four seconds before the dead are taken from: some worker has been.
    async fn steady(&self) {
        let () = redis::cmd("SET")
            .arg(&self.world.queue.keys().steady)
            .arg(1)
            .query_async(&mut self.world.valkey.clone())
            .await
            .expect("valkey is there");
    }
}

/// Makes a move until it is answered: a repeat must be safe.
pub async fn insist<T>(what: &str, mut make: impl AsyncFnMut() -> Result<T, OpsError>) -> T {
    for _ in 1..TRIES {
        if let Ok(Ok(answer)) = timeout(ASKS_AGAIN_AFTER, make()).await {
            return answer;
        }
    }
    let last = make().await;
    last.unwrap_or_else(|error| panic!("{what}: {error}"))
}
