//! One Valkey and one Postgres for the whole run; they end with this process, however it ends.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use millstream::settings::process_environment;
use millstream::store::Store;
use millstream_tui::servers::{Machine, Options, Servers};

/// The folders of earlier runs are called so, with the run's pid behind.
const FOLDER: &str = "millstream-tests-";

/// The servers of this run.
pub struct Shared {
    servers: Servers,
}

impl Shared {
    /// Where Valkey is.
    pub fn valkey_url(&self) -> &str {
        &self.servers.valkey_url
    }

    /// Where a database is.
    pub fn database_url(&self, name: &str) -> String {
        let (server, _) = self
            .servers
            .database_url
            .rsplit_once('/')
            .expect("an address has a path");
        format!("{server}/{name}")
    }
}

/// The servers, started by whoever asks first.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        // A thread and a runtime of their own: every test has its own runtime, and comes and goes.
        let started = std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
            runtime.block_on(start())
        });
        started.join().expect("the servers start")
    })
}

async fn start() -> Shared {
    let machine = Machine::read(&process_environment).expect("the environment can be read");
    sweep(machine.data_root());
    let folder = machine
        .data_root()
        .join(format!("{FOLDER}{}", std::process::id()));
    let options = Options::new(folder, machine);
    let servers = Servers::start(options, &|line| eprintln!("tests: {line}"))
        .await
        .expect("servers start");
    let store = Store::open(&servers.database_url.clone().into(), "tests", 2).expect("an address of ours");
    store.migrate().await.expect("an empty database can be migrated");
    store.close().await;
    Shared { servers }
}

/// Removes what runs that are over have left.
fn sweep(root: &Path) {
    let left = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(FOLDER)?;
        let pid = rustix::process::Pid::from_raw(name.parse().ok()?)?;
        rustix::process::test_kill_process(pid).is_err().then_some(())
    };
    let entries = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for path in entries.filter(|path| left(path).is_some()) {
        // Another run may sweep at the same time.
        let _already_gone = std::fs::remove_dir_all(path);
    }
}
