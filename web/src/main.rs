//! `millstream-web`: the headless web producer.

use std::process::ExitCode;

use millstream::settings::process_environment;
use millstream::shutdown;
use millstream::untrusted::visible;
use millstream_web::{WebError, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let served = shutdown::run(serve(&process_environment));
    match served.map_err(WebError::from).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("millstream-web: {}", visible(line));
            }
            if let Some(hint) = error.hint() {
                eprintln!("millstream-web: hint: {hint}");
            }
            ExitCode::from(error.exit().code())
        }
    }
}
