//! Webhooks over TLS: to a receiver that listens with a certificate, and only to one that somebody known vouches for.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream::domain::JobState;
use millstream::settings::Reader;
use millstream_worker::webhook::settings::WebhookSettings;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::reach::Fickle;
use super::{SECRETS, Yard, settings, until_delivered};
use crate::support::World;

const NAME: &str = "hooks.example.com";

/// Vouches for receivers; nobody knows of it who is not told.
struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root").der().clone();
        Self {
            root,
            issuer: Issuer::new(params, key),
        }
    }

    fn pem(&self) -> String {
        let body = STANDARD.encode(&self.root);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    /// What a receiver of this name listens with.
    fn config(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that fit")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("they belong together")
    }
}

/// A call that arrived.
struct Call {
    /// The name that was asked for before the connection was encrypted.
    name: Option<String>,
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A receiver that takes everything; it ends with its test.
struct Receiver {
    port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
    _serving: JoinSet<()>,
}

impl Receiver {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let calls = Arc::new(Mutex::new(Vec::<Call>::new()));
        let (mut serving, noted) = (JoinSet::new(), Arc::clone(&calls));
        serving.spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                // Who does not trust it hangs up.
                if let Some(call) = answer(&acceptor, line).await {
                    noted.lock().expect("not poisoned").push(call);
                }
            }
        });
        Self {
            port,
            calls,
            _serving: serving,
        }
    }

    fn address(&self) -> String {
        format!("https://{NAME}:{}/hooks", self.port)
    }
}

/// Takes one call, and says so.
async fn answer(acceptor: &TlsAcceptor, line: TcpStream) -> Option<Call> {
    let mut stream = BufReader::new(acceptor.accept(line).await.ok()?);
    let connection: &ServerConnection = stream.get_ref().get_ref().1;
    let name = connection.server_name().map(str::to_owned);
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut headers = HeaderMap::new();
    loop {
        let mut text = String::new();
        stream.read_line(&mut text).await.ok()?;
        let Some((name, value)) = text.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(
            name.parse::<HeaderName>().ok()?,
            value.parse::<HeaderValue>().ok()?,
        );
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let taken = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    stream.get_mut().write_all(taken).await.ok()?;
    // However the other end closes: the answer is sent.
    let _closed = stream.get_mut().shutdown().await;
    Some(Call {
        name,
        line: first.trim_end().to_owned(),
        headers,
        body,
    })
}

/// The settings of a worker that is told of this authority as a person tells it.
fn trusting(authority: &Authority) -> WebhookSettings {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, authority.pem()).expect("the folder is there");
    let path = path.to_str().expect("a name");
    let vars = |name: &str| match name {
        "WEBHOOK_SECRET" => Some(SECRETS[0].to_owned()),
        "WEBHOOK_CA_FILE" => Some(path.to_owned()),
        _ => None,
    };
    let mut reader = Reader::new(&vars);
    let read = WebhookSettings::read(&mut reader, &World::engine());
    let read = reader.finish(read).expect("right").expect("a secret is set");
    WebhookSettings {
        roots: read.roots,
        ..settings()
    }
}

#[tokio::test]
async fn a_webhook_goes_over_tls_to_whom_somebody_known_vouches_for() {
    let (yard, authority) = (Yard::new().await, Authority::new());
    let receiver = Receiver::start(authority.config(NAME)).await;
    let hook = yard.cancelled(&receiver.address()).await;
    let deliverer = yard.deliver_by(
        &trusting(&authority),
        Fickle::answering(&[&["127.0.0.1"], &["127.0.0.1"]]),
    );
    assert_eq!(until_delivered(&yard, hook).await, 1);
    deliverer.drain().await;
    let calls = receiver.calls.lock().expect("not poisoned");
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!(
        (call.name.as_deref(), call.line.as_str()),
        (Some(NAME), "POST /hooks HTTP/1.1")
    );
    assert_eq!(
        call.headers["webhook-id"].to_str().expect("text"),
        hook.to_string()
    );
    let known = Webhook::new(SECRETS[0]).expect("a secret");
    known
        .verify(&call.body, &call.headers)
        .expect("a signature of ours");
}

#[tokio::test]
async fn whom_nobody_known_vouches_for_is_told_nothing() {
    let (yard, authority) = (Yard::new().await, Authority::new());
    let stranger = settings();
    for (mut settings, name, told) in [
        (stranger, NAME, "UnknownIssuer"),
        (trusting(&authority), "other.example.com", "not valid for name"),
    ] {
        let receiver = Receiver::start(authority.config(name)).await;
        let hook = yard.cancelled(&receiver.address()).await;
        settings.engine.max_attempts = 1;
        let deliverer = yard.deliver_by(&settings, Fickle::answering(&[&["127.0.0.1"], &["127.0.0.1"]]));
        let row = yard.hooks.until_state(hook, JobState::Dead).await;
        deliverer.drain().await;
        let error = row.error.expect("why");
        assert!(
            error.starts_with(&format!("cannot reach https://{NAME}:{}: ", receiver.port))
                && error.contains(told),
            "{error}"
        );
        assert!(receiver.calls.lock().expect("not poisoned").is_empty());
    }
}
