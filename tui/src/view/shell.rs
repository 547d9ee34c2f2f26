//! What is around every view: header, tabs, the message of the moment, the keys that work here.

use chrono::{DateTime, Utc};
use ratatui::style::{Modifier, Style};

use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::keymap;
use crate::model::connection::{Lamp, LampState, Server};
use crate::model::look::Tint;
use crate::model::notice::Tone;
use crate::model::view::View;
use crate::model::{Access, Model};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// Draws it.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model) {
    header(canvas, model);
    if Room::of(canvas.width()) == Room::Narrow {
        one_tab(canvas, model);
    } else {
        tabs(canvas, model);
    }
    let height = canvas.height();
    if Room::of(canvas.width()) == Room::Narrow {
        if model.notice.is_some() {
            message(&mut canvas.below(height - 1), model);
            return;
        }
    } else {
        message(&mut canvas.below(height - 2), model);
    }
    keys(&mut canvas.below(height - 1), model);
}

/// The part that is left for the view.
pub fn body<'b>(canvas: &'b mut Canvas<'_>) -> Canvas<'b> {
    let height = canvas.height();
    let (top, bottom) = match Room::of(canvas.width()) {
        Room::Narrow => (2, 1),
        Room::Medium | Room::Wide => (3, 2),
    };
    canvas.part(0, top, u16::MAX, height.saturating_sub(top + bottom))
}

/// Row 1: what is looked at, and how it is. The shortest wording that fits both sides.
fn header(canvas: &mut Canvas<'_>, model: &Model) {
    let width = canvas.width();
    let rooms = [Room::Wide, Room::Medium, Room::Narrow];
    let [wide, medium, narrow] = rooms.map(|room| condition(canvas, model, room));
    // How the servers are matters more than the whole name of what is looked at.
    let sides = [
        (place(canvas, model, Room::Wide), wide),
        (place(canvas, model, Room::Medium), medium.clone()),
        (place(canvas, model, Room::Narrow), medium),
        (place(canvas, model, Room::Narrow), narrow),
    ];
    let fits = |(left, right): &&(Words, Words)| left.width() + right.width() + 4 <= width;
    let (left, right) = sides.iter().find(fits).unwrap_or(&sides[3]);
    let start = canvas.words_before(width.saturating_sub(1), 0, right);
    canvas.fitted(1, 0, left, start.saturating_sub(3));
}

fn place(canvas: &Canvas<'_>, model: &Model, room: Room) -> Words {
    let (theme, profile) = (canvas.theme, &model.profile);
    let name_style = tint(theme, profile.tint).add_modifier(Modifier::BOLD);
    let queue = Words::outside(&profile.queue, theme.text);
    let mut name = Words::outside(&profile.name, name_style);
    if profile.is_production {
        // The word, too: a colour alone is no warning for everybody.
        name = Words::of(" PROD ", theme.danger).gap(1).then(name);
    }
    if room == Room::Narrow {
        return name.gap(1).then(queue);
    }
    Words::of("millstream", theme.strong())
        .gap(if room == Room::Wide { 2 } else { 1 })
        .then(name)
        .gap(2)
        .then(queue)
        .and(format!(" {} ", glyph::WITHIN), theme.muted)
        .and_outside(&profile.group, theme.text)
}

/// What the colour of a profile looks like in this theme.
const fn tint(theme: &Theme, tint: Option<Tint>) -> Style {
    match tint {
        None | Some(Tint::Blue) => theme.accent,
        Some(Tint::Green) => theme.ok,
        Some(Tint::Yellow) => theme.retrying,
        Some(Tint::Red) => theme.dead,
        Some(Tint::Magenta) => theme.lost,
        Some(Tint::Cyan) => theme.busy,
    }
}

