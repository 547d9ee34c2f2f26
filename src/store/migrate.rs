//! Bringing the schema up to date. Only web, worker and the demo do it; the console never does.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};

use super::connect::Store;
use super::error::StoreError;

/// The steps in `assets/migrations`; they only ever add.
static STEPS: Migrator = sqlx::migrate!("assets/migrations");

/// A reference process may make the same tables in the same instant; a repeat finds them made.
const TRIES: u32 = 5;

impl Store {
    /// Applies what is missing. Processes that start together wait for each other.
    ///
    /// # Errors
    /// When the server is away, or holds a schema that this version does not know.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut steps = Migrator { ..Migrator::DEFAULT };
        steps.migrations = STEPS.migrations.clone();
        // A newer version may have migrated already: migrations only expand, so we can go on.
        steps.set_ignore_missing(true);
        steps.dangerous_set_table_name("millstream.migrations");
        steps.create_schema("millstream");
        let mut failed = None;
        for attempt in 0..TRIES {
            match steps.run(&self.pool()).await {
                Ok(()) => return Ok(()),
                Err(error) if is_race(&error) => failed = Some(error),
                Err(error) => return Err(describe(error)),
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
        }
        Err(failed.map_or_else(
            || StoreError::Schema("migrations did not run".to_owned()),
            describe,
        ))
    }

    /// Whether every step of this version has been applied.
    ///
    /// # Errors
    /// When the server is away, or the schema is missing.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        // Steps of branches that were merged may have been applied out of order: each one counts.
        let found: Vec<i64> = sqlx::query_scalar("select version from millstream.migrations where success")
            .fetch_all(&self.pool())
            .await?;
        match STEPS.iter().find(|step| !found.contains(&step.version)) {
            None => Ok(()),
            Some(missing) => Err(StoreError::Schema(format!(
                "its schema lacks step {}, which this version needs",
                missing.version
            ))),
        }
    }
}

/// Whether somebody else made the same table or type in the same instant.
fn is_race(error: &MigrateError) -> bool {
    let (MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else {
        return false;
    };
    let code = cause
        .as_database_error()
        .and_then(|refusal| refusal.code())
        .unwrap_or_default();
    matches!(code.as_ref(), "23505" | "42P07" | "42710" | "42P06")
}

fn describe(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause.into(),
        other => StoreError::Schema(crate::untrusted::one_line(&other.to_string(), 300)),
    }
}
