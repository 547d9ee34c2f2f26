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
/// A page of an index is nearly always in memory or on flash; Postgres thinks of disks that turn, and rather reads a
/// whole table than look up a hundred of its rows.
const PAGES: &str = "set random_page_cost = 1.1; ";

/// A pool. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub connections: PgPool,
    /// Those that somebody uses.
    lent: Arc<AtomicI64>,
    /// Since when, at each look, some were neither lent nor idle.
    short_since: Arc<Mutex<Option<Instant>>>,
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
                    let settings = [LIMITS, PAGES, session].concat();
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
            short_since: Arc::default(),
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

    /// Looks for connections that are neither lent nor idle, and answers for how long there were some at every look. One
    /// that is made or comes back is so for a moment.
    pub fn short_for(&self) -> Duration {
        // In this order one that is taken meanwhile is missed, and none is counted twice.
        let lent = self.lent.load(Ordering::Relaxed);
        let idle = i64::try_from(self.connections.num_idle()).unwrap_or(0);
        let is_short = lent + idle < i64::from(self.connections.size());
        let mut since = self.short_since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_short {
            since.get_or_insert_with(Instant::now).elapsed()
        } else {
            *since = None;
            Duration::ZERO
        }
    }
}
