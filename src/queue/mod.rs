//! The queue protocol: one job queue on three Valkey streams that share a consumer group.
//!
//! What it promises, in words; `docs/delivery.md` has the states drawn and the test of each promise.
//!
//! * An entry that was read belongs to one consumer until that consumer settles it, parks it, or is
//!   found dead or silent. Every script asks "is it still this worker's?" in the same atomic step
//!   in which it writes, since `XACK` and `XCLAIM` themselves ask nobody.
//! * A failed entry stays in the group's pending list, as the reference leaves it. It moves to the
//!   consumer [`keys::PARKED`], and the time of its next attempt to a sorted set beside it.
//! * An entry is acknowledged only after its result is durable, and deleted only when every group of
//!   the stream is past it. A pending entry is never deleted.
//! * No script walks more than it is told to; no reply grows with the length of the queue.
//!
//! The first stream is the reference's, with its names and fields. The second, `{queue}:own`, carries
//! what a reference worker cannot run, the third, `{queue}:high`, what is urgent. Nothing here knows Postgres.
//!
//! Reading order: [`keys`], [`entry`], [`connect`], then [`enqueue`], [`fetch`], [`settle`],
//! [`lease`], [`takeover`]; [`inspect`], [`glance`], [`pending`], [`window`], [`held`] and [`streams`] only look,
//! [`progress`] tells what runs, [`withdraw`], [`pause`], [`letters`] and [`glass`] are an operator's.

pub mod connect;
pub mod enqueue;
pub mod entry;
pub mod error;
pub mod fetch;
pub mod glance;
pub mod glass;
pub mod held;
pub mod inspect;
pub mod keys;
pub mod lease;
pub mod letters;
pub mod new_letter;
pub mod pause;
pub mod pending;
pub mod progress;
pub mod reader;
mod scripts;
pub mod settle;
mod shared;
pub mod streams;
pub mod takeover;
pub mod window;
pub mod withdraw;

pub use connect::{Patience, Queue};
pub use enqueue::NewEntry;
pub use entry::{Entry, Unreadable, Wire};
pub use error::QueueError;
pub use fetch::Fetched;
pub use inspect::Look;
pub use keys::Keys;
pub use lease::Beat;
pub use letters::Letter;
pub use new_letter::NewLetter;
pub use progress::{Call, Feed};
pub use reader::Reader;
pub use settle::Parking;
pub use withdraw::{Claimed, Holder};
