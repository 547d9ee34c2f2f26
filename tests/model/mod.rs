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
const THREADS: usize = 6;
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

#[test]
fn whatever_happens_the_counts_add_up_and_no_promise_is_broken() {
    let plan = Plan::read();
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let report: Mutex<Option<String>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(usize::try_from(plan.cases).unwrap_or(THREADS)) {
            scope.spawn(|| {
                let runtime = runtime();
                let servers = runtime.block_on(Servers::new()).expect("the servers are there");
                while !failed.load(Ordering::Relaxed) {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= plan.cases {
                        break;
                    }
                    if let Err(text) = play_one(&runtime, &servers, plan.seed.wrapping_add(nth)) {
                        failed.store(true, Ordering::Relaxed);
                        report.lock().expect("nobody panics here").get_or_insert(text);
                    }
                    if (nth + 1).is_multiple_of(1_000) {
                        eprintln!("model: {} cases in {} s", nth + 1, began.elapsed().as_secs());
                    }
                }
            });
        }
    });
    if let Some(text) = report.into_inner().expect("nobody panics here") {
        panic!("{text}");
    }
    eprintln!(
        "model: {} cases from seed {} in {} s",
        plan.cases,
        plan.seed,
        began.elapsed().as_secs()
    );
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

/// Plays the case of a seed; one that fails is made as short as it can be.
fn play_one(runtime: &Runtime, servers: &Servers, seed: u64) -> Result<(), String> {
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
    let outcome = runner.run(&step::steps(), |steps| {
        let played = runtime.block_on(play(servers, &steps));
        played.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, steps)) => Err(told(seed, &reason.to_string(), &steps)),
        Err(TestError::Abort(reason)) => Err(format!("the case of seed {seed} cannot be played: {reason}")),
    }
}

/// Plays one case on a queue of its own.
async fn play(servers: &Servers, steps: &[Step]) -> anyhow::Result<()> {
    let mut case = Case::new(servers.site()?);
    let played = case.play(steps).await;
    case.site.clear(&case.streams).await?;
    played
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
