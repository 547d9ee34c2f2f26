//! Who may use the producer, as which client, and what that client may do.
//!
//! `MILLSTREAM_TOKEN` may do everything; other tokens are made by `millstream token create` and may do what their
//! scopes say. Without a token only this machine can connect, and a request must also name this machine as its host: a
//! page of a stranger whose name was pointed at 127.0.0.1 would otherwise count as its own origin.

mod client;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{self, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use millstream::domain::Scopes;
use millstream::ops::tokens::{PREFIX, token_hash};
use millstream::store::Store;
use millstream::store::tokens::KnownToken;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::cookie;
use crate::headers::single;
use crate::limits::Limits;
use crate::listen::Peer;
use crate::problem::Problem;
use crate::proxies::Proxies;
use crate::settings::WebSettings;
use crate::state::State;

pub use self::client::Client;
pub use millstream::domain::Scope;

/// The name in the book of everybody without a token.
const PUBLIC: &str = "public";
/// How long a token that was looked up is believed: so long a revoked one still counts.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// Right tokens that are remembered. Wrong ones are not: whoever makes them up must not push right ones out.
const MOST_REMEMBERED: usize = 10_000;
/// Tokens not seen before that one address may show a second: more than people mistype, and pages left open with a
/// revoked one send. Each is a question to Postgres.
const UNSEEN_RATE: u32 = 10;
/// And at once: a team behind one address, after a start.
const UNSEEN_BURST: u32 = 100;

/// Right tokens, by their hash, with the time at which they were looked up last.
type Remembered = HashMap<[u8; 32], (Instant, KnownToken)>;

/// The door.
#[derive(Debug)]
pub struct Access {
    token: Option<Token>,
    door: Door,
    proxies: Proxies,
    remembered: Mutex<Remembered>,
    /// How many tokens an address may have looked up that were not seen before.
    unseen: Option<Limits>,
}

/// What is kept of the first token.
struct Token {
    /// Compared instead of the text, so neither its content nor its length shows in the time.
    digest: [u8; 32],
    name: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Who is let in without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Anybody; they may do this.
    Public(Scopes),
    /// Nobody.
    Token,
    /// Who is on this machine; they may do everything.
    Local,
}

impl Access {
    /// The door that the settings ask for.
    #[must_use]
    pub fn new(settings: &WebSettings) -> Self {
        let token = settings.token.as_ref().map(|token| {
            let token = token.expose_secret();
            Token {
                digest: digest("access", token),
                name: client_name(token),
            }
        });
        let looks = Scopes::of(&[]);
        let door = match (settings.public_submit, settings.public_read, &token) {
            (true, _, _) => Door::Public(Scopes::of(&[Scope::Read, Scope::Submit])),
            (false, true, _) => Door::Public(looks),
            (false, false, Some(_)) => Door::Token,
            (false, false, None) => Door::Local,
        };
        Self {
            token,
            door,
            proxies: settings.proxies,
            remembered: Mutex::default(),
            unseen: Limits::new("token", "tokens not seen before", UNSEEN_RATE, UNSEEN_BURST),
        }
    }

