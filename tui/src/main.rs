//! `millstream`: every verb of the product in one binary.

use std::process::ExitCode;

use millstream::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match millstream::shutdown::run(millstream_tui::cli::main()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("millstream: failed to start threads: {error}");
            ExitCode::from(Exit::Ours.code())
        }
    }
}
