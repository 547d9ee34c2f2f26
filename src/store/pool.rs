//! The connections to one Postgres, and what is known of them.
//!
//! Each connection that comes back is asked whether it is still there, by sqlx and without a bound. One whose line falls
//! silent in that moment never answers, and its place stays taken until the system gives it up, a quarter of an hour
//! later. So it is counted which are lent: what is neither lent nor idle for long will not come back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

/// How long a caller waits for a connection before Postgres counts as away.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection that was idle has to say that it is still there, before another takes its place.
const THERE_WITHIN: Duration = Duration::from_secs(2);
/// A connection that answered so short a time ago is used without asking whether it is still there: that would be a
/// second trip for every statement.
const TRUSTED_FOR: Duration = Duration::from_millis(50);
/// How long one is kept that nobody uses, and how long any.
const IDLE_FOR: Duration = Duration::from_secs(60);
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// What one statement may take, by Postgres' own clock: all of ours take milliseconds. Whoever falls silent in a
/// transaction lets go of its rows before those that wait for them give up.
const LIMITS: &str = "set statement_timeout = '30s'; set lock_timeout = '10s'; \
                      set idle_in_transaction_session_timeout = '8s'; ";
/// When Postgres lets go of a connection whose line fell silent, and of its place among those that it allows: we leave it
/// for another, and by itself the server would wait for two hours.
const PROBES: &str =
    "set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3; ";
/// A page of an index is nearly always in memory or on flash; Postgres thinks of disks that turn, and rather reads a
/// whole table than look up a hundred of its rows.
const PAGES: &str = "set random_page_cost = 1.1; ";

/// A pool. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub connections: PgPool,
    /// Those that somebody uses.
    pub lent: Arc<AtomicI64>,
    /// Since when, at each look, some were neither lent nor idle; and all.
    away_since: Arc<Mutex<[Option<Instant>; 2]>>,
}

/// For how long connections of a pool have been neither lent nor idle, at every look. One that is made or comes back is
/// so for a moment, or for as long as its last statement takes when its caller went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Away {
    /// Some of them.
    pub some: Duration,
    /// All of them.
    pub all: Duration,
}

impl Pool {
    /// A pool of at most so many connections, each of which runs `session` first. It connects when it is used.
    pub fn new(options: PgConnectOptions, connections: u32, session: &'static str) -> Self {
        let lent = Arc::new(AtomicI64::new(0));
        let (again, first, back) = (lent.clone(), lent.clone(), lent.clone());
        let connections = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_WITHIN)
            .idle_timeout(Some(IDLE_FOR))
            // One that is too old as it comes back would be closed uncounted.
            .max_lifetime(None)
            .test_before_acquire(false)
            .before_acquire(move |connection, known| {
                let again = again.clone();
                Box::pin(async move {
                    let is_there = known.age < LIFETIME
                        && (known.idle_for < TRUSTED_FOR
                            || matches!(
                                tokio::time::timeout(THERE_WITHIN, connection.ping()).await,
                                Ok(Ok(()))
                            ));
                    if is_there {
                        again.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(is_there)
                })
            })
            .after_connect(move |connection, _| {
                let first = first.clone();
                Box::pin(async move {
                    // A lock that is never given back, or a line that falls silent in a transaction, must
                    // not hold a job's row for ever.
                    let settings = [LIMITS, PROBES, PAGES, session].concat();
                    let settings = sqlx::raw_sql(sqlx::AssertSqlSafe(settings));
                    settings.execute(connection).await?;
                    first.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
            })
            .after_release(move |_, _| {
                back.fetch_sub(1, Ordering::Relaxed);
                Box::pin(std::future::ready(Ok(true)))
            })
            .connect_lazy_with(options);
        Self {
            connections,
            lent,
            away_since: Arc::default(),
        }
    }

    /// Another of the same kind.
    pub fn anew(&self, session: &'static str) -> Self {
        let options = (*self.connections.connect_options()).clone();
        Self::new(options, self.connections.options().get_max_connections(), session)
    }

    /// Whether both are clones of one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lent, &other.lent)
    }

    /// Looks for connections that are away.
    pub fn away(&self) -> Away {
        // In this order one that is taken meanwhile is missed at most; one that is back by then is counted twice, and
        // found at the next look.
        let lent = self.lent.load(Ordering::Acquire);
        let idle = i64::try_from(self.connections.num_idle()).unwrap_or(0);
        let (here, size) = (lent + idle, i64::from(self.connections.size()));
        let mut since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        let mut look = |nth: usize, is_so: bool| {
            if is_so {
                since[nth].get_or_insert_with(Instant::now).elapsed()
            } else {
                since[nth] = None;
                Duration::ZERO
            }
        };
        Away {
            some: look(0, here < size),
            all: look(1, here <= 0 && size > 0),
        }
    }

    /// Begins to look anew.
    pub fn forgive(&self) {
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner) = [None; 2];
    }
}
