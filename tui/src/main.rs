//! `millstream`: every verb of the product in one binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(millstream_tui::cli::main().await)
}
