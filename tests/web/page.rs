//! The page as it is sent: whole without any script, and telling a browser what it may do.

use millstream::domain::JobState;
use millstream::queue::Wire;
use millstream::settings::CallbackSettings;
use reqwest::redirect::Policy;

use super::{Answer, Producer, ask, count, offline, world_and_producer};
use crate::support::reviews::{CLEAN, COMMITTED_KEY, KEY};
use crate::support::{World, private};

/// A browser without scripts that does not follow redirects by itself.
fn reader() -> reqwest::Client {
    let builder = millstream_worker::http::builder().expect("TLS").no_proxy();
    builder.redirect(Policy::none()).build().expect("a client")
}

async fn post(producer: &Producer, path: &str, pairs: &[(&str, &str)]) -> Answer {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let body = form.extend_pairs(pairs).finish();
    let request = reader()
        .post(format!("{}{path}", producer.address))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", &producer.address);
    ask(request.body(body)).await
}

#[tokio::test]
async fn the_page_can_be_read_and_used_without_any_script() {
    let (world, producer) = world_and_producer().await;
    let empty = ask(producer.get("/")).await;
    assert!(empty.body.contains("Nothing was submitted yet"), "{}", empty.body);
    let pairs = [("patch", COMMITTED_KEY), ("key", "k")];
    let sent = post(&producer, "/reviews", &pairs).await;
    assert_eq!(sent.status, 303, "{sent:?}");
    let address = sent.header("location").expect("an address").to_owned();
    let again = post(&producer, "/reviews", &pairs).await;
    assert_eq!(
        again.header("location"),
        Some(address.as_str()),
        "a second press of the button"
    );
    let id = address.rsplit('/').next().expect("an id").parse().expect("an id");
    let waiting = ask(producer.get(&address)).await;
    assert!(waiting.body.contains("waits for a worker") && waiting.body.contains("/cancel"));
    let worker = world.reviewer(offline(), World::engine());
    world.until_state(id, JobState::Done).await;
    let done = ask(producer.get(&address)).await;
    for part in [
        "request-changes",
        "Reason",
        "security",
        "waterfall",
        "scan_for_secrets",
        "block",
    ] {
        assert!(done.body.contains(part), "{part} in {}", done.body);
    }
    assert!(!done.body.contains("/cancel") && !done.body.contains(KEY));
    let list = ask(producer.get("/?state=done&q=PATCH")).await;
    assert!(list.body.contains(&address) && list.body.contains("request-changes"));
    let none = ask(producer.get("/?q=nowhere")).await;
    assert!(!none.body.contains(&address) && none.body.contains("No review fits"));
    worker.drain().await;
}

#[tokio::test]
async fn a_browser_is_told_to_run_nothing_but_our_own_files() {
    let (_world, producer) = world_and_producer().await;
    let page = ask(producer.get("/")).await;
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe") && !page.body.contains(" style="));
    for ending in [".css", ".js", ".svg"] {
        let (before, _) = page.body.split_once(ending).expect("a file of that kind");
        let start = before.rfind("/assets/").expect("its address");
        let path = format!("{}{ending}", &before[start..]);
        let file = ask(producer.get(&path)).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(
            file.header("cache-control")
                .is_some_and(|value| value.contains("immutable"))
        );
    }
}

#[tokio::test]
async fn what_was_typed_comes_back_with_what_is_wrong_with_it() {
    let (world, producer) = world_and_producer().await;
    for (pairs, words) in [
        (
            &[("prUrl", "\"><script>alert(1)</script>")][..],
            "cannot parse PR URL",
        ),
        (&[("patch", "Dear all")], "not a unified diff"),
        (&[("prUrl", " ")], "name a pull request"),
        (
            &[("prUrl", "https://github.com/a/b/pull/1"), ("patch", "x")],
            "not both",
        ),
    ] {
        let answer = post(&producer, "/reviews", pairs).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(
            answer.body.contains(words) && !answer.body.contains("<script>"),
            "{}",
            answer.body
        );
    }
    assert_eq!(count(&world, "reviews").await, 0);
    let missing = ask(producer.get("/reviews/7")).await;
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
}

