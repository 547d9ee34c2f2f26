//! `millstream-worker`: the headless review worker.

use std::process::ExitCode;

use millstream::settings::process_environment;
use millstream::shutdown;
use millstream::untrusted::visible;
use millstream_worker::service::{WorkerError, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let served = shutdown::run(serve(&process_environment));
    match served.map_err(WorkerError::from).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("millstream-worker: {}", visible(line));
            }
            ExitCode::from(error.exit().code())
        }
    }
}
