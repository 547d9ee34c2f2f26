//! `millstream-web`: the headless web producer.

use std::process::ExitCode;

use millstream::settings::process_environment;

#[tokio::main]
async fn main() -> ExitCode {
    match millstream_web::serve(&process_environment).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("millstream-web: {line}");
            }
            if let Some(hint) = error.hint() {
                eprintln!("millstream-web: hint: {hint}");
            }
            ExitCode::from(error.exit().code())
        }
    }
}
