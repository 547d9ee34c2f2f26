//! What was recorded is seen again: in a terminal without any server, and frame by frame from the files in
//! `recordings/`.
//!
//! A recording that shows a fault becomes a test by being put there: each of its quarters is compared with a picture,
//! and it must still be readable. `story.replay` is made here, by `MILLSTREAM_REGENERATE=1`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use millstream::queue::Wire;
use millstream::settings::process_environment;
use millstream_tui::frame::{picture, runs, text};
use millstream_tui::keymap::{self, Key};
use millstream_tui::model::connection::Server;
use millstream_tui::model::look::Look;
use millstream_tui::model::replay::{Direction, Ending, Replay};
use millstream_tui::model::view::Size;
use millstream_tui::model::workers::{WorkerLine, WorkerState};
use millstream_tui::msg::{Answer, Msg};
use millstream_tui::recording::tape::{MOST_BYTES, Room};
use millstream_tui::recording::{Player, Tape, Writer};
use millstream_tui::sample;
use millstream_tui::theme::Theme;
use millstream_tui::update::replay::KEYS;
use millstream_tui::update::update;
use millstream_tui::view::replay::{draw, model_size};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::any_size::{msg, start};
use crate::support::World;
use crate::support::processes::Home;
use crate::support::terminal::Terminal;

const SMALL: Size = Size {
    width: 80,
    height: 24,
};
const USUAL: Size = Size {
    width: 120,
    height: 40,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("console/recordings")
}

/// A minute of the story: a worker dies, Valkey goes and comes back, and somebody looks for what timed out.
fn story() -> Vec<u8> {
    let mut messages = Vec::new();
    let full = sample::story();
    let workers = full
        .workers
        .page
        .value()
        .expect("the story has workers")
        .rows
        .clone();
    for second in 0..60_i64 {
        let now = sample::now() + TimeDelta::seconds(second);
        messages.push(Msg::Tick { now });
        match second {
            10 => messages.push(Msg::WorkerEnded {
                pid: 48_110,
                how: "exit by signal 9".into(),
                in_order: false,
            }),
            20..30 => messages.push(Msg::Down {
                server: Server::Valkey,
                why: "Connection refused \u{1b}]0;x\u{7}(os error 111)".into(),
                next_try: now + TimeDelta::seconds(2),
            }),
            30 => messages.push(Msg::Up {
                server: Server::Valkey,
                latency: Duration::from_micros(300),
                clock_ahead_ms: None,
            }),
            _ => messages.push(Msg::Answer(Box::new(Answer::Workers(alive(&workers))))),
        }
        let script = match second {
            35 => "2",
            40 => "/class:timeout<enter>",
            45 => "jj",
            50 => "t",
            _ => "",
        };
        let keys = keymap::parse(script).expect("a script of ours");
        messages.extend(keys.into_iter().map(Msg::Key));
    }
    let mut text = Vec::new();
    let mut writer = Writer::begin(&mut text, &full, MOST_BYTES).expect("memory");
    for message in &messages {
        assert_eq!(writer.write(message).expect("memory"), Room::Left);
    }
    writer.end(Ending::Stopped).expect("memory");
    text
}

fn alive(workers: &[WorkerLine]) -> Vec<WorkerLine> {
    let lives = |worker: &&WorkerLine| worker.state != WorkerState::Lost;
    workers.iter().filter(lives).cloned().collect()
}

fn frame(player: &Player, replay: &Replay, size: Size) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.width, size.height));
    let theme = Theme::of(&Look::default());
    draw((player.model(), replay), &KEYS, &theme, &mut buffer);
    buffer
}

