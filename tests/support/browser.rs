//! A real browser: headless Chromium, driven by its own driver, with a profile of its own.
//!
//! The driver is spoken to in the few words of the WebDriver protocol that the tests need. The crates for it change
//! what others are built with (the order of JSON's members), or have a licence that does not fit.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The tabulator, as the protocol has it.
pub const TAB: char = '\u{e004}';
/// The enter key.
pub const ENTER: char = '\u{e007}';

/// What to type when there is no browser.
const HOW_TO_GET_IT: &str = "no chromedriver, or no Chromium, on PATH: type 'apt-get install chromium chromium-driver' (Debian), or your system's equal";
/// Calls back once something of the page is painted and its window has the focus, a frame later.
const SHOWN: &str = "const done = arguments[arguments.length - 1]; \
    const look = () => document.hasFocus() && performance.getEntriesByName('first-contentful-paint').length \
        ? requestAnimationFrame(() => done(true)) : requestAnimationFrame(look); look()";
/// Long enough for the slowest machine to start a browser.
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// A browser with one window; it ends with the test, however that ends.
pub struct Browser {
    client: reqwest::Client,
    session: String,
    driver: Child,
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

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver and all that it has started.
        let group = self.driver.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(group) = group {
            let _ended_already = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let profile = TempDir::new().expect("a folder can be made");
        let (driver, port) = start_driver().await;
        let client = millstream_worker::http::builder().expect("TLS").no_proxy();
        let mut browser = Self {
            client: client.build().expect("a client"),
            session: format!("http://127.0.0.1:{port}/session"),
            driver,
            _profile: profile,
        };
        let arguments = [
            "--headless=new".to_owned(),
            // As root the browser has no sandbox of its own; it only ever sees pages of the test.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-first-run".to_owned(),
            "--no-proxy-server".to_owned(),
            // What takes a page for one that is not shown drops the keys that are pressed in it.
            "--disable-features=PaintHolding".to_owned(),
            "--disable-renderer-backgrounding".to_owned(),
            "--disable-backgrounding-occluded-windows".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": arguments } });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let made = browser.say(Method::POST, "", &wanted).await;
        let id = made["sessionId"].as_str().expect(HOW_TO_GET_IT).to_owned();
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Says something to the driver; answers its value.
    async fn say(&self, method: Method, path: &str, body: &Value) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if !body.is_null() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.expect("the driver is there");
        let (status, text) = (answer.status(), answer.text().await.expect("an answer"));
        assert!(status.is_success(), "{path}: {text}");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["value"].take()
    }

    /// Opens a page.
    pub async fn open(&self, address: &str) {
        self.say(Method::POST, "/url", &json!({ "url": address })).await;
    }

    /// What a script in the page answers.
    pub async fn ask(&self, script: &str) -> Value {
        self.say(
            Method::POST,
            "/execute/sync",
            &json!({ "script": script, "args": [] }),
        )
        .await
    }

    /// What a script in the page answers to its callback, the last of its arguments.
    pub async fn ask_later(&self, script: &str) -> Value {
        self.say(
            Method::POST,
            "/execute/async",
            &json!({ "script": script, "args": [] }),
        )
        .await
    }

    /// A key is pressed, and let go, in a page that is shown: before that the browser drops keys without a word.
    pub async fn press(&self, key: char) {
        self.ask_later(SHOWN).await;
        let both = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": both }] });
        self.say(Method::POST, "/actions", &body).await;
    }

    /// A window of this size, that asks for these colours.
    pub async fn show(&self, (width, height): (u32, u32), scheme: Scheme) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme.word() }] });
        for (command, parameters) in [
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", media),
        ] {
            let body = json!({ "cmd": command, "params": parameters });
            self.say(Method::POST, "/goog/cdp/execute", &body).await;
        }
    }

    /// A picture of the window.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self.say(Method::GET, "/screenshot", &Value::Null).await;
        STANDARD
            .decode(picture.as_str().expect("a text"))
            .expect("a picture")
    }

    /// Ends it.
    pub async fn quit(self) {
        self.say(Method::DELETE, "", &Value::Null).await;
    }
}

/// The driver on a free port, which it says itself.
async fn start_driver() -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
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
