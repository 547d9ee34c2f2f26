//! `millstream-worker`: the headless review worker.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match millstream_worker::service::serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("millstream-worker: {line}");
            }
            ExitCode::from(error.exit().code())
        }
    }
}
