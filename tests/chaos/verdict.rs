//! When the weather is over: the fleet gets through, and everything adds up.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::Lane;
use millstream::queue::keys::PARKED;
use rustix::process::Signal;
use tokio::time::Instant;
use uuid::Uuid;

use super::fleet::Fleet;
use super::notes::{self, StartNote};
use super::plan::{Plan, WORKERS};
use super::report::{Recovery, Report};
use super::stage::Stage;
use crate::support::{Started, within};

/// How long nothing at all may be promised or ended while something is still to be: what an outage left without an
/// entry is owed after 30 s and looked for every 10 s, what was under way in a loss is seen by the pass a minute later.
/// How long all of it takes is the machine's affair, which may be busy with more than this.
const STANDSTILL: Duration = Duration::from_secs(120);
/// More than that is no run any more.
const THROUGH_WITHIN: Duration = Duration::from_secs(1_800);
/// A dead worker's card and consumer are taken down a minute after its last heartbeat, looked for every 30 s.
const TIDY_WITHIN: Duration = Duration::from_secs(120);
/// A worker that is asked to end has nothing to do.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// Waits until the fleet is through, then ends it.
pub async fn settle(
    stage: &Stage,
    plan: &Plan,
    fleet: &mut Fleet<'_>,
    producers: &[Started],
    report: &mut Report,
) {
    let fed = || async { producers.iter().all(|one| one.ended().is_some()).then_some(()) };
    let promised = || async { Some(notes::promises(&stage.notes()).len() as u64) };
    if !goes_on(fed, promised).await {
        report.complain("producers are not through");
    }
    for producer in producers.iter().filter(|one| one.ended() != Some(0)) {
        let said = producer.stderr();
        let last = said.lines().last().unwrap_or_default().to_owned();
        report.complain(format!("a producer ended with {:?}: {last}", producer.ended()));
    }
    if !goes_on(|| through(stage), || ended(stage)).await {
        report.complain(format!("not all of {} jobs have ended", plan.jobs()));
    }
    report.through = report.began.elapsed();
    let tidy = || async {
        // Each works on both queues, under a name for each.
        let ours = consumers(stage).await?.len() <= 2 * WORKERS;
        (ours && is_empty(stage).await).then_some(())
    };
    if within(TIDY_WITHIN, tidy).await.is_none() {
        report
            .complain("the streams are not empty, or consumers of the dead are left, while the fleet lives");
    }
    fleet.bury_deserters();
    for deserter in &fleet.deserters {
        report.complain(deserter);
    }
    for member in &fleet.members {
        member.process.signal(Signal::TERM);
    }
    for member in &fleet.members {
        let code = within(ENDED_WITHIN, || async { member.process.ended() }).await;
        if code != Some(0) {
            report.complain(format!("{} was asked to end, and did with {code:?}", member.name));
        }
    }
}

/// Waits until it is done, for as long as it goes on: `progress` may stand still for a while, and no longer.
async fn goes_on<D, P>(mut done: impl FnMut() -> D, mut progress: impl FnMut() -> P) -> bool
where
    D: Future<Output = Option<()>>,
    P: Future<Output = Option<u64>>,
{
    let began = Instant::now();
    let mut before = progress().await;
    while began.elapsed() < THROUGH_WITHIN {
        if within(STANDSTILL, &mut done).await.is_some() {
            return true;
        }
        let now = progress().await;
        if now == before {
            return false;
        }
        before = now;
    }
    false
}

/// How many jobs and webhooks have ended.
async fn ended(stage: &Stage) -> Option<u64> {
    let mut ended = 0;
    for name in queues(stage) {
        let counts = stage.store.counts(&name).await.ok()?;
        ended += u64::try_from(counts.done + counts.dead).ok()?;
    }
    Some(ended)
}

/// Whether no job and no webhook is on its way any more. A job and its webhook change places in one transaction, so
/// jobs are asked for first.
async fn through(stage: &Stage) -> Option<()> {
    for name in queues(stage) {
        let counts = stage.store.counts(&name).await.ok()?;
        if counts.scheduled + counts.waiting + counts.running + counts.retrying > 0 {
            return None;
        }
    }
    Some(())
}

/// The names of both queues.
fn queues(stage: &Stage) -> [String; 2] {
    [stage.settings.name.clone(), stage.settings.webhooks().name]
}

/// Whether nothing lies on the streams, is pending, or is due.
async fn is_empty(stage: &Stage) -> bool {
    for queue in [&stage.queue, &stage.webhooks] {
        let depth = queue.depth().await;
        if !depth.is_ok_and(|depth| depth.entries == 0 && depth.pending == 0 && depth.parked == 0) {
            return false;
        }
    }
    true
}

