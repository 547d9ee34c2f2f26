//! What a worker does: start, fetch, its duties, renewal, and how it comes and goes.

use std::time::Duration;

use anyhow::{Result, ensure};
use millstream::domain::{JobId, Lane};
use millstream::engine::dispatcher::{Event, Ticket, Written};
use millstream::engine::leases::{lost_leases, park_unknown};
use millstream::engine::release::{How, Order, release};
use millstream::queue::fetch::Want;
use millstream::queue::{Entry, QueueError};
use millstream::store::{Asked, Fence, Lease, Next, Start};

use super::case::Case;
use super::ledger::Expected;
use super::step::End;
use super::worker::{Duty, Ended, RULES, Trace, Worker, last_event};

/// How idle an entry is that may be taken from who holds it. No case lasts so long by itself.
pub const IDLE: Duration = Duration::from_secs(60);

impl Case {
    /// The worker in a place, started if there is none; nothing while it is frozen.
    pub async fn awake(&mut self, nth: usize) -> Result<Option<&mut Worker>> {
        if self.workers[nth].is_none() {
            let worker = Worker::new();
            self.site.queue.ensure_groups().await?;
            self.streams.ensure_groups();
            self.site.name_line(nth, Some(&worker.id.to_string())).await?;
            let beat = self.site.queue.beat(worker.id, "{}", false).await?;
            let leads = self.streams.beat(&worker.id.to_string(), false);
            ensure!(beat.sweeps == leads, "a new worker is elected: {}", beat.sweeps);
            self.site.hold_election().await?;
            self.workers[nth] = Some(worker);
        }
        Ok(self.workers[nth].as_mut().filter(|worker| !worker.frozen))
    }

    pub async fn crash(&mut self, nth: usize) -> Result<()> {
        self.workers[nth] = None;
        self.site.name_line(nth, None).await
    }

    pub fn freeze(&mut self, nth: usize, frozen: bool) -> Result<()> {
        if let Some(worker) = &mut self.workers[nth] {
            worker.frozen = frozen;
        }
        Ok(())
    }

    pub fn drain(&mut self, nth: usize, grace_over: bool) -> Result<()> {
        if let Some(worker) = self.workers[nth].as_mut().filter(|worker| !worker.frozen) {
            worker.tell(Event::Stop);
            worker.tell(Event::FetchEnded);
            if grace_over {
                worker.tell(Event::GraceOver);
            }
        }
        Ok(())
    }

    pub async fn fetch(&mut self, nth: usize, beyond: usize, heard: bool) -> Result<()> {
        let Some(worker) = self.awake(nth).await? else {
            return Ok(());
        };
        let (id, free) = (worker.id, worker.free());
        if free == 0 {
            return Ok(());
        }
        let slots = free + beyond;
        let fetched = match self.site.queue.fetch(id, slots, Want::Anything).await {
            Err(QueueError::NoGroup(_)) => {
                ensure!(
                    !self.streams.has_groups(),
                    "all groups are there, and one is missed"
                );
                self.site.queue.ensure_groups().await?;
                self.streams.ensure_groups();
                return Ok(());
            }
            fetched => fetched?,
        };
        self.streams.fetch(&id.to_string(), slots, &fetched)?;
        let (gone, there): (Vec<Entry>, Vec<Entry>) = fetched.entries.into_iter().partition(Entry::is_gone);
        if heard {
            for entry in gone {
                self.site
                    .store
                    .reset_entry(&self.site.name, entry.lane, entry.id)
                    .await?;
                self.ledger.gone(entry.lane, entry.id);
            }
        }
        let worker = self.workers[nth].as_mut().expect("it is awake");
        if heard {
            worker.deliver(there);
        } else {
            worker.may_have_lost = true;
        }
        Ok(())
    }

