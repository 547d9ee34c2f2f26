//! The settings of the web producer, beside those of the core.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use millstream::settings::{CallbackSettings, Faults, LogSettings, QueueSettings, Reader, ServerSettings};
use secrecy::SecretString;

use crate::listen::MOST_CONNECTIONS;
use crate::proxies::{Proxies, Routers};

/// The reference's port.
const PORT: u16 = 3000;
/// Enough for any diff that a reviewer can make sense of (DESIGN 6.7).
const MAX_PATCH: usize = 8 << 20;
/// A body is held in memory while it is read, so the limit itself is limited.
const MOST_MAX_PATCH: usize = 64 << 20;

/// More than a person or a pipeline sends, less than floods the queue.
const SUBMIT_RATE: u32 = 20;
/// A pipeline's whole set of changes at once.
const SUBMIT_BURST: u32 = 200;

/// The open pages of a team behind one address, and few of the connections that all share.
const STREAMS_EACH: usize = 64;
/// Connections that streams and waiting answers leave to requests that are answered at once.
const NEVER_WAITING: usize = 256;
/// Streams and waiting answers of all clients.
pub const MOST_WAITING: usize = MOST_CONNECTIONS - NEVER_WAITING;

/// Everything that the web producer reads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the two servers are.
    pub servers: ServerSettings,
    /// Which queue, and when it is full.
    pub queue: QueueSettings,
    /// What is logged.
    pub log: LogSettings,
    /// Where to listen, and who may submit.
    pub web: WebSettings,
}

impl Settings {
    /// Reads all parts through a lookup function.
    ///
    /// # Errors
    /// Every fault of every part, together.
    pub fn read(vars: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader::new(vars);
        // Render sets it on every service; there the router reaches us on all interfaces only.
        let platform = if vars("RENDER").is_some_and(|value| !value.trim().is_empty()) {
            Platform::Render
        } else {
            Platform::Other
        };
        let settings = Self {
            servers: ServerSettings::read(&mut reader),
            queue: QueueSettings::read_for_reviews(&mut reader),
            log: LogSettings::read(&mut reader),
            web: WebSettings::read(&mut reader, platform),
        };
        reader.finish(settings)
    }
}

/// Where the process runs, as far as a default depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// A service on Render.
    Render,
    /// Any other machine.
    Other,
}

/// Where the web producer listens, and who may submit.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// `HOST` and `PORT`. Port 0 takes any free one.
    pub address: SocketAddr,
    /// `MILLSTREAM_TOKEN`: what clients send as `Authorization: Bearer`. Prints as `***`.
    pub token: Option<SecretString>,
    /// `PUBLIC_SUBMIT`: anybody may submit and read.
    pub public_submit: bool,
    /// `PUBLIC_READ`: anybody may see which reviews there are and how they ended, and no details.
    pub public_read: bool,
    /// `MAX_PATCH`: the largest diff that is taken, in bytes.
    pub max_patch: usize,
    /// `SUBMIT_RATE`: submissions a second that one client may send; 0 for any number.
    pub submit_rate: u32,
    /// `SUBMIT_BURST`: how many of them may come at once.
    pub submit_burst: u32,
    /// `STREAMS_EACH`: how many streams and waiting answers one client may have open.
    pub streams_each: usize,
    /// `PROXIES`: how many proxies of ours stand in front; so many entries of `X-Forwarded-For` are theirs.
    pub proxies: Proxies,
    /// `WEBHOOK_SECRET` and `WEBHOOK_ALLOW_PRIVATE`: whether callbacks are taken, and where they may lead.
    pub callbacks: CallbackSettings,
}

impl Default for WebSettings {
    /// What holds where nothing is set.
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            token: None,
            public_submit: false,
            public_read: false,
            max_patch: MAX_PATCH,
            submit_rate: SUBMIT_RATE,
            submit_burst: SUBMIT_BURST,
            streams_each: STREAMS_EACH,
            proxies: Proxies::default(),
            callbacks: CallbackSettings::default(),
        }
    }
}

impl WebSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>, platform: Platform) -> Self {
        let port = reader.number("PORT", PORT, 0..=u16::MAX);
        let host = host(reader, platform);
        let token = token(reader);
        let public_submit = reader.switch("PUBLIC_SUBMIT");
        let public_read = reader.switch("PUBLIC_READ");
        // Whoever reaches an open address could spend the owner's model budget and read private diffs.
        if !host.to_canonical().is_loopback() && token.is_none() && !public_submit && !public_read {
            reader.fault(
                "MILLSTREAM_TOKEN",
                format!(
                    "must be set to listen on {host}, which others can reach; or set PUBLIC_SUBMIT=1 to let anybody submit, PUBLIC_READ=1 to let anybody look, or HOST=127.0.0.1"
                ),
            );
        }
        // On Render Cloudflare names the client, then Render names Cloudflare, and may name itself.
        let (proxies, routers) = match platform {
            Platform::Render => (2, Routers::Private),
            Platform::Other => (0, Routers::Counted),
        };
        Self {
            address: SocketAddr::new(host, port),
            token,
            public_submit,
            public_read,
            max_patch: reader.number("MAX_PATCH", MAX_PATCH, 1..=MOST_MAX_PATCH),
            submit_rate: reader.number("SUBMIT_RATE", SUBMIT_RATE, 0..=1_000_000),
            submit_burst: reader.number("SUBMIT_BURST", SUBMIT_BURST, 1..=1_000_000),
            streams_each: reader.number("STREAMS_EACH", STREAMS_EACH, 1..=MOST_WAITING),
            proxies: Proxies {
                count: reader.number("PROXIES", proxies, 0..=8),
                routers,
            },
            callbacks: CallbackSettings::read(reader),
        }
    }
}

