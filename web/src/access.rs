//! Who may use the API, and as which client.
//!
//! With a token every request must carry it, unless `PUBLIC_SUBMIT` opens the door. Without one only
//! this machine can connect, and a request must also name this machine as its host: a page of a
//! stranger whose name was pointed at 127.0.0.1 would otherwise count as its own origin.

use std::fmt::Write as _;
use std::net::IpAddr;

use axum::extract::{self, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::headers::single;
use crate::problem::Problem;
use crate::settings::WebSettings;
use crate::state::State;

/// The name under which everybody without a token keeps idempotency keys.
const PUBLIC: &str = "public";

/// The door to the API.
#[derive(Debug)]
pub struct Access {
    token: Option<Token>,
    door: Door,
}

/// What is kept of the token.
struct Token {
    /// Compared instead of the text, so neither its content nor its length shows in the time.
    digest: [u8; 32],
    client: Client,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Anybody.
    Public,
    /// Who shows the token.
    Token,
    /// Who is on this machine.
    Local,
}

/// Who sent a request, as far as we know. Idempotency keys of two clients do not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client(String);

impl Client {
    /// The name in the table of idempotency keys; it does not give the token away.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
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
                client: Client(client_name(token)),
            }
        });
        let door = match &token {
            _ if settings.public => Door::Public,
            Some(_) => Door::Token,
            None => Door::Local,
        };
        Self { token, door }
    }

    /// Who it is, if they may come in.
    ///
    /// # Errors
    /// A 401 without the right token; a 421 for a host that is not this machine.
    pub fn admit(&self, headers: &HeaderMap, uri: &Uri) -> Result<Client, Problem> {
        let public = || Client(PUBLIC.to_owned());
        match self.door {
            // A wrong token does no harm where none is needed.
            Door::Public => Ok(self.known(headers).unwrap_or_else(public)),
            Door::Token => self.known(headers).ok_or_else(|| unauthorized(headers)),
            Door::Local if names_this_machine(headers, uri) => Ok(public()),
            Door::Local => Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "without MILLSTREAM_TOKEN only requests to localhost or a loopback address are answered",
            )),
        }
    }

    fn known(&self, headers: &HeaderMap) -> Option<Client> {
        let token = self.token.as_ref()?;
        let shown = digest("access", bearer(headers)?);
        bool::from(shown.ct_eq(&token.digest)).then(|| token.client.clone())
    }
}

/// Lets a request through to the API, with its [`Client`] beside it, or answers why not.
pub async fn guard(
    extract::State(state): extract::State<State>,
    mut request: Request,
    next: Next,
) -> Response {
    match state.access.admit(request.headers(), request.uri()) {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
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
    use millstream::settings::CallbackSettings;

    use super::*;

    #[derive(Clone, Copy)]
    enum Public {
        Yes,
        No,
    }

    fn access(token: Option<&str>, public: Public) -> Access {
        Access::new(&WebSettings {
            address: ([127, 0, 0, 1], 0).into(),
            token: token.map(Into::into),
            public: matches!(public, Public::Yes),
            max_patch: 1,
            callbacks: CallbackSettings::default(),
        })
    }

    fn admit(access: &Access, pairs: &[(&'static str, &str)]) -> Result<Client, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        access.admit(&headers, &Uri::from_static("/api/reviews"))
    }

    #[test]
    fn with_a_token_only_who_shows_it_comes_in() {
        let door = access(Some("s3cret"), Public::No);
        for right in ["Bearer s3cret", "bearer s3cret", "BEARER   s3cret "] {
            let client = admit(&door, &[("authorization", right), ("host", "example.com")]).expect(right);
            assert!(client.name().starts_with("token:") && !client.name().contains("s3cret"));
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
            let problem = admit(&door, &[("authorization", wrong)]).expect_err(wrong);
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
        assert!(admit(&door, &twice).is_err());
        let silent = admit(&door, &[]).expect_err("no token").into_response();
        assert_eq!(
            silent.headers()[header::WWW_AUTHENTICATE],
            "Bearer realm=\"millstream\""
        );
    }

    #[test]
    fn an_open_door_still_tells_who_shows_the_token() {
        let door = access(Some("s3cret"), Public::Yes);
        assert_eq!(admit(&door, &[]).expect("open").name(), PUBLIC);
        let wrong = admit(&door, &[("authorization", "Bearer x")]);
        assert_eq!(wrong.expect("open").name(), PUBLIC);
        let known = admit(&door, &[("authorization", "Bearer s3cret")]).expect("open");
        assert!(known.name().starts_with("token:"));
    }

    #[test]
    fn two_tokens_are_two_clients() {
        let name = |token: &str| {
            let shown = format!("Bearer {token}");
            let client = admit(
                &access(Some(token), Public::No),
                &[("authorization", shown.as_str())],
            );
            client.expect("the right token").name().to_owned()
        };
        assert_ne!(name("one"), name("two"));
        assert_eq!(name("one"), name("one"));
    }

    #[test]
    fn without_a_token_a_request_must_be_addressed_to_this_machine() {
        let door = access(None, Public::No);
        for right in [
            "localhost:3000",
            "LOCALHOST",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
        ] {
            assert_eq!(admit(&door, &[("host", right)]).expect(right).name(), PUBLIC);
        }
        assert!(admit(&door, &[]).is_ok());
        for wrong in [
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.7:3000",
            "",
        ] {
            let problem = admit(&door, &[("host", wrong)]).expect_err(wrong);
            assert_eq!(problem.status(), StatusCode::MISDIRECTED_REQUEST, "{wrong}");
        }
        let absolute = door.admit(
            &HeaderMap::new(),
            &Uri::from_static("http://evil.example/api/reviews"),
        );
        assert!(absolute.is_err());
    }

    #[test]
    fn the_door_does_not_print_its_token() {
        let text = format!("{:?}", access(Some("s3cret"), Public::No));
        assert!(!text.contains("s3cret"), "{text}");
    }
}
