//! The page in a real browser: it grows live, runs nothing that others wrote, and can be used by everybody.

use millstream::domain::{JobId, JobState};
use millstream::queue::Wire;
use millstream::settings::process_environment;
use millstream_worker::model::stub::{Stub, says};
use serde_json::{Value, json};

use super::{Producer, ask, count, offline, world_and_producer};
use crate::support::browser::{Browser, ENTER, Scheme, TAB};
use crate::support::reviews::{CLEAN, COMMITTED_KEY};
use crate::support::{World, until};

/// The rules of accessibility, as a script (axe-core 4.14.1, MPL-2.0, as published).
const AXE: &str = include_str!("axe.min.js");
/// What somebody hopes that the page runs.
const HOSTILE: &str = "\"><img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>";
/// A desktop's window and those of phones.
const SIZES: [(&str, (u32, u32)); 3] = [
    ("desktop", (1280, 900)),
    ("phone", (390, 844)),
    ("small-phone", (360, 740)),
];

/// What is in the page that answers to a selector, as a person reads it.
async fn text(browser: &Browser, selector: &str) -> String {
    let script = format!("return (document.querySelector({selector:?}) || {{}}).innerText || ''");
    browser.ask(&script).await.as_str().unwrap_or_default().to_owned()
}

/// Keeps a picture where one is wanted: `MILLSTREAM_PICTURES` names the folder.
async fn keep(browser: &Browser, name: &str) {
    if let Some(folder) = process_environment("MILLSTREAM_PICTURES") {
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, browser.picture().await).expect("the folder is there");
    }
}

/// What the rules of accessibility find that is serious.
async fn serious(browser: &Browser) -> Vec<Value> {
    browser.ask(AXE).await;
    let found = browser
        .ask_later(
            "const done = arguments[arguments.length - 1]; axe.run().then(\
             found => done(found.violations.map(one => ({ id: one.id, impact: one.impact, \
             at: one.nodes.map(node => node.target.join(' ') + ': ' + node.failureSummary) }))), \
             error => done([{ id: String(error), impact: 'critical' }]))",
        )
        .await;
    let found = found.as_array().cloned().unwrap_or_default();
    let grave = |one: &Value| one["impact"] == "serious" || one["impact"] == "critical";
    found.into_iter().filter(grave).collect()
}