    pub async fn renew(&mut self, nth: usize, heard: bool) -> Result<()> {
        let Some(worker) = self.awake(nth).await? else {
            return Ok(());
        };
        let (id, tickets) = (worker.id, worker.renewal());
        let name = id.to_string();
        self.site.beat_now(&name).await?;
        let mut lost = Vec::new();
        for lane in Lane::ALL {
            let of_lane: Vec<Ticket> = tickets
                .iter()
                .filter(|ticket| ticket.lane == lane)
                .copied()
                .collect();
            let gone = lost_leases(&self.site.queue, id, lane, &of_lane).await?;
            let entries: Vec<_> = of_lane.iter().map(|ticket| ticket.entry).collect();
            let expected = self.streams.renew(&name, lane, &entries);
            let is: Vec<_> = gone.iter().map(|ticket| ticket.entry).collect();
            ensure!(
                is == expected,
                "leases lost on {}: {is:?}, and must be {expected:?}",
                lane.word()
            );
            lost.extend(gone);
            ensure!(
                park_unknown(&self.site.queue, id, lane, IDLE).await,
                "a look for lost deliveries failed"
            );
            self.streams.take_over(lane, &name, true);
        }
        let worker = self.workers[nth].as_mut().expect("it is awake");
        if heard && !lost.is_empty() {
            worker.tell(Event::LeaseLost(lost));
        }
        worker.may_have_lost &= !heard;
        Ok(())
    }

    /// Does one of a worker's duties. When the reply is lost it stays a duty, and is done again.
    pub async fn work(&mut self, nth: usize, pick: usize, end: End, heard: bool) -> Result<()> {
        let Some(worker) = self.awake(nth).await? else {
            return Ok(());
        };
        if worker.duties.is_empty() {
            return Ok(());
        }
        let place = pick % worker.duties.len();
        let duty = worker.duties[place].clone();
        // What a handler does nobody replies to.
        let heard = heard || matches!(duty, Duty::Run(_) | Duty::Leave);
        if heard {
            worker.duties.remove(place);
        }
        match duty {
            Duty::Ask(asked) => self.ask(nth, asked, heard).await,
            Duty::Run(ticket) => {
                worker.ended(ticket, end);
                Ok(())
            }
            Duty::Record {
                ticket,
                lease,
                failures,
                end,
                plain,
            } => match end {
                Ended::Failed(failure) => {
                    let next = RULES.next(&failure, failures, lease.attempt.unsigned_abs(), 1.0);
                    let event = last_event(lease);
                    let fence = self.site.store.fail(&lease, &failure, next, Some(&event)).await?;
                    let open = self.ledger.fail(&lease, &failure, next);
                    self.fence(fence, open)?;
                    let (written, delay) = match next {
                        _ if !open => (Written::Fenced, Duration::ZERO),
                        Next::Retry(delay) => (Written::Retrying, delay),
                        Next::Schedule(_) => (Written::Settled, Duration::ZERO),
                        Next::Bury => (Written::Dead, Duration::ZERO),
                    };
                    let failure = (written == Written::Dead).then_some(&failure);
                    self.heard(nth, heard, |worker| {
                        worker.written(ticket, written, delay, failure);
                    });
                    Ok(())
                }
                end if plain => {
                    self.finish_plain(nth, (ticket, lease, failures, end), heard)
                        .await
                }
                end => {
                    self.finish(nth, ticket, lease, matches!(end, Ended::Result), heard)
                        .await
                }
            },
            Duty::HandBack(ticket, lease) => {
                let fence = self.site.store.hand_back(&lease).await?;
                let open = self.ledger.hand_back(&lease);
                self.fence(fence, open)?;
                let written = if open {
                    Written::HandedBack
                } else {
                    Written::Fenced
                };
                self.heard(nth, heard, |worker| {
                    worker.written(ticket, written, Duration::ZERO, None);
                });
                Ok(())
            }
            Duty::Release(order, job) => self.release(nth, order, job, heard).await,
            Duty::Leave => self.leave(nth).await,
        }
    }

    fn heard(&mut self, nth: usize, heard: bool, tell: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.workers[nth].as_mut().filter(|_| heard) {
            tell(worker);
        }
    }

    fn fence(&self, is: Fence, open: bool) -> Result<()> {
        let must = if open { Fence::Open } else { Fence::Closed };
        ensure!(is == must, "the fence is {is:?} and must be {must:?}");
        Ok(())
    }