/// Own load, lamps, clock, interval, what may be done.
fn condition(canvas: &Canvas<'_>, model: &Model, room: Room) -> Words {
    let theme = canvas.theme;
    let connection = &model.connection;
    let gap = if room == Room::Wide { 2 } else { 1 };
    let words = recording(canvas, model, room)
        .then(urgent(canvas, model, room))
        .then(lamp(
            canvas,
            (Server::Valkey, &connection.valkey),
            model.now,
            room,
        ))
        .gap(gap)
        .then(lamp(
            canvas,
            (Server::Postgres, &connection.postgres),
            model.now,
            room,
        ))
        .gap(if room == Room::Narrow { 1 } else { 2 })
        .and(format::clock_with_zone(model.server_now()), theme.muted);
    if room == Room::Narrow {
        return match model.access {
            Access::ReadOnly | Access::OnlyRead => words.gap(1).and("RO", theme.marked),
            Access::ReadWrite => words,
        };
    }
    let interval = model
        .interval
        .map_or("paused".to_owned(), |every| format!("{} s", every.as_secs()));
    let access = match model.access {
        Access::ReadOnly | Access::OnlyRead => "RO",
        Access::ReadWrite => "rw",
    };
    let is_lost = connection.valkey.is_lost() || connection.postgres.is_lost();
    // Who waits for a server does not ask how often it is asked when it is there.
    let words = if is_lost {
        words
    } else {
        words.gap(gap).and(interval, theme.muted)
    };
    words.gap(gap).and(access, theme.marked)
}

/// That this is being recorded, for how long, and how much of the room for it is used once that is most of it.
fn recording(canvas: &Canvas<'_>, model: &Model, room: Room) -> Words {
    let Some(recording) = &model.recording else {
        return Words::default();
    };
    let style = canvas.theme.dead.add_modifier(Modifier::BOLD);
    let words = match room {
        Room::Narrow | Room::Medium => Words::of("REC", style),
        Room::Wide => {
            let since = format::age(format::between(recording.since, model.now));
            Words::of(format!("REC {since}"), style)
        }
    };
    let words = if recording.used_percent >= 80 {
        words.and(format!(" {}%", recording.used_percent), style)
    } else {
        words
    };
    words.gap(if room == Room::Wide { 2 } else { 1 })
}

/// What has to be said first: the screen stands still, a server is away; else our own load.
fn urgent(canvas: &Canvas<'_>, model: &Model, room: Room) -> Words {
    let theme = canvas.theme;
    if let Some(frozen) = &model.frozen {
        let since = format::age(format::between(frozen.since, model.now));
        let text = match room {
            Room::Narrow => "FROZEN".to_owned(),
            Room::Medium => format!("FROZEN {since}"),
            Room::Wide => format!("FROZEN {since}, {} new", format::count(frozen.new)),
        };
        return Words::of(text, theme.accent.add_modifier(Modifier::BOLD)).gap(2);
    }
    let lamps = [&model.connection.valkey, &model.connection.postgres];
    let next = lamps.into_iter().filter_map(|lamp| match &lamp.state {
        LampState::Lost { next_try, .. } => Some(*next_try),
        LampState::Connecting | LampState::Up { .. } => None,
    });
    match (next.min(), room) {
        (Some(at), Room::Wide | Room::Medium) => {
            let left = format::between(model.now, at).as_millis().div_ceil(1_000);
            let text = if room == Room::Wide {
                format!("RECONNECTING IN {left} s")
            } else {
                format!("RETRY {left} s")
            };
            Words::of(text, theme.lost.add_modifier(Modifier::BOLD)).gap(2)
        }
        (None, Room::Wide) => {
            let load = model.connection.load;
            let text = format!("{:.0} cmd/s {:.0} q/s", load.commands_per_s, load.queries_per_s);
            Words::of(text, theme.muted).gap(2)
        }
        _ => Words::default(),
    }
}

