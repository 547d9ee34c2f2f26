//! The pictures that are compared, one file each in `snapshots/`.

use millstream_tui::frame::scene::{self, Shown, State};
use millstream_tui::frame::{ansi, picture, runs, svg, text};
use millstream_tui::model::look::{Colours, Look, ThemeName};
use millstream_tui::model::view::Size;
use millstream_tui::theme::Theme;
use ratatui::buffer::Buffer;

const NARROW: Size = Size {
    width: 40,
    height: 12,
};
const SMALL: Size = Size {
    width: 80,
    height: 24,
};
const USUAL: Size = Size {
    width: 120,
    height: 40,
};
const LARGE: Size = Size {
    width: 200,
    height: 50,
};

const DARK: Look = look(ThemeName::Dark, false);
const LIGHT: Look = look(ThemeName::Light, false);
const COLOUR_BLIND: Look = look(ThemeName::ColourBlind, false);
const MONO: Look = look(ThemeName::Mono, false);
const ASCII: Look = look(ThemeName::Dark, true);

const fn look(theme: ThemeName, ascii: bool) -> Look {
    Look {
        theme,
        colours: Colours::True,
        ascii,
        still: true,
    }
}

fn draw(shown: Shown, state: State, size: Size, look: &Look) -> Buffer {
    let model = scene::model(shown, state, size);
    picture(&model, &Theme::of(look), (size.width, size.height))
}

/// Compares one picture with its file.
fn check(shown: Shown, state: State, size: Size, look: &Look) {
    let charset = if look.ascii { "ascii" } else { look.theme.word() };
    let name = format!("{shown:?}-{state:?}-{}x{}-{charset}", size.width, size.height).to_lowercase();
    insta::with_settings!({
        omit_expression => true,
        prepend_module_to_snapshot => false,
        snapshot_path => "snapshots",
    }, {
        insta::assert_snapshot!(name, runs::write(&draw(shown, state, size, look)));
    });
}

const VIEWS: [Shown; 9] = [
    Shown::Overview,
    Shown::Jobs,
    Shown::Job,
    Shown::Pending,
    Shown::Workers,
    Shown::Dead,
    Shown::Trace,
    Shown::Streams,
    Shown::Activity,
];
const FLOATING: [Shown; 4] = [Shown::Help, Shown::Dialog, Shown::Palette, Shown::Sent];

#[test]
fn every_view_at_every_size() {
    for shown in VIEWS {
        for size in [NARROW, SMALL, USUAL, LARGE] {
            check(shown, State::Normal, size, &DARK);
        }
    }
}

#[test]
fn every_view_in_every_theme() {
    for shown in VIEWS {
        for look in [LIGHT, COLOUR_BLIND, MONO] {
            check(shown, State::Normal, SMALL, &look);
        }
    }
}

#[test]
fn every_view_in_ascii() {
    for shown in VIEWS {
        check(shown, State::Normal, USUAL, &ASCII);
        let buffer = draw(shown, State::Normal, USUAL, &ASCII);
        assert!(text::write(&buffer).is_ascii(), "{shown:?}");
    }
}

#[test]
fn what_floats() {
    for shown in FLOATING {
        for size in [NARROW, SMALL, USUAL] {
            check(shown, State::Normal, size, &DARK);
        }
        check(shown, State::Normal, SMALL, &MONO);
    }
}

#[test]
fn what_lies_one_key_deeper() {
    for shown in [
        Shown::Stream,
        Shown::StreamConsumers,
        Shown::StreamGroups,
        Shown::TraceSkewed,
        Shown::DeadLetters,
        Shown::Fleet,
    ] {
        for size in [NARROW, SMALL, USUAL] {
            check(shown, State::Normal, size, &DARK);
        }
    }
}

#[test]
fn the_row_under_the_cursor_is_told_beside_the_list_of_a_wide_screen() {
    let wide = Size {
        width: 160,
        height: 40,
    };
    for shown in [
        Shown::Jobs,
        Shown::Pending,
        Shown::Workers,
        Shown::Dead,
        Shown::Streams,
        Shown::Activity,
    ] {
        check(shown, State::Normal, wide, &DARK);
    }
}

#[test]
fn the_overview_in_every_condition() {
    let states = [
        State::Empty,
        State::Loading,
        State::Stale,
        State::ValkeyLost,
        State::BothLost,
        State::Failed,
        State::ReadOnly,
        State::Frozen,
    ];
    for state in states {
        check(Shown::Overview, state, USUAL, &DARK);
        check(Shown::Overview, state, SMALL, &LIGHT);
    }
    check(Shown::Overview, State::ValkeyLost, NARROW, &DARK);
    check(Shown::Overview, State::BothLost, USUAL, &MONO);
}

#[test]
fn the_other_views_in_their_conditions() {
    for shown in VIEWS.into_iter().filter(|shown| *shown != Shown::Overview) {
        for state in [
            State::Empty,
            State::Loading,
            State::NoMatch,
            State::Stale,
            State::Failed,
            State::ReadOnly,
        ] {
            check(shown, state, SMALL, &DARK);
        }
    }
    check(Shown::Workers, State::ValkeyLost, SMALL, &DARK);
    check(Shown::Trace, State::BothLost, SMALL, &DARK);
    check(Shown::Job, State::BothLost, SMALL, &DARK);
    check(Shown::Help, State::ReadOnly, USUAL, &DARK);
}

#[test]
fn the_lists_while_servers_are_away() {
    for shown in [
        Shown::Jobs,
        Shown::Pending,
        Shown::Dead,
        Shown::Workers,
        Shown::Streams,
        Shown::Activity,
    ] {
        check(shown, State::BothLost, USUAL, &DARK);
    }
    // Without colours what is old says so in words.
    check(Shown::Jobs, State::BothLost, SMALL, &MONO);
    check(Shown::Jobs, State::BothLost, NARROW, &DARK);
}

#[test]
fn a_screen_that_is_too_small_says_what_matters() {
    for (width, height) in [(39, 9), (39, 12), (20, 3), (1, 1)] {
        check(Shown::Overview, State::Normal, Size { width, height }, &DARK);
    }
}

#[test]
fn a_change_of_colour_alone_is_a_change() {
    let [dark, light] = [DARK, LIGHT].map(|look| draw(Shown::Jobs, State::Normal, SMALL, &look));
    assert_eq!(text::write(&dark), text::write(&light));
    assert_ne!(runs::write(&dark), runs::write(&light));
}

#[test]
fn the_same_picture_can_be_written_for_a_terminal_and_for_a_page() {
    let buffer = draw(Shown::Overview, State::Normal, USUAL, &DARK);
    let sent = ansi::write(&buffer);
    assert_eq!(sent.lines().count(), usize::from(USUAL.height));
    assert!(sent.lines().all(|line| line.ends_with("\u{1b}[0m")));
    let page = svg::write(&buffer, "a <title> & more");
    assert!(page.starts_with("<svg") && page.ends_with("</svg>\n"));
    assert!(page.contains("a &lt;title&gt; &amp; more") && page.contains("#0e1318"));
}

#[test]
fn nothing_from_outside_reaches_the_terminal_unseen() {
    for shown in VIEWS.into_iter().chain(FLOATING) {
        let plain = text::write(&draw(shown, State::Normal, LARGE, &DARK));
        let obeyed = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
        };
        assert!(!plain.chars().any(obeyed), "{shown:?}");
    }
    let jobs = text::write(&draw(Shown::Jobs, State::Normal, USUAL, &DARK));
    assert!(
        jobs.contains("fix\\u{202e}gpj.patch ␛[31m"),
        "the hostile title of the story is shown as it is"
    );
}
