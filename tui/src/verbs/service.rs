//! `millstream worker` and `millstream web`: the services, in this binary.

use crate::failure::Failure;

/// Runs a worker until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub async fn worker() -> Result<u8, Failure> {
    millstream_worker::service::serve().await?;
    Ok(0)
}

/// Runs the web producer until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub async fn web() -> Result<u8, Failure> {
    millstream_web::serve(&millstream::settings::process_environment).await?;
    Ok(0)
}