fn lamp(canvas: &Canvas<'_>, (server, lamp): (Server, &Lamp), now: DateTime<Utc>, room: Room) -> Words {
    let theme = canvas.theme;
    let name = match room {
        Room::Wide => format!(" {}", server.word()),
        Room::Medium | Room::Narrow => server.word().chars().take(1).collect(),
    };
    let lost = theme.lost.add_modifier(Modifier::BOLD);
    match (&lamp.state, room) {
        (LampState::Up { .. }, Room::Narrow) => Words::of(glyph::LAMP, theme.ok).and(name, theme.muted),
        (LampState::Up { latency }, _) => {
            let time = format::latency(*latency);
            let time = if room == Room::Wide {
                time
            } else {
                time.trim_end_matches(" ms").to_owned()
            };
            Words::of(glyph::LAMP, theme.ok).and(format!("{name} {time}"), theme.muted)
        }
        (LampState::Connecting, _) => Words::of(glyph::LATER, theme.muted).and(name, theme.muted),
        (LampState::Lost { .. }, Room::Narrow) => Words::of(glyph::LAMP_OUT, lost).and(name, lost),
        (LampState::Lost { since, .. }, _) => {
            let age = format::age(format::between(*since, now));
            Words::of(glyph::LAMP_OUT, lost).and(format!("{name} lost {age}"), lost)
        }
    }
}

/// Rows 2 and 3: the views with their numbers and counts, and a rule that is heavy under the open one.
fn tabs(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let wide = Room::of(canvas.width()) == Room::Wide;
    let width = canvas.width();
    canvas.fill(0, 2, width, glyph::RULE, theme.rule);
    let start = if wide { 2 } else { 1 };
    let gap = if wide { 3 } else { 2 };
    let widest = |tabs: &[(View, Words)]| {
        let words: u16 = tabs.iter().map(|(_, words)| words.width() + gap).sum();
        start + words
    };
    // A figure too many would push the last view off the screen.
    let choices = [(wide, true), (false, true), (false, false)];
    let all = choices.map(|(long, counted)| tab_words(canvas, model, long, counted));
    let tabs = all
        .iter()
        .find(|tabs| widest(tabs) <= width + gap)
        .unwrap_or(&all[2]);
    let mut x = start;
    for (view, words) in tabs {
        let end = canvas.words(x, 1, words);
        if model.view().tab() == *view {
            canvas.fill(x - 1, 2, end - x + 2, glyph::HEAVY, theme.accent);
        }
        x = end + gap;
    }
    // As much as there is room for behind the last tab.
    let hints = [
        (&[CommandId::Palette, CommandId::Help][..], true),
        (&[CommandId::Help][..], false),
    ];
    let hints = hints.map(|(commands, wordy)| hint_words(canvas, model, commands, wordy));
    if let Some(words) = hints.iter().find(|words| x + words.width() + 2 <= width + gap) {
        canvas.words_before(width.saturating_sub(1), 1, words);
    }
}

/// Keys that work everywhere, with their words or without.
fn hint_words(canvas: &Canvas<'_>, model: &Model, commands: &[CommandId], wordy: bool) -> Words {
    commands.iter().fold(Words::default(), |words, command| {
        let key = keymap::key(model, *command).map_or_else(String::new, keymap::Key::label);
        let text = if wordy {
            format!("{key} {}", command.command().short)
        } else {
            key
        };
        let gap = if words.is_empty() { 0 } else { 2 };
        words.gap(gap).and(text, canvas.theme.muted)
    })
}

/// The tabs, with long names or short ones, with their figures or without.
fn tab_words(canvas: &Canvas<'_>, model: &Model, long: bool, counted: bool) -> Vec<(View, Words)> {
    let theme = canvas.theme;
    let tab = |(number, view): (char, View)| {
        let is_open = model.view().tab() == view;
        let style = if is_open { theme.strong() } else { theme.muted };
        let name = if long { view.name() } else { view.short_name() };
        let words = Words::of(format!("{number} {name}"), style);
        let count = if counted {
            tab_count(canvas, model, view, style)
        } else {
            Words::default()
        };
        (view, words.then(count))
    };
    View::TABS.map(tab).into()
}

