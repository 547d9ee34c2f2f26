//! The chaos run: real producers and real workers on real servers, and everything that can happen to them at once.
//!
//! Workers are killed and frozen the whole time ([`fleet`]); servers are stopped, killed and emptied and lines are cut
//! one after the other ([`weather`]). When the weather is over the fleet is let alone until it is through, and then
//! everything must add up ([`verdict`]). A part of the jobs is told to a receiver by webhook when it ends ([`receiver`]),
//! and all of these must have come ([`told`]). A run is told in one line and in one row of a table ([`report`]).
//!
//! What is measured here is real time, so the clocks are metronomes. The order of the faults, who is killed and how
//! long each job works follow from a seed: `CHAOS_SEED` repeats it.

mod fleet;
mod notes;
mod plan;
mod receiver;
mod report;
mod stage;
mod told;
mod verdict;
mod weather;

use millstream::domain::JobId;
use millstream::settings::process_environment;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::fleet::Fleet;
use self::plan::Plan;
use self::report::Report;
use self::stage::Stage;
use crate::system::one_at_a_time;

/// One run, from empty servers to servers that are gone.
async fn run(plan: &Plan, seed: u64) -> Report {
    let began = Instant::now();
    let stage = Stage::set().await;
    let producers = stage.producers(plan, seed);
    let mut fleet = Fleet::start(&stage, seed);
    let calm = CancellationToken::new();
    let (storm, ()) = tokio::join!(
        async {
            let storm = weather::pass(&stage, plan, seed).await;
            calm.cancel();
            storm
        },
        fleet.suffer(&calm),
    );
    let mut report = Report::new(seed, began, &fleet, storm);
    verdict::settle(&stage, plan, &mut fleet, &producers, &mut report).await;
    verdict::judge(&stage, plan, &fleet, &mut report).await;
    told::judge(&stage, &mut report).await;
    drop((fleet, producers));
    stage.strike(&mut report).await;
    report.took = began.elapsed();
    report
}

/// The seed that the environment asks for, else a fresh one.
fn seed(nth: u64) -> u64 {
    let asked = process_environment("CHAOS_SEED").and_then(|text| text.parse::<u64>().ok());
    let fresh = || u64::from(JobId::fresh().0.as_fields().0);
    asked.map_or_else(fresh, |seed| seed + nth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_in_bad_weather_loses_no_job_and_records_none_twice() {
    let _turn = one_at_a_time().await;
    let report = run(&Plan::cut(), seed(0)).await;
    eprintln!("{}", report.line());
    report.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: type `just chaos`"]
async fn the_whole_of_it() {
    let runs = process_environment("CHAOS_RUNS").and_then(|text| text.parse().ok());
    let mut reports = Vec::new();
    for nth in 0..runs.unwrap_or(1) {
        let report = run(&Plan::full(), seed(nth)).await;
        eprintln!("{}", report.line());
        reports.push(report);
    }
    eprintln!("{}", report::table(&reports));
    reports.iter().for_each(Report::check);
}
