//! The words of the product as types: what is parsed once is true from then on.
//!
//! Nothing here talks to a server or reads a clock. Read [`job`] for the life of a job, [`review`]
//! for what is reviewed and what comes out, [`span`] and [`progress`] for what can be watched,
//! [`job_ref`], [`dead_filter`] and [`fingerprint`] for what an operator names, [`run`] for what they do in bulk,
//! [`glass`] for what they note while Postgres is away, [`scope`] for what a client may, [`callback`] and [`address`] for
//! who may be told of an end.

pub mod address;
pub mod callback;
pub mod dead_filter;
pub mod diff;
pub mod failure;
pub mod finding;
pub mod fingerprint;
pub mod glass;
pub mod ids;
pub mod job;
pub mod job_ref;
pub mod pr_url;
pub mod progress;
pub mod review;
pub mod run;
pub mod scope;
pub mod span;

pub use callback::{CallbackReach, CallbackUrl, NotACallback};
pub use dead_filter::{DeadFacts, DeadFilter};
pub use failure::{Failure, FailureClass, PARKED_AT_MOST, Retry};
pub use finding::{Finding, Severity, Verdict};
pub use ids::{EntryId, JobId, SpanId, WorkerId};
pub use job::{JobState, Lane, Priority};
pub use job_ref::JobRef;
pub use pr_url::PrUrl;
pub use progress::{Phase, Progress};
pub use review::{ReviewInput, ReviewResult, StoredDiff};
pub use run::{RunId, RunState, Terms};
pub use scope::{Scope, Scopes};
pub use span::{SpanEnd, SpanKind, SpanStart, SpanStatus, Usage};
