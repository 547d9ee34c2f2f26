//! Whatever happens to the console, it can be drawn at any size.

use std::time::Duration;

use chrono::TimeDelta;
use millstream_tui::frame::{picture, text};
use millstream_tui::keymap::Key;
use millstream_tui::model::Model;
use millstream_tui::model::connection::Server;
use millstream_tui::model::look::{Colours, Look, ThemeName};
use millstream_tui::model::notice::Tone;
use millstream_tui::model::remote::Remote;
use millstream_tui::model::trace::SpanText;
use millstream_tui::model::view::Size;
use millstream_tui::msg::{Answer, Msg, Topic};
use millstream_tui::sample;
use millstream_tui::theme::Theme;
use millstream_tui::update::update;
use proptest::prelude::*;

/// Text as an enemy writes it: sequences, bidirectional and wide characters, combining marks, length.
const HOSTILE: [&str; 5] = [
    "\u{1b}]0;x\u{7}\u{202e}gpj",
    "漢字漢字漢字漢字漢字漢字漢字",
    "e\u{301}\u{301}\u{301}\u{301} 👩\u{200d}👩\u{200d}👧 🇫🇷",
    "",
    "a line that is much longer than anything that a screen could ever show of it, and then some more of it",
];

fn key() -> impl Strategy<Value = Key> {
    let named = [
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
        Key::Backspace,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
    ];
    prop_oneof![
        4 => prop::sample::select("12345678jkgGtTpr/?@:nb+-KsSm*uchl<>ioaJyI q".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        2 => prop::sample::select(named.to_vec()),
        1 => any::<char>().prop_map(Key::Char),
    ]
}

fn topic() -> impl Strategy<Value = Topic> {
    prop::sample::select(vec![
        Topic::Queue,
        Topic::Ledger,
        Topic::Jobs,
        Topic::Pending,
        Topic::Dead,
        Topic::Streams,
        Topic::Activity,
        Topic::Workers,
    ])
}

/// Answers of servers, in every order.
fn answer() -> impl Strategy<Value = Answer> {
    let full = sample::story();
    let none = sample::empty();
    let mut answers = Vec::new();
    for model in [&full, &none] {
        answers.extend(model.overview.queue.value().cloned().map(Answer::Queue));
        answers.extend(model.overview.ledger.value().cloned().map(Answer::Ledger));
        answers.extend(model.jobs.page.value().cloned().map(Answer::Jobs));
        answers.extend(model.pending.page.value().cloned().map(Answer::Pending));
        answers.extend(model.dead.page.value().cloned().map(Answer::Dead));
        answers.extend(model.streams.page.value().cloned().map(Answer::Streams));
        answers.extend(model.activity.page.value().cloned().map(Answer::Activity));
        answers.extend(
            model
                .workers
                .page
                .value()
                .map(|page| Answer::Workers(page.rows.clone())),
        );
    }
    if let (Some(job), Some(id)) = (full.job, full.trace.id) {
        answers.extend([
            Answer::Job(job.id, job.known().cloned()),
            Answer::Job(job.id, None),
            Answer::Trace(id, full.trace.facts.value().cloned().flatten()),
            Answer::Trace(id, None),
        ]);
    }
    if let Some((span, Remote::Ready { .. })) = full.trace.text {
        let text = SpanText {
            input: Some(HOSTILE[0].into()),
            output: Some("{\"a\":[1,{\"b\":[]}],\"漢字\":\"\\u001b\"}".into()),
        };
        answers.push(Answer::SpanText(span, text));
    }
    prop::sample::select(answers)
}

pub(super) fn msg() -> impl Strategy<Value = Msg> {
    let at = |ms: i64| sample::now() + TimeDelta::milliseconds(ms);
    let server = || prop::sample::select(vec![Server::Valkey, Server::Postgres]);
    prop_oneof![
        8 => key().prop_map(Msg::Key),
        4 => answer().prop_map(|answer| Msg::Answer(Box::new(answer))),
        2 => (-5_000..90_000_000_i64).prop_map(move |ms| Msg::Tick { now: at(ms) }),
        1 => prop::sample::select(HOSTILE.to_vec()).prop_map(|text| Msg::Paste(text.to_owned())),
        1 => (topic(), prop::sample::select(HOSTILE.to_vec()))
            .prop_map(|(topic, why)| Msg::Missed { topic, why: why.into() }),
        1 => (server(), -9_000..9_000_i64).prop_map(|(server, ahead)| Msg::Up {
            server,
            latency: Duration::from_micros(ahead.unsigned_abs()),
            clock_ahead_ms: Some(ahead),
        }),
        1 => (server(), 0..9_000_i64).prop_map(move |(server, ms)| Msg::Down {
            server,
            why: HOSTILE[0].into(),
            next_try: at(ms),
        }),
        1 => prop::sample::select(HOSTILE.to_vec()).prop_map(|text| Msg::Told { tone: Tone::Bad, text: text.into() }),
    ]
}

pub(super) fn start() -> impl Strategy<Value = Model> {
    prop::sample::select(vec![
        sample::story(),
        sample::jobs(),
        sample::job(),
        sample::trace(),
        sample::pending(),
        sample::dead(),
        sample::streams(),
        sample::activity(),
        sample::workers(),
        sample::dialog(),
        sample::empty(),
        sample::loading(),
        sample::no_match(),
        sample::failed(),
        sample::both_lost(),
        sample::read_only(),
        sample::frozen(),
    ])
}

fn look() -> impl Strategy<Value = Look> {
    (prop::sample::select(ThemeName::ALL.to_vec()), any::<bool>()).prop_map(|(theme, ascii)| Look {
        theme,
        colours: Colours::Indexed,
        ascii,
        still: true,
    })
}

fn size() -> impl Strategy<Value = Size> {
    (0_u16..=250, 0_u16..=80).prop_map(|(width, height)| Size { width, height })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_model_that_can_be_reached_draws_at_any_size(
        mut model in start(),
        look in look(),
        rounds in prop::collection::vec((prop::collection::vec(msg(), 0..16), size()), 1..4),
    ) {
        let theme = Theme::of(&look);
        for (messages, size) in rounds {
            for message in messages {
                update(&mut model, message);
            }
            update(&mut model, Msg::Resize(size));
            let plain = text::write(&picture(&model, &theme, (size.width, size.height)));
            prop_assert!(!look.ascii || plain.is_ascii());
            prop_assert!(!plain.chars().any(|c| c.is_control() && c != '\n'));
        }
    }

    #[test]
    fn a_model_draws_on_a_screen_that_it_does_not_know_of_yet(model in start(), size in size()) {
        let theme = Theme::of(&Look::default());
        let buffer = picture(&model, &theme, (size.width, size.height));
        prop_assert_eq!(buffer.content.len(), usize::from(size.width) * usize::from(size.height));
    }
}
