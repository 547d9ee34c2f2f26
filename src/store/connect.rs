//! How Postgres is reached, and what happens when it falls silent.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::error::StoreError;
use super::pool::Pool;

/// A worker asks the same statements thousands of times, for a few rows or a few hundred. Postgres would plan the
/// larger ones anew each time, which takes longer than to run them.
const PLANNED_ONCE: &str = "set plan_cache_mode = force_generic_plan";
/// What a statement for many rows takes at the most on any machine that is not overloaded, and each row of it.
const STATEMENT_TAKES: Duration = Duration::from_millis(3);
const ROW_TAKES: Duration = Duration::from_micros(100);
/// How long a plan is kept after one was given up, at the least. Twice as long each time that did not help: a server
/// that is slow for another reason, or far away, is not made slower.
const KEPT_AT_LEAST: Duration = Duration::from_millis(100);
/// How long that grows.
const KEPT_AT_MOST: Duration = Duration::from_secs(60);
/// Longer than any statement of ours is allowed to take: who has no answer by then has a line that fell silent, and a
/// connection that is away for as long does not come back.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// How long a connection that was given back takes to be there, if anybody is.
const BACK_IN_A_MOMENT: Duration = Duration::from_millis(50);
/// How long the last connections have to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long the first look at the server may take.
const CHECK_WITHIN: Duration = Duration::from_secs(3);

/// A store on a Postgres server. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    /// Replaced as a whole when a line falls silent: see [`Store::bounded`].
    pool: Arc<RwLock<Pool>>,
    answer_within: Duration,
    back_within: Duration,
    /// One caller at a time looks whether another pool would do better.
    renewing: Arc<AtomicBool>,
    /// What each connection sets before its first statement.
    session: &'static str,
    /// When a plan was given up last, and how long the next is kept; nothing while statements are fast.
    planned_anew: Arc<Mutex<Option<(Instant, Duration)>>>,
}

