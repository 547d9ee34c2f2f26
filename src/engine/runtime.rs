//! The worker's one loop: names what happened, asks the dispatcher, does what it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::attempt::{panicked, quarantined, run_handler};
use super::card::{Card, CardState};
use super::clerk::{Clerk, Paper, TakenDown, persist};
use super::context::{JobContext, Memory};
use super::dispatcher::{Action, Answer, Dispatcher, Event, Release, Ticket, Written};
use super::held::{Held, Run};
use super::job::{Handler, Job};
use super::leases::{lost_leases, park_unknown};
use super::ledger::Ledger;
use super::outcome::RetryRules;
use super::release::{How, Order};
use super::telemetry::Telemetry;
use super::worker::{EngineError, Stop};
use crate::domain::{Failure, Lane, WorkerId};
use crate::queue::{Entry, Queue};
use crate::store::{Asked, AtWork, Died, Fence, Issued, Lease, Record, Start};

/// Messages on the way to the loop.
pub const INBOX: usize = 1_024;
/// A job with which so many workers vanished runs alone in its process, so that it takes no other with it. One
/// vanished worker is a deploy or a dead machine; the second makes the job suspect.
const SUSPECT_CRASHES: u32 = 2;
/// How old an entry is that was delivered here and never arrived, when a read is known to have failed.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// Messages that are taken together.
const BATCH: usize = 256;
/// How often the card is written anew at the most.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// How long aborted tasks have to end.
const ABORT_WITHIN: Duration = Duration::from_millis(500);

/// What the tasks around the loop tell it.
pub enum Message {
    /// Entries are this worker's now; the sender waits until the free slots are counted anew.
    Fetched(Vec<Entry>, oneshot::Sender<()>),
    /// The ledger's answers.
    Answered(Vec<(Ticket, Start)>),
    /// A handler has returned.
    Ended(Ticket, Result<Box<dyn Record>, Failure>),
    /// The ledger has taken down ends.
    Written(Vec<(Ticket, TakenDown)>),
    /// The ledger has taken down that an attempt is given up.
    HandedBack(Ticket, Written),
    /// Valkey has let go of entries.
    Released(Vec<Ticket>),
    /// The leases of these entries are lost.
    Lost(Vec<Ticket>),
    /// Leases want to be renewed.
    RenewDue,
    /// A read failed: what it was given may never arrive.
    ReadFailed,
    /// Nothing more is on its way from the stream.
    FetchEnded,
}

/// What is fixed for the worker's life.
pub struct Setup<J, H, L> {
    /// The queue.
    pub queue: Queue,
    /// The ledger.
    pub ledger: L,
    /// What runs the jobs.
    pub handler: Arc<H>,
    /// Who runs them.
    pub worker: WorkerId,
    /// When a failure is followed by another attempt.
    pub rules: RetryRules,
    /// Workers that may vanish with a job.
    pub max_crashes: u32,
    /// How long one attempt may run.
    pub deadline: Duration,
    /// How long after a stop what runs may go on.
    pub grace: Duration,
    /// How long a silent worker keeps its entries.
    pub visibility_timeout: Duration,
    /// Where attempts hand in what they tell.
    pub telemetry: Telemetry,
    /// Where entries are let go.
    pub orders: mpsc::UnboundedSender<Order>,
    /// The loop's own inbox, for the tasks it starts.
    pub inbox: mpsc::Sender<Message>,
    /// How many slots are free.
    pub free: watch::Sender<usize>,
    /// What the card says.
    pub card: watch::Sender<Card>,
    /// The job type.
    pub job: std::marker::PhantomData<fn() -> J>,
}

impl<J, H, L: Ledger> Setup<J, H, L> {
    /// Why an attempt is not run at all: too many workers vanished with its job.
    fn given_up(&self, issued: &Issued) -> Option<Failure> {
        // Without a ledger a crash cannot be told from a failure: the deliveries are all there is.
        let spent = self.ledger.store().is_none() && issued.failures >= self.rules.max_attempts;
        if issued.crashes >= self.max_crashes {
            Some(quarantined(issued.crashes))
        } else if spent {
            Some(quarantined(issued.failures))
        } else {
            None
        }
    }
}

