//! What a plan of the queue's says in the console's words, and what was typed in its own.

use millstream::domain::Terms;
use millstream::ops::Plan;
use millstream::store::assess::Verdict;
use millstream::untrusted::Untrusted;

use crate::failure::Failure;
use crate::format;
use crate::model::order::{Came, Offer, Typed};

/// The canary and the pace that were typed; the brakes are those that were offered.
///
/// # Errors
/// When what was typed is no number.
pub fn terms(typed: &Typed) -> Result<Terms, Failure> {
    let count = typed
        .count
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0);
    let offered = Terms::offered(count);
    let wrong = |what: &str| Failure::Refused(format!("{what} is no number"));
    let canary = match &typed.canary {
        Some(text) => text.parse().map_err(|_| wrong("the canary"))?,
        None => offered.canary,
    };
    let rate = match typed.pace.as_deref() {
        Some("all") => None,
        Some(text) => Some(text.parse().map_err(|_| wrong("the pace"))?),
        None => offered.rate,
    };
    Ok(Terms {
        canary,
        rate,
        ..offered
    })
}

/// What a plan would come to.
pub fn planned(plan: &Plan) -> Came {
    let mut refused: Vec<(String, Untrusted)> = Vec::new();
    for one in plan.items.iter().filter(|one| one.verdict != Verdict::Eligible) {
        refused.push((one.death.job.to_string(), Untrusted::new(one.verdict.to_string())));
    }
    for one in &plan.unresolved {
        refused.push((one.id.clone(), Untrusted::new(one.why.to_string())));
    }
    let done: Vec<String> = plan.eligible().map(|job| job.to_string()).collect();
    let offered = Terms::offered(done.len());
    let flight = offered.in_flight.map(|most| format!("at most {most} in flight"));
    let stop = offered
        .stop_over
        .map(|share| format!("stops over {:.0} % failed", share * 100.0));
    let cost = plan.estimate.as_ref().map_or_else(
        || "unknown: nothing like it has ended lately".to_owned(),
        |estimate| {
            let tokens = format::tokens(estimate.tokens.max(0.0).round() as u64);
            format!(
                "~{}, ~{tokens} tokens, by the mean of the steps still owed",
                format::money(estimate.cost_usd)
            )
        },
    );
    let offer = Offer {
        list: plan.hash().chars().take(4).collect(),
        canary: offered.canary,
        pace: offered
            .rate
            .map_or_else(|| "all".to_owned(), |rate| rate.to_string()),
        brakes: flight.into_iter().chain(stop).collect::<Vec<_>>().join(", "),
        cost,
    };
    let more = plan
        .more
        .then(|| Untrusted::new("the filter finds more than one plan takes: plan again after this one"));
    Came {
        done,
        refused,
        notes: more.into_iter().collect(),
        offer: Some(offer),
        action: None,
    }
}
