//! The address that is told how a review ended, parsed and bounded before anything calls it.
//!
//! It comes from whoever may submit, and we call it: so it is held to what a webhook needs. What a name stands for is
//! looked up when it is called, and checked then. An address may hold a secret in its path or query, so only its
//! origin is ever shown.

use std::fmt;

use url::{Host, Url};

use super::address;

/// Longer ones are cut by servers on the way.
const LONGEST: usize = 2_048;
/// Ports below belong to services that are no receivers of webhooks, the one of HTTPS apart.
const LOWEST_PORT: u16 = 1_024;

/// Where callbacks may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackReach {
    /// To public addresses, by HTTPS.
    Public,
    /// Anywhere, by HTTP too: for development and tests.
    Anywhere,
}

/// The address of a receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackUrl(Url);

/// Why a text is no address that may be called. It does not quote the text, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACallback {
    /// It is none.
    #[error("the callback must be an absolute address, like https://example.com/hooks")]
    Unreadable,
    /// It is too long.
    #[error("the callback must have no more than {LONGEST} characters")]
    TooLong,
    /// It is called by something else than HTTPS.
    #[error("the callback must start with https://")]
    Scheme,
    /// It holds a name or a password.
    #[error("the callback must hold no name and no password")]
    Credentials,
    /// It has a fragment, which is never sent.
    #[error("the callback must have no fragment")]
    Fragment,
    /// Its port is another service's.
    #[error("the callback must use port 443, or one from {LOWEST_PORT} on")]
    Port,
    /// It is no public address, and says so itself.
    #[error("the callback must lead to a public address, and this one is {0}")]
    NotPublic(&'static str),
}

impl CallbackUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or leads where it may not.
    pub fn parse(text: &str, reach: CallbackReach) -> Result<Self, NotACallback> {
        if text.len() > LONGEST {
            return Err(NotACallback::TooLong);
        }
        // A parser of addresses drops line ends and mends backslashes; what needs that is refused instead.
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
        {
            return Err(NotACallback::Unreadable);
        }
        let url = Url::parse(text).map_err(|_| NotACallback::Unreadable)?;
        // Reading it may have made it longer: names in other scripts, and characters that are escaped.
        if url.as_str().len() > LONGEST {
            return Err(NotACallback::TooLong);
        }
        match (url.scheme(), reach) {
            ("https", _) | ("http", CallbackReach::Anywhere) => {}
            _ => return Err(NotACallback::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotACallback::Credentials);
        }
        if url.fragment().is_some() {
            return Err(NotACallback::Fragment);
        }
        if url.port() == Some(0) {
            return Err(NotACallback::Port);
        }
        if reach == CallbackReach::Public {
            check_public(&url)?;
        }
        Ok(Self(url))
    }

    /// The whole address, for calling it and keeping it, never for showing it.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port: what may be shown of it.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallbackUrl({}/***)", self.origin())
    }
}

