//! The streams of the story: our own, and those of other applications on the same server.

use std::time::Duration;

use millstream::domain::EntryId;

use super::{ago, now};
use crate::model::pending::Payload;
use crate::model::streams::{
    ConsumerLine, Consumers, Detail, HeldLine, Lag, StreamKey, StreamLine, StreamsPage,
};

/// The row that the cursor is on.
pub fn chosen() -> StreamKey {
    key("orders:events", Some("billing"))
}

/// All of them, with what is pending of the one under the cursor.
// A table, a row a line.
#[rustfmt::skip]
pub fn page() -> StreamsPage {
    let none = None;
    let rows = vec![
        line("audit:log", Some("archive"), 88_230, Lag::Counter(0), (0, 1), (Some(3.1), Some(3.1)), (none, none)),
        line("mail:outbox", Some("senders"), 40_551, Lag::Counted(312), (64, 4), (Some(12.4), Some(19.8)), (Some(12.0), Some(62.0))),
        line("metrics\u{202e}raw", None, 1_000, Lag::None, (0, 0), (Some(210.0), none), (none, none)),
        line("orders:events", Some("billing"), 1_204_118, Lag::Counter(18_402), (212, 8), (Some(88.0), Some(57.1)), (Some(250.0), Some(581.0))),
        line("orders:events", Some("replay"), 1_204_118, Lag::AtLeast(500), (0, 1), (Some(88.0), none), (none, Some(7_204.0))),
        line("orders:events", Some("search"), 1_204_118, Lag::Unknown, (0, 1), (Some(88.0), none), (none, none)),
        line("reviews:queue", Some("reviewers"), 98, Lag::Ours(86), (12, 3), (Some(0.1), Some(0.6)), (Some(11.2), Some(97.0))),
        line("{reviews:queue}:dead", None, 7, Lag::None, (0, 0), (Some(0.0), none), (none, none)),
        line("{reviews:queue}:own", Some("reviewers"), 44, Lag::Ours(42), (2, 3), (Some(0.0), Some(0.2)), (Some(9.9), Some(41.0))),
    ];
    StreamsPage {
        rows,
        names: 7,
        capped: false,
        scanned_at: Some(ago(2.1)),
        detail: Some((chosen(), Detail::Pending(held()))),
    }
}

fn key(stream: &str, group: Option<&str>) -> StreamKey {
    (stream.into(), group.map(Into::into))
}

fn line(
    stream: &str,
    group: Option<&str>,
    length: u64,
    lag: Lag,
    (pending, consumers): (u64, u64),
    (in_per_s, out_per_s): (Option<f64>, Option<f64>),
    (oldest, lag_age): (Option<f64>, Option<f64>),
) -> StreamLine {
    let entry = |ms| EntryId { ms, seq: 0 };
    StreamLine {
        key: key(stream, group),
        stream: stream.into(),
        group: group.map(Into::into),
        ours: stream.contains("reviews"),
        length,
        first: Some(entry(1_795_269_003_127)),
        last: Some(entry(1_795_269_806_914)),
        added: Some(length * 3),
        read: group.map(|_| length * 2),
        lag,
        pending,
        consumers,
        at: now(),
        in_per_s,
        out_per_s,
        oldest: oldest.map(Duration::from_secs_f64),
        next: lag_age.map(|age| entry(ago(age).timestamp_millis().unsigned_abs())),
    }
}

/// Consumers of the chosen group, most of them long gone.
pub fn consumers() -> Consumers {
    let row = |nth: u64| ConsumerLine {
        name: format!("billing-{nth}").as_str().into(),
        pending: 212_u64.saturating_sub(nth * 40),
        idle: Duration::from_secs(nth * nth * 61),
    };
    Consumers {
        rows: (1..=60).map(row).collect(),
        of: 10_000,
        at: ago(12.0),
    }
}

fn held() -> Vec<HeldLine> {
    let fields = |fields: &[(&str, &str)], bytes| Payload::There {
        fields: fields
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        bytes,
    };
    let line = |ms, seq, consumer: &str, millis, reads, payload| HeldLine {
        entry: EntryId { ms, seq },
        consumer: consumer.into(),
        idle: Duration::from_millis(millis),
        reads,
        payload,
    };
    vec![
        line(
            1_795_269_551_022,
            0,
            "billing-3",
            250_000,
            9,
            fields(
                &[
                    ("type", "refund"),
                    ("order", "88121"),
                    ("amount", "\u{1b}]0;x\u{200b}"),
                ],
                212,
            ),
        ),
        line(1_795_269_702_440, 1, "billing-3", 98_000, 4, Payload::Gone),
        line(
            1_795_269_790_113,
            4,
            "billing-1",
            1_200,
            1,
            fields(
                &[("type", "paid"), ("order", "90417"), ("raw", "\\xff\\xfe\\x00")],
                96,
            ),
        ),
    ]
}
