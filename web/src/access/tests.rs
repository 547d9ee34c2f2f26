//! The door: who comes in, as whom, and who does not.

use millstream::store::watch::Version;

use super::*;
use crate::follow::Detail;

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
    let forwarded = headers(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3")]);
    for (count, expected) in [(0, "10.0.0.9"), (1, "3.3.3.3"), (2, "2.2.2.2")] {
        let door = access(None, |settings| settings.proxies.count = count);
        assert_eq!(door.address(&forwarded, peer), format!("address:{expected}"));
    }
    assert_eq!(access(None, |_| {}).address(&forwarded, None), "address:unknown");
}

#[tokio::test]
async fn an_address_that_shows_one_unknown_token_after_the_other_is_sent_away_before_postgres_is_asked() {
    let mut door = access(Some("s3cret"), |settings| settings.proxies.count = 1);
    let limits = Limits::new("token", "tokens", 1, 1).expect("a rate");
    limits.take("address:1.1.1.1").expect("the only one");
    door.unseen = Some(limits);
    let show = async |token: &str| {
        let pairs = [("authorization", token), ("x-forwarded-for", "1.1.1.1")];
        admit(&door, &pairs).await
    };
    // On a machine that holds us up for a second there is another one: then Postgres is asked, which is away.
    let mut statuses = Vec::new();
    while !statuses.contains(&429) && statuses.len() < 5 {
        let refused = show("Bearer mst_0000").await.expect_err("nobody's");
        statuses.push(refused.status().as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(show("Bearer s3cret").await.is_ok(), "it asks Postgres nothing");
    assert_eq!(
        show("Bearer wrong").await.expect_err("nor does this").status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn keys_of_two_addresses_without_a_token_do_not_meet_and_those_of_a_token_are_its_own() {
    let door = access(Some("s3cret"), |settings| {
        (settings.public_submit, settings.proxies.count) = (true, 1);
    });
    let keys = async |pairs: &[(&'static str, &str)]| {
        let client = admit(&door, pairs).await.expect("open");
        client.keys().to_owned()
    };
    let (one, two) = (("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"));
    let token = ("authorization", "Bearer s3cret");
    assert_eq!(keys(&[one]).await, keys(&[one]).await);
    assert_ne!(keys(&[one]).await, keys(&[two]).await);
    assert_ne!(keys(&[one]).await, keys(&[one, token]).await);
    assert_eq!(keys(&[one, token]).await, keys(&[two, token]).await);
}

#[test]
fn a_network_of_version_6_is_one_client_however_many_addresses_it_sends_from() {
    let door = access(None, |settings| settings.proxies.count = 1);
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
