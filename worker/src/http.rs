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

/// Text from outside without control characters, masked and cut.
#[must_use]
pub fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    trace::presentable(&words.join(" "))
        .chars()
        .take(LONGEST_ERROR)
        .collect()
}