/// A page to be looked at in both colours and both sizes.
async fn check_looks(browser: &Browser, name: &str) {
    for scheme in [Scheme::Dark, Scheme::Light] {
        for (size, pixels) in SIZES {
            browser.show(pixels, scheme).await;
            keep(browser, &format!("{name}-{}-{size}", scheme.word())).await;
            let wide = browser
                .ask("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            assert_eq!(wide, json!(0), "{name} is too wide for a {size}");
            let found = serious(browser).await;
            assert!(
                found.is_empty(),
                "{name} in {} on a {size}: {found:#?}",
                scheme.word()
            );
        }
    }
}

#[tokio::test]
async fn a_review_is_submitted_in_the_browser_and_grows_live_to_its_end() {
    let (world, producer) = world_and_producer().await;
    let browser = Browser::start().await;
    browser.open(&producer.address).await;
    let script = format!(
        "document.querySelector('form.submit details').open = true; document.getElementById('patch').value = {COMMITTED_KEY:?}"
    );
    browser.ask(&script).await;
    browser
        .ask("document.querySelector('form.submit button').click()")
        .await;
    until("the review is shown", || async {
        text(&browser, "h1").await.starts_with("patch:").then_some(())
    })
    .await;
    assert!(text(&browser, ".title .pill").await.contains("waiting"));
    let stub = Stub::new();
    let gate = stub.gate("judge", 0);
    let worker = world.reviewer(stub, World::engine());
    gate.reached().await;
    until("it is seen to run, with its spans, without a reload", || async {
        let running = text(&browser, ".title .pill").await.contains("running");
        (running && text(&browser, ".waterfall").await.contains("judge")).then_some(())
    })
    .await;
    keep(&browser, "run-live").await;
    gate.open();
    until("it is seen to be done", || async {
        text(&browser, ".title").await.contains("approve").then_some(())
    })
    .await;
    let said = until("a screen reader is told", || async {
        Some(text(&browser, "#announce").await).filter(|said| said.contains("done"))
    })
    .await;
    assert_eq!(said, "This review is done: approve");
    let closed = browser
        .ask("return document.getElementById('live').dataset.live")
        .await;
    assert_eq!(closed, "ended", "nothing is asked for any more");
    worker.drain().await;
    browser.quit().await;
}

/// A review of which everything that others write is hostile.
async fn hostile_review(world: &World, producer: &Producer) -> JobId {
    let patch = format!("--- a/{HOSTILE}\n+++ b/{HOSTILE}\n@@ -1 +1 @@\n-a\n+{HOSTILE}\n");
    let id = producer.submit(&patch).await;
    let stub = Stub::new();
    stub.answer(
        "security",
        says(&format!(
            "- **severity**: block\n- **location**: {HOSTILE}:1\n- **note**: {HOSTILE}"
        )),
    );
    let judged = json!({ "verdict": "request-changes", "reason": HOSTILE }).to_string();
    stub.answer("judge", says(&judged));
    let worker = world.reviewer(stub, World::engine());
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    // What a reference process may have written beside it.
    sqlx::query("update reviews set pr_url = $2, verdict = $2 where id = $1")
        .bind(id.0)
        .bind(HOSTILE)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    sqlx::query("update spans set name = $2, kind = $2, error = $2 where run_id = $1")
        .bind(id.0)
        .bind(HOSTILE)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    id
}

#[tokio::test]
async fn nothing_that_others_wrote_is_run() {
    let (world, producer) = world_and_producer().await;
    let id = hostile_review(&world, &producer).await;
    let browser = Browser::start().await;
    let pages = [
        "/".to_owned(),
        format!("/reviews/{id}"),
        format!("/?q={}", "%22%3E%3Cscript%3Ewindow.pwned%3D1%3C/script%3E"),
    ];
    for path in &pages {
        browser.open(&format!("{}{path}", producer.address)).await;
        browser
            .ask("for (const one of document.querySelectorAll('details')) one.open = true")
            .await;
        let (pwned, foreign) = (
            browser.ask("return window.pwned === undefined").await,
            browser
                .ask("return document.querySelectorAll('img, script:not([src^=\"/assets/\"]), [onerror]').length")
                .await,
        );
        assert_eq!((pwned, foreign), (json!(true), json!(0)), "{path}");
    }
    assert!(text(&browser, "form.filters").await.contains("any status"));
    browser.open(&format!("{}/reviews/{id}", producer.address)).await;
    assert!(
        text(&browser, "main").await.contains("onerror="),
        "it is shown as text"
    );
    // Were the escaping broken, the policy would still stand.
    browser
        .ask("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned=1\"><b style=\"color:red\">x</b>')")
        .await;
    until("the picture has failed to load", || async {
        let failed = browser
            .ask("return [...document.images].every(image => image.complete)")
            .await;
        (failed == json!(true)).then_some(())
    })
    .await;
    assert_eq!(
        browser.ask("return window.pwned === undefined").await,
        json!(true)
    );
    browser.quit().await;
}

#[tokio::test]
async fn the_page_can_be_used_by_everybody_in_both_colours_at_both_sizes() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| web.callbacks.signed = true).await;
    let browser = Browser::start().await;
    browser.open(&producer.address).await;
    check_looks(&browser, "empty").await;
    let worker = world.reviewer(offline(), World::engine());
    let mut ids = Vec::new();
    for patch in [COMMITTED_KEY, CLEAN, COMMITTED_KEY, CLEAN] {
        let id = producer.submit(patch).await;
        world.until_state(id, JobState::Done).await;
        ids.push(id);
    }
    worker.drain().await;
    for (state, extra) in [
        ("dead", "error = 'GitHub answered 502', finished_at = now()"),
        ("retrying", "run_at = now() + interval '1 min'"),
        ("running", "started_at = now() - interval '12 s'"),
        ("cancelled", "finished_at = now()"),
        ("waiting", "priority = 0"),
    ] {
        let id = producer.submit(CLEAN).await;
        let statement = format!(
            "with job as (update millstream.jobs set state = '{state}', {extra} where id = $1)
             update reviews set pr_url = 'https://github.com/acme/ledger/pull/{}' where id = $1",
            count(&world, "reviews").await
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(id.0)
            .execute(&world.sql)
            .await
            .expect("postgres is there");
    }
    browser.open(&producer.address).await;
    check_looks(&browser, "list").await;
    browser
        .open(&format!("{}/reviews/{}", producer.address, ids[0]))
        .await;
    check_looks(&browser, "run").await;
    browser
        .ask("document.querySelector('.waterfall details').open = true")
        .await;
    check_looks(&browser, "span").await;
    browser.open(&format!("{}/login", producer.address)).await;
    check_looks(&browser, "login").await;
    refuse_a_form(&browser, &producer).await;
    check_looks(&browser, "refused").await;
    crowd(&world, ids[0]).await;
    browser.open(&producer.address).await;
    check_looks(&browser, "long").await;
    browser
        .open(&format!("{}/reviews/{}", producer.address, ids[0]))
        .await;
    check_looks(&browser, "crowded").await;
    browser.quit().await;
}