/// The address to listen on. A name would need a lookup whose answer may be no loopback, so
/// `localhost` is the only one.
fn host(reader: &mut Reader<'_>, platform: Platform) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(text) = reader.text("HOST") else {
        return match platform {
            Platform::Render => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Platform::Other => loopback,
        };
    };
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(&text);
    if bare.eq_ignore_ascii_case("localhost") {
        return loopback;
    }
    bare.parse().unwrap_or_else(|_| {
        reader.fault("HOST", "is no IP address, like 127.0.0.1, 0.0.0.0 or ::1");
        loopback
    })
}

/// The token, with a fault noted when no client could send it. It is never quoted.
fn token(reader: &mut Reader<'_>) -> Option<SecretString> {
    let token = reader.text("MILLSTREAM_TOKEN")?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.fault("MILLSTREAM_TOKEN", "may hold visible ASCII characters only");
    }
    Some(token.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
        Settings::read(&|name: &str| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    fn address(pairs: &[(&str, &str)]) -> String {
        read(pairs).expect("right").web.address.to_string()
    }

    #[test]
    fn nothing_set_listens_on_loopback_only() {
        let web = read(&[]).expect("defaults are right").web;
        assert_eq!(web.address.to_string(), "127.0.0.1:3000");
        assert!(web.token.is_none() && !web.public_submit && !web.public_read);
        assert_eq!(web.max_patch, 8 * 1024 * 1024);
    }

    #[test]
    fn render_listens_on_every_interface_unless_told_otherwise() {
        let token = ("MILLSTREAM_TOKEN", "t0ken");
        assert_eq!(
            address(&[("RENDER", "true"), token, ("PORT", "10000")]),
            "0.0.0.0:10000"
        );
        assert_eq!(
            address(&[("RENDER", "true"), ("HOST", "127.0.0.1")]),
            "127.0.0.1:3000"
        );
        assert_eq!(address(&[("RENDER", " ")]), "127.0.0.1:3000");
    }

    #[test]
    fn on_render_the_client_is_left_of_two_proxies_and_of_routers_that_are_not_counted() {
        let proxies = |pairs: &[(&str, &str)]| read(pairs).expect("right").web.proxies;
        let (render, token) = (("RENDER", "true"), ("MILLSTREAM_TOKEN", "t0ken"));
        assert_eq!(proxies(&[]), Proxies::default());
        for (pairs, count) in [(&[render, token][..], 2), (&[render, token, ("PROXIES", "3")], 3)] {
            let routers = Routers::Private;
            assert_eq!(proxies(pairs), Proxies { count, routers });
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token_or_the_word_public() {
        for open in [
            ("HOST", "0.0.0.0"),
            ("HOST", "::"),
            ("HOST", "10.0.0.7"),
            ("RENDER", "1"),
        ] {
            let faults = read(&[open]).expect_err("nobody is kept out").to_string();
            assert!(
                faults.starts_with("MILLSTREAM_TOKEN: must be set to listen on"),
                "{faults}"
            );
            assert!(faults.contains("PUBLIC_SUBMIT=1"), "{faults}");
            assert!(read(&[open, ("MILLSTREAM_TOKEN", "t0ken")]).is_ok());
            assert!(read(&[open, ("PUBLIC_SUBMIT", "1")]).is_ok());
            assert!(read(&[open, ("PUBLIC_READ", "1")]).is_ok());
            assert!(read(&[open, ("MILLSTREAM_TOKEN", " ")]).is_err());
        }
    }

    #[test]
    fn every_spelling_of_loopback_needs_no_token() {
        for (host, expected) in [
            ("localhost", "127.0.0.1:0"),
            ("LOCALHOST", "127.0.0.1:0"),
            ("127.8.8.8", "127.8.8.8:0"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]:0"),
        ] {
            assert_eq!(address(&[("HOST", host), ("PORT", "0")]), expected);
        }
    }

    #[test]
    fn faults_of_all_parts_come_together_and_no_secret_is_shown() {
        let faults = read(&[
            ("DATABASE_URL", "http://u:hunter2@h"),
            ("QUEUE_LIMIT", "0"),
            ("LOG_FORMAT", "xml"),
            ("PORT", "65536"),
            ("HOST", "example.com"),
            ("MILLSTREAM_TOKEN", "hunter2 and more"),
            ("PUBLIC_SUBMIT", "maybe"),
            ("MAX_PATCH", "67108865"),
        ])
        .expect_err("eight are wrong")
        .to_string();
        let names: Vec<&str> = faults.lines().filter_map(|line| line.split(':').next()).collect();
        let expected = [
            "DATABASE_URL",
            "QUEUE_LIMIT",
            "LOG_FORMAT",
            "PORT",
            "HOST",
            "MILLSTREAM_TOKEN",
            "PUBLIC_SUBMIT",
            "MAX_PATCH",
        ];
        assert_eq!(names, expected);
        assert!(!faults.contains("hunter2"), "{faults}");
    }

    #[test]
    fn the_token_does_not_print() {
        let settings = read(&[("MILLSTREAM_TOKEN", "hunter2")]).expect("right");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