/// The figure behind a tab: workers that are there, jobs that are dead.
fn tab_count(canvas: &Canvas<'_>, model: &Model, view: View, style: Style) -> Words {
    match view {
        View::Workers => {
            let count = model.workers.page.value().map(|page| page.rows.len());
            count.map_or_else(Words::default, |count| Words::of(format!(" {count}"), style))
        }
        View::Pending => {
            let queue = model.overview.queue.value().map(|queue| queue.pending);
            let own = model.pending.page.value().map(|page| page.total);
            // The open view's own figure is the newest one.
            let newest = if model.view() == View::Pending {
                own.or(queue)
            } else {
                queue.or(own)
            };
            newest.map_or_else(Words::default, |count| {
                Words::of(format!(" {}", format::count(count)), style)
            })
        }
        View::Dead => {
            let dead = model.overview.ledger.value().map(|ledger| ledger.counts.dead);
            let own = model.dead.page.value().map(|page| page.total);
            let dead = if model.view() == View::Dead {
                own.or(dead)
            } else {
                dead.or(own)
            };
            let dead = dead.unwrap_or(0);
            match dead {
                0 => Words::default(),
                dead => Words::of(
                    format!(" {} {}", format::count(dead), glyph::DEAD),
                    canvas.theme.dead,
                ),
            }
        }
        View::Overview | View::Jobs | View::Job | View::Trace | View::Streams | View::Activity => {
            Words::default()
        }
    }
}

/// Rows 2 and 3 of a narrow screen: the open view in a heavy rule.
fn one_tab(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let width = canvas.width();
    canvas.fill(0, 1, width, glyph::RULE, theme.rule);
    let tab = model.view().tab();
    let number = View::TABS
        .into_iter()
        .find(|(_, view)| *view == tab)
        .map(|(number, _)| number);
    let name = number.map_or_else(String::new, |number| {
        format!(" {number} {} ", model.view().name())
    });
    canvas.put(0, 1, glyph::HEAVY, theme.accent);
    let end = canvas.put(1, 1, &name, theme.strong());
    canvas.put(end, 1, glyph::HEAVY, theme.accent);
}

/// A rule, with the message of the moment in it.
fn message(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let width = canvas.width();
    canvas.fill(0, 0, width, glyph::RULE, theme.rule);
    let Some(notice) = &model.notice else {
        return;
    };
    let (glyph, style) = match notice.tone {
        Tone::Good => (glyph::DONE, theme.ok),
        Tone::Plain => (glyph::WITHIN, theme.accent),
        Tone::Bad => (glyph::DEAD, theme.dead),
    };
    let words = Words::of(format!(" {glyph} "), style)
        .and_outside(&notice.text, theme.strong())
        .and(" ", theme.text);
    canvas.fitted(1, 0, &words, width.saturating_sub(2));
}

/// The last row: keys and words, as many as fit, help always among them.
fn keys(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let gap = if Room::of(canvas.width()) == Room::Wide {
        3
    } else {
        2
    };
    let key = |label: &str, word: &str| {
        Words::of(label, theme.accent.add_modifier(Modifier::BOLD))
            .gap(1)
            .and(word, theme.muted)
    };
    let (all, last) = if model.typing.is_some() {
        (
            vec![key("Enter", "keep the filter"), key("Esc", "take it back")],
            Words::default(),
        )
    } else {
        let hints = keymap::footer(model);
        let is_help = |hint: &&keymap::Hint| hint.command == CommandId::Help;
        let help = hints.iter().find(is_help).map(|hint| key(&hint.keys, hint.short));
        let others = hints.iter().filter(|hint| !is_help(hint));
        let words = |hint: &keymap::Hint| match hint.refusal {
            None => key(&hint.keys, hint.short),
            Some(_) => Words::of(format!("{} {}", hint.keys, hint.short), theme.muted),
        };
        (others.map(words).collect(), help.unwrap_or_default())
    };
    let end = canvas.width().saturating_sub(1 + last.width() + gap);
    let mut x = 1;
    for words in all {
        if x + words.width() > end {
            break;
        }
        x = canvas.words(x, 0, &words) + gap;
    }
    canvas.words(x, 0, &last);
}
