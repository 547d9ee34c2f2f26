//! `millstream-worker`: the headless review worker.

use std::process::ExitCode;

use millstream::settings::process_environment;

#[tokio::main]
async fn main() -> ExitCode {
    match millstream_worker::service::serve(&process_environment).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("millstream-worker: {line}");
            }
            ExitCode::from(error.exit().code())
        }
    }
}
