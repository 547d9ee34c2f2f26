//! What a console sends over a line: little when nothing happens, and each frame as one piece.

use chrono::{DateTime, TimeDelta, Utc};
use millstream_tui::frame::scene::{self, Shown, State};
use millstream_tui::model::Model;
use millstream_tui::model::look::{Colours, Look};
use millstream_tui::model::view::Size;
use millstream_tui::model::workers::WorkerLine;
use millstream_tui::msg::{Answer, Msg};
use millstream_tui::runtime::painter::Painter;
use millstream_tui::sample;
use millstream_tui::theme::Theme;
use millstream_tui::update::update;
use millstream_tui::view;

use super::hostile::Sink;

const SMALL: Size = Size {
    width: 80,
    height: 24,
};
/// Seconds that are looked at.
const SECONDS: i64 = 60;
/// Ticks of the clock in each of them.
const TICKS: i64 = 4;
/// Bytes a second of a screen on which nothing happens.
const IDLE: usize = 200;
/// Bytes of a refresh of the first screen on which everything moves.
const REFRESH: usize = 4 * 1024;

/// A console whose terminal is memory and whose clock is moved.
struct Watched {
    model: Model,
    theme: Theme,
    painter: Painter<Sink>,
    sink: Sink,
}

impl Watched {
    fn new(mut model: Model) -> Self {
        model.size = SMALL;
        let sink = Sink::default();
        let mut painter = Painter::new(sink.clone());
        painter.resize(SMALL);
        // The longest sequences that a cell can need.
        let look = Look {
            colours: Colours::True,
            ..Look::default()
        };
        Self {
            model,
            theme: Theme::of(&look),
            painter,
            sink,
        }
    }

    /// Takes a message, draws, and answers what was sent.
    fn take(&mut self, msg: Msg) -> Vec<u8> {
        update(&mut self.model, msg);
        let (model, theme) = (&self.model, &self.theme);
        self.painter
            .paint(|buffer| view::draw(model, theme, buffer))
            .expect("into memory");
        self.sink.take()
    }

    fn tick(&mut self, ticks: i64) -> Vec<u8> {
        let now = self.model.now + TimeDelta::milliseconds(1_000 / TICKS * ticks);
        self.take(Msg::Tick { now })
    }
}

/// The answers of a system in which nothing has changed.
fn same_again(model: &Model) -> Vec<Answer> {
    let queue = model.overview.queue.value().cloned().map(Answer::Queue);
    let ledger = model.overview.ledger.value().cloned().map(Answer::Ledger);
    let workers = model
        .workers
        .page
        .value()
        .map(|page| Answer::Workers(page.rows.clone()));
    let jobs = model.jobs.page.value().cloned().map(Answer::Jobs);
    let pending = model.pending.page.value().cloned().map(Answer::Pending);
    let dead = model.dead.page.value().cloned().map(Answer::Dead);
    let streams = model.streams.page.value().cloned().map(Answer::Streams);
    let activity = model.activity.page.value().cloned().map(Answer::Activity);
    [queue, ledger, workers, jobs, pending, dead, streams, activity]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn an_idle_screen_sends_hardly_anything() {
    let views = [
        Shown::Overview,
        Shown::Jobs,
        Shown::Pending,
        Shown::Workers,
        Shown::Dead,
        Shown::Streams,
        Shown::Activity,
        Shown::Help,
    ];
    for shown in views {
        let mut watched = Watched::new(scene::model(shown, State::Empty, SMALL));
        watched.tick(0);
        let answers = same_again(&watched.model);
        let mut sent = 0;
        for _second in 0..SECONDS {
            for answer in &answers {
                sent += watched
                    .take(Msg::Answer(Box::new(beating(answer, watched.model.now))))
                    .len();
            }
            sent += (0..TICKS).map(|_| watched.tick(1).len()).sum::<usize>();
        }
        let rate = sent / SECONDS as usize;
        println!("{shown:?}: {rate} bytes/s idle");
        let last = String::from_utf8_lossy(&watched.tick(TICKS)).into_owned();
        assert!(rate <= IDLE, "{shown:?}: {rate} bytes/s, of a second {last:?}");
    }
}

/// The same answer a second later: workers have beaten meanwhile.
fn beating(answer: &Answer, now: DateTime<Utc>) -> Answer {
    match answer {
        Answer::Workers(rows) => {
            let beaten = |row: &WorkerLine| WorkerLine {
                beat_at: now,
                ..row.clone()
            };
            Answer::Workers(rows.iter().map(beaten).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn a_refresh_in_which_everything_moves_fits_into_four_kilobytes() {
    let mut watched = Watched::new(sample::story());
    watched.tick(0);
    let mut most = 0;
    for second in 1..=SECONDS {
        let mut sent = 0;
        for answer in moving(&watched.model, second) {
            sent += watched.take(Msg::Answer(Box::new(answer))).len();
        }
        sent += (0..TICKS).map(|_| watched.tick(1).len()).sum::<usize>();
        most = most.max(sent);
    }
    println!("a refresh: at most {most} bytes");
    assert!(most <= REFRESH, "{most} bytes");
}

/// The answers of a busy second: every figure is another one, and the charts move on.
fn moving(model: &Model, second: i64) -> Vec<Answer> {
    let turn = second.unsigned_abs();
    let mut answers = Vec::new();
    if let Some(mut queue) = model.overview.queue.value().cloned() {
        queue.waiting = 100 + turn * 37 % 211;
        queue.pending = 10 + turn * 7 % 23;
        queue.parked = turn * 5 % 17;
        queue.oldest_waiting = Some(std::time::Duration::from_secs(20 + turn * 3 % 40));
        answers.push(Answer::Queue(queue));
    }
    if let Some(mut ledger) = model.overview.ledger.value().cloned() {
        ledger.counts.done += turn * 13 % 29;
        ledger.counts.accepted += turn * 11 % 31;
        ledger.in_per_s = (turn * 17 % 90) as f64 / 10.0;
        ledger.out_per_s = (turn * 19 % 90) as f64 / 10.0;
        for flow in &mut ledger.flow {
            flow.second += 1;
        }
        answers.push(Answer::Ledger(ledger));
    }
    if let Some(page) = model.workers.page.value() {
        let mut rows = page.rows.clone();
        for (nth, row) in (0..).zip(&mut rows) {
            row.busy = u32::try_from((turn + nth) % 5).unwrap_or(0);
            row.done += 1;
            row.beat_at = model.now;
        }
        answers.push(Answer::Workers(rows));
    }
    answers
}

#[test]
fn a_frame_is_one_piece_for_the_terminal() {
    let mut watched = Watched::new(sample::story());
    let first = watched.tick(0);
    let text = String::from_utf8(first).expect("text");
    assert!(text.starts_with("\u{1b}[?2026h") && text.ends_with("\u{1b}[?2026l"));
    let next = String::from_utf8(watched.tick(TICKS)).expect("text");
    assert!(next.starts_with("\u{1b}[?2026h") && next.ends_with("\u{1b}[?2026l"));
    assert_eq!(next.matches("\u{1b}[?2026h").count(), 1);
    assert_eq!(
        watched.tick(0),
        Vec::<u8>::new(),
        "nothing has changed, so nothing is sent"
    );
}
