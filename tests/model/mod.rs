//! The model test: whatever happens in whatever order, no promise is broken.
//!
//! A case is a list of steps: jobs are accepted, workers fetch, start, end and let go, are killed, frozen and robbed,
//! replies are lost, time passes, operators interfere, Valkey loses what it holds. Each step is done to a real queue
//! and a real ledger, by the functions that the engine's loops call, and to a model of both in memory. After every
//! step both servers must say what the model says, and the promises are asked of them once more without it. At the end
//! everything is healed, and then every job has ended and nothing is left over.
//!
//! No time passes by itself: the clocks of leases, heartbeats and due times are moved by steps. So a case depends on
//! its steps only, and the seed of a case that fails repeats it.

mod case;
mod duties;
mod fleet;
mod heal;
mod ledger;
mod operator;
mod promises;
mod site;
mod step;
mod stream;
mod worker;

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use millstream::domain::JobId;
use millstream::settings::process_environment;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Runtime;

use case::Case;
use site::Servers;
use step::Step;

/// Cases of the suite.
const CASES: u64 = 500;
/// Cases at a time. The servers are busy with two; the others wait for replies.
const THREADS: usize = 4;
/// So many cases may fail once and not again. A machine that stands still for seconds lets a call of each thread run out
/// of its time.
const ONCE: u64 = 3 * THREADS as u64;
/// How often a long run tells how far it is.
const TELL_EVERY: u64 = 1_000;
/// How many simplifications of a failing case are tried.
const SHRINKS: u32 = 2_000;
/// How long they may take.
const SHRINK_WITHIN_MS: u32 = 60_000;

/// How many cases are played, and the seed of the first; each next one has the next seed.
struct Plan {
    cases: u64,
    seed: u64,
}

impl Plan {
    fn read() -> Self {
        let number = |name: &str| {
            process_environment(name).map(|text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
            })
        };
        Self {
            cases: number("MILLSTREAM_SOAK_CASES").unwrap_or(CASES),
            seed: number("MILLSTREAM_MODEL_SEED").unwrap_or_else(fresh_seed),
        }
    }
}

/// A seed that nobody chose, short enough to be typed.
fn fresh_seed() -> u64 {
    u64::from(JobId::fresh().0.as_fields().0)
}

/// What the threads share.
struct Soak {
    plan: Plan,
    began: Instant,
    next: AtomicU64,
    /// A case has failed: whoever sees it first makes it short, and the others stop.
    failed: AtomicBool,
    /// Cases that failed once and not again.
    once: AtomicU64,
    report: Mutex<Option<String>>,
}

#[test]
fn whatever_happens_the_counts_add_up_and_no_promise_is_broken() {
    let soak = Soak {
        plan: Plan::read(),
        began: Instant::now(),
        next: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        once: AtomicU64::new(0),
        report: Mutex::new(None),
    };
    let Plan { cases, seed } = soak.plan;
    eprintln!("model: {cases} cases from seed {seed}");
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(usize::try_from(cases).unwrap_or(THREADS)) {
            scope.spawn(|| soak.play_on());
        }
    });
    if let Some(text) = soak.report.into_inner().expect("nobody panics with it in hand") {
        panic!("{text}");
    }
    let played = soak.next.load(Ordering::Relaxed);
    assert!(played >= cases, "only {played} cases were played");
    let once = soak.once.load(Ordering::Relaxed);
    eprintln!(
        "model: {cases} cases in {} s, {once} of them failed once and not again",
        soak.began.elapsed().as_secs()
    );
}

impl Soak {
    /// Plays cases until there are no more, or one has failed.
    fn play_on(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let servers = runtime.block_on(Servers::new()).expect("the servers are there");
        while !self.failed.load(Ordering::Relaxed) {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            if nth >= self.plan.cases {
                break;
            }
            self.play_one(&runtime, &servers, self.plan.seed.wrapping_add(nth));
            if (nth + 1).is_multiple_of(TELL_EVERY) {
                eprintln!("model: {} cases in {} s", nth + 1, self.began.elapsed().as_secs());
            }
        }
    }

    /// Plays the case of a seed; one that fails is made as short as it can be.
    fn play_one(&self, runtime: &Runtime, servers: &Servers, seed: u64) {
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: SHRINKS,
            max_shrink_time: SHRINK_WITHIN_MS,
            ..Config::default()
        };
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let mine = Cell::new(false);
        let outcome = runner.run(&step::steps(), |steps| {
            let (_, mut played) = runtime.block_on(play(servers, &steps));
            if let (Err(error), false) = (&played, mine.get()) {
                // A case depends on its steps only. A call of the engine that ran out of its seconds is the machine's
                // doing and does not come again; it may show in what was not done after it.
                let again = runtime.block_on(play(servers, &steps)).1;
                if again.is_ok() {
                    let once = self.once.fetch_add(1, Ordering::Relaxed);
                    assert!(
                        once < ONCE,
                        "too many cases fail once and not again, the last one since {error:#}"
                    );
                    eprintln!("model: the case of seed {seed} failed once and not again: {error:#}");
                }
                played = again;
            }
            if played.is_err() && !mine.get() {
                mine.set(!self.failed.swap(true, Ordering::Relaxed));
            }
            // One report is enough: the failure of another thread's case came first.
            played
                .or_else(|error| if mine.get() { Err(error) } else { Ok(()) })
                .map_err(|error| TestCaseError::fail(format!("{error:#}")))
        });
        if let Err(TestError::Fail(reason, steps)) = outcome {
            // Once more, to see which of the steps did anything.
            let (steps, again) = runtime.block_on(play(servers, &steps));
            let reason = again.map_or_else(
                |error| format!("{error:#}"),
                |()| format!("{reason} (and not again)"),
            );
            let mut report = self.report.lock().expect("nobody panics with it in hand");
            report.get_or_insert(told(seed, &reason, &steps));
        }
    }
}

/// Plays one case on a queue of its own; answers the steps that did something.
async fn play(servers: &Servers, steps: &[Step]) -> (Vec<Step>, anyhow::Result<()>) {
    let mut case = match servers.site() {
        Ok(site) => Case::new(site),
        Err(error) => return (Vec::new(), Err(error)),
    };
    let played = case.play(steps).await;
    let cleared = case.site.clear(&case.streams).await;
    (case.played, played.and(cleared))
}

/// A failing case, for people.
fn told(seed: u64, reason: &str, steps: &[Step]) -> String {
    let mut text = format!("a promise is broken: {reason}\n\nthe fewest steps that break it:\n");
    for (nth, step) in steps.iter().enumerate() {
        let _infallible = writeln!(text, "{:>4}. {step}", nth + 1);
    }
    let _infallible = write!(
        text,
        "\nas code: {steps:?}\n\nto repeat it: MILLSTREAM_MODEL_SEED={seed} MILLSTREAM_SOAK_CASES=1 \
         cargo test -p millstream-tests --test suite -- whatever_happens"
    );
    text
}