fn check_public(url: &Url) -> Result<(), NotACallback> {
    if url.port().is_some_and(|port| port < LOWEST_PORT) {
        return Err(NotACallback::Port);
    }
    let what = match url.host() {
        // Resolvers know these without asking anybody.
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            (name == "localhost" || name.ends_with(".localhost")).then_some("loopback")
        }
        Some(Host::Ipv4(address)) => address::special(address.into()),
        Some(Host::Ipv6(address)) => address::special(address.into()),
        None => return Err(NotACallback::Unreadable),
    };
    what.map_or(Ok(()), |what| Err(NotACallback::NotPublic(what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> Result<String, NotACallback> {
        CallbackUrl::parse(text, CallbackReach::Public).map(|url| url.url().to_string())
    }

    #[test]
    fn an_address_of_a_receiver_is_read_as_it_is() {
        for url in [
            "https://example.com/hooks",
            "https://example.com/hooks?token=t0ken&x=%20",
            "https://example.com:8443/",
            "https://8.8.8.8/hooks",
            "https://[2606:4700::1111]:4430/",
            "https://xn--bcher-kva.example/",
        ] {
            assert_eq!(public(url).as_deref(), Ok(url));
        }
        assert_eq!(
            public("HTTPS://EXAMPLE.com:443").as_deref(),
            Ok("https://example.com/")
        );
    }

    #[test]
    fn what_is_no_address_or_leads_elsewhere_is_refused() {
        let cases = [
            ("", NotACallback::Unreadable),
            ("example.com/hooks", NotACallback::Unreadable),
            ("https://", NotACallback::Unreadable),
            ("https://exa mple.com/", NotACallback::Unreadable),
            ("https://example.com/\r\nHost: x", NotACallback::Unreadable),
            ("https:\\\\example.com\\", NotACallback::Unreadable),
            ("http://example.com/", NotACallback::Scheme),
            ("file:///etc/passwd", NotACallback::Scheme),
            ("gopher://example.com/", NotACallback::Scheme),
            ("javascript:alert(1)", NotACallback::Scheme),
            ("https://user@example.com/", NotACallback::Credentials),
            ("https://:pass@example.com/", NotACallback::Credentials),
            ("https://example.com/#x", NotACallback::Fragment),
            ("https://example.com:22/", NotACallback::Port),
            ("https://example.com:80/", NotACallback::Port),
            ("https://example.com:0/", NotACallback::Port),
            ("https://localhost/", NotACallback::NotPublic("loopback")),
            ("https://api.LOCALHOST./", NotACallback::NotPublic("loopback")),
            ("https://127.0.0.1/", NotACallback::NotPublic("loopback")),
            ("https://2130706433/", NotACallback::NotPublic("loopback")),
            ("https://0x7f.1/", NotACallback::NotPublic("loopback")),
            ("https://0177.0.0.1/", NotACallback::NotPublic("loopback")),
            ("https://127.1/", NotACallback::NotPublic("loopback")),
            ("https://[::1]/", NotACallback::NotPublic("loopback")),
            ("https://[::ffff:10.0.0.1]/", NotACallback::NotPublic("private")),
            (
                "https://169.254.169.254/latest/",
                NotACallback::NotPublic("link-local"),
            ),
            ("https://0/", NotACallback::NotPublic("unspecified")),
        ];
        for (text, why) in cases {
            assert_eq!(public(text), Err(why), "{text}");
        }
        assert_eq!(
            public(&format!("https://example.com/{}", "x".repeat(LONGEST))),
            Err(NotACallback::TooLong)
        );
    }

    #[test]
    fn where_private_addresses_are_allowed_the_rest_still_holds() {
        let anywhere = |text: &str| CallbackUrl::parse(text, CallbackReach::Anywhere);
        for text in [
            "http://127.0.0.1:80/",
            "http://localhost:9/x",
            "https://10.0.0.1/",
        ] {
            assert!(anywhere(text).is_ok(), "{text}");
        }
        assert_eq!(anywhere("ftp://127.0.0.1/"), Err(NotACallback::Scheme));
        assert_eq!(anywhere("http://u:p@127.0.0.1/"), Err(NotACallback::Credentials));
        assert_eq!(anywhere("http://127.0.0.1:0/"), Err(NotACallback::Port));
    }

    #[test]
    fn nothing_behind_the_origin_is_shown() {
        let url = CallbackUrl::parse(
            "https://example.com:8443/hooks/t0ken?key=hunter2",
            CallbackReach::Public,
        );
        let url = url.expect("a receiver");
        assert_eq!(url.origin(), "https://example.com:8443");
        assert_eq!(format!("{url:?}"), "CallbackUrl(https://example.com:8443/***)");
        let refused = CallbackUrl::parse("http://u:hunter2@example.com/t0ken", CallbackReach::Public);
        let told = refused.expect_err("no https").to_string();
        assert!(!told.contains("hunter2") && !told.contains("t0ken"), "{told}");
    }
}
