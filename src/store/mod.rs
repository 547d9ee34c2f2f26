//! The Postgres store: the truth about every job.
//!
//! The schema `millstream` is ours; the reference's three tables are written as its processes expect
//! and never changed in shape. A query sits beside the row type it returns.
//!
//! * [`jobs`]: a job is accepted, looked up, listed, counted.
//! * [`starts`]: attempts are issued. [`attempts`]: they end; every write of an attempt names its number, and one
//!   whose number is no longer the job's changes nothing (the fence).
//! * [`reviews`]: what a review records, in the reference's words and in ours.
//! * [`listing`]: reviews in pages; [`watch`]: where those stand that somebody waits for.
//! * [`telemetry`]: spans and events, written in batches, fenced too.
//! * [`counts`]: how many jobs stand where; [`console`]: what else a screen asks for, bounded.
//! * [`owed`]: what the stream should hold and may not.
//! * [`moves`], [`dead`], [`pauses`]: what operators do to jobs and queues. [`moved`]: the way back.
//! * [`assess`], [`runs`]: what a plan can put back, and how far it got. [`replace`]: a dead job with another input.
//! * [`postings`]: verdicts on their way to GitHub. [`heads`]: which commit a review has read. [`tokens`]: who may come in over HTTP.
//! * [`glass`], [`fleets`]: what was noted while Postgres was away; how many workers are asked for.
//! * [`webhooks`]: who is told of an end.
//! * [`checkpoints`], [`inputs`], [`actions`], [`stats`], [`leases`], [`migrate`]: what they say.

pub mod actions;
pub mod assess;
pub mod attempts;
pub mod causes;
pub mod checkpoints;
pub mod connect;
pub mod console;
pub mod counts;
pub mod dead;
pub mod error;
pub mod fleets;
pub mod glass;
pub mod heads;
pub mod inputs;
pub mod jobs;
pub mod leases;
mod lent;
pub mod listing;
pub mod migrate;
pub mod moved;
pub mod moves;
pub mod owed;
pub mod pauses;
mod pool;
pub mod postings;
pub mod replace;
pub mod reviews;
pub mod runs;
pub mod starts;
pub mod stats;
pub mod telemetry;
mod text;
pub mod tokens;
pub mod watch;
pub mod webhooks;

pub use attempts::{Fence, Lease, Next, Record, Taken};
pub use connect::Store;
pub use error::StoreError;
pub use starts::{Asked, AtWork, Died, Issued, Start};
