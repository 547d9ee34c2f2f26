//! From a key to the finished frame on a screen of 200x50, with as much in it as the console ever shows.
//!
//! `cargo bench -p millstream-tui --bench console` measures what the console does between a message that comes
//! in and the bytes that leave: `update`, `view`, the difference to the frame before, and its encoding. The bytes
//! go into memory; how fast a terminal shows them is the terminal's. It fails when 99 of 100 frames are not
//! drawn within 16 ms, which is one frame of a screen, or when a trace of 10,000 spans is not on the screen within 200 ms
//! of its answer.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millstream_tui::keymap::Key;
use millstream_tui::model::Model;
use millstream_tui::model::look::{Colours, Look};
use millstream_tui::msg::{Answer, Msg};
use millstream_tui::runtime::painter::Painter;
use millstream_tui::sample;
use millstream_tui::theme::Theme;
use millstream_tui::update::update;
use millstream_tui::view;

/// Messages that are measured in each view.
const MESSAGES: usize = 2_000;
/// One frame of a screen at 60 Hz.
const FRAME: Duration = Duration::from_millis(16);

/// The first frame of a trace of 10,000 spans.
const FIRST_PAINT: Duration = Duration::from_millis(200);
/// How often that is measured.
const PAINTS: usize = 50;

/// Keeps what a frame writes until the next one, as a terminal's buffer would.
struct Sink {
    bytes: Vec<u8>,
    written: Arc<AtomicUsize>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.written.fetch_add(self.bytes.len(), Ordering::Relaxed);
        self.bytes.clear();
        Ok(())
    }
}

/// A console whose terminal is memory.
struct Bench {
    model: Model,
    theme: Theme,
    painter: Painter<Sink>,
    written: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        let model = sample::crowd();
        let look = Look {
            // The longest sequences that a cell can need.
            colours: Colours::True,
            ..Look::default()
        };
        let written = Arc::new(AtomicUsize::new(0));
        let mut painter = Painter::new(Sink {
            bytes: Vec::new(),
            written: Arc::clone(&written),
        });
        painter.resize(model.size);
        Self {
            model,
            theme: Theme::of(&look),
            painter,
            written,
        }
    }

    /// What is done between a message and its frame; answers how long it took and how many bytes it wrote.
    fn take(&mut self, msg: Msg) -> io::Result<(Duration, usize)> {
        let before = self.written.load(Ordering::Relaxed);
        let begun = Instant::now();
        let _effects = update(&mut self.model, msg);
        let (model, theme) = (&self.model, &self.theme);
        self.painter.paint(|buffer| view::draw(model, theme, buffer))?;
        let took = begun.elapsed();
        Ok((took, self.written.load(Ordering::Relaxed) - before))
    }

    /// Goes to a view by its keys, then takes these messages again and again; answers the measurements.
    fn measure(&mut self, way: &str, messages: &[Msg]) -> io::Result<Vec<(Duration, usize)>> {
        for key in keys(way) {
            self.take(key)?;
        }
        let again = messages.iter().cycle().take(MESSAGES);
        again.map(|msg| self.take(msg.clone())).collect()
    }
}

/// Keys as they are typed; `>` is Enter, `<` is Esc, `v` and `^` are a page down and up.
fn keys(typed: &str) -> Vec<Msg> {
    typed
        .chars()
        .map(|key| {
            Msg::Key(match key {
                '>' => Key::Enter,
                '<' => Key::Esc,
                'v' => Key::PageDown,
                '^' => Key::PageUp,
                '~' => Key::Backspace,
                other => Key::Char(other),
            })
        })
        .collect()
}

/// The answers that a refresh brings, with everything in them.
fn refresh(model: &Model) -> Vec<Msg> {
    let answers = [
        model.overview.queue.value().cloned().map(Answer::Queue),
        model.overview.ledger.value().cloned().map(Answer::Ledger),
        model.jobs.page.value().cloned().map(Answer::Jobs),
        model
            .workers
            .page
            .value()
            .map(|page| Answer::Workers(page.rows.clone())),
    ];
    let answers = answers.into_iter().flatten();
    answers.map(|answer| Msg::Answer(Box::new(answer))).collect()
}

/// What is measured: a name, the keys that lead there, and what happens there.
fn scripts() -> Vec<(&'static str, &'static str, Vec<Msg>)> {
    let refresh = refresh(&sample::crowd());
    vec![
        ("Overview", "1", keys("jjjkvv^?<")),
        ("Jobs", "2", keys("jjjkvvv^GgsSS*u?<")),
        ("Jobs, filter typed", "2/", keys("mastra~~~~~~")),
        ("Job", "2>", keys("jkvv^?<t<")),
        ("Workers", "4", keys("jjjkvv^Ggss?<")),
        ("Trace", "6", keys("jjjkvvv^Ggcm>?<")),
        ("from view to view", "1", keys("2461vjk2>t<<46:wo<")),
        ("a refresh, Overview", "1", refresh.clone()),
        ("a refresh, Jobs", "2", refresh.clone()),
        ("a refresh, Workers", "4", refresh),
    ]
}

fn main() -> io::Result<ExitCode> {
    println!("200x50, 2,000 jobs, 64 workers, 500 spans; {MESSAGES} messages each");
    println!(
        "{:<20} {:>8} {:>8} {:>8} {:>9} {:>9}",
        "", "p50 ms", "p99 ms", "max ms", "p50 B", "max B"
    );
    let mut slow = Vec::new();
    for (name, way, messages) in scripts() {
        let (mut times, mut sizes): (Vec<_>, Vec<_>) =
            Bench::new().measure(way, &messages)?.into_iter().unzip();
        times.sort_unstable();
        sizes.sort_unstable();
        let ms = |percent| at(&times, percent).as_secs_f64() * 1000.0;
        println!(
            "{name:<20} {:>8.2} {:>8.2} {:>8.2} {:>9} {:>9}",
            ms(50),
            ms(99),
            ms(100),
            at(&sizes, 50),
            at(&sizes, 100)
        );
        if at(&times, 99) > FRAME {
            slow.push(name);
        }
    }
    let paint = first_paint()?;
    println!(
        "10,000 spans, from the answer to the first frame: at most {:.1} ms",
        paint.as_secs_f64() * 1000.0
    );
    if !slow.is_empty() {
        println!("99 of 100 take longer than {FRAME:?}: {}", slow.join(", "));
    }
    if paint > FIRST_PAINT {
        println!("the first frame of a long trace takes longer than {FIRST_PAINT:?}");
    }
    let kept = slow.is_empty() && paint <= FIRST_PAINT;
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The longest time from the answer with 10,000 spans to the frame that shows them.
fn first_paint() -> io::Result<Duration> {
    let facts = sample::long_trace();
    let mut longest = Duration::ZERO;
    for _ in 0..PAINTS {
        let mut bench = Bench::new();
        for key in keys("6") {
            bench.take(key)?;
        }
        let id = bench.model.trace.id.unwrap_or(facts.line.id);
        let answer = Answer::Trace(id, Some(facts.clone()));
        let (took, _bytes) = bench.take(Msg::Answer(Box::new(answer)))?;
        longest = longest.max(took);
    }
    Ok(longest)
}

/// The smallest value that so many per cent do not exceed.
fn at<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}
