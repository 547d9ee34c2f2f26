//! Whatever others have written, a terminal is sent text that can be seen and the console's own sequences: looked at in
//! the bytes of the real painter, not in its picture.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_tui::frame::scene::{self, Shown, State};
use millstream_tui::keymap;
use millstream_tui::model::Model;
use millstream_tui::model::look::{Colours, Look, ThemeName};
use millstream_tui::model::view::Size;
use millstream_tui::msg::Msg;
use millstream_tui::runtime::painter::Painter;
use millstream_tui::theme::Theme;
use millstream_tui::update::update;
use millstream_tui::view;
use proptest::prelude::*;

use super::poison::{Poison, spared};
use crate::support::hostile::{MARK, can_be_seen, corpus, endless, is_allowed};

/// What the painter has written.
#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    /// Takes out what was written since.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of a model's first frame.
fn painted(model: &Model, look: &Look) -> Vec<u8> {
    let sink = Sink::default();
    let mut painter = Painter::new(sink.clone());
    painter.resize(model.size);
    let theme = Theme::of(look);
    painter
        .paint(|buffer| view::draw(model, &theme, buffer))
        .expect("into memory");
    sink.take()
}

const SCENES: [Shown; 13] = [
    Shown::Overview,
    Shown::Jobs,
    Shown::Job,
    Shown::Trace,
    Shown::Pending,
    Shown::Workers,
    Shown::Dead,
    Shown::Streams,
    Shown::Activity,
    Shown::Help,
    Shown::Dialog,
    Shown::Palette,
    Shown::Sent,
];
const STATES: [State; 6] = [
    State::Normal,
    State::NoMatch,
    State::Stale,
    State::BothLost,
    State::Failed,
    State::Frozen,
];
const SIZES: [(u16, u16); 6] = [(40, 12), (80, 24), (120, 40), (200, 50), (30, 8), (73, 61)];

fn size((width, height): (u16, u16)) -> Size {
    Size { width, height }
}

#[test]
fn every_text_of_a_model_is_poisoned_in_these_tests() {
    for state in STATES {
        let model = Poison::new(corpus()).spread(scene::model(Shown::Dialog, state, size((120, 40))));
        let spared = spared(&model);
        assert!(
            spared.is_empty(),
            "texts that `poison.rs` leaves as they are, in {state:?}: {spared:#?}"
        );
    }
}

#[test]
fn every_view_in_every_state_sends_only_what_can_be_seen() {
    let mut shown_mark = 0;
    for shown in SCENES {
        for state in STATES {
            for dimensions in SIZES {
                let mut poison = Poison::new(corpus());
                let model = poison.spread(scene::model(shown, state, size(dimensions)));
                let bytes = painted(&model, &Look::default());
                if let Err(found) = is_allowed(&bytes) {
                    panic!("{shown:?} {state:?} {dimensions:?}: {found}");
                }
                let text = String::from_utf8_lossy(&bytes);
                shown_mark += usize::from(text.contains(MARK));
            }
        }
    }
    assert!(
        shown_mark > 300,
        "hostile text was drawn in {shown_mark} frames only"
    );
}

#[test]
fn what_is_taken_out_is_shown() {
    let text = format!("{MARK}\u{1b}[2J\u{202e}gpj");
    let model = Poison::new(vec![text]).spread(scene::model(Shown::Jobs, State::Normal, size((200, 50))));
    let bytes = painted(&model, &Look::default());
    let sent = String::from_utf8_lossy(&bytes);
    assert!(sent.contains(&format!("{MARK}␛[2J\\u{{202e}}gpj")), "{sent}");
}

#[test]
fn a_line_of_ten_megabytes_is_drawn_as_far_as_it_can_be_seen() {
    for shown in SCENES {
        let mut texts = vec![format!("{MARK}short"); 97];
        texts[13] = endless();
        let model = Poison::new(texts).spread(scene::model(shown, State::Normal, size((200, 50))));
        let bytes = painted(&model, &Look::default());
        assert_eq!(is_allowed(&bytes), Ok(()), "{shown:?}");
        assert!(bytes.len() < 256 * 1024, "{shown:?}: {} bytes", bytes.len());
    }
}

#[test]
fn the_parser_of_these_tests_finds_what_it_looks_for() {
    for text in [
        "\u{1b}[6n",
        "\u{1b}]0;x\u{7}",
        "\u{9b}2J",
        "a\u{202e}b",
        "a\rb",
        "\u{1b}[?1000h",
    ] {
        assert!(is_allowed(text.as_bytes()).is_err(), "{text:?}");
    }
    for text in corpus()
        .iter()
        .filter(|text| text.chars().any(|c| c.is_control()))
    {
        assert!(can_be_seen(&text.replace('\n', "")).is_err(), "{text:?}");
    }
    assert_eq!(
        is_allowed("\u{1b}[1;1H\u{1b}[38;2;1;2;3mé漢\u{1b}[0m".as_bytes()),
        Ok(())
    );
}

fn look() -> impl Strategy<Value = Look> {
    let colours = prop::sample::select(vec![Colours::True, Colours::Indexed, Colours::Sixteen]);
    let theme = prop::sample::select(ThemeName::ALL.to_vec());
    (theme, colours, any::<bool>()).prop_map(|(theme, colours, ascii)| Look {
        theme,
        colours,
        ascii,
        still: true,
    })
}

/// Any text, and more often than chance would have it one of the corpus.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(corpus()),
        any::<String>().prop_map(|text| format!("{MARK}{text}")),
        prop::collection::vec(prop::sample::select(corpus()), 1..4).prop_map(|texts| texts.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_and_typed_only_what_can_be_seen_is_sent(
        texts in prop::collection::vec(text(), 1..12),
        shown in prop::sample::select(SCENES.to_vec()),
        state in prop::sample::select(STATES.to_vec()),
        dimensions in (1_u16..=220, 1_u16..=60),
        look in look(),
        keys in "[1-8jkGgtp/?@: *s<>ioaJ]{0,10}",
        pasted in text(),
    ) {
        let model = scene::model(shown, state, size(dimensions));
        let mut model = Poison::new(texts).spread(model);
        let sink = Sink::default();
        let mut painter = Painter::new(sink.clone());
        painter.resize(model.size);
        let theme = Theme::of(&look);
        let keys = keymap::parse(&keys).into_iter().flatten().map(Msg::Key);
        for msg in keys.chain([Msg::Paste(pasted)]) {
            update(&mut model, msg);
            painter.paint(|buffer| view::draw(&model, &theme, buffer)).expect("into memory");
            prop_assert_eq!(is_allowed(&sink.take()), Ok(()));
        }
    }
}
