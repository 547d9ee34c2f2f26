//! Leases and presence: "is it still mine?", "I am here", "I am gone".

use std::time::Duration;

use redis::streams::StreamInfoConsumersReply;

use super::connect::Queue;
use super::error::QueueError;
use super::keys::{PARKED, numbered_lane};
use super::scripts::{BEAT, FORGET, LEAVE, RENEW};
use crate::domain::{EntryId, Lane, WorkerId};

/// Ids in one call: a renewal costs the server about 3 us an id, so a chunk stays under 2 ms.
const CHUNK: usize = 500;
/// Consumers that one call takes down on each stream.
const FORGOTTEN: usize = 100;
/// How long a card outlives its worker's last heartbeat: long enough to see who was lost.
const CARD_SECONDS: u64 = 600;

/// How long an elected sweeper stays elected without a heartbeat.
const SWEEPER_TERM: Duration = Duration::from_secs(3);
/// A fleet, or a worker by itself, that was heard for so long without a gap is steady: then a silence is that of others.
/// Longer than the silence that makes a suspect: after an outage everybody is heard before.
pub const STEADY_AFTER: Duration = Duration::from_secs(4);
/// The longest gap between two heartbeats of a steady fleet. With the second between two beats of one worker it is
/// shorter than the silence that makes a suspect.
const GAP_MAX: Duration = Duration::from_millis(1_800);
/// A worker that is silent this long may be dead; whether it is, its connection tells.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(3);

/// What a heartbeat learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The server's clock, in milliseconds.
    pub server_ms: u64,
    /// Parked entries that are due now.
    pub due: usize,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Whether this worker sweeps for the fleet.
    pub sweeps: bool,
    /// Parked entries, due or not.
    pub parked: u64,
    /// For the sweeper: consumers that hold entries and have not beaten lately.
    pub suspects: Vec<Suspect>,
}

/// A consumer that holds entries without a fresh heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// On which stream it holds some.
    pub lane: Lane,
    /// Its name.
    pub consumer: String,
    /// Since its last heartbeat; nothing when there is none to be found.
    pub silence: Option<Duration>,
}

/// What one worker says with a heartbeat.
#[derive(Debug, Clone, Copy)]
pub struct Pulse<'a> {
    /// Its queue.
    pub queue: &'a Queue,
    /// Who it is.
    pub worker: WorkerId,
    /// What its card says.
    pub card: &'a str,
    /// Whether it was heard for a while without a gap.
    pub steady: bool,
}

/// The answer of the script for one worker.
type BeatAnswer = (u64, usize, bool, bool, u64, Vec<(usize, String, i64)>);

