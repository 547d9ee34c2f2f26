//! Clients for HTTP: TLS by rustls with ring and the web's own roots, whatever the machine has installed.
//! And what every client does with an answer that is an error.

use std::sync::Arc;

use reqwest::header::HeaderMap;
use reqwest::{ClientBuilder, Response};
use rustls::pki_types::CertificateDer;
use url::{Host, Url};

use crate::agent::trace;

/// How much of an error's body is repeated.
const LONGEST_ERROR: usize = 300;

/// A client to be, with its TLS.
///
/// # Errors
/// When the versions of TLS that are compiled in do not fit together.
pub fn builder() -> Result<ClientBuilder, rustls::Error> {
    builder_trusting(&[])
}

/// The same, for servers too that one of these vouches for.
///
/// # Errors
/// Also when one of them is no root.
pub fn builder_trusting(more: &[CertificateDer<'static>]) -> Result<ClientBuilder, rustls::Error> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in more {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config))
}

/// Whether an address is on this machine, where no proxy can reach it.
#[must_use]
pub fn is_loopback(address: &Url) -> bool {
    match address.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A header that is a whole number.
#[must_use]
pub fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Why a request got no answer: the innermost cause, which is what helps.
#[must_use]
pub fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string())
}

/// The beginning of an error's body, as one line.
pub async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    // A body that breaks off has said what it could.
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > 4 * LONGEST_ERROR {
            break;
        }
    }
    one_line(&String::from_utf8_lossy(&bytes))
}

/// Text from outside without control characters, masked and cut. It is masked as it came: that it begins its line is what
/// tells some secrets.
#[must_use]
pub fn one_line(text: &str) -> String {
    let masked = trace::presentable(text);
    let spaced: String = masked
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_one_line_without_secrets_wherever_they_stood() {
        // Put together here, so that no scanner finds them in this file.
        let (key, password) = (format!("AKIA{}", "Q7FAKE2DEMO4KEY5"), "q7Zr2Vx9Lm4Tn8Kp3Ws6");
        let begin = format!("-----BEGIN {} KEY-----", "PRIVATE");
        let body = "MIIEpAIBAAKCAQEAq7Zr2Vx9Lm4Tn8Kp3Ws6";
        for (said, shown) in [
            ("no\u{1b}[31m\n way\t!".to_owned(), "no [31m way !"),
            (
                format!("refused:\r\n{key}\nwas sent"),
                "refused: AKIA…(masked) was sent",
            ),
            (
                format!("settings:\nDB_PASSWORD={password}\nDB_USER=ledger"),
                "settings: DB_PASSWORD=q7Zr…(masked) DB_USER=ledger",
            ),
            (format!("{begin}\n{body}\n-----END"), "----…(masked)"),
        ] {
            let line = one_line(&said);
            assert!(line.starts_with(shown), "{line}");
            assert!(!line.contains(password) && !line.contains(body), "{line}");
        }
        let long = format!("{} {key}", "x".repeat(LONGEST_ERROR - 8));
        assert!(one_line(&long).ends_with(" AKIA…(m"), "masked before it is cut");
    }
}