#[tokio::test]
async fn a_page_with_a_refused_form_is_live_and_one_that_nobody_looks_at_keeps_no_stream() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| web.callbacks.signed = true).await;
    let browser = Browser::start().await;
    refuse_a_form(&browser, &producer).await;
    let path = browser.ask("return location.pathname").await;
    assert_eq!(path, json!("/reviews"), "the form's address stands in the bar");
    let id = producer.submit(CLEAN).await;
    until("what was submitted since is shown without a reload", || async {
        text(&browser, "#live").await.contains("waiting").then_some(())
    })
    .await;
    browser.open(&format!("{}/reviews/{id}", producer.address)).await;
    let streams = async |count: u32| {
        let line = format!("http_server_event_streams {count}.0");
        until(&line, || async {
            let figures = ask(producer.get("/metrics")).await.body;
            figures.lines().any(|found| found == line).then_some(())
        })
        .await;
    };
    streams(1).await;
    let show = async |hidden: bool| {
        let script = format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {hidden} }});
             document.dispatchEvent(new Event('visibilitychange'))"
        );
        browser.ask(&script).await;
    };
    show(true).await;
    streams(0).await;
    show(false).await;
    streams(1).await;
    browser.quit().await;
}

/// Fills the form in with what is refused, and sends it.
async fn refuse_a_form(browser: &Browser, producer: &Producer) {
    browser.open(&producer.address).await;
    let script = format!(
        "for (const one of document.querySelectorAll('form.submit details')) one.open = true;
         document.getElementById('patch').value = {CLEAN:?};
         document.getElementById('callback').value = 'https://10.0.0.7/hooks';
         document.querySelector('form.submit button').click()"
    );
    browser.ask(&script).await;
    until("it is refused", || async {
        text(browser, "#refused")
            .await
            .contains("this one is private")
            .then_some(())
    })
    .await;
    let wrong = browser
        .ask("return [...document.querySelectorAll('[aria-invalid]')].map(one => one.id)")
        .await;
    assert_eq!(wrong, json!(["callback"]));
}

/// A name that breaks nowhere, and two hundred findings.
async fn crowd(world: &World, id: JobId) {
    for statement in [
        "update reviews set pr_url = 'https://github.com/acme/' || repeat('ledger', 150) || '/pull/7' where id = $1",
        "insert into millstream.findings (job_id, ord, agent, severity, file, line, note)
         select $1, n + 1000, 'security', (array['block', 'warn', 'info'])[n % 3 + 1],
                'src/' || repeat('deep/', n % 40) || 'mod.rs', n, repeat('what is wrong here ', n % 20 + 1)
         from generate_series(1, 200) n",
    ] {
        sqlx::query(statement)
            .bind(id.0)
            .execute(&world.sql)
            .await
            .expect("postgres is there");
    }
}

#[tokio::test]
async fn a_keyboard_is_enough() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(COMMITTED_KEY).await;
    let worker = world.reviewer(offline(), World::engine());
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    let waits = producer.submit(CLEAN).await;
    let browser = Browser::start().await;
    browser.open(&producer.address).await;
    // A browser that is busy with its first page may still drop a key: one that was dropped has moved nothing.
    let first = until("a key is taken", || async {
        browser.press(TAB).await;
        let on = browser
            .ask("const on = document.activeElement; return on === document.body ? null : on.textContent.trim()")
            .await;
        on.as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(first, "Skip to the content");
    browser.press(ENTER).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        browser.press(TAB).await;
        let on = browser
            .ask("return document.activeElement.id || document.activeElement.textContent.trim()")
            .await;
        let outline = browser
            .ask("return getComputedStyle(document.activeElement).outlineStyle")
            .await;
        assert_eq!(outline, json!("solid"), "where one stands is seen: {on}");
        seen.push(on.as_str().unwrap_or_default().to_owned());
        if seen.last().is_some_and(|on| *on == format!("r-{id}")) {
            break;
        }
    }
    for stop in ["pr-url", "Review", "q", "state", "verdict", "Filter"] {
        assert!(
            seen.iter().any(|on| on == stop),
            "{stop} can be reached: {seen:?}"
        );
    }
    browser.press(ENTER).await;
    until("the review is open", || async {
        text(&browser, "#reason-title")
            .await
            .contains("Reason")
            .then_some(())
    })
    .await;
    // A span is opened by the keyboard.
    browser
        .ask("document.querySelector('.waterfall summary').focus()")
        .await;
    browser.press(ENTER).await;
    let open = browser
        .ask("return document.querySelector('.waterfall details').open")
        .await;
    assert_eq!(open, json!(true));
    browser
        .open(&format!("{}/reviews/{waits}", producer.address))
        .await;
    browser.ask("document.getElementById('cancel').focus()").await;
    browser.press(ENTER).await;
    world.until_state(waits, JobState::Cancelled).await;
    browser.quit().await;
}
