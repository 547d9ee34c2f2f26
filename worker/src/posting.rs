//! Posting a verdict on its pull request: once for each head commit, and never for one that is past.
//!
//! GitHub has no key that would make a repeat of a post safe. So a letter is written as a draft, which nobody sees, its
//! number is put into the row of its pull request and commit, and then this number is sent in, which GitHub does once.
//! Only an attempt that holds its job can put a number there, and who takes a row over first takes the draft back that
//! stands in it: if that cannot be done any more, since it was sent in, the verdict is posted. So there is no moment at
//! which an attempt could stand still for however long and post a second one when it goes on.
//!
//! A row from before these drafts has no number; then GitHub is searched for the marker of each review of the commit
//! that may have posted. What GitHub refuses for good costs the review nothing but the letter; the result says so. A
//! review that has read a newer commit ends those that wait with an older one.

use millstream::domain::{EntryId, Failure, FailureClass, JobId, Lane, PrUrl, Retry, ReviewResult};
use millstream::queue::Queue;
use millstream::store::moves::Ended;
use millstream::store::postings::Claim;
use millstream::store::{Lease, Store, StoreError};
use tracing::{debug, info};

use crate::fault::Fault;
use crate::github::Github;
use crate::review::findings;
use crate::review::letter::{self, Letter, Votes};

/// The author of remarks about posting.
const POST: &str = "post";

/// Posts verdicts.
#[derive(Clone)]
pub struct Poster {
    github: Github,
    store: Store,
    queue: Queue,
    votes: Votes,
}

impl Poster {
    /// Posts on this GitHub, and takes down what it does in this store. The queue is the one of its reviews.
    #[must_use]
    pub const fn new(github: Github, store: Store, queue: Queue, votes: Votes) -> Self {
        Self {
            github,
            store,
            queue,
            votes,
        }
    }

