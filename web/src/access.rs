//! Who may use the producer, as which client, and what that client may do.
//!
//! `MILLSTREAM_TOKEN` may do everything; other tokens are made by `millstream token create` and may do what their
//! scopes say. Without a token only this machine can connect, and a request must also name this machine as its host: a
//! page of a stranger whose name was pointed at 127.0.0.1 would otherwise count as its own origin.

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
use millstream::store::watch::Version;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::caching::etag_of;
use crate::cookie;
use crate::follow::Detail;
use crate::headers::single;
use crate::listen::Peer;
use crate::problem::Problem;
use crate::settings::WebSettings;
use crate::state::State;

pub use millstream::domain::Scope;

/// The name under which everybody without a token keeps idempotency keys.
const PUBLIC: &str = "public";
/// How long a token that was looked up is believed: so long a revoked one still counts.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// Tokens that are remembered, right and wrong ones; whoever makes wrong ones up must not fill the memory.
const MOST_REMEMBERED: usize = 10_000;

/// Tokens that were asked for a moment ago, by their hash; nothing for one that nobody has.
type Remembered = HashMap<[u8; 32], (Instant, Option<KnownToken>)>;

/// The door.
#[derive(Debug)]
pub struct Access {
    token: Option<Token>,
    door: Door,
    /// How many proxies of ours stand in front.
    proxies: usize,
    remembered: Mutex<Remembered>,
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

/// Who sent a request, as far as we know, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    name: String,
    bucket: String,
    scopes: Scopes,
}

impl Client {
    /// The name in the table of idempotency keys and in the book; it does not give a token away. Keys of two clients
    /// do not meet.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose bucket its submissions are taken from: the token's, else the address's.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether it showed no token.
    #[must_use]
    pub fn is_anybody(&self) -> bool {
        self.name == PUBLIC
    }

    /// Whether it may.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Refuses what it may not.
    ///
    /// # Errors
    /// A 401 for whoever showed no token, a 403 for a token without the scope.
    pub fn must(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        if self.is_anybody() {
            let detail = format!(
                "without a token this cannot be done: it needs the scope `{}`",
                scope.word()
            );
            return Err(Problem::new(StatusCode::UNAUTHORIZED, &detail).with_header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"millstream\""),
            ));
        }
        let detail = format!("the token does not have the scope `{}`", scope.word());
        Err(Problem::new(StatusCode::FORBIDDEN, &detail))
    }

    /// How much it is told.
    #[must_use]
    pub const fn detail(&self) -> Detail {
        if self.may(Scope::Read) {
            Detail::Full
        } else {
            Detail::Outline
        }
    }

    /// The tag of a review in this state, as this client sees it.
    #[must_use]
    pub fn etag(&self, version: &Version) -> HeaderValue {
        let seen = match self.detail() {
            Detail::Full => b"full".as_slice(),
            Detail::Outline => b"outline",
        };
        etag_of(&[version.version.as_bytes(), seen])
    }
}

#[cfg(test)]
impl Client {
    /// Somebody on this machine.
    pub(crate) fn everything() -> Self {
        Self::anybody(Scopes::ALL)
    }

    /// Somebody who may only look.
    pub(crate) fn looks_only() -> Self {
        Self::anybody(Scopes::of(&[]))
    }