    async fn ask(&mut self, nth: usize, all: Vec<(Ticket, Option<Asked>)>, heard: bool) -> Result<()> {
        let worker = self.workers[nth].as_ref().expect("it is awake");
        let (id, at_work) = (worker.id, worker.at_work());
        let asked: Vec<Asked> = all.iter().filter_map(|(_, asked)| asked.clone()).collect();
        let name = &self.site.name;
        let starts = self.site.store.start_among(name, id, &asked, &at_work).await?;
        for (asked, start) in asked.iter().zip(&starts) {
            let must = self.ledger.start(&id.to_string(), asked);
            let is = match start {
                Start::Begin(issued) => Some(Expected::Begin {
                    attempt: issued.attempt,
                    failures: issued.failures,
                    crashes: issued.crashes,
                }),
                Start::Dead(_) => Some(Expected::Dead),
                Start::Finished => Some(Expected::Finished),
                Start::Stale => Some(Expected::Stale),
                Start::Late => Some(Expected::Late),
                Start::Unknown => None,
            };
            let job = self.name(asked.job);
            ensure!(
                is == Some(must),
                "the start of job {job} is answered with {start:?} and must be {must:?}"
            );
        }
        let mut starts = starts.into_iter();
        self.heard(nth, heard, |worker| {
            for (ticket, asked) in all {
                let start = asked.and_then(|_| starts.next()).unwrap_or(Start::Unknown);
                worker.answer(ticket, start);
            }
        });
        Ok(())
    }

    async fn finish_plain(
        &mut self,
        nth: usize,
        (ticket, lease, failures, end): (Ticket, Lease, u32, Ended),
        heard: bool,
    ) -> Result<()> {
        let ended = self.site.store.finish_plain(&[lease]).await?;
        let must = self.ledger.finish_plain(&lease);
        ensure!(
            ended == [must],
            "a plain end is answered with {ended:?} and must be {must}"
        );
        self.heard(nth, heard, |worker| {
            if must {
                worker.written(ticket, Written::Settled, Duration::ZERO, None);
            } else {
                // It is looked at by itself, which tells a repeat from a closed fence.
                worker.duties.push(Duty::Record {
                    ticket,
                    lease,
                    failures,
                    end,
                    plain: false,
                });
            }
        });
        Ok(())
    }

    async fn finish(
        &mut self,
        nth: usize,
        ticket: Ticket,
        lease: Lease,
        leaves_result: bool,
        heard: bool,
    ) -> Result<()> {
        let (store, event) = (&self.site.store, last_event(lease));
        let fence = if leaves_result {
            store.finish(&lease, &Trace, Some(&event)).await?
        } else {
            store.finish(&lease, &(), Some(&event)).await?
        };
        let open = self.ledger.finish(&lease, leaves_result);
        self.fence(fence, open)?;
        let written = if open { Written::Settled } else { Written::Fenced };
        self.heard(nth, heard, |worker| {
            worker.written(ticket, written, Duration::ZERO, None);
        });
        Ok(())
    }

    async fn release(&mut self, nth: usize, order: Order, job: Option<JobId>, heard: bool) -> Result<()> {
        let id = self.workers[nth].as_ref().expect("it is awake").id;
        let (name, Ticket { lane, entry, .. }) = (id.to_string(), order.ticket);
        let ticket = order.ticket;
        match &order.how {
            How::Settle => self.streams.settle(&name, lane, entry),
            How::Park(delay) => self
                .streams
                .park(&name, (lane, entry), order.delivery, delay.is_zero()),
            How::Bury(_) => self.streams.bury(&name, lane, entry, job),
        }
        release(&self.site.queue, id, &[order]).await?;
        self.heard(nth, heard, |worker| worker.tell(Event::Released(ticket)));
        Ok(())
    }

    async fn leave(&mut self, nth: usize) -> Result<()> {
        let name = self.workers[nth].take().expect("it is awake").id.to_string();
        self.site.queue.leave(&name).await?;
        self.streams.leave(&name);
        self.site.name_line(nth, None).await
    }
}