#[test]
fn every_recording_shows_what_it_showed() {
    let made = folder().join("story.replay");
    if process_environment("MILLSTREAM_REGENERATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(folder()).expect("the folder of the recordings");
        std::fs::write(&made, story()).expect("the recording is written");
    }
    let files = std::fs::read_dir(folder())
        .expect("there are recordings")
        .flatten();
    let mut count = 0;
    for path in files.map(|entry| entry.path()) {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let tape = Tape::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for size in [SMALL, USUAL] {
            let tape = Tape::open(&path).expect("it was read before");
            let mut player = Player::new(tape, model_size(size));
            let mut replay = player.replay(name.as_str().into());
            for quarter in 0..=4_u32 {
                replay.at = player.length() * quarter / 4;
                replay.playing = quarter % 2 == 0;
                player.go(replay.at);
                let shown = runs::write(&frame(&player, &replay, size));
                insta::with_settings!({
                    omit_expression => true,
                    prepend_module_to_snapshot => false,
                    snapshot_path => "snapshots",
                }, {
                    insta::assert_snapshot!(format!("replay-{name}-{quarter}of4-{}x{}", size.width, size.height), shown);
                });
            }
        }
        assert!(tape.length() > Duration::ZERO);
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn what_is_recorded_stays_somebody_elses_text() {
    let tape = Tape::read(story()).expect("a recording");
    let mut player = Player::new(tape, model_size(USUAL));
    let mut replay = player.replay("\u{1b}]0;x\u{7}.replay".into());
    for second in 0..60 {
        player.go(Duration::from_secs(second));
        replay.at = player.at();
        let plain = text::write(&frame(&player, &replay, USUAL));
        assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{second}");
    }
}

#[test]
fn the_slider_fits_every_screen() {
    let tape = Tape::read(story()).expect("a recording");
    let mut player = Player::new(tape, model_size(USUAL));
    let mut replay = player.replay("story.replay".into());
    player.step(Direction::Forward);
    for (width, height) in [(0, 0), (1, 1), (3, 2), (39, 9), (40, 12), (250, 80)] {
        for at in [Duration::ZERO, replay.length] {
            replay.at = at;
            let size = Size { width, height };
            player.resize(model_size(size));
            frame(&player, &replay, size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_make_the_same_picture_when_they_are_played(
        start in start(),
        messages in prop::collection::vec(msg(), 0..40),
    ) {
        // What floats is the one thing that a recording begins without.
        let mut live = millstream_tui::model::Model { overlay: None, ..start };
        let mut text = Vec::new();
        let mut writer = Writer::begin(&mut text, &live, MOST_BYTES).expect("memory");
        for message in messages {
            writer.write(&message).expect("memory");
            update(&mut live, message);
        }
        writer.end(Ending::Left).expect("memory");
        let player = Player::new(Tape::read(text).expect("a recording"), live.size);
        let mut player = player;
        player.go(player.length());
        let theme = Theme::of(&Look::default());
        let [recorded, live] = [player.model(), &live].map(|model| runs::write(&picture(model, &theme, (120, 36))));
        prop_assert_eq!(recorded, live);
    }
}

fn recordings(home: &Path) -> Vec<PathBuf> {
    let folder = home.join(".local/state/millstream/recordings");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[tokio::test]
async fn a_console_is_recorded_by_a_key_and_played_without_any_server() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("\u{12}").await;
    terminal.until_shows("REC").await;
    terminal.press("8").await;
    terminal.until_shows("Nobody has done anything by hand yet").await;
    terminal.press("1").await;
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("\u{12}").await;
    terminal
        .until("recorded", |screen| {
            screen.contains("recorded") && !screen.contains("REC ")
        })
        .await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    let last_words = terminal.shows();
    assert!(last_words.contains("millstream --replay"), "{last_words}");
    let files = recordings(terminal.home().path());
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&files[0].metadata().expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds what nobody else should read");

    // Nobody to ask: a home of its own, and no address in its environment.
    let home = Home::new();
    let file = home.file("played.replay", std::fs::read(&files[0]).expect("a file"));
    let mut terminal = Terminal::start(home, &["--replay", &file]);
    // So short a recording is soon at its end, and stops there.
    terminal.until_shows("stopped").await;
    terminal.press("\u{1b}[H").await;
    terminal.until_shows("IN FLIGHT").await;
    // What is stopped can be looked around in, and nothing can be changed there.
    terminal.press("4+").await;
    terminal.until_shows("nothing can be done about it here").await;
    terminal.press("\u{1b}[F").await;
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back());
}

/// What a screen shows, without the spaces behind its rows.
fn rows(screen: &str) -> Vec<&str> {
    let rows: Vec<&str> = screen.lines().map(str::trim_end).collect();
    let last = rows.iter().rposition(|row| !row.is_empty());
    rows[..last.map_or(0, |last| last + 1)].to_vec()
}

/// A terminal that plays the story, and a player of our own that is to show the same.
struct Beside {
    terminal: Terminal,
    player: Player,
    replay: Replay,
}

impl Beside {
    async fn start() -> Self {
        let home = Home::new();
        let file = home.file("story.replay", story());
        let mut terminal = Terminal::start(home, &["--replay", &file]);
        terminal.until_shows("plays").await;
        // Wherever that was: it stands still at its beginning from here on.
        terminal.press(" ").await;
        terminal.until_shows("stopped").await;
        let player = Player::new(Tape::read(story()).expect("a recording"), model_size(USUAL));
        let mut replay = player.replay("story.replay".into());
        replay.playing = false;
        Self {
            terminal,
            player,
            replay,
        }
    }

    /// Presses a key, and waits for the whole frame that our own player shows.
    async fn press(&mut self, key: &str, told: &str, turn: impl FnOnce(&mut Player)) -> Vec<u8> {
        turn(&mut self.player);
        self.replay.at = self.player.at();
        self.terminal.press(key).await;
        let expected = text::write(&frame(&self.player, &self.replay, USUAL));
        self.terminal
            .until(told, |screen| rows(screen) == rows(&expected))
            .await;
        expected.into_bytes()
    }
}

#[tokio::test]
async fn the_keys_of_the_slider_show_every_moment_of_a_recording() {
    let mut seen = Beside::start().await;
    let length = seen.player.length();
    let first = seen
        .press("\u{1b}[H", "the beginning", |player| player.go(Duration::ZERO))
        .await;
    let mut forwards = vec![first.clone()];
    // Far enough that the clock on the slider goes on.
    for nth in 0..6 {
        let name = format!("step {nth} forwards");
        let shown = seen
            .press("\u{1b}[C", &name, |player| player.step(Direction::Forward))
            .await;
        forwards.push(shown);
    }
    assert_ne!(forwards[0], forwards[6], "the steps lead somewhere");
    for nth in (0..6).rev() {
        let name = format!("back at step {nth}");
        let shown = seen
            .press("\u{1b}[D", &name, |player| player.step(Direction::Back))
            .await;
        assert_eq!(shown, forwards[nth], "the way back is the way there");
    }
    let tens = seen
        .press(".", "ten seconds on", |player| player.go(Duration::from_secs(10)))
        .await;
    assert_ne!(tens, first);
    seen.press("=15\r", "the second that was typed", |player| {
        player.go(Duration::from_secs(15));
    })
    .await;
    seen.press(",", "ten seconds back", |player| {
        player.go(Duration::from_secs(5));
    })
    .await;
    let filtered = seen
        .press("=45\r", "a filter", |player| player.go(Duration::from_secs(45)))
        .await;
    assert!(String::from_utf8_lossy(&filtered).contains("class:timeout"));
    let last = seen
        .press("\u{1b}[F", "the end", |player| player.go(length))
        .await;
    assert_ne!(last, filtered);
    seen.press("\u{1b}[H", "the beginning again", |player| {
        player.go(Duration::ZERO);
    })
    .await;
    // It plays until it is told to stop, and stands then.
    seen.terminal.press(" ").await;
    seen.terminal.until_shows("plays").await;
    seen.terminal
        .until("another moment", |screen| {
            !screen.contains("  0.0 s ") && screen.contains("plays")
        })
        .await;
    seen.terminal.press(" ").await;
    seen.terminal.until_shows("stopped").await;
    seen.terminal.press("]]]").await;
    seen.terminal.until_shows("8x").await;
    // At its end it stops by itself, and says so; from there it plays from the beginning.
    seen.terminal.press("\u{1b}[F\u{1b}[D ").await;
    seen.terminal.until_shows("ended by its key").await;
    seen.terminal.press(" ").await;
    seen.terminal.until_shows("plays").await;
    seen.terminal.press("q").await;
    assert!(seen.terminal.until_ended().await.success());
    assert!(seen.terminal.is_given_back());
}

#[tokio::test]
async fn a_console_that_is_killed_leaves_a_recording_that_can_be_played() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("\u{12}").await;
    terminal.until_shows("REC").await;
    terminal.press("8").await;
    terminal.until_shows("Nobody has done anything by hand yet").await;
    let files = recordings(terminal.home().path());
    crate::support::until("some of it is on the disk", || async {
        let text = std::fs::read_to_string(&files[0]).ok()?;
        text.contains("{\"Char\":\"8\"}").then_some(())
    })
    .await;
    rustix::process::kill_process(terminal.pid(), rustix::process::Signal::KILL).expect("it runs");
    assert!(!terminal.until_ended().await.success());
    let tape = Tape::open(&files[0]).expect("whole lines");
    assert_eq!(tape.ending, Ending::Unknown);
}

#[tokio::test]
async fn a_file_that_is_no_whole_recording_is_refused_with_its_reason() {
    let home = Home::new();
    let whole = story();
    let middle = whole.len() / 2;
    let mut damaged = whole.clone();
    damaged[middle] = b'\x01';
    let newer = String::from_utf8(whole.clone())
        .expect("JSON")
        .replacen("\"format\":1", "\"format\":99", 1);
    let cases: [(&str, &[u8], &str); 5] = [
        ("cut", &whole[..middle], "it is cut off in line"),
        ("damaged", &damaged, "is damaged"),
        ("foreign", b"\x7fELF\x02\x01", "no recording of a console"),
        ("empty", b"", "no recording of a console"),
        (
            "newer",
            newer.as_bytes(),
            "in a shape that this version does not know",
        ),
    ];
    for (name, content, why) in cases {
        let file = home.file(name, content);
        let ran = home.run(&["--replay", &file]).await;
        assert_eq!(ran.code, 64, "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains(name),
            "{name}: {}",
            ran.stderr
        );
    }
    let ran = home.run(&["--replay", "nowhere.replay"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let whole = home.file("whole", &whole);
    let ran = home.run(&["--replay", &whole]).await;
    assert!(
        ran.code == 64 && ran.stderr.contains("needs a terminal"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_key_of_the_player_is_told_in_its_footer() {
    let tape = Tape::read(story()).expect("a recording");
    let player = Player::new(tape, model_size(SMALL));
    let replay = player.replay("story.replay".into());
    let plain = text::write(&frame(&player, &replay, SMALL));
    let footer = plain.lines().last().expect("a frame has lines");
    for (key, word) in KEYS {
        assert!(footer.contains(&format!("{key} {word}")), "{key}: {footer}");
    }
    assert_eq!(
        keymap::command(player.model(), Key::Char('=')),
        None,
        "a key of the player is no view's"
    );
}
