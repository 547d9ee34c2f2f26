//! How a console is opened: on named servers, with keys, a zone and a mouse of one's own.

use std::os::unix::fs::PermissionsExt;

use millstream::domain::JobState;
use millstream::queue::Wire;

use super::acting::short;
use crate::support::World;
use crate::support::processes::Home;
use crate::support::reviews::CLEAN;
use crate::support::terminal::Terminal;

/// A file of somebody's own, for them alone.
fn write(home: &Home, path: &str, text: &str) {
    let path = home.path().join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("our folder");
    std::fs::write(&path, text).expect("our file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our file");
}

/// Profiles of a world's servers: one that may be written to, one that may not.
fn profiles(world: &World) -> String {
    let servers = format!(
        "valkey_url = '{}'\ndatabase_url = '${{DB}}'\nqueue = '{}'\n",
        world.valkey_url, world.settings.name
    );
    format!("[blue]\n{servers}colour = 'green'\n[live]\n{servers}production = true\nwrite = false\n")
}

#[tokio::test]
async fn a_profile_names_servers_and_its_word_is_in_the_header() {
    let world = World::with(Wire::REVIEW).await;
    let id = world.submit_patch(CLEAN).await;
    let home = Home::new().with("DB", &world.database_url);
    write(&home, ".config/millstream/profiles.toml", &profiles(&world));
    let mut terminal = Terminal::start(home, &["--profile", "live", "--write"]);
    terminal.until_shows("accepted 1").await;
    let header = terminal.shows().lines().next().expect("a header").to_owned();
    assert!(
        header.contains("PROD") && header.contains("live") && header.contains("RO"),
        "{header}"
    );
    // The profile's word is stronger than --write.
    terminal.press("2").await;
    terminal.until_shows(&short(id)).await;
    terminal.press("X").await;
    terminal.until_shows("this profile says write = false").await;
    assert_eq!(world.job(id).await.status, "waiting");
    terminal.leave().await;
}

#[tokio::test]
async fn a_profile_that_may_be_written_to_is_written_to() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.submit_patch(CLEAN).await;
    let home = Home::new()
        .with("DB", &world.database_url)
        .with("MILLSTREAM_PROFILES", "mine.toml")
        .with("MILLSTREAM_PROFILE", "blue");
    write(&home, "mine.toml", &profiles(&world));
    let mut terminal = Terminal::start(home, &["--write"]);
    terminal.until_shows("accepted 1").await;
    assert!(!terminal.shows().contains("PROD"));
    terminal.press("2").await;
    terminal.until_shows(&short(id)).await;
    terminal.press("Xy").await;
    world.until_state(id, JobState::Cancelled).await;
    terminal.leave().await;
}

#[tokio::test]
async fn all_faults_of_a_profile_are_told_and_no_secret_with_them() {
    let home = Home::new();
    let text = "[live]\nvalkey_url = 'http://u:topsecret@h'\ncolour = 'mauve'\npasword = 'topsecret'\n";
    write(&home, ".config/millstream/profiles.toml", text);
    let mut terminal = Terminal::start(home, &["--profile", "live"]);
    assert_eq!(terminal.until_ended().await.code(), Some(64));
    let shown = terminal.shows();
    for fault in [
        "live.valkey_url",
        "live.colour",
        "live.pasword",
        "live.database_url: it is missing",
    ] {
        assert!(shown.contains(fault), "{shown}");
    }
    assert!(!shown.contains("topsecret"), "{shown}");
    assert!(!terminal.is_taken());
}

#[tokio::test]
async fn keys_of_ones_own_work_and_the_old_ones_do_not() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.submit_patch(CLEAN).await;
    let home = Home::beside(&world);
    write(&home, ".config/millstream/keys.toml", "[Jobs]\ncancel = 'x'\n");
    let mut terminal = Terminal::start(home, &["--write"]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("2").await;
    terminal.until_shows(&short(id)).await;
    terminal.until_shows("x cancel").await;
    terminal.press("X?").await;
    terminal.until_shows("Help: Jobs").await;
    assert!(!terminal.shows().contains("Call off"), "the old key is nobody's");
    terminal.press("?xy").await;
    world.until_state(id, JobState::Cancelled).await;
    terminal.leave().await;
}

#[tokio::test]
async fn conflicts_of_keys_are_found_at_the_start_all_at_once() {
    let world = World::with(Wire::REVIEW).await;
    let home = Home::beside(&world);
    write(
        &home,
        "keys.toml",
        "[Jobs]\ncancel = 'B'\nfly = 'f'\n[anywhere]\nhelp = ':'\n",
    );
    let mut terminal = Terminal::start(home, &["--keys", "keys.toml"]);
    assert_eq!(terminal.until_ended().await.code(), Some(64));
    let shown = terminal.shows();
    for fault in [
        "Jobs: B is bound to",
        "Jobs.fly: no command",
        "anywhere: : is bound to",
    ] {
        assert!(shown.contains(fault), "{shown}");
    }
}

#[tokio::test]
async fn a_zone_is_told_in_the_header_and_a_wrong_one_is_refused() {
    let world = World::with(Wire::REVIEW).await;
    let terminal = Terminal::start(Home::beside(&world), &["--tz", "Asia/Kolkata"]);
    terminal.until_shows("IST").await;
    terminal.until_shows("IN FLIGHT").await;
    terminal.leave().await;
    let mut terminal = Terminal::start(Home::beside(&world), &["--tz", "Moon/Crater"]);
    assert_eq!(terminal.until_ended().await.code(), Some(64));
    assert!(terminal.shows().contains("IANA"), "{}", terminal.shows());
}

#[tokio::test]
async fn the_mouse_is_heard_by_whoever_asks_for_it_and_given_back() {
    let world = World::with(Wire::REVIEW).await;
    let id = world.submit_patch(CLEAN).await;
    let mut terminal = Terminal::start(Home::beside(&world), &["--mouse"]);
    terminal.until_shows("accepted 1").await;
    assert!(terminal.hears_the_mouse());
    let row = |terminal: &Terminal, words: &str| {
        let shown = terminal.shows();
        let row = shown.lines().position(|line| line.contains(words));
        row.unwrap_or_else(|| panic!("{words} is not in\n{shown}")) + 1
    };
    // The tab of the jobs, in SGR's way to say it: column and row count from one.
    let tabs = terminal.shows().lines().nth(1).expect("tabs").to_owned();
    let column = tabs.find("2 Jobs").expect("a tab") + 1;
    terminal
        .press(&format!("\u{1b}[<0;{column};2M\u{1b}[<0;{column};2m"))
        .await;
    terminal.until_shows(&short(id)).await;
    let line = row(&terminal, &short(id));
    terminal
        .press(&format!("\u{1b}[<0;10;{line}M\u{1b}[<0;10;{line}m"))
        .await;
    terminal.until_shows("Jobs › ").await;
    terminal.leave().await;
    let terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("accepted 1").await;
    assert!(!terminal.hears_the_mouse(), "nobody asked for it");
    terminal.leave().await;
}
