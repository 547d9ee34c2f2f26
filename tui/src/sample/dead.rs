//! The seven dead of the story, by the three causes that they died of.

use millstream::domain::{EntryId, JobState};

use super::{ago, jobs};
use crate::model::dead::{Cause, DeadPage, LetterLine, LettersPage, Members, TREND};
use crate::model::jobs::JobLine;
use crate::model::pending::Payload;

/// All of them, with the jobs of the largest cause.
pub fn page() -> DeadPage {
    let mut rows: Vec<JobLine> = jobs::rows()
        .into_iter()
        .filter(|line| line.state == JobState::Dead)
        .collect();
    rows.sort_by_key(|line| std::cmp::Reverse(line.finished_at));
    DeadPage {
        causes: vec![
            cause(
                ("e3a91c07b4d2", "timeout"),
                "performance, turn 1: chat claude-haiku-4-5 gave no reply within 30 s",
                (4, 3, (3, 3)),
                (287.0, 3.0),
                [1, 0, 0, 0, 1, 0, 1, 0, 0, 1],
            ),
            cause(
                ("7bd204a9913e", "input"),
                "GitHub answered 404 for https://api.github.com/repos/mastra-ai/mastra/pulls/99999.diff",
                (2, 2, (1, 1)),
                (375.0, 202.0),
                [0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            ),
            cause(
                ("0c55f8e21a60", "refused"),
                "the model refused the prompt \u{1b}]0;owned\u{7}: \"HTTP 400\u{202e}\"",
                (1, 1, (1, 1)),
                (445.0, 445.0),
                [0; TREND],
            ),
        ],
        causes_total: 3,
        total: 7,
        members: Some(Members {
            fingerprint: "e3a91c07b4d2".to_owned(),
            rows,
        }),
    }
}

/// Every entry could be read.
pub fn no_letters() -> LettersPage {
    LettersPage {
        whole: true,
        ..LettersPage::default()
    }
}

/// Entries that nobody could read.
pub fn letters() -> LettersPage {
    let field = |name: &str, value: &str| (name.into(), value.into());
    let line = |seconds: f64, entry: &str, fields: Vec<_>| LetterLine {
        id: EntryId {
            ms: ago(seconds).timestamp_millis().unsigned_abs(),
            seq: 0,
        },
        entry: entry.into(),
        worker: "w-91bc".into(),
        error: "the entry has no reviewId".into(),
        payload: Payload::There { fields, bytes: 61 },
        died_at: ago(seconds),
    };
    LettersPage {
        causes: vec![cause(
            ("letters:4d01c29be7a5", "unreadable"),
            "the entry has no reviewId",
            (2, 1, (0, 0)),
            (190.0, 64.0),
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        )],
        total: 2,
        ungrouped: 0,
        whole: true,
        members: vec![
            line(
                64.0,
                "1795269743012-0",
                vec![field("review_id", "88"), field("url", "\u{1b}[2Jgithub.com/x")],
            ),
            line(190.0, "1795269616558-2", vec![field("raw", "\\xff\\xfe\\x00")]),
        ],
    }
}

fn cause(
    (fingerprint, class): (&str, &str),
    sample: &str,
    (count, workers, tries): (u64, u64, (u32, u32)),
    (first, last): (f64, f64),
    lately: [u64; TREND],
) -> Cause {
    Cause {
        fingerprint: fingerprint.to_owned(),
        class: class.into(),
        sample: sample.into(),
        count,
        first_at: ago(first),
        last_at: ago(last),
        workers,
        tries,
        kinds: vec!["review".into()],
        lately,
    }
}