    fn anybody(scopes: Scopes) -> Self {
        Self {
            name: PUBLIC.to_owned(),
            bucket: String::new(),
            scopes,
        }
    }
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
        if let Some(known) = self.known(store, headers).await? {
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
    /// A 503 when Postgres is away and the token is none that was seen lately.
    pub async fn known(&self, store: &Store, headers: &HeaderMap) -> Result<Option<Client>, Problem> {
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
        let known = self.look_up(store, token_hash(shown)).await?;
        Ok(known.map(|token| Client {
            name: format!("token:{}", token.name),
            bucket: format!("token:{}", token.id),
            scopes: token.scopes,
        }))
    }

    async fn look_up(&self, store: &Store, hash: [u8; 32]) -> Result<Option<KnownToken>, Problem> {
        let remembered = self.remembered().get(&hash).cloned();
        if let Some((at, known)) = remembered
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(known);
        }
        let known = store.token_of(&hash).await?;
        let mut remembered = self.remembered();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, (Instant::now(), known.clone()));
        Ok(known)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a request comes from, for the bucket: behind proxies of ours what the outermost one has seen. What stands
    /// further left a client can have written itself.
    fn address(&self, headers: &HeaderMap, peer: Option<Peer>) -> String {
        let forwarded = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|text| text.trim().parse::<IpAddr>().ok())
            .collect::<Vec<_>>();
        let seen = self
            .proxies
            .checked_sub(1)
            .and_then(|back| forwarded.iter().rev().nth(back).copied());
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
mod tests {
    use super::*;

    fn access(token: Option<&str>, change: impl FnOnce(&mut WebSettings)) -> Access {
        let mut settings = WebSettings {
            token: token.map(Into::into),
            ..WebSettings::default()
        };
        change(&mut settings);
        Access::new(&settings)
    }