/// The consumers of all streams of both queues, but the one that parks; nothing while Valkey does not answer.
async fn consumers(stage: &Stage) -> Option<HashSet<String>> {
    let client = redis::Client::open(stage.servers.valkey_url.as_str()).ok()?;
    let mut valkey = client.get_multiplexed_async_connection().await.ok()?;
    let mut names = HashSet::new();
    let keys = [stage.queue.keys(), stage.webhooks.keys()];
    let streams = keys
        .into_iter()
        .flat_map(|keys| Lane::ALL.map(|lane| (keys, keys.stream(lane))));
    for (keys, stream) in streams {
        let rows: Vec<HashMap<String, redis::Value>> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg(stream)
            .arg(&keys.group)
            .query_async(&mut valkey)
            .await
            .ok()?;
        for mut row in rows {
            names.insert(redis::from_redis_value(row.remove("name")?).ok()?);
        }
    }
    names.remove(PARKED);
    Some(names)
}

/// Everything that must hold once nobody works any more.
pub async fn judge(stage: &Stage, plan: &Plan, fleet: &Fleet<'_>, report: &mut Report) {
    let starts = notes::starts(&stage.notes());
    judge_promises(stage, plan, report).await;
    judge_records(stage, &starts, report).await;
    judge_counts(stage, report).await;
    judge_streams(stage, report).await;
    report.restarts = restarts(stage, fleet).await;
    for passed in report.storm.clone() {
        let recovery = Recovery {
            first: first_result_after(stage, passed.over).await,
            all: all_started_after(stage, passed.over).await,
        };
        report.recoveries.push((passed.fault, recovery));
    }
}

/// Each promised job has the end that it was promised, and no job is there that was not.
async fn judge_promises(stage: &Stage, plan: &Plan, report: &mut Report) {
    let promised = notes::promises(&stage.notes());
    let rows: Vec<(Uuid, String)> = sqlx::query_as("select id, state from millstream.jobs where queue = $1")
        .bind(&stage.settings.name)
        .fetch_all(&stage.sql)
        .await
        .expect("postgres is there");
    let found: HashMap<Uuid, String> = rows.into_iter().collect();
    if promised.len() as u64 != plan.jobs() {
        report.complain(format!(
            "{} of {} jobs were promised",
            promised.len(),
            plan.jobs()
        ));
    }
    if found.len() != promised.len() {
        report.complain(format!("{} jobs for {} promises", found.len(), promised.len()));
    }
    let lost: Vec<_> = promised
        .iter()
        .filter(|(id, promise)| found.get(id) != Some(&promise.end))
        .map(|(id, promise)| format!("{id} is {:?}, not {}", found.get(id), promise.end))
        .collect();
    report.jobs = promised.len();
    report.lost = lost.len();
    if let Some(one) = lost.first() {
        report.complain(format!("{} jobs are lost: {one}", lost.len()));
    }
}

/// No result stands twice, none stands without a job that is done, and each was begun by somebody.
async fn judge_records(stage: &Stage, starts: &[StartNote], report: &mut Report) {
    let done: Vec<(Uuid, i32, String)> = sqlx::query_as(
        "select a.job_id, a.attempt, a.worker from millstream.all_attempts a
         join millstream.jobs j on j.id = a.job_id and j.queue = $1 where a.outcome = 'done'",
    )
    .bind(&stage.settings.name)
    .fetch_all(&stage.sql)
    .await
    .expect("postgres is there");
    let effects: Vec<(Uuid, i32, String)> =
        sqlx::query_as("select job_id, attempt, worker from chaos_effects")
            .fetch_all(&stage.sql)
            .await
            .expect("postgres is there");
    report.twice = done.len() - distinct(&done) + effects.len() - distinct(&effects);
    if report.twice > 0 {
        report.complain(format!("{} results were recorded twice", report.twice));
    }
    let (done, effects): (HashSet<_>, HashSet<_>) =
        (done.into_iter().collect(), effects.into_iter().collect());
    if done != effects {
        let odd = done.symmetric_difference(&effects).count();
        report.complain(format!("{odd} attempts have no effect, or effects no attempt"));
    }
    let begun: HashSet<_> = starts
        .iter()
        .map(|note| (note.job, note.attempt, note.worker.clone()))
        .collect();
    let unbegun = done.difference(&begun).count();
    if unbegun > 0 {
        report.complain(format!("{unbegun} results are of attempts that nobody began"));
    }
    let failed = count(
        stage,
        "select count(*) from millstream.all_attempts a join millstream.jobs j on j.id = a.job_id and j.kind = 'chaos'
         where a.outcome = 'failed' and a.error_class = 'other'",
    )
    .await;
    let jobs: HashSet<Uuid> = starts.iter().map(|note| note.job).collect();
    report.starts = starts.len();
    report.started_again = starts
        .len()
        .saturating_sub(jobs.len() + failed.unsigned_abs() as usize);
}