    /// Takes down that an attempt has read this commit, and calls off earlier reviews of the pull request that wait
    /// and have read another: each would read this one again, and post nothing.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn supersede(&self, lease: &Lease, pull: &PrUrl, head: &str) -> Result<(), Failure> {
        let reason = format!("superseded by review {} of commit {}", lease.job, short(head));
        let place = pull.to_string();
        let ended = self.store.supersede(lease, &place, head, &reason);
        let ended = self.store.bounded(ended).await.map_err(|error| away(&error))?;
        for one in &ended {
            info!(review.id = %one.was.job, "review {} is {reason}", one.was.job);
        }
        self.let_go(&ended).await;
        Ok(())
    }

    /// Valkey's half. What it does not hear is not lost: whoever is delivered an entry of a job that has ended
    /// acknowledges it unrun, and the event is in the store.
    async fn let_go(&self, ended: &[Ended]) {
        for lane in Lane::ALL {
            let of_lane = ended.iter().filter(|one| one.was.lane == lane);
            let entries: Vec<(EntryId, JobId)> = of_lane
                .filter_map(|one| Some((one.was.entry?, one.was.job)))
                .collect();
            if let Err(error) = self.queue.withdraw(lane, &entries).await {
                debug!("failed to {error}; the entries of superseded reviews are left to whoever gets them");
            }
        }
        let told: Vec<(JobId, String)> = ended
            .iter()
            .filter_map(|one| Some((one.was.job, one.event.as_ref()?.to_string())))
            .collect();
        if let Err(error) = self.queue.publish(&told).await {
            debug!("failed to {error}; who watches a superseded review asks the store");
        }
    }

    /// Posts the result of a review of this commit. What stands in the way becomes a remark in it.
    ///
    /// # Errors
    /// When trying again can help.
    pub async fn post(
        &self,
        lease: &Lease,
        pull: &PrUrl,
        head: Option<&str>,
        result: &mut ReviewResult,
    ) -> Result<(), Failure> {
        let Some(head) = head else {
            let why = "GitHub has not said which commit its files are of".to_owned();
            say(result, &why);
            return Ok(());
        };
        let remark = match self.try_to_post(lease, pull, head, result).await {
            Ok(remark) => remark,
            Err(failure) if failure.retry == Retry::Never => Some(failure.message),
            Err(failure) => return Err(failure),
        };
        if let Some(why) = remark {
            say(result, &why);
        }
        Ok(())
    }

    /// Why it was not posted, if it was not.
    async fn try_to_post(
        &self,
        lease: &Lease,
        pull: &PrUrl,
        head: &str,
        result: &ReviewResult,
    ) -> Result<Option<String>, Failure> {
        let newest = self.github.head(pull).await?.commit;
        if newest != head {
            let (newest, head) = (short(&newest), short(head));
            return Ok(Some(format!(
                "its newest commit is {newest} by now, and this review is of {head}"
            )));
        }
        let place = pull.to_string();
        let claim = self
            .store
            .bounded(self.store.claim_posting(lease, &place, head))
            .await
            .map_err(|error| away(&error))?;
        let found = match claim {
            Claim::Closed => return Err(lost()),
            Claim::Taken => return Ok(Some(taken(head))),
            Claim::Posted => return Ok(None),
            Claim::Again { tried, named } => {
                let marked = |job| (job, letter::marker(job, head));
                let markers: Vec<(JobId, String)> = tried.into_iter().map(marked).collect();
                self.posted_before(lease, pull, &markers, named).await?
            }
            Claim::Fresh => None,
        };
        let (author, id) = match found {
            Some(found) => found,
            None => (lease.job, Some(self.post_anew(lease, pull, head, result).await?)),
        };
        let recorded = self.store.posted(lease.job, author, &place, head, id);
        self.store.bounded(recorded).await.map_err(|error| away(&error))?;
        if author != lease.job {
            return Ok(Some(taken(head)));
        }
        info!(review.id = %lease.job, "posted review {} on {}", lease.job, pull.short());
        Ok(None)
    }

    /// The letter that others see already, and whose it is. When there is none, none can appear any more: the draft that
    /// the row names is taken back, and no other may be sent in.
    async fn posted_before(
        &self,
        lease: &Lease,
        pull: &PrUrl,
        markers: &[(JobId, String)],
        named: Option<i64>,
    ) -> Result<Option<(JobId, Option<i64>)>, Failure> {
        if let Some(id) = named
            && let Some(words) = self.github.take_back(pull, id).await?
        {
            let author = markers.iter().find(|(_, marker)| words.ends_with(marker));
            // Somebody may have edited it; it is the one of this commit all the same.
            return Ok(Some((author.map_or(lease.job, |(job, _)| *job), named)));
        }
        self.github.find_review(pull, markers).await
    }

    /// Posts a letter, and answers GitHub's number for it.
    async fn post_anew(
        &self,
        lease: &Lease,
        pull: &PrUrl,
        head: &str,
        result: &ReviewResult,
    ) -> Result<i64, Failure> {
        let Letter { review, plain, event } = letter::write(result, lease.job, head, self.votes);
        let draft = self
            .github
            .draft_review(pull, &review, &plain, letter::OURS)
            .await?;
        let place = pull.to_string();
        let named = self
            .store
            .bounded(self.store.name_draft(lease, &place, head, draft.id))
            .await
            .map_err(|error| away(&error))?;
        if !named {
            self.leave_no_draft(pull, draft.id).await;
            return Err(lost());
        }
        match self.github.send_review(pull, &draft, event).await {
            Ok(true) => Ok(draft.id),
            Ok(false) => {
                let message = format!(
                    "the draft on {} was taken back before it was sent in",
                    pull.short()
                );
                Err(Fault::GithubAway.failure(message, None))
            }
            Err(failure) => {
                if failure.retry == Retry::Never {
                    self.leave_no_draft(pull, draft.id).await;
                }
                Err(failure)
            }
        }
    }

    /// Takes back a draft that nobody will send in. One that stays is seen by nobody, and who drafts next takes it back.
    async fn leave_no_draft(&self, pull: &PrUrl, id: i64) {
        if let Err(failure) = self.github.take_back(pull, id).await {
            debug!(
                "the draft {id} on {} stays where it is: {}",
                pull.short(),
                failure.message
            );
        }
    }
}

fn lost() -> Failure {
    let message = "the attempt has lost its job before it could post";
    Failure::passing(FailureClass::Other, message)
}

/// Adds a remark to a result. What GitHub says in it was masked when it was read.
fn say(result: &mut ReviewResult, why: &str) {
    let why = format!("Not posted on the pull request: {why}.");
    result.findings.push(findings::remark(POST, why));
}

fn taken(head: &str) -> String {
    format!("another review is the one for commit {}", short(head))
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn away(error: &StoreError) -> Failure {
    Failure::passing(FailureClass::Store, format!("failed to {error}"))
}