    /// Nothing listens on port 1: what asks Postgres fails.
    fn away() -> Store {
        Store::open(&"postgres://127.0.0.1:1/x".into(), "test", 1).expect("an address")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    async fn admit(access: &Access, pairs: &[(&'static str, &str)]) -> Result<Client, Problem> {
        let uri = Uri::from_static("/api/reviews");
        access.admit(&away(), &headers(pairs), &uri, None).await
    }

    #[tokio::test]
    async fn with_a_token_only_who_shows_it_comes_in() {
        let door = access(Some("s3cret"), |_| {});
        for right in ["Bearer s3cret", "bearer s3cret", "BEARER   s3cret "] {
            let shown = [("authorization", right), ("host", "example.com")];
            let client = admit(&door, &shown).await.expect(right);
            assert!(client.name().starts_with("token:") && !client.name().contains("s3cret"));
            assert!(client.may(Scope::Operate) && client.detail() == Detail::Full);
        }
        for wrong in [
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3cret2",
            "Bearer S3CRET",
            "Basic s3cret",
            "s3cret",
            "",
        ] {
            let problem = admit(&door, &[("authorization", wrong)]).await.expect_err(wrong);
            let response = problem.into_response();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong}");
            assert_eq!(
                response.headers()[header::WWW_AUTHENTICATE],
                "Bearer realm=\"millstream\", error=\"invalid_token\""
            );
        }
        let twice = [
            ("authorization", "Bearer s3cret"),
            ("authorization", "Bearer s3cret"),
        ];
        assert!(admit(&door, &twice).await.is_err());
        let silent = admit(&door, &[]).await.expect_err("no token").into_response();
        assert_eq!(
            silent.headers()[header::WWW_AUTHENTICATE],
            "Bearer realm=\"millstream\""
        );
    }

    #[tokio::test]
    async fn a_browser_shows_its_token_in_a_cookie() {
        let door = access(Some("s3cret"), |_| {});
        assert!(
            admit(&door, &[("cookie", "a=b; millstream_token=s3cret")])
                .await
                .is_ok()
        );
        assert!(
            admit(&door, &[("cookie", "millstream_token=s3cre")])
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_looked_up_is_neither_right_nor_wrong() {
        let door = access(Some("s3cret"), |_| {});
        let problem = admit(&door, &[("authorization", "Bearer mst_00")]).await;
        assert_eq!(
            problem.expect_err("nobody can tell").status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[tokio::test]
    async fn an_open_door_still_tells_who_shows_the_token() {
        let door = access(Some("s3cret"), |settings| settings.public_submit = true);
        let anybody = admit(&door, &[]).await.expect("open");
        assert_eq!(anybody.name(), PUBLIC);
        assert!(anybody.may(Scope::Submit) && anybody.may(Scope::Read) && !anybody.may(Scope::Operate));
        let wrong = admit(&door, &[("authorization", "Bearer x")]).await;
        assert_eq!(wrong.expect("open").name(), PUBLIC);
        let known = admit(&door, &[("authorization", "Bearer s3cret")])
            .await
            .expect("open");
        assert!(known.name().starts_with("token:") && known.may(Scope::Operate));
    }

    #[tokio::test]
    async fn who_may_only_look_is_told_no_details_and_asked_for_a_token() {
        let door = access(Some("s3cret"), |settings| settings.public_read = true);
        let anybody = admit(&door, &[]).await.expect("open to look");
        assert_eq!(
            (anybody.may(Scope::Look), anybody.detail()),
            (true, Detail::Outline)
        );
        let refused = anybody
            .must(Scope::Submit)
            .expect_err("it may not")
            .into_response();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(refused.headers().contains_key(header::WWW_AUTHENTICATE));
        let reader = Client {
            name: "token:ada".to_owned(),
            bucket: String::new(),
            scopes: Scopes::of(&[Scope::Read]),
        };
        assert_eq!(
            reader.must(Scope::Operate).expect_err("it may not").status(),
            StatusCode::FORBIDDEN
        );
        let version = Version {
            version: "1".to_owned(),
            is_final: true,
        };
        assert_ne!(reader.etag(&version), anybody.etag(&version));
    }

    #[tokio::test]
    async fn two_tokens_are_two_clients() {
        let name = async |token: &str| {
            let shown = format!("Bearer {token}");
            let door = access(Some(token), |_| {});
            let client = admit(&door, &[("authorization", shown.as_str())]).await;
            client.expect("the right token").name().to_owned()
        };
        assert_ne!(name("one").await, name("two").await);
        assert_eq!(name("one").await, name("one").await);
    }

    #[tokio::test]
    async fn without_a_token_a_request_must_be_addressed_to_this_machine() {
        let door = access(None, |_| {});
        for right in [
            "localhost:3000",
            "LOCALHOST",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
        ] {
            assert_eq!(
                admit(&door, &[("host", right)]).await.expect(right).name(),
                PUBLIC
            );
        }
        assert!(admit(&door, &[]).await.is_ok());
        for wrong in [
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.7:3000",
            "",
        ] {
            let problem = admit(&door, &[("host", wrong)]).await.expect_err(wrong);
            assert_eq!(problem.status(), StatusCode::MISDIRECTED_REQUEST, "{wrong}");
        }
        let uri = Uri::from_static("http://evil.example/api/reviews");
        assert!(door.admit(&away(), &HeaderMap::new(), &uri, None).await.is_err());
    }

    #[test]
    fn an_address_is_what_the_outermost_proxy_of_ours_has_seen() {
        let peer = Some(Peer(([10, 0, 0, 9], 4711).into()));
        let forwarded = headers(&[
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
            ("x-forwarded-for", "3.3.3.3"),
        ]);
        for (proxies, expected) in [(0, "10.0.0.9"), (1, "3.3.3.3"), (2, "2.2.2.2"), (7, "10.0.0.9")] {
            let door = access(None, |settings| settings.proxies = proxies);
            assert_eq!(door.address(&forwarded, peer), format!("address:{expected}"));
        }
        assert_eq!(access(None, |_| {}).address(&forwarded, None), "address:unknown");
    }

    #[test]
    fn a_network_of_version_6_is_one_client_however_many_addresses_it_sends_from() {
        let door = access(None, |settings| settings.proxies = 1);
        for (seen, expected) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
            ("::ffff:10.0.0.9", "10.0.0.9"),
        ] {
            let forwarded = headers(&[("x-forwarded-for", seen)]);
            assert_eq!(door.address(&forwarded, None), format!("address:{expected}"));
        }
    }

    #[test]
    fn the_door_does_not_print_its_token() {
        let text = format!("{:?}", access(Some("s3cret"), |_| {}));
        assert!(!text.contains("s3cret"), "{text}");
    }
}