/// One heartbeat of several workers, whose queues lie on the server of the first one, in one step. Answers in their order.
///
/// # Errors
/// When the server is away, or does not allow one of them.
pub async fn beat_together(pulses: &[Pulse<'_>]) -> Result<Vec<Beat>, QueueError> {
    let Some(first) = pulses.first() else {
        return Ok(Vec::new());
    };
    let mut call = BEAT.prepare_invoke();
    call.arg(pulses.len());
    for pulse in pulses {
        let (keys, name) = (pulse.queue.keys(), pulse.worker.to_string());
        call.key(keys.card(&name))
            .key(&keys.workers)
            .key(&keys.due)
            .key(&keys.due_high)
            .key(&keys.pause)
            .key(&keys.sweeper)
            .key(&keys.steady);
        for lane in Lane::ALL {
            call.key(keys.stream(lane));
        }
        call.arg(&name)
            .arg(pulse.card)
            .arg(CARD_SECONDS)
            .arg(&keys.group)
            .arg(PARKED)
            .arg(SWEEPER_TERM.as_millis() as u64)
            .arg(SUSPECT_AFTER.as_millis() as u64)
            .arg(u8::from(pulse.steady))
            .arg(GAP_MAX.as_millis() as u64)
            .arg(STEADY_AFTER.as_millis() as u64);
    }
    let answers: Vec<BeatAnswer> = call.invoke_async(&mut first.queue.connection()).await?;
    Ok(answers.into_iter().map(Beat::from).collect())
}

impl From<BeatAnswer> for Beat {
    fn from((server_ms, due, paused, sweeps, parked, rows): BeatAnswer) -> Self {
        let suspects = rows
            .into_iter()
            .map(|(number, consumer, silence)| Suspect {
                lane: numbered_lane(number),
                consumer,
                silence: u64::try_from(silence).ok().map(Duration::from_millis),
            })
            .collect();
        Self {
            server_ms,
            due,
            paused,
            sweeps,
            parked,
            suspects,
        }
    }
}

impl Queue {
    /// Renews the leases of entries; answers for each whether it is still this worker's.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn renew(
        &self,
        lane: Lane,
        worker: WorkerId,
        ids: &[EntryId],
    ) -> Result<Vec<bool>, QueueError> {
        let mut kept = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut call = RENEW.prepare_invoke();
            call.key(self.keys().stream(lane))
                .arg(&self.keys().group)
                .arg(worker.to_string());
            for id in chunk {
                call.arg(id.to_string());
            }
            kept.extend(call.invoke_async::<Vec<bool>>(&mut self.connection()).await?);
        }
        Ok(kept)
    }

    /// One heartbeat: puts up the worker's card, asks what is due, stands for election as sweeper. It stands only while
    /// the fleet is steady, or this worker by itself is.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn beat(&self, worker: WorkerId, card: &str, steady: bool) -> Result<Beat, QueueError> {
        let pulse = Pulse {
            queue: self,
            worker,
            card,
            steady,
        };
        let beat = beat_together(&[pulse]).await?.pop();
        beat.ok_or_else(|| QueueError::Answer("no answer to a heartbeat".to_owned()))
    }

    /// Takes the worker's card down, and its consumer where nothing is pending. Answers on how many
    /// streams something still is.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn leave(&self, worker: &str) -> Result<usize, QueueError> {
        let keys = self.keys();
        let mut call = LEAVE.prepare_invoke();
        call.key(keys.card(worker)).key(&keys.workers).key(&keys.sweeper);
        for lane in Lane::ALL {
            call.key(keys.stream(lane));
        }
        Ok(call
            .arg(&keys.group)
            .arg(worker)
            .invoke_async(&mut self.connection())
            .await?)
    }

    /// Takes down consumers of ours without a heartbeat that hold nothing: who left with entries in its hands is one
    /// once these are taken over, and who read after a loss of all data and died before its next heartbeat. At most a
    /// hundred of each stream. Answers how many.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn forget_consumers(&self) -> Result<usize, QueueError> {
        let mut idle: Vec<(Lane, String)> = Vec::new();
        for lane in Lane::ALL {
            match self.consumers_without_entries(lane).await {
                Err(QueueError::NoGroup(_)) => {}
                found => idle.extend(found?.into_iter().map(|name| (lane, name))),
            }
        }
        if idle.is_empty() {
            return Ok(0);
        }
        let names: Vec<&str> = idle.iter().map(|(_, name)| name.as_str()).collect();
        let beats: Vec<Option<f64>> = redis::cmd("ZMSCORE")
            .arg(&self.keys().workers)
            .arg(&names)
            .query_async(&mut self.connection())
            .await?;
        let silent: Vec<(Lane, &str)> = (idle.iter().zip(beats))
            .filter(|(_, beat)| beat.is_none())
            .map(|((lane, name), _)| (*lane, name.as_str()))
            .collect();
        let mut gone = 0;
        for lane in Lane::ALL {
            let of_lane = silent.iter().filter(|(of, _)| *of == lane);
            let names: Vec<&str> = of_lane.map(|(_, name)| *name).take(FORGOTTEN).collect();
            if names.is_empty() {
                continue;
            }
            let mut call = FORGET.prepare_invoke();
            call.key(&self.keys().workers).key(self.keys().stream(lane));
            call.arg(&self.keys().group).arg(&names);
            gone += call.invoke_async::<usize>(&mut self.connection()).await?;
        }
        Ok(gone)
    }

    /// Consumers with names of ours that hold nothing.
    async fn consumers_without_entries(&self, lane: Lane) -> Result<Vec<String>, QueueError> {
        let rows: StreamInfoConsumersReply = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg(self.keys().stream(lane))
            .arg(&self.keys().group)
            .query_async(&mut self.connection())
            .await?;
        let left = rows.consumers.into_iter().filter(|row| row.pending == 0);
        let ours = left.filter(|row| row.name.parse::<WorkerId>().is_ok());
        Ok(ours.map(|row| row.name).collect())
    }
}