fn distinct(rows: &[(Uuid, i32, String)]) -> usize {
    rows.iter().map(|(job, ..)| *job).collect::<HashSet<_>>().len()
}

/// Every accepted job stands in one state, and no attempt is left open.
async fn judge_counts(stage: &Stage, report: &mut Report) {
    let counts = stage
        .store
        .counts(&stage.settings.name)
        .await
        .expect("postgres is there");
    if !counts.add_up() || counts.accepted != counts.done + counts.dead {
        report.complain(format!("the counts do not add up: {counts:?}"));
    }
    let webhooks = stage.store.counts(&stage.settings.webhooks().name).await;
    let webhooks = webhooks.expect("postgres is there");
    if !webhooks.add_up() || webhooks.accepted != webhooks.done {
        report.complain(format!("the counts of webhooks do not add up: {webhooks:?}"));
    }
    report.dead = counts.dead;
    let open = count(
        stage,
        "select count(*) from millstream.all_attempts where ended_at is null",
    )
    .await;
    if open > 0 {
        report.complain(format!("{open} attempts are left open"));
    }
    let crashed = "select count(*) from millstream.jobs where state = 'dead' and error_class <> 'input'";
    let buried = count(stage, crashed).await;
    if buried > 0 {
        report.complain(format!(
            "{buried} jobs died of something else than they were told"
        ));
    }
}

/// Nothing lies on the streams, nobody stands beside them, and every dead job has its letter.
async fn judge_streams(stage: &Stage, report: &mut Report) {
    let depth = stage.queue.depth().await.expect("valkey is there");
    if !is_empty(stage).await {
        report.complain(format!("something is left on the streams: {depth:?}"));
    }
    let ghosts = consumers(stage).await.expect("valkey is there");
    let mut cards = stage.queue.workers().await.expect("valkey is there");
    cards.extend(stage.webhooks.workers().await.expect("valkey is there"));
    if !ghosts.is_empty() || !cards.is_empty() {
        report.complain(format!(
            "ghosts: the consumers {ghosts:?} and {} cards",
            cards.len()
        ));
    }
    let letters = stage.queue.jobs_with_letters().await.expect("valkey is there");
    if letters.len() as i64 != report.dead {
        report.complain(format!("{} letters for {} dead jobs", letters.len(), report.dead));
    }
    report.letters_twice = depth.dead.saturating_sub(letters.len() as u64);
}

async fn count(stage: &Stage, query: &'static str) -> i64 {
    let count = sqlx::query_scalar(query).fetch_one(&stage.sql).await;
    count.expect("postgres is there")
}

/// For each attempt that died with its worker: how long until its job was started elsewhere, in seconds.
async fn restarts(stage: &Stage, fleet: &Fleet<'_>) -> Vec<f64> {
    let (mut workers, mut times) = (Vec::new(), Vec::new());
    for killed in &fleet.killed {
        for id in notes::ids(&stage.notes(), &killed.name) {
            workers.push(id);
            times.push(killed.at);
        }
    }
    let rows = sqlx::query_scalar(
        "select extract(epoch from n.started_at - k.at)::float8 as gap
         from unnest($1::text[], $2::timestamptz[]) as k (worker, at)
         join millstream.all_attempts a on a.worker = k.worker and a.outcome = 'crashed'
         join millstream.all_attempts n on n.job_id = a.job_id and n.attempt = a.attempt + 1
         where n.started_at > k.at
         order by gap",
    );
    let rows = rows.bind(&workers).bind(&times).fetch_all(&stage.sql).await;
    rows.expect("postgres is there")
}

/// How long after a time the first job that was started since was done, in seconds.
async fn first_result_after(stage: &Stage, time: DateTime<Utc>) -> Option<f64> {
    sqlx::query_scalar(
        "select extract(epoch from min(a.ended_at) - $1)::float8 from millstream.all_attempts a
         join millstream.jobs j on j.id = a.job_id and j.kind = 'chaos'
         where a.started_at > $1 and a.outcome = 'done'",
    )
    .bind(time)
    .fetch_one(&stage.sql)
    .await
    .expect("postgres is there")
}

/// How long after a time the last of the jobs was started that had been accepted by then and came to their end later.
async fn all_started_after(stage: &Stage, time: DateTime<Utc>) -> Option<f64> {
    sqlx::query_scalar(
        "select extract(epoch from max(s.started_at) - $1)::float8
         from (select min(a.started_at) as started_at from millstream.all_attempts a
               join millstream.jobs j on j.id = a.job_id and j.kind = 'chaos'
               where j.created_at <= $1 and j.finished_at > $1 and a.started_at > $1 group by j.id) s",
    )
    .bind(time)
    .fetch_one(&stage.sql)
    .await
    .expect("postgres is there")
}
