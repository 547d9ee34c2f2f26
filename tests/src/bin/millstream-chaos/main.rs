//! The processes of the chaos run: `millstream-chaos worker` and `millstream-chaos producer`.
//!
//! They are what anybody would build on the engine: a job type, a worker for it, a producer that repeats itself until it
//! is answered. What they know beside the servers stands in the environment: `CHAOS_NOTES` is the file in which they
//! note what they were promised and what they began, which no outage and no `kill -9` takes away.

mod job;
mod notes;
mod producer;
mod worker;

use std::process::ExitCode;

use millstream::logging;
use millstream::settings::{LogSettings, QueueSettings, Reader, ServerSettings, process_environment};
use millstream::shutdown;

/// What every process of the run is told.
struct Told {
    servers: ServerSettings,
    queue: QueueSettings,
}

fn main() -> ExitCode {
    end_with_the_run();
    let mut reader = Reader::new(&process_environment);
    let told = Told {
        servers: ServerSettings::read(&mut reader),
        queue: QueueSettings::read(&mut reader),
    };
    let log = LogSettings::read(&mut reader);
    let told = match reader.finish(told) {
        Ok(told) => told,
        Err(faults) => return complain(&faults.to_string()),
    };
    logging::start(&log);
    let verb = std::env::args().nth(1).unwrap_or_default();
    let ended = match verb.as_str() {
        "worker" => shutdown::run(worker::serve(told)),
        "producer" => shutdown::run(producer::feed(told)),
        _ => return complain("type `millstream-chaos worker` or `millstream-chaos producer`"),
    };
    match ended.map_err(|error| error.to_string()).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => complain(&why),
    }
}

/// A run that is killed takes its processes along: they would wait for its servers for ever.
fn end_with_the_run() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        eprintln!("millstream-chaos: may outlive a run that is killed: {error}");
    }
}

fn complain(why: &str) -> ExitCode {
    eprintln!("millstream-chaos: {why}");
    ExitCode::FAILURE
}
