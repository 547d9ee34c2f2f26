//! A reply is lost: the command has done its work, and whoever asked for it does not know.
//!
//! Scenarios walk through everything that can happen to a job. Each is played once to list its steps, each a request
//! with its reply, and then once for each step and each way in which its reply can be lost.
//! Every step is cut once, in the first scenario that has it, and some other faults follow by a seed.
//! `MILLSTREAM_LOST_REPLIES` gives another seed, or `all` ways there, or `everywhere`: all ways in each scenario. What
//! it says else is a part of the name under which a fault was reported.

mod coverage;
mod jobs;
mod scenarios;
mod stage;
mod verdict;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::{FutureExt, StreamExt};
use millstream::queue::Wire;
use millstream::settings::process_environment;
use tokio::sync::OnceCell;

use crate::support::World;
use crate::support::lossy::{Loss, Step};
use scenarios::ALL;
use stage::Stage;

/// Scenarios that are played at a time: they mostly wait.
const TOGETHER: usize = 10;
/// Of each name only the first few steps: what comes later is the same again.
const OF_EACH_NAME: usize = 2;
/// Faults beyond the first cut of each step, in the suite.
const SAMPLE: usize = 48;
/// Which of them, unless `MILLSTREAM_LOST_REPLIES` gives another number.
const SEED: u64 = 1;

/// A step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    scenario: usize,
    step: Step,
    /// No scenario before has it.
    is_first: bool,
}

/// What came of one play.
struct Played {
    steps: Vec<Step>,
    hit: bool,
    starts: usize,
}

async fn play(base: &World, scenario: usize, fault: Option<(Step, Loss)>) -> Played {
    let mut stage = Stage::set(base, fault).await;
    let hand = (ALL[scenario].play)(&mut stage).await;
    stage.until_settled().await;
    hand.drain(1).await;
    stage.judge().await;
    Played {
        steps: stage.book.steps(),
        hit: stage.book.was_hit(),
        starts: stage.runner.starts(),
    }
}

/// Every step of every scenario, with nothing lost.
async fn listed() -> &'static Vec<Place> {
    static LISTED: OnceCell<Vec<Place>> = OnceCell::const_new();
    LISTED
        .get_or_init(|| async {
            let base = World::with(Wire::REVIEW).await;
            let base = &base;
            let plays = (0..ALL.len()).map(|nth| async move { play(base, nth, None).await.steps });
            let steps: Vec<Vec<Step>> = futures_util::stream::iter(plays)
                .buffered(TOGETHER)
                .collect()
                .await;
            let (mut seen, mut places) = (BTreeSet::new(), Vec::new());
            for (scenario, steps) in steps.into_iter().enumerate() {
                // A play has each only once.
                let steps: BTreeSet<Step> = steps.into_iter().collect();
                places.extend(steps.into_iter().map(|step| Place {
                    scenario,
                    is_first: seen.insert(step.clone()),
                    step,
                }));
            }
            places.sort_by(|one, two| (&one.step, one.scenario).cmp(&(&two.step, two.scenario)));
            places
        })
        .await
}

/// Which replies are lost in this run.
fn chosen(places: &[Place]) -> Vec<(Place, Loss)> {
    let asked = process_environment("MILLSTREAM_LOST_REPLIES").unwrap_or_default();
    let seed = asked.parse().unwrap_or(SEED);
    let everywhere = asked == "everywhere";
    let (mut must, mut may) = (Vec::new(), Vec::new());
    let places = places
        .iter()
        .filter(|place| place.step.nth <= OF_EACH_NAME && (everywhere || place.is_first));
    for place in places {
        for loss in [Loss::Cut, Loss::Drop, Loss::Delay] {
            let is_first = loss == Loss::Cut && place.step.nth == 1 && !place.step.name.contains("prepare: ");
            if is_first { &mut must } else { &mut may }.push((place.clone(), loss));
        }
    }
    let all = || must.iter().chain(&may).cloned();
    let whole = everywhere || asked == "all";
    if asked.parse::<u64>().is_err() && !asked.is_empty() && !whole {
        return all()
            .filter(|(place, loss)| told(place, *loss).contains(&asked))
            .collect();
    }
    if !whole {
        may.sort_by_key(|(place, loss)| {
            let mut hasher =
                std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().build_hasher();
            hasher.write_u64(seed);
            std::hash::Hash::hash(&(&place.step, loss), &mut hasher);
            hasher.finish()
        });
        may.truncate(SAMPLE);
    }
    must.extend(may);
    must
}

/// What a fault is called in a report.
fn told(place: &Place, loss: Loss) -> String {
    let Place { scenario, step, .. } = place;
    let name: String = step.name.chars().take(110).collect();
    format!("{}: {loss:?} {} of {name}", ALL[*scenario].name, step.nth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_reply_is_lost_no_job_is_lost_and_no_result_recorded_twice() {
    let begun = Instant::now();
    let faults = chosen(listed().await);
    let (count, base) = (faults.len(), World::with(Wire::REVIEW).await);
    println!("lost replies: {count} plays");
    let base = &base;
    let plays = faults.into_iter().map(|(place, loss)| async move {
        let fault = Some((place.step.clone(), loss));
        let played = AssertUnwindSafe(play(base, place.scenario, fault))
            .catch_unwind()
            .await;
        (place, loss, played)
    });
    let mut plays = futures_util::stream::iter(plays).buffer_unordered(TOGETHER);
    let (mut failed, mut hit, mut starts, mut missed) = (Vec::new(), HashMap::new(), 0, BTreeSet::new());
    while let Some((place, loss, played)) = plays.next().await {
        let at = told(&place, loss);
        match played {
            Ok(played) if played.hit => {
                *hit.entry(loss).or_insert(0) += 1;
                starts += played.starts;
            }
            Ok(_) => drop(missed.insert(at)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                println!("lost replies: {at}: {}", text.as_deref().unwrap_or("a panic"));
                failed.push(at);
            }
        }
    }
    println!(
        "lost replies: {count} plays, {hit:?} lost, {starts} starts, {} not met, {:.0?}",
        missed.len(),
        begun.elapsed()
    );
    assert!(
        failed.is_empty(),
        "{} of {count} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    // A step whose number depends on the clock may not come in another play; most do.
    assert!(missed.len() * 10 <= count, "not met: {missed:#?}");
}
