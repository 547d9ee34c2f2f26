//! Servers of one test's own, to be killed, restarted and set up wrongly. Their folder lies in the run's, so
//! whoever sweeps the one sweeps the other.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream::settings::process_environment;
use millstream_tui::servers::{Machine, Need, Options, Servers};

use super::servers::shared;

/// A Valkey of its own, beside the run's Postgres.
pub async fn valkey() -> Servers {
    let postgres = Need::Given(shared().database_url("millstream"));
    start(|options| Options { postgres, ..options }).await
}

/// A Postgres of its own, beside the run's Valkey.
pub async fn postgres() -> Servers {
    let valkey = Need::Given(shared().valkey_url().to_owned());
    start(|options| Options { valkey, ..options }).await
}

/// A Valkey of its own that keeps its data there, and finds what an earlier one left.
pub async fn valkey_in(folder: &Folder) -> Servers {
    let postgres = Need::Given(shared().database_url("millstream"));
    start_in(folder, |options| Options { postgres, ..options }).await
}

/// Both, of its own.
pub async fn both() -> Servers {
    let folder = folder();
    // Postgres may run as another account, which must get through the run's folder.
    let parent = folder.parent().expect("the run's folder");
    let made = DirBuilder::new().recursive(true).mode(0o711).create(parent);
    made.expect("a folder can be made");
    start_in(&folder, |options| options).await
}

/// Where servers of their own keep their data.
pub type Folder = std::path::PathBuf;

async fn start(choose: impl FnOnce(Options) -> Options) -> Servers {
    start_in(&folder(), choose).await
}

/// A folder that no other test has.
pub fn folder() -> Folder {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let machine = Machine::read(&process_environment).expect("the environment can be read");
    machine
        .data_root()
        .join(format!("millstream-tests-{}", std::process::id()))
        .join(format!("private-{number}"))
}

async fn start_in(folder: &Folder, choose: impl FnOnce(Options) -> Options) -> Servers {
    let machine = Machine::read(&process_environment).expect("the environment can be read");
    let options = choose(Options::new(folder.clone(), machine));
    Servers::start(options, &|_| {}).await.expect("servers start")
}
