//! Whoever was to be told has been: of each end once, by one webhook, however often it came.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::notes;
use super::report::Report;
use super::stage::Stage;

/// A webhook as the database has it.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    job_id: Uuid,
    review_id: Uuid,
    body: String,
    state: String,
}

/// Each job that was to be told has one webhook that says how it ended; it was taken at least once; and whatever came
/// was signed, and said the same each time under the same id.
pub async fn judge(stage: &Stage, report: &mut Report) {
    let rows: Vec<Row> = sqlx::query_as(
        "select w.job_id, w.review_id, w.body, j.state from millstream.webhooks w
         join millstream.jobs j on j.id = w.job_id",
    )
    .fetch_all(&stage.sql)
    .await
    .expect("postgres is there");
    judge_rows(stage, &rows, report);
    judge_calls(stage, &rows, report);
}

fn judge_rows(stage: &Stage, rows: &[Row], report: &mut Report) {
    let promised = notes::promises(&stage.notes());
    let told: HashMap<_, _> = promised.iter().filter(|(_, promise)| promise.is_told).collect();
    if told.is_empty() {
        report.complain("nobody was to be told of anything");
    }
    let mut webhooks: HashMap<Uuid, usize> = HashMap::new();
    for row in rows {
        *webhooks.entry(row.review_id).or_default() += 1;
        let Some(promise) = told.get(&row.review_id) else {
            report.complain(format!(
                "a webhook tells of {}, which asked for none",
                row.review_id
            ));
            continue;
        };
        let body: serde_json::Value = serde_json::from_str(&row.body).expect("our own JSON");
        let expected = format!("review.{}", promise.end);
        if body["type"] != expected || body["data"]["id"] != row.review_id.to_string() {
            report.complain(format!("{expected} of {} is told as {}", row.review_id, row.body));
        }
        if row.state != "done" {
            report.complain(format!("the webhook {} is {}", row.job_id, row.state));
        }
    }
    let odd = told.keys().filter(|id| webhooks.get(**id) != Some(&1)).count();
    if odd > 0 {
        report.complain(format!(
            "{odd} jobs do not have the one webhook that tells of their end"
        ));
    }
}

fn judge_calls(stage: &Stage, rows: &[Row], report: &mut Report) {
    let calls = stage.receiver.calls();
    let unsigned = calls.iter().filter(|call| !call.is_signed).count();
    if unsigned > 0 {
        report.complain(format!("{unsigned} calls had no signature of ours"));
    }
    let sent: HashMap<Uuid, &str> = rows.iter().map(|row| (row.job_id, row.body.as_str())).collect();
    let is_ours = |id: Uuid, body: &[u8]| sent.get(&id).is_some_and(|sent| sent.as_bytes() == body);
    let strange = calls
        .iter()
        .filter(|call| !call.webhook.is_some_and(|id| is_ours(id, &call.body)))
        .count();
    if strange > 0 {
        report.complain(format!(
            "{strange} calls said something else than the webhook of their id"
        ));
    }
    let taken: HashSet<Uuid> = calls
        .iter()
        .filter(|call| call.is_taken)
        .filter_map(|call| call.webhook)
        .collect();
    let unheard = rows.iter().filter(|row| !taken.contains(&row.job_id)).count();
    if unheard > 0 {
        report.complain(format!(
            "{unheard} webhooks count as done, and nobody has taken them"
        ));
    }
    report.told = taken.len();
    report.told_again = calls.iter().filter(|call| call.is_taken).count() - taken.len();
}