/// The loop.
pub struct Runtime<J, H, L> {
    setup: Setup<J, H, L>,
    dispatcher: Dispatcher,
    held: HashMap<Ticket, Held>,
    serial: u64,
    /// Handlers. A panic that gets out of one, while it is dropped, is the failure of its attempt.
    attempts: JoinSet<()>,
    /// The engine's own tasks. Nobody knows what one that panics has left undone, so the worker ends.
    tasks: JoinSet<()>,
    broken: Option<EngineError>,
    /// Where the ends of attempts go.
    papers: mpsc::UnboundedSender<Paper>,
    /// Whether the card says something else than what holds, and when it was last written.
    card_is_stale: bool,
    card_shown: Instant,
    /// When entries that nobody knows of were last looked for.
    looked: Instant,
    /// Whether there may be some since.
    may_have_lost: bool,
    done: bool,
}

impl<J: Job, H: Handler<J>, L: Ledger> Runtime<J, H, L> {
    /// A loop with this many slots.
    pub fn new(setup: Setup<J, H, L>, slots: usize) -> Self {
        setup.free.send_replace(slots);
        let mut tasks = JoinSet::new();
        // Bounded by the entries that are held: each attempt ends once.
        let (papers, inbox) = mpsc::unbounded_channel();
        let clerk = Clerk {
            ledger: setup.ledger.clone(),
            queue: setup.queue.clone(),
            telemetry: setup.telemetry.clone(),
            rules: setup.rules,
            inbox: setup.inbox.clone(),
        };
        tasks.spawn(clerk.run(inbox));
        Self {
            papers,
            card_is_stale: false,
            card_shown: Instant::now(),
            setup,
            dispatcher: Dispatcher::new(slots),
            held: HashMap::new(),
            serial: 0,
            attempts: JoinSet::new(),
            tasks,
            broken: None,
            looked: Instant::now(),
            may_have_lost: false,
            done: false,
        }
    }