/// Lets the next caller look, however this one ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Store {
    /// Connects without waiting: the first query connects, and fails when the server is away.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn open(url: &SecretString, application: &str, connections: u32) -> Result<Self, StoreError> {
        Self::open_with(url, application, connections, "")
    }

    /// The same for a worker: Postgres plans each of its statements once a connection.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn open_for_worker(
        url: &SecretString,
        application: &str,
        connections: u32,
    ) -> Result<Self, StoreError> {
        Self::open_with(url, application, connections, PLANNED_ONCE)
    }

    fn open_with(
        url: &SecretString,
        application: &str,
        connections: u32,
        session: &'static str,
    ) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|error| StoreError::Address(error.to_string()))?
            .application_name(application);
        let pool = Arc::new(RwLock::new(Pool::new(options, connections, session)));
        Ok(Self {
            pool,
            answer_within: ANSWER_WITHIN,
            back_within: ANSWER_WITHIN,
            renewing: Arc::default(),
            session,
            planned_anew: Arc::default(),
        })
    }

    /// The same store with another bound for the engine's calls.
    #[must_use]
    pub const fn answering_within(mut self, bound: Duration) -> Self {
        self.answer_within = bound;
        self
    }

    /// The same store with another bound for connections that nobody uses and that are not back in the pool.
    #[must_use]
    pub const fn having_connections_back_within(mut self, bound: Duration) -> Self {
        self.back_within = bound;
        self
    }

    pub(super) fn pool(&self) -> PgPool {
        self.present().connections
    }

    pub(super) fn present(&self) -> Pool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new pool in the place of one whose connections do not come back, if the server lets others in: their line
    /// fell silent as they were given back.
    async fn renew(&self, pool: &Pool) {
        if !self.has_lost(pool) || self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let _over = Over(&self.renewing);
        // Whoever asks again and again finds the connection always on its way that it gave back just now.
        tokio::time::sleep(BACK_IN_A_MOMENT).await;
        if !self.has_lost(pool) {
            return;
        }
        if self.check().await.is_ok() {
            self.replace(pool);
        } else {
            pool.forgive();
        }
    }

    /// With all connections away nobody is served, so that is seen sooner.
    fn has_lost(&self, pool: &Pool) -> bool {
        let away = pool.away();
        away.some >= self.back_within || away.all >= self.answer_within
    }

    /// Waits for a call no longer than any statement is allowed to take. A connection whose server fell silent
    /// answers nothing until the system gives it up, a quarter of an hour later, and the pool cannot tell; so
    /// the pool is replaced, and the call fails like any other that found the server away.
    ///
    /// # Errors
    /// Those of the call, and its silence.
    pub async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.renew(&self.present()).await;
        let before = self.present();
        match tokio::time::timeout(self.answer_within, call).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                self.replace(&before);
                let text = format!("no answer within {} s", self.answer_within.as_secs());
                Err(StoreError::Unreachable(text))
            }
        }
    }

    /// Puts a fresh pool in the place of this one, once for all who found it silent.
    fn replace(&self, silent: &Pool) {
        let mut pool = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        if pool.is(silent) {
            *pool = silent.anew(self.session);
        }
    }

    /// Leaves every connection as it is and begins with new ones. One whose server has fallen silent while a question
    /// was on its way answers none after it either, and the pool goes on handing it out.
    pub fn reconnect(&self) {
        self.replace(&self.present());
    }

    /// Gives up this connection's plans when a statement for so many rows took longer than it should. A plan that was
    /// made while a table held nothing reads the whole of it for each row, and Postgres keeps it until it next counts
    /// the table: a minute later, when a burst has long filled it.
    pub(super) async fn mind_the_plan(&self, connection: &mut PgConnection, took: Duration, rows: usize) {
        if self.session != PLANNED_ONCE {
            return;
        }
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let is_fast = took < STATEMENT_TAKES + ROW_TAKES * rows;
        {
            let mut before = self.planned_anew.lock().unwrap_or_else(PoisonError::into_inner);
            match *before {
                Some((at, kept)) if at.elapsed() < kept => return,
                _ if is_fast => {
                    *before = None;
                    return;
                }
                Some((_, kept)) => *before = Some((Instant::now(), (kept * 2).min(KEPT_AT_MOST))),
                None => *before = Some((Instant::now(), KEPT_AT_LEAST)),
            }
        }
        // The answer is there already: what fails here fails the next statement too, which says so.
        let _unheard = sqlx::raw_sql("discard plans").execute(connection).await;
    }

    /// Connects once, outside the pool: the pool only says that it waited too long, this says why.
    ///
    /// # Errors
    /// When the server is away, or does not let us in.
    pub async fn check(&self) -> Result<(), StoreError> {
        let options = self.pool().connect_options();
        let connecting = PgConnection::connect_with(&options);
        match tokio::time::timeout(CHECK_WITHIN, connecting).await {
            Ok(connection) => Ok(connection?.close().await?),
            Err(_elapsed) => {
                let text = format!("no answer within {} s", CHECK_WITHIN.as_secs());
                Err(StoreError::Unreachable(text))
            }
        }
    }

    /// Asks the server for its version, as `150018` for 15.18.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn server_version(&self) -> Result<i32, StoreError> {
        let version = sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&self.pool())
            .await?;
        Ok(version)
    }

    /// Closes all connections, politely if they let us: one whose server fell silent never would.
    pub async fn close(&self) {
        let _left_open = tokio::time::timeout(CLOSE_WITHIN, self.pool().close()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_falls_silent_fails_and_takes_its_pool_with_it() {
        let store = Store::open(&"postgres://127.0.0.1:1/none".into(), "tests", 3).expect("an address");
        let store = store.answering_within(Duration::from_millis(1));
        let before = store.present();
        let (one, two) = tokio::join!(
            store.bounded(std::future::pending::<Result<(), _>>()),
            store.bounded(std::future::pending::<Result<(), _>>()),
        );
        for outcome in [one, two] {
            assert!(outcome.is_err_and(|error| error.is_passing()));
        }
        let after = store.present();
        assert!(!before.is(&after), "the silent pool is replaced");
        assert_eq!(store.pool().options().get_max_connections(), 3);
        store.bounded(async { Ok(()) }).await.expect("an answer");
        assert!(after.is(&store.present()), "and no other");
    }
}
