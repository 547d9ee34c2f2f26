//! What is asked of Postgres: at most four statements a refresh, a few more every fifth second.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use millstream::clock;
use millstream::domain::{JobId, JobState, SpanId};
use millstream::store::StoreError;
use millstream::store::console::{COUNTED, FaredRow, JobsAsked, Spent};
use millstream::store::counts::{Counts, Settled};
use tokio::time::Instant;

use super::rows::{self, Cast};
use super::{Feed, SLOW_FIGURES, Why, within};
use crate::effect::Wish;
use crate::model::connection::Server;
use crate::model::filter::Filter;
use crate::model::jobs::JobsPage;
use crate::model::trace::SpanText;
use crate::model::workers::WorkerName;
use crate::msg::{Answer, Msg, Topic};

/// As far back as the charts go.
const FLOW_BACK: TimeDelta = TimeDelta::minutes(10);
/// Seconds of the flow that are counted again: a transaction may commit later than it began.
const FLOW_AGAIN: TimeDelta = TimeDelta::seconds(10);
/// As far back as the lanes go, and a little.
const LANE_BACK: Duration = Duration::from_secs(65);

/// The dead as they were counted by cause.
#[derive(Debug)]
pub struct DeadMemory {
    /// How many they were.
    pub dead: i64,
}

/// What was answered before, so that it need not be asked again.
#[derive(Debug, Default)]
pub struct Memory {
    /// From when on the flow is to be counted again.
    flow_since: Option<DateTime<Utc>>,
    /// Jobs that need not be counted again.
    settled: Settled,
    spent: Spent,
    /// How many jobs passed which filter.
    matching: Option<(JobsAsked, i64)>,
    fared: Vec<FaredRow>,
    pub(super) dead: Option<DeadMemory>,
    slow_at: Option<Instant>,
    /// Jobs that have ended do not change: which was read in full, and its row's time.
    whole_job: Option<(JobId, DateTime<Utc>)>,
    whole_trace: Option<(JobId, DateTime<Utc>)>,
    text_of: Option<(SpanId, bool)>,
    wish: Option<Wish>,
}

impl Memory {
    /// Whether the slow figures are due; they are noted as asked for.
    pub(super) fn slow_figures_due(&mut self) -> bool {
        let due = self.slow_at.is_none_or(|at| at.elapsed() >= SLOW_FIGURES);
        if due {
            self.slow_at = Some(Instant::now());
        }
        due
    }

    /// Another view has nothing yet of what this one has.
    fn turn_to(&mut self, wish: &Wish) {
        let same_trace = matches!(
            (self.wish.as_ref(), wish),
            (Some(Wish::Trace { id: before, .. }), Wish::Trace { id, .. }) if before == id
        );
        if self.wish.as_ref() != Some(wish) {
            self.whole_job = None;
            if !same_trace {
                self.whole_trace = None;
            }
            self.text_of = None;
            self.dead = None;
            self.wish = Some(wish.clone());
        }
    }
}

impl Feed {
    /// Asks for what the view needs; the first question that fails ends the round.
    pub(super) async fn ask_postgres(&mut self, wish: &Wish) {
        if !self.may_ask(Server::Postgres) {
            return;
        }
        self.memory.turn_to(wish);
        let back = if self.postgres_lost {
            self.knock().await
        } else {
            Ok(())
        };
        let topic = match wish {
            Wish::Overview => Topic::Ledger,
            Wish::Jobs { .. } => Topic::Jobs,
            Wish::Job(id) => Topic::Job(*id),
            Wish::Trace { id, .. } => Topic::Trace(*id),
            Wish::Workers => Topic::Workers,
            Wish::Dead { .. } => Topic::Dead,
            Wish::Activity { .. } => Topic::Activity,
            // The first asks on its own, the others need nothing of it.
            Wish::Pending { .. } | Wish::Streams { .. } | Wish::Nothing => return,
        };
        if let Err(why) = back {
            return self.missed(wish, topic, &why).await;
        }
        let done = match wish {
            Wish::Overview => self.overview().await,
            Wish::Jobs { filter, limit } => self.jobs(filter, *limit).await,
            Wish::Job(id) => self.job(*id).await,
            Wish::Trace { id, span } => self.trace(*id, *span).await,
            Wish::Workers => self.workers().await,
            Wish::Dead { unfolded } => self.dead(unfolded.as_deref()).await,
            Wish::Activity { limit } => self.activity(*limit).await,
            Wish::Pending { .. } | Wish::Streams { .. } | Wish::Nothing => Ok(()),
        };
        if let Err(why) = done {
            // What was read before may be out of date when the server is back.
            self.memory = Memory::default();
            self.down(Server::Postgres, &why).await;
            self.missed(wish, topic, &why).await;
            // A pool that waits in vain says only that; who connects outside of it hears what is wrong.
            if let Err(why) = within(self.store.check()).await {
                self.tell_down(Server::Postgres, &why).await;
                self.missed(wish, topic, &why).await;
            }
        }
    }

