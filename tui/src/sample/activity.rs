//! What operators did in the story.

use chrono::TimeDelta;
use millstream::untrusted::Untrusted;

use super::ago;
use crate::model::activity::{ActionLine, ActivityPage, Ended, REASON};

/// Their book, newest first.
// A table, an action a line.
#[rustfmt::skip]
pub fn page() -> ActivityPage {
    use Ended::{Done, Partly, Refused, Running, Unheard};
    let who = "console:ana";
    let rows = vec![
        line(7, 4.0, who, "dead requeue", "all that match class:timeout", Running, ""),
        line(6, 97.0, "cli:ana", "submit", "git:mastra@HEAD~3..HEAD", Done, "1 done"),
        line(5, 161.0, who, "resume", "reviews:queue", Done, "1 done"),
        line(4, 228.0, who, "pause", "deploy of the model proxy", Done, "1 done"),
        line(3, 325.0, "cli:ci-runner-7", "dead drop", "7bd204 c0ffee", Refused, "2 refused: it is done"),
        line(2, 417.0, who, "claim", "2d6cc1 e07f52 b91a40 61c0d8 and 46 more", Partly, "47 done, 3 refused: another consumer holds its entry by now"),
        line(1, 1_290.0, "cli:\u{1b}[2Jeve", "cancel", "44f8bd", Unheard, ""),
    ];
    ActivityPage { rows, more: false }
}

fn line(id: i64, seconds: f64, who: &str, verb: &str, to: &str, ended: Ended, result: &str) -> ActionLine {
    let at = ago(seconds);
    let over = !matches!(ended, Ended::Running | Ended::Unheard);
    let reason = match verb {
        "dead requeue" => Some("the model answers again"),
        "pause" => Some("deploy of the model proxy"),
        "claim" => Some("its machine was taken away \u{1b}[5m"),
        _ => None,
    };
    let mut facts: Vec<(Untrusted, Untrusted)> = Vec::new();
    facts.extend(reason.map(|reason| (REASON.into(), reason.into())));
    facts.push(("ids".into(), to.into()));
    if !result.is_empty() {
        facts.push(("result".into(), result.into()));
    }
    ActionLine {
        id,
        at,
        who: who.into(),
        verb: verb.into(),
        to: to.into(),
        ended,
        ended_at: over.then(|| at + TimeDelta::milliseconds(40 * id)),
        result: result.into(),
        left: if verb == "submit" { 1 } else { 0 },
        undone: false,
        facts,
    }
}
