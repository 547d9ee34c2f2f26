//! Clients for HTTP: TLS by rustls with ring and the web's own roots, whatever the machine has installed.

use std::sync::Arc;

use reqwest::ClientBuilder;

/// A client to be, with its TLS.
///
/// # Errors
/// When the versions of TLS that are compiled in do not fit together.
pub fn builder() -> Result<ClientBuilder, rustls::Error> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config))
}