    /// Runs until everything is ended after a stop; answers how many entries were left unended.
    ///
    /// # Errors
    /// When a task of the engine's own has panicked.
    pub async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        stop: &Stop,
    ) -> Result<usize, EngineError> {
        let (mut stopping, mut over, mut leave) = (false, false, false);
        let mut grace_ends = None;
        let mut batch = Vec::with_capacity(BATCH);
        while !self.done && !leave && self.broken.is_none() {
            let card_due = self.card_is_stale.then(|| self.card_shown + SHOW_EVERY);
            tokio::select! {
                biased;
                () = stop.insisted(), if !over => { over = true; self.handle(Event::GraceOver); }
                () = stop.asked(), if !stopping => {
                    stopping = true;
                    grace_ends = Some(Instant::now() + self.setup.grace);
                    self.begin_drain();
                }
                () = until(grace_ends.map(|at| at - hand_back_time(self.setup.grace))), if stopping && !over => {
                    over = true;
                    info!("the grace is over: handing back what still runs");
                    self.handle(Event::GraceOver);
                }
                () = until(grace_ends), if over => leave = true,
                count = messages.recv_many(&mut batch, BATCH) => {
                    leave |= count == 0;
                    for message in batch.drain(..) {
                        self.take(message);
                    }
                    self.show_free();
                    self.show_card();
                    // Never starved by messages: what has ended is not kept.
                    while let Some(ended) = self.tasks.try_join_next() {
                        self.note_task(ended);
                    }
                    while let Some(ended) = self.attempts.try_join_next() {
                        self.note_attempt(ended);
                    }
                }
                () = until(card_due) => self.show_card(),
                Some(ended) = self.tasks.join_next() => self.note_task(ended),
                Some(ended) = self.attempts.join_next() => self.note_attempt(ended),
            }
        }
        // A handler that blocks its thread must not hold up the exit.
        let ending = async {
            self.attempts.shutdown().await;
            self.tasks.shutdown().await;
        };
        if tokio::time::timeout(ABORT_WITHIN, ending).await.is_err() {
            warn!("some handlers did not stop when they were told to; leaving without them");
        }
        self.broken.map_or(Ok(self.held.len()), Err)
    }

    fn begin_drain(&mut self) {
        info!(
            "stopping: nothing new begins, {} jobs are finished",
            self.held.len()
        );
        self.setup
            .card
            .send_modify(|card| card.state = CardState::Draining);
        self.handle(Event::Stop);
    }

    fn note_task(&mut self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.broken = Some(EngineError::Panicked(error.to_string()));
        }
    }

    /// A handler that panics while it is dropped at its deadline takes its task along: its attempt has failed, and
    /// its slot is free. One that was aborted has had its end.
    fn note_attempt(&mut self, ended: Result<(), JoinError>) {
        let Some(error) = ended.err().filter(JoinError::is_panic) else {
            return;
        };
        let id = error.id();
        let is_it = |held: &Held| {
            held.run
                .as_ref()
                .and_then(|run| run.task.as_ref())
                .is_some_and(|t| t.id() == id)
        };
        let found = self.held.iter().find(|(_, held)| is_it(held));
        let Some(ticket) = found.map(|(ticket, _)| *ticket) else {
            return error!("a handler panicked while it was dropped: {error}");
        };
        self.take(Message::Ended(ticket, Err(panicked(error.into_panic().as_ref()))));
    }

    /// Names what a message means for the dispatcher.
    fn take(&mut self, message: Message) {
        match message {
            Message::Fetched(entries, counted) => {
                self.deliver(entries);
                // Counted before the fetcher goes on, or it would take more than fits.
                self.show_free();
                // The fetcher is gone only after the stop.
                let _gone = counted.send(());
            }
            Message::Answered(answers) => {
                for (ticket, start) in answers {
                    let answer = self.note_start(ticket, start);
                    self.handle(Event::Answered(ticket, answer));
                }
            }
            Message::Ended(ticket, end) => {
                if let Some(held) = self.held.get_mut(&ticket) {
                    held.end = Some(end);
                }
                self.handle(Event::Ended(ticket));
            }
            Message::Written(all) => {
                for (ticket, down) in all {
                    self.note_written(ticket, down);
                }
            }
            Message::HandedBack(ticket, written) => self.note_written(ticket, TakenDown::plain(written)),
            Message::Released(tickets) => {
                for ticket in tickets {
                    self.handle(Event::Released(ticket));
                }
            }
            Message::Lost(tickets) => {
                warn!("{} leases were lost to another worker", tickets.len());
                self.handle(Event::LeaseLost(tickets));
            }
            Message::RenewDue => self.handle(Event::RenewDue),
            Message::ReadFailed => self.may_have_lost = true,
            Message::FetchEnded => self.handle(Event::FetchEnded),
        }
    }

    fn note_written(&mut self, ticket: Ticket, down: TakenDown) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.delay = down.delay;
            held.died = down.failure.zip(held.run.as_ref()).map(|(failure, run)| Died {
                attempt: run.lease.attempt,
                class: failure.class.word().to_owned(),
                error: failure.message,
            });
        }
        self.handle(Event::Written(ticket, down.written));
    }

    /// Tells the fetcher how many slots are free now.
    fn show_free(&self) {
        let free = self.dispatcher.free();
        self.setup
            .free
            .send_if_modified(|known| std::mem::replace(known, free) != free);
    }

    /// Tells the card what runs now; not more often than anybody could look.
    fn show_card(&mut self) {
        if !self.card_is_stale || self.card_shown.elapsed() < SHOW_EVERY {
            return;
        }
        self.card_is_stale = false;
        self.card_shown = Instant::now();
        let running = self
            .held
            .values()
            .filter_map(|held| held.run.as_ref())
            .filter(|run| run.task.is_some());
        self.setup
            .card
            .send_modify(|card| card.set_jobs(running.map(|run| run.lease.job)));
    }

    /// Gives each entry a ticket. One whose payload is gone stands for nothing any more.
    fn deliver(&mut self, entries: Vec<Entry>) {
        let mut tickets = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.is_gone() {
                self.note_gone(&entry);
                continue;
            }
            self.serial += 1;
            let ticket = Ticket {
                serial: self.serial,
                lane: entry.lane,
                entry: entry.id,
            };
            let carried = entry.carried(self.setup.queue.wire());
            let held = Held {
                entry,
                carried,
                run: None,
                end: None,
                delay: Duration::ZERO,
                died: None,
            };
            self.held.insert(ticket, held);
            tickets.push(ticket);
        }
        self.handle(Event::Delivered(tickets));
    }

    fn note_gone(&mut self, entry: &Entry) {
        warn!(entry.id = %entry.id, "the payload of entry {} is gone from the stream", entry.id);
        let (ledger, queue) = (self.setup.ledger.clone(), self.setup.queue.keys().shared.clone());
        let (lane, id) = (entry.lane, entry.id);
        self.tasks.spawn(async move {
            persist("take down a lost entry", || ledger.gone(&queue, lane, id)).await;
        });
    }

    fn note_start(&mut self, ticket: Ticket, start: Start) -> Answer {
        let worker = self.setup.worker;
        let Some(held) = self.held.get_mut(&ticket) else {
            return Answer::NothingToDo;
        };
        match (start, &held.carried) {
            (Start::Begin(issued), Ok(carried)) => {
                let lease = Lease {
                    job: carried.job,
                    attempt: issued.attempt,
                    worker,
                };
                let memory: Arc<dyn Memory> = Arc::new(self.setup.ledger.clone());
                let context = JobContext::new(lease, self.setup.telemetry.clone(), memory);
                if issued.again {
                    context.begin_again();
                }
                held.end = self.setup.given_up(&issued).map(Err);
                held.run = Some(Run {
                    lease,
                    failures: issued.failures,
                    context,
                    task: None,
                });
                if issued.crashes >= SUSPECT_CRASHES && held.end.is_none() {
                    Answer::BeginAlone
                } else {
                    Answer::Begin
                }
            }
            (Start::Dead(died), Ok(_)) => {
                held.died = Some(died);
                Answer::Dead
            }
            (Start::Finished | Start::Stale, _) => Answer::NothingToDo,
            (Start::Late, _) => Answer::Late,
            (Start::Unknown, _) | (_, Err(_)) => Answer::Unreadable,
        }
    }

    fn handle(&mut self, event: Event) {
        for action in self.dispatcher.on(event) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Ask(tickets) => self.ask(tickets),
            Action::Run(ticket) => self.start(ticket),
            Action::Record(ticket) => self.record(ticket),
            Action::HandBack(ticket) => self.hand_back(ticket),
            Action::Release(ticket, how) => self.release(ticket, how),
            Action::Renew(tickets) => self.renew(tickets),
            Action::Abort(ticket) => self.abort(ticket),
            Action::Forget(ticket) => drop(self.held.remove(&ticket)),
            Action::Exit => self.done = true,
        }
    }

    /// Stops a handler. What it has started elsewhere hears of it by the token.
    fn abort(&mut self, ticket: Ticket) {
        let run = self.held.get_mut(&ticket).and_then(|held| held.run.as_mut());
        if let Some(run) = run {
            self.card_is_stale = true;
            run.context.cancel();
            if let Some(task) = run.task.take() {
                task.abort();
            }
        }
    }

    /// Asks the ledger for starts, on and on while it is away: the leases are renewed meanwhile.
    fn ask(&mut self, tickets: Vec<Ticket>) {
        let (mut readable, mut asked) = (Vec::new(), Vec::new());
        let mut unreadable = Vec::new();
        for ticket in tickets {
            match self
                .held
                .get(&ticket)
                .map(|held| (&held.carried, held.entry.deliveries))
            {
                Some((Ok(carried), count)) => {
                    asked.push(Asked {
                        job: carried.job,
                        entry: ticket.entry,
                        lane: ticket.lane,
                        payload: carried.payload.clone(),
                        delivery: count,
                    });
                    readable.push(ticket);
                }
                _ => unreadable.push((ticket, Start::Unknown)),
            }
        }
        let (ledger, inbox) = (self.setup.ledger.clone(), self.setup.inbox.clone());
        let (queue, worker) = (self.setup.queue.keys().shared.clone(), self.setup.worker);
        let at_work = self.at_work();
        self.tasks.spawn(async move {
            let mut answers = unreadable;
            if !asked.is_empty() {
                let asking = || ledger.start(&queue, worker, &asked, &at_work);
                let starts = persist("issue attempts", asking).await;
                answers.extend(readable.into_iter().zip(starts));
            }
            // The loop is gone only after the worker has left.
            let _gone = inbox.send(Message::Answered(answers)).await;
        });
    }

    /// The jobs that are held, asked for or running. Without a ledger nobody asks.
    fn at_work(&self) -> AtWork {
        if self.setup.ledger.store().is_none() {
            return AtWork::default();
        }
        let jobs = self.held.values().filter_map(|held| held.carried.as_ref().ok());
        AtWork {
            serial: i64::try_from(self.serial).unwrap_or(i64::MAX),
            jobs: jobs.map(|carried| carried.job).collect(),
        }
    }

    /// Runs the handler under its deadline; a panic in it is a failure like another.
    fn start(&mut self, ticket: Ticket) {
        let Some(Held {
            carried: Ok(carried),
            run: Some(run),
            end,
            ..
        }) = self.held.get_mut(&ticket)
        else {
            return;
        };
        let (handler, inbox, deadline) = (
            self.setup.handler.clone(),
            self.setup.inbox.clone(),
            self.setup.deadline,
        );
        let (carried, context, lease) = (carried.clone(), run.context.clone(), run.lease);
        let quarantine = end.take();
        let span = info_span!("job", job.id = %lease.job, attempt = lease.attempt);
        info!(parent: &span, "started job {} attempt {}", lease.job, lease.attempt);
        let attempt = async move {
            let end = match quarantine {
                Some(end) => end,
                None => run_handler::<J, H>(&handler, &carried, context, deadline).await,
            };
            // The loop is gone only after the worker has left.
            let _gone = inbox.send(Message::Ended(ticket, end)).await;
        };
        run.task = Some(self.attempts.spawn(attempt.instrument(span)));
        self.card_is_stale = true;
    }

    /// Has the clerk take down how the attempt ended.
    fn record(&mut self, ticket: Ticket) {
        let Some(Held {
            run: Some(run), end, ..
        }) = self.held.get_mut(&ticket)
        else {
            return;
        };
        run.task = None;
        let Some(end) = end.take() else { return };
        // The clerk ends after the loop does.
        let _gone = self.papers.send(Paper {
            ticket,
            lease: run.lease,
            context: run.context.clone(),
            failures: run.failures,
            end,
        });
        self.card_is_stale = true;
    }

    fn hand_back(&mut self, ticket: Ticket) {
        let Some(Held { run: Some(run), .. }) = self.held.get(&ticket) else {
            return;
        };
        let lease = run.lease;
        let (ledger, inbox) = (self.setup.ledger.clone(), self.setup.inbox.clone());
        let telemetry = self.setup.telemetry.clone();
        self.tasks.spawn(async move {
            telemetry.flush().await;
            let fence = persist("hand a job back", || ledger.hand_back(&lease)).await;
            let written = if fence == Fence::Open {
                Written::HandedBack
            } else {
                Written::Fenced
            };
            info!(job.id = %lease.job, "handed back job {} attempt {}", lease.job, lease.attempt);
            // The loop is gone only after the worker has left.
            let _gone = inbox.send(Message::HandedBack(ticket, written)).await;
        });
    }

    fn release(&mut self, ticket: Ticket, release: Release) {
        let Some(held) = self.held.get(&ticket) else {
            return;
        };
        let how = match release {
            Release::Settle => How::Settle,
            Release::HandBack => How::Park(Duration::ZERO),
            Release::Park => How::Park(held.delay),
            Release::Bury => How::Bury(held.letter(self.setup.worker).fields()),
        };
        // The releasing task ends after the loop does.
        let _gone = self.setup.orders.send(Order {
            ticket,
            delivery: held.entry.deliveries,
            how,
        });
    }

    fn renew(&mut self, tickets: Vec<Ticket>) {
        let (queue, worker, inbox) = (
            self.setup.queue.clone(),
            self.setup.worker,
            self.setup.inbox.clone(),
        );
        let timeout = self.setup.visibility_timeout;
        // Right after a renewal whatever is older than this is not ours.
        let idle = if self.may_have_lost {
            LOST_AFTER.min(timeout)
        } else {
            timeout
        };
        // A delivery that is lost without a sign is rare, and every look is some commands.
        let look = self.may_have_lost || self.looked.elapsed() >= timeout * 2;
        if look {
            self.looked = Instant::now();
            self.may_have_lost = false;
        }
        let taken = Instant::now();
        self.tasks.spawn(async move {
            let (mut lost, mut failed) = (Vec::new(), false);
            for lane in Lane::ALL {
                let of_lane: Vec<Ticket> = tickets
                    .iter()
                    .filter(|ticket| ticket.lane == lane)
                    .copied()
                    .collect();
                match lost_leases(&queue, worker, lane, &of_lane).await {
                    Ok(gone) => {
                        lost.extend(gone);
                        // What was delivered since the list was made must still be younger than that.
                        let in_time = taken.elapsed() < idle / 2;
                        failed |= look && !(in_time && park_unknown(&queue, worker, lane, idle).await);
                    }
                    Err(error) => {
                        failed |= look;
                        warn!("failed to {error}; leases are renewed later");
                    }
                }
            }
            if failed {
                // The loop is gone only after the worker has left.
                let _gone = inbox.send(Message::ReadFailed).await;
            }
            if !lost.is_empty() {
                // The loop is gone only after the worker has left.
                let _gone = inbox.send(Message::Lost(lost)).await;
            }
        });
    }
}

/// How long before the end of the grace what still runs is given up: time to write it down.
fn hand_back_time(grace: Duration) -> Duration {
    (grace / 5).min(Duration::from_secs(3))
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Logs what stands open when a worker leaves with something in its hands.
pub fn note_left(left: usize) {
    if left > 0 {
        warn!("left with {left} entries unended; the sweeper gives them to another worker");
    } else {
        debug!("left with empty hands");
    }
}
