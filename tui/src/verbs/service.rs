//! `millstream worker` and `millstream web`: the services, in this binary. With no settings they join
//! the demo that runs on this machine.

use millstream::settings::process_environment;

use crate::failure::Failure;
use crate::reach::Found;

/// Runs a worker until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub async fn worker() -> Result<u8, Failure> {
    let demo = Found::look(&process_environment);
    millstream_worker::service::serve(&|name| demo.lookup(name, &process_environment)).await?;
    Ok(0)
}

/// Runs the web producer until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub async fn web() -> Result<u8, Failure> {
    let demo = Found::look(&process_environment);
    millstream_web::serve(&|name| demo.lookup(name, &process_environment)).await?;
    Ok(0)
}