#[tokio::test]
async fn the_address_of_a_form_leads_to_the_page_that_it_belongs_to() {
    let (_world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let run = format!("/reviews/{id}");
    for (path, leads_to) in [
        ("/reviews".to_owned(), "/"),
        (format!("{run}/cancel"), run.as_str()),
        (format!("{run}/retry"), run.as_str()),
    ] {
        let answer = ask(reader().get(format!("{}{path}", producer.address))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, Some(leads_to))
        );
    }
    let missing = ask(reader().get(format!("{}/reviews/7/cancel", producer.address))).await;
    assert_eq!(missing.status, 404);
    let list = ask(producer.get("/?state=waiting&q=patch&state=")).await;
    assert_eq!(list.status, 400, "twice is no filter");
    let list = ask(producer.get("/?state=waiting&q=a%26b&verdict=")).await;
    assert!(
        list.body.contains(r#"data-page="/?state=waiting&amp;q=a%26b""#),
        "{}",
        list.body
    );
}

#[tokio::test]
async fn a_move_that_finds_a_server_away_says_so_and_when_to_come_back() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let id = producer.submit(CLEAN).await;
    // Between two attempts: its entry is parked, and only Valkey can make it due.
    sqlx::query(
        "update millstream.jobs set state = 'retrying', attempt = 1, run_at = now() + interval '1 h',
                entry_id = coalesce(entry_id, '1-0') where id = $1",
    )
    .bind(id.0)
    .execute(&world.sql)
    .await
    .expect("postgres is there");
    servers.kill_valkey().await.expect("it is ours");
    let answer = post(&producer, &format!("/reviews/{id}/retry"), &[]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert!(answer.body.contains("Valkey is away"), "{}", answer.body);
    servers.stop().await;
}

#[tokio::test]
async fn an_operator_moves_a_review_from_its_page() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(COMMITTED_KEY).await;
    assert!(ask(producer.get("/")).await.body.contains("none yet"));
    let cancelled = post(&producer, &format!("/reviews/{id}/cancel"), &[]).await;
    assert_eq!(cancelled.status, 303);
    assert_eq!(world.job(id).await.status, "cancelled");
    let list = ask(producer.get("/")).await.body;
    assert!(!list.contains("none yet"), "no verdict follows: {list}");
    let again = post(&producer, &format!("/reviews/{id}/cancel"), &[]).await;
    assert_eq!(again.status, 409);
    assert!(
        again.body.contains("Nothing was done: it is cancelled"),
        "{}",
        again.body
    );
}

#[tokio::test]
async fn a_person_signs_in_with_a_token_and_out_again() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start(&world, Some("s3cret")).await;
    let get = async |path: &str, cookie: &str| {
        let request = reader().get(format!("{}{path}", producer.address));
        ask(request.header("cookie", cookie)).await
    };
    let out = get("/", "").await;
    assert_eq!(
        (out.status.as_u16(), out.header("location")),
        (303, Some("/login"))
    );
    let wrong = post(&producer, "/login", &[("token", "s3cre")]).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("set-cookie")), (401, None));
    let right = post(&producer, "/login", &[("token", "s3cret")]).await;
    let cookie = right.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let inside = get("/", &cookie).await;
    assert!(inside.status == 200 && inside.body.contains("Sign out"));
    assert_eq!(get("/api/reviews", &cookie).await.status, 200);
    let left = post(&producer, "/logout", &[]).await;
    assert!(
        left.header("set-cookie")
            .is_some_and(|value| value.contains("Max-Age=0"))
    );
}

#[tokio::test]
async fn a_callback_can_be_named_on_the_page_where_callbacks_are_taken() {
    let (world, plain) = world_and_producer().await;
    assert!(!ask(plain.get("/")).await.body.contains("callbackUrl"));
    let untaken = [("patch", CLEAN), ("callbackUrl", "https://example.com/hooks")];
    let refused = post(&plain, "/reviews", &untaken).await;
    assert!(
        refused.status == 400 && refused.body.contains("WEBHOOK_SECRET is not set"),
        "{refused:?}"
    );
    let producer = Producer::start_with(&world, |web| {
        web.callbacks = CallbackSettings {
            signed: true,
            allow_private: false,
        };
    })
    .await;
    assert!(
        ask(producer.get("/"))
            .await
            .body
            .contains(r#"name="callbackUrl""#)
    );
    let wrong = [("patch", CLEAN), ("callbackUrl", "https://10.0.0.7/hooks")];
    let refused = post(&producer, "/reviews", &wrong).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    for part in [
        "this one is private",
        r#"value="https://10.0.0.7/hooks""#,
        "diff --git",
    ] {
        assert!(refused.body.contains(part), "{part} in {}", refused.body);
    }
    assert_eq!(count(&world, "reviews").await, 0);
    for callback in ["", " https://example.com/hooks "] {
        let sent = post(
            &producer,
            "/reviews",
            &[("patch", CLEAN), ("callbackUrl", callback), ("key", "k")],
        )
        .await;
        assert_eq!(sent.status, 303, "{sent:?}");
        let id = sent.header("location").and_then(|path| path.rsplit('/').next());
        let id: millstream::domain::JobId = id.expect("an id").parse().expect("an id");
        let stored: Option<String> =
            sqlx::query_scalar("select callback_url from millstream.jobs where id = $1")
                .bind(id.0)
                .fetch_one(&world.sql)
                .await
                .expect("its row");
        let expected = Some(callback.trim()).filter(|text| !text.is_empty());
        assert_eq!(stored.as_deref(), expected);
    }
    assert_eq!(
        count(&world, "reviews").await,
        2,
        "a callback is a part of what was sent"
    );
}
