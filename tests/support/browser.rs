//! A real browser: headless Chromium, driven by its own driver, with a profile of its own.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, WebDriver};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What to type when there is no browser.
const HOW_TO_GET_IT: &str = "no chromedriver, or no Chromium, on PATH: type 'apt-get install chromium chromium-driver' (Debian), or your system's equal";
/// Long enough for the slowest machine to start a browser.
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// A browser with one window; it ends with the test.
pub struct Browser {
    /// What drives it.
    pub driver: WebDriver,
    _process: Child,
    _profile: TempDir,
}

/// Which colours the page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Dark,
    Light,
}

impl Scheme {
    /// As a media query has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let profile = TempDir::new().expect("a folder can be made");
        let (process, port) = start_driver().await;
        let mut wanted = DesiredCapabilities::chrome();
        let folder = format!("--user-data-dir={}", profile.path().display());
        for argument in [
            "--headless=new",
            // As root the browser has no sandbox of its own; it only ever sees pages of the test.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--no-proxy-server",
            "--force-device-scale-factor=1",
            &folder,
        ] {
            wanted.add_arg(argument).expect("an argument");
        }
        let address = format!("http://127.0.0.1:{port}");
        let driver = WebDriver::new(address.as_str(), wanted)
            .await
            .expect(HOW_TO_GET_IT);
        Self {
            driver,
            _process: process,
            _profile: profile,
        }
    }

    /// Opens a page.
    pub async fn open(&self, address: &str) {
        self.driver.goto(address).await.expect("a page");
    }

    /// What a script in the page answers.
    pub async fn ask(&self, script: &str) -> Value {
        let answer = self
            .driver
            .execute(script, Vec::new())
            .await
            .expect("a script that works");
        answer.json().clone()
    }

    /// What a script in the page answers to its callback, the last of its arguments.
    pub async fn ask_later(&self, script: &str) -> Value {
        let answer = self.driver.execute_async(script, Vec::new()).await;
        answer.expect("a script that answers").json().clone()
    }

    /// A window of this size, that asks for these colours.
    pub async fn show(&self, (width, height): (u32, u32), scheme: Scheme) {
        let tools = self.driver.cdp();
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme.word() }] });
        for (command, parameters) in [
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", media),
        ] {
            let done = tools.send_raw(command, parameters).await;
            done.expect("a command of the browser");
        }
    }

    /// A picture of the window.
    pub async fn picture(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.expect("a picture")
    }

    /// Ends it.
    pub async fn quit(self) {
        self.driver.quit().await.expect("it ends");
    }
}

/// The driver on a free port, which it says itself.
async fn start_driver() -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect(HOW_TO_GET_IT);
    let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
    let said = async {
        while let Some(line) = lines.next_line().await.expect("it speaks") {
            let port = line
                .rsplit_once("on port ")
                .and_then(|(_, rest)| rest.trim_end_matches('.').parse().ok());
            if line.contains("started successfully")
                && let Some(port) = port
            {
                return port;
            }
        }
        panic!("the driver ended without a word");
    };
    let port = tokio::time::timeout(STARTED_WITHIN, said)
        .await
        .expect("it starts");
    (driver, port)
}
