//! What a question says: a plan with what would become of each, what has to be typed, and what cannot be taken back.

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;

use crate::model::order::{Came, Offer, Order, Subject, Verb};
use crate::model::overlay::{Choice, Dialog, Field, Intent, Want};

/// Ids of a list that are shown by name.
const NAMED: usize = 6;
/// Digits of a job's id that people are shown.
const SHORT_ID: usize = 6;

/// The rung of what is looked at before.
pub const fn rung(verb: Verb) -> u8 {
    match verb {
        Verb::Drop => 4,
        Verb::Undo | Verb::ResumeRun | Verb::Scale => 2,
        _ => 3,
    }
}

/// What a verb does, in a sentence.
pub const fn promise(verb: Verb, count: usize) -> Option<&'static str> {
    let many = count > 1;
    Some(match verb {
        Verb::Retry => "runs as soon as a worker is free, without its back-off.",
        Verb::Cancel if many => "end as cancelled; workers that run them drop what they do.",
        Verb::Cancel => "ends as cancelled; a worker that runs it drops what it does.",
        Verb::Bury => "is dead with the class operator, and can be re-queued later.",
        Verb::Claim => "is due at once for whoever asks first; no failure is counted.",
        Verb::Requeue => "starts at try 1 again; what its agents have finished is kept.",
        Verb::Drop => "This cannot be taken back. The rows stay, as dropped; their letters go.",
        Verb::Pause => "Nothing new starts. What runs goes on, and submissions wait.",
        Verb::Resume => "Jobs start again.",
        Verb::AbortRun => "What was put back stays so; z takes it back.",
        Verb::PauseRun => "Nothing more of it moves until it is resumed.",
        Verb::Export | Verb::Submit | Verb::Edit | Verb::Undo | Verb::ResumeRun | Verb::Scale => return None,
    })
}

/// One thing is asked about after all: an action that is taken back, a run that goes on, workers.
pub fn way_back(order: Order, came: &Came) -> Dialog {
    let verb = order.verb;
    let carried = match came.action {
        Some(action) => Order {
            subject: Subject::Action(Some(action)),
            ..order
        },
        None => order,
    };
    let choice = Choice::new(verb.button(), Intent::Carry(carried));
    Dialog::new(verb.title(), came.notes.clone(), choice)
}

/// Many things are asked about: what will become of each, and what has to be typed before.
pub fn many(order: Order, came: &Came, queue: &str, at: DateTime<Utc>) -> Dialog {
    let (verb, count) = (order.verb, came.done.len());
    let list = came
        .offer
        .as_ref()
        .map_or_else(String::new, |offer| format!("list {}, ", offer.list));
    let ids = count + came.refused.len();
    let text = format!("frozen at {}, {list}{ids} ids", at.format("%H:%M:%SZ"));
    let mut lines = vec![Untrusted::new(text)];
    lines.extend(promise(verb, count).map(Untrusted::from));
    // A plan keeps its list; whatever else is looked at anew is found anew.
    let frozen = order
        .frozen
        .or(Some(order.number))
        .filter(|_| came.offer.is_some());
    let again = Choice {
        guarded: false,
        ..Choice::new(
            "Dry run again",
            Intent::Foresee(Order {
                frozen,
                ..order.clone()
            }),
        )
    };
    let carried = Order {
        subject: Subject::named(came.done.clone()),
        frozen,
        ..order
    };
    let choice = Choice::new(format!("{} {count}", verb.button()), Intent::Carry(carried));
    let mut dialog = Dialog::new(verb.title(), lines, choice);
    dialog.facts = facts(verb, came);
    dialog.rung = rung(verb);
    if count == 0 {
        dialog.choices.clear();
    } else {
        dialog.fields = fields(verb, count, queue, came.offer.as_ref());
    }
    dialog.choices.push(again);
    dialog
}

/// What will be done to how many, and why not to the others.
fn facts(verb: Verb, came: &Came) -> Vec<(Untrusted, Untrusted)> {
    let mut facts = vec![(
        Untrusted::new(format!("{} will be {}", came.done.len(), verb.done())),
        some(came.done.iter().map(String::as_str)),
    )];
    for (why, ids) in came.reasons() {
        let name = Untrusted::new(format!("{} not", ids.len()));
        let ids = some(ids.into_iter());
        facts.push((name, Untrusted::new(format!("{}: {}", why.raw(), ids.raw()))));
    }
    if let Some(offer) = &came.offer {
        facts.push(("will cost".into(), Untrusted::new(offer.cost.clone())));
        facts.push(("brakes".into(), Untrusted::new(offer.brakes.clone())));
    }
    facts.extend(came.notes.iter().map(|note| ("note".into(), note.clone())));
    facts
}

/// What has to be typed before many things move, or some go for ever.
fn fields(verb: Verb, count: usize, queue: &str, offer: Option<&Offer>) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(offer) = offer {
        let field = |label, want, text: String| Field {
            text,
            ..Field::new(label, want)
        };
        fields.push(field("canary", Want::Canary, offer.canary.to_string()));
        fields.push(field("pace, a second", Want::Pace, offer.pace.clone()));
    }
    fields.push(Field::new("reason", Want::Reason));
    fields.push(Field::new(format!("type {count}"), Want::Count(count)));
    if verb == Verb::Drop {
        fields.push(Field::new(format!("type {queue}"), Want::Name(queue.to_owned())));
    }
    fields
}

/// The first few of many ids, short.
fn some<'a>(ids: impl Iterator<Item = &'a str>) -> Untrusted {
    let ids: Vec<&str> = ids.collect();
    let mut text: Vec<String> = ids.iter().take(NAMED).map(|id| shortened(id)).collect();
    if ids.len() > NAMED {
        text.push(format!("and {} more", ids.len() - NAMED));
    }
    Untrusted::new(text.join(" "))
}

/// A job's id in six digits; an entry's as it is.
pub fn shortened(id: &str) -> String {
    if id.parse::<millstream::domain::JobId>().is_ok() {
        id.chars().take(SHORT_ID).collect()
    } else {
        id.to_owned()
    }
}