    /// Tells what has no answer now.
    async fn missed(&self, wish: &Wish, topic: Topic, why: &Why) {
        self.miss(topic, why).await;
        if *wish == Wish::Overview {
            self.miss(Topic::Workers, why).await;
        }
    }

    /// Looks whether the server that was away is back.
    async fn knock(&mut self) -> Result<(), Why> {
        let started = Instant::now();
        let back = within(self.store.check()).await;
        let took = started.elapsed();
        self.sent(Server::Postgres, "connect", 1, back.is_ok().then_some(took))
            .await;
        match &back {
            Ok(()) => self.up(Server::Postgres, took, None).await,
            Err(why) => self.down(Server::Postgres, why).await,
        }
        back
    }

    /// One question: timed, counted, and told.
    pub(super) async fn question<T>(
        &mut self,
        text: &str,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Why> {
        let started = Instant::now();
        let answer = within(question).await;
        let took = answer.as_ref().ok().map(|_| started.elapsed());
        self.sent(Server::Postgres, text, 1, took).await;
        if let Some(took) = took {
            self.up(Server::Postgres, took, None).await;
        }
        answer
    }

    async fn overview(&mut self) -> Result<(), Why> {
        let (store, queue) = (self.store.clone(), self.queue.keys().shared.clone());
        let since = self.memory.flow_since.unwrap_or_else(|| clock::now() - FLOW_BACK);
        let asked_at = clock::now();
        let counts = self.counts(&queue).await?;
        let ahead = (counts.counted_at - asked_at).num_milliseconds();
        let took = (clock::now() - asked_at).to_std().unwrap_or_default();
        self.compare_clocks(ahead, took).await;
        let flow = self
            .question("flow by the second", store.flow(&queue, since))
            .await?;
        self.memory.flow_since = Some(counts.counted_at - FLOW_AGAIN);
        let slow = self.memory.slow_figures_due();
        if slow {
            self.memory.spent = self
                .question("tokens and cost of all attempts", store.spent(&queue))
                .await?;
        }
        let recent = self
            .question("what ended or failed last", store.recent(&queue))
            .await?;
        let ledger = rows::ledger(&counts, &flow, self.memory.spent, recent, self.attempts_allowed);
        self.answer(Answer::Ledger(ledger)).await;
        self.worker_rows(slow).await
    }

    /// The counts, without what was counted before.
    pub(super) async fn counts(&mut self, queue: &str) -> Result<Counts, Why> {
        let (store, settled) = (self.store.clone(), self.memory.settled);
        let counts = self
            .question("counts by state", store.counts_since(queue, settled))
            .await?;
        self.memory.settled = counts.settled;
        Ok(counts)
    }

    /// Notes how far Postgres's clock is ahead of ours; less than the round trip may be is no difference.
    async fn compare_clocks(&mut self, ahead_ms: i64, latency: Duration) {
        let ahead = if ahead_ms.abs() < 20 { 0 } else { ahead_ms };
        self.up(Server::Postgres, latency, Some(ahead)).await;
    }

    async fn workers(&mut self) -> Result<(), Why> {
        let slow = self.memory.slow_figures_due();
        self.worker_rows(slow).await
    }

    /// The workers: cards from Valkey's last answer, work and figures from here.
    async fn worker_rows(&mut self, slow: bool) -> Result<(), Why> {
        if self.valkey_lost {
            // Without fresh cards the rows would only look fresh.
            return Ok(());
        }
        let store = self.store.clone();
        let names: Vec<String> = self.seen.iter().map(|seen| seen.worker.clone()).collect();
        let stretches = self
            .question("attempts of the last minute", store.stretches(&names, LANE_BACK))
            .await?;
        if slow {
            self.memory.fared = self.question("run times by worker", store.fared(&names)).await?;
        }
        let ours = self
            .ours
            .as_ref()
            .map(|ours| ours.borrow().clone())
            .unwrap_or_default();
        let cast = Cast {
            seen: &self.seen,
            stretches,
            fared: &self.memory.fared,
            ours: &ours,
            now: clock::now(),
        };
        let rows = cast.rows();
        self.answer(Answer::Workers(rows)).await;
        Ok(())
    }

    async fn jobs(&mut self, filter: &Filter, limit: u32) -> Result<(), Why> {
        let (store, queue) = (self.store.clone(), self.queue.keys().shared.clone());
        let asked = asked(filter);
        let rows = self
            .question("a page of jobs", store.matching_jobs(&queue, &asked, limit))
            .await?;
        let total = self.counts(&queue).await?.accepted;
        let matching = self.matching(&queue, asked, total).await?;
        let allowed = self.attempts_allowed;
        let page = JobsPage {
            rows: rows
                .into_iter()
                .filter_map(|row| rows::line(row, allowed))
                .collect(),
            matching: matching.unsigned_abs(),
            matching_at_least: !filter.is_empty() && matching >= COUNTED,
            total: total.unsigned_abs(),
            filter: filter.clone(),
        };
        self.answer(Answer::Jobs(page)).await;
        Ok(())
    }

    /// How many jobs pass the filter: each has to be looked at, so it is not asked with every page.
    async fn matching(&mut self, queue: &str, asked: JobsAsked, total: i64) -> Result<i64, Why> {
        if asked == JobsAsked::default() {
            return Ok(total);
        }
        let slow = self.memory.slow_figures_due();
        if let Some((before, matching)) = &self.memory.matching
            && *before == asked
            && !slow
        {
            return Ok(*matching);
        }
        let store = self.store.clone();
        let matching = self
            .question("how many match", store.count_matching(queue, &asked))
            .await?;
        self.memory.matching = Some((asked, matching));
        Ok(matching)
    }

    /// One job. Its row tells whether anything can have changed.
    async fn job(&mut self, id: JobId) -> Result<(), Why> {
        let store = self.store.clone();
        let Some(row) = self.question("one job", store.console_job(id)).await? else {
            self.answer(Answer::Job(id, None)).await;
            return Ok(());
        };
        let version = (id, row.updated_at);
        let is_final = row.state.parse::<JobState>().is_ok_and(JobState::is_final);
        if is_final && self.memory.whole_job == Some(version) {
            self.answer_again(Topic::Job(id)).await;
            return Ok(());
        }
        let review = self.question("its review", store.find_review(id)).await?;
        let findings = self.question("its findings", store.findings_of(id)).await?;
        let attempts = self.question("its attempts", store.attempt_facts(id)).await?;
        let spans = self.question("its spans", store.span_facts(id)).await?;
        let events = self.question("its events", store.events_after(id, 0)).await?;
        let reason = review.and_then(|review| review.reason);
        let facts = rows::job(
            row,
            reason,
            findings,
            attempts,
            &spans,
            &events,
            self.attempts_allowed,
        );
        self.answer(Answer::Job(id, facts)).await;
        self.memory.whole_job = is_final.then_some(version);
        Ok(())
    }

    async fn trace(&mut self, id: JobId, span: Option<SpanId>) -> Result<(), Why> {
        let store = self.store.clone();
        let Some(row) = self.question("one job", store.console_job(id)).await? else {
            self.answer(Answer::Trace(id, None)).await;
            return Ok(());
        };
        let version = (id, row.updated_at);
        let is_final = row.state.parse::<JobState>().is_ok_and(JobState::is_final);
        if is_final && self.memory.whole_trace == Some(version) {
            self.answer_again(Topic::Trace(id)).await;
        } else {
            let attempts = self.question("its attempts", store.attempt_facts(id)).await?;
            let spans = self.question("its spans", store.span_facts(id)).await?;
            let facts = rows::trace(row, attempts, spans, self.attempts_allowed);
            self.answer(Answer::Trace(id, facts)).await;
            self.memory.whole_trace = is_final.then_some(version);
        }
        match span {
            Some(span) if self.memory.text_of != Some((span, is_final)) => {
                self.span_text(span, is_final).await
            }
            _ => Ok(()),
        }
    }

    /// The texts of a span: once when its job has ended, every time while it runs.
    async fn span_text(&mut self, span: SpanId, is_final: bool) -> Result<(), Why> {
        let store = self.store.clone();
        let (input, output) = self.question("a span's texts", store.span_texts(span)).await?;
        let text = |value: Option<serde_json::Value>| value.map(|value| value.to_string().into());
        let text = SpanText {
            input: text(input),
            output: text(output),
        };
        self.answer(Answer::SpanText(span, text)).await;
        self.memory.text_of = is_final.then_some((span, is_final));
        Ok(())
    }

    /// What was answered before still holds.
    async fn answer_again(&self, topic: Topic) {
        self.tell(Msg::Unchanged { topic }).await;
    }
}

/// What a typed filter asks of Postgres.
fn asked(filter: &Filter) -> JobsAsked {
    let asked = filter.asked();
    JobsAsked {
        states: asked.states,
        class: asked.class,
        worker: asked.worker,
        verdict: asked.verdict,
        id: asked.id,
        words: asked.words,
    }
}

/// The worker of a raw name.
pub(super) fn worker(name: String) -> WorkerName {
    WorkerName::new(name)
}
