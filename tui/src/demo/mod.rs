//! `millstream demo`: the whole system on this machine.
//!
//! Real servers as private child processes, the producer and the workers as real child processes of
//! this binary, fed with real diffs. Everything it started is gone when it ends, however it ends; its
//! data lies in one folder, which it names.

mod args;
pub mod diffs;
mod feed;
mod fleet;
mod folder;
mod front;
mod hands;
mod summary;
mod wanted;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use millstream::queue::{Queue, Wire};
use millstream::settings::{LogSettings, QueueSettings, Reader, process_environment};
use millstream::shutdown::Signals;
use millstream::store::Store;
use tokio::time::{Instant, sleep_until};

pub use args::DemoArgs;

use crate::failure::Failure;
use crate::output;
use crate::runtime::ConsoleError;
use crate::runtime_file::{Running, RuntimeFile, RuntimeFolder};
use crate::servers::{Machine, Need, Options, Servers};
use feed::Feed;
use fleet::Fleet;
pub(crate) use folder::Folder;
use summary::Summary;

/// Connections of the demo itself.
const CONNECTIONS: u32 = 3;
/// How often a line of figures is told while nobody watches.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A demo that stands.
struct Demo {
    started: Instant,
    /// From here on its time runs: what a first start has to fetch is not part of it.
    stood: Instant,
    started_at: chrono::DateTime<chrono::Utc>,
    folder: Folder,
    servers: Servers,
    store: Store,
    queue: Queue,
    fleet: Arc<Fleet>,
    /// Removed when the demo ends.
    _found_by: RuntimeFile,
}

/// Runs a demo until its time is over or a signal ends it; then drains, and prints the counts.
///
/// # Errors
/// When it cannot start, or its counts do not add up.
pub async fn run(args: DemoArgs) -> Result<u8, Failure> {
    let signals = Signals::listen().map_err(|error| Failure::Demo(format!("listen for signals: {error}")))?;
    let mut signals = signals;
    let standing = tokio::select! {
        standing = stand_up(&args) => standing?,
        // Dropping what stands so far ends it.
        () = signals.next() => return Err(Failure::Demo("stopped before it stood".to_owned())),
    };
    let ended = watch(&standing, &args, &mut signals).await;
    let after = match &ended {
        // Its log tells what was before.
        Err(Failure::Console(ConsoleError::Panicked)) => Folder::keep,
        _ => Folder::remove,
    };
    let summary = wind_up(standing, &mut signals, after).await?;
    ended?;
    output::answer(args.json, &summary, Summary::in_words)?;
    if summary.adds_up() {
        Ok(0)
    } else {
        Err(Failure::Demo("the counts do not add up".to_owned()))
    }
}

async fn stand_up(args: &DemoArgs) -> Result<Demo, Failure> {
    let (started, started_at) = (Instant::now(), millstream::clock::now());
    check_settings()?;
    let machine = Machine::read(&process_environment)?;
    let folder = Folder::make(machine.data_root(), args.data.as_deref())?;
    say(&format!("data and logs are in {}", folder.path().display()));
    let named = |name: &str| process_environment(name).filter(|url| !url.trim().is_empty());
    let mut options = Options::new(folder.path(), machine);
    options.valkey = Need::from_url(named("VALKEY_URL").or_else(|| named("REDIS_URL")));
    options.postgres = Need::from_url(named("DATABASE_URL"));
    let servers = Servers::start(options, &|line: &str| say(line)).await?;

    let settings = queue_settings()?;
    let queue = Queue::open(&servers.valkey_url.clone().into(), &settings, Wire::REVIEW)?;
    let store = Store::open(
        &servers.database_url.clone().into(),
        "millstream demo",
        CONNECTIONS,
    )?;
    store.migrate().await?;
    queue.ensure_groups().await?;
    let fleet = Fleet::start(&servers, folder.path(), args.workers).await?;
    say(&format!("the producer is at {}", fleet.web_url()));
    let running = Running {
        pid: std::process::id(),
        started_at,
        valkey_url: servers.valkey_url.clone(),
        database_url: servers.database_url.clone(),
        web_url: fleet.web_url().to_owned(),
        token: token(),
        data_dir: folder.path().to_owned(),
    };
    let found_by = RuntimeFolder::locate(&process_environment)
        .write(&running)
        .map_err(|error| Failure::Demo(format!("tell other verbs about this demo: {error}")))?;
    Ok(Demo {
        started,
        stood: Instant::now(),
        started_at,
        folder,
        servers,
        store,
        queue,
        fleet: Arc::new(fleet),
        _found_by: found_by,
    })
}

/// What the producer, which inherits our environment, asks its clients for.
fn token() -> Option<String> {
    process_environment("MILLSTREAM_TOKEN")
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
}

/// The children read the same settings; a fault is told once, here, before anything is started.
fn check_settings() -> Result<(), Failure> {
    millstream_worker::settings::WorkerSettings::read(&process_environment)?;
    Ok(())
}

fn queue_settings() -> Result<QueueSettings, Failure> {
    let mut reader = Reader::new(&process_environment);
    let settings = (QueueSettings::read(&mut reader), LogSettings::read(&mut reader)).0;
    Ok(reader.finish(settings)?)
}

/// Feeds the system until the time is over, a signal comes, or the producer is gone.
async fn watch(demo: &Demo, args: &DemoArgs, signals: &mut Signals) -> Result<(), Failure> {
    let queue = demo.queue.keys().shared.clone();
    let feed = Feed::new(
        Arc::clone(&demo.fleet),
        token(),
        demo.store.clone(),
        queue.clone(),
    )
    .await?;
    let feed = Arc::new(feed);
    let over = async {
        match args.time {
            Some(time) => sleep_until(demo.stood + time).await,
            None => std::future::pending().await,
        }
    };
    let in_front = !args.headless && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let shown = async {
        if in_front {
            front::open(demo, &args.console, Arc::clone(&feed)).await
        } else {
            tell_figures(&demo.store, &queue).await
        }
    };
    tokio::select! {
        () = over => Ok(()),
        () = signals.next() => Ok(()),
        shown = shown => shown,
        never = wanted::follow(&demo.store, &queue, &demo.fleet) => never,
        failed = feed.run() => Err(failed),
        failed = demo.fleet.producer_ended() => Err(failed),
    }
}

/// Tells a line of figures now and then, while nobody looks at a console.
async fn tell_figures(store: &Store, queue: &str) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Ok(counts) = store.counts(queue).await {
            say(&format!(
                "accepted {}  waiting {}  running {}  retrying {}  dead {}  done {}",
                counts.accepted, counts.waiting, counts.running, counts.retrying, counts.dead, counts.done
            ));
        }
    }
}

/// Drains the fleet, counts, and takes everything down. A second signal ends the drain early.
async fn wind_up(demo: Demo, signals: &mut Signals, after: fn(Folder)) -> Result<Summary, Failure> {
    say("draining");
    tokio::select! {
        () = demo.fleet.drain() => {}
        () = signals.next() => demo.fleet.kill().await,
    }
    let queue = demo.queue.keys().shared.clone();
    let counted = Summary::count(&demo.store, &queue, demo.started_at, demo.started.elapsed()).await;
    demo.store.close().await;
    demo.servers.stop().await;
    after(demo.folder);
    counted
}

/// Tells the person in front something; answers go to standard output.
fn say(line: &str) {
    // A terminal that was closed hears nothing, and the demo still has to end in order.
    let _unheard = writeln!(std::io::stderr(), "demo: {line}");
}