    /// Who it is, if they may come in.
    ///
    /// # Errors
    /// A 401 without the right token; a 421 for a host that is not this machine; a 503 when nobody can tell.
    pub async fn admit(
        &self,
        store: &Store,
        headers: &HeaderMap,
        uri: &Uri,
        peer: Option<Peer>,
    ) -> Result<Client, Problem> {
        if let Some(known) = self.known(store, headers, peer).await? {
            return Ok(known);
        }
        let anybody = |scopes| Client {
            name: PUBLIC.to_owned(),
            bucket: self.address(headers, peer),
            scopes,
        };
        match self.door {
            // A wrong token does no harm where none is needed.
            Door::Public(scopes) => Ok(anybody(scopes)),
            Door::Token => Err(unauthorized(headers)),
            Door::Local if names_this_machine(headers, uri) => Ok(anybody(Scopes::ALL)),
            Door::Local => Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "without MILLSTREAM_TOKEN only requests to localhost or a loopback address are answered",
            )),
        }
    }

    /// Whose token it is, if it is one that counts.
    ///
    /// # Errors
    /// A 503 when Postgres is away and the token is none that was seen lately; a 429 for an address that shows one
    /// after the other.
    pub async fn known(
        &self,
        store: &Store,
        headers: &HeaderMap,
        peer: Option<Peer>,
    ) -> Result<Option<Client>, Problem> {
        let Some(shown) = bearer(headers).or_else(|| cookie::token(headers)) else {
            return Ok(None);
        };
        if let Some(token) = &self.token
            && bool::from(digest("access", shown).ct_eq(&token.digest))
        {
            return Ok(Some(Client {
                name: token.name.clone(),
                bucket: token.name.clone(),
                scopes: Scopes::ALL,
            }));
        }
        if !shown.starts_with(PREFIX) {
            return Ok(None);
        }
        let from = || self.address(headers, peer);
        let known = self.look_up(store, token_hash(shown), from).await?;
        Ok(known.map(|token| Client {
            name: format!("token:{}", token.name),
            bucket: format!("token:{}", token.id),
            scopes: token.scopes,
        }))
    }

    async fn look_up(
        &self,
        store: &Store,
        hash: [u8; 32],
        from: impl FnOnce() -> String,
    ) -> Result<Option<KnownToken>, Problem> {
        let remembered = self.remembered().get(&hash).cloned();
        match remembered {
            Some((at, known)) if at.elapsed() < BELIEVED_FOR => return Ok(Some(known)),
            // It was right a while ago: whoever makes others up at the same address does not stand in its way.
            Some(_) => {}
            None => {
                let taken = self.unseen.as_ref().map(|limits| limits.take(&from()));
                taken.transpose()?;
            }
        }
        let known = store.token_of(&hash).await?;
        let mut remembered = self.remembered();
        match &known {
            Some(token) => {
                if remembered.len() >= MOST_REMEMBERED {
                    remembered.retain(|_, (at, _)| at.elapsed() < BELIEVED_FOR);
                }
                if remembered.len() < MOST_REMEMBERED {
                    remembered.insert(hash, (Instant::now(), token.clone()));
                }
            }
            None => drop(remembered.remove(&hash)),
        }
        Ok(known)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a request comes from, for the bucket: behind proxies of ours what the outermost one has seen, or as far out
    /// as the header goes. What stands further left a client can have written itself.
    fn address(&self, headers: &HeaderMap, peer: Option<Peer>) -> String {
        let seen = self.proxies.outermost(headers);
        match seen.or(peer.map(|Peer(address)| address.ip())) {
            Some(address) => format!("address:{}", neighbourhood(address)),
            None => "address:unknown".to_owned(),
        }
    }
}

/// An address, or of one of version 6 the half that a provider gives out: its owner has 2^64 of the other half, and a
/// bucket for each would be none.
fn neighbourhood(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() >> 64 << 64);
            format!("{network}/64")
        }
    }
}

/// Puts the [`Client`] beside a request that may come in.
///
/// # Errors
/// Why it may not.
pub async fn let_in(state: &State, request: &mut Request) -> Result<(), Problem> {
    let peer = request.extensions().get::<Peer>().copied();
    let admitted = state
        .access
        .admit(&state.store, request.headers(), request.uri(), peer);
    let client = admitted.await?;
    request.extensions_mut().insert(client);
    Ok(())
}

/// Lets a request through, with its [`Client`] beside it, or answers why not.
pub async fn guard(
    extract::State(state): extract::State<State>,
    mut request: Request,
    next: Next,
) -> Response {
    match let_in(&state, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = single(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn unauthorized(headers: &HeaderMap) -> Problem {
    let (detail, challenge) = if headers.contains_key(header::AUTHORIZATION) {
        (
            "the token is wrong",
            "Bearer realm=\"millstream\", error=\"invalid_token\"",
        )
    } else {
        (
            "send the token as `Authorization: Bearer ...`",
            "Bearer realm=\"millstream\"",
        )
    };
    Problem::new(StatusCode::UNAUTHORIZED, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// Whether the request is addressed to this machine. A browser always says to whom; one that says
/// nothing is none, and may pass.
fn names_this_machine(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(authority) = uri.authority() {
        return is_local(authority);
    }
    if !headers.contains_key(header::HOST) {
        return true;
    }
    single(headers, &header::HOST)
        .and_then(|host| host.parse::<Authority>().ok())
        .is_some_and(|authority| is_local(&authority))
}

fn is_local(authority: &Authority) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Half of a hash is enough to keep clients apart, and says nothing about the token.
fn client_name(token: &str) -> String {
    let mut name = "token:".to_owned();
    for byte in &digest("client", token)[..16] {
        let _infallible = write!(name, "{byte:02x}");
    }
    name
}

/// A hash for one purpose: what is stored for another does not open the door.
fn digest(purpose: &str, token: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"millstream-web/");
    hash.update(purpose.as_bytes());
    hash.update([0]);
    hash.update(token.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
