//! From a key to an order: which rows are meant, what is asked before, and what becomes of the answer.
//!
//! One row is asked about at once. Several, and whatever a filter finds, are first looked at in a dry run; its answer
//! is the list that stays, whatever moves meanwhile.

use millstream::untrusted::Untrusted;

use super::commands::{refuse, tell};
use crate::command::why_not;
use crate::effect::Effect;
use crate::model::Model;
use crate::model::notice::{Notice, Tone};
use crate::model::order::{Came, Chosen, Order, Standing, Subject, Typed, Verb};
use crate::model::overlay::{Choice, Dialog, Field, Focus, Intent, Overlay, Want};

/// Ids of a list that are shown by name.
const NAMED: usize = 6;
/// Exports that are remembered; a drop of more than these wants another export.
const REMEMBERED: usize = 20_000;
/// Digits of a job's id that people are shown.
const SHORT_ID: usize = 6;

/// An order with a number of its own.
pub fn order(model: &mut Model, verb: Verb, subject: Subject) -> Order {
    model.orders += 1;
    Order {
        number: model.orders,
        verb,
        subject,
        typed: Typed::default(),
    }
}

/// Asks about the rows that are marked, or the one under the cursor.
pub fn ask(model: &mut Model, verb: Verb) -> Vec<Effect> {
    let chosen = model.chosen();
    let fits: Vec<&Chosen> = chosen
        .iter()
        .filter(|one| why_not(verb, one.standing).is_none())
        .collect();
    let is_one = matches!(&chosen[..], [one] if matches!(one.standing, Standing::Job(_) | Standing::Entry(_) | Standing::Nameless(_)));
    if let ([one], true) = (&fits[..], is_one) {
        let (name, words) = (one.name.clone(), one.words.clone());
        return ask_one(model, verb, name, &words);
    }
    // Also those that do not fit: the dry run says why not.
    let subject = subject(&chosen);
    ask_many(model, verb, subject)
}

fn subject(chosen: &[Chosen]) -> Subject {
    let (mut ids, mut matching) = (Vec::new(), Vec::new());
    for one in chosen {
        match one.standing {
            Standing::Cause(_) => matching.push(format!("fingerprint:{}", one.name)),
            // Such a filter would find all of the dead.
            Standing::NoCause => {}
            _ => ids.push(one.name.clone()),
        }
    }
    Subject::These { ids, matching }
}

/// Asks about things that were named in the palette.
pub fn ask_named(model: &mut Model, verb: Verb, ids: Vec<String>) -> Vec<Effect> {
    match &ids[..] {
        [one] => {
            let name = one.clone();
            ask_one(model, verb, name, &Untrusted::default())
        }
        _ => ask_many(model, verb, Subject::named(ids)),
    }
}

fn ask_one(model: &mut Model, verb: Verb, name: String, words: &Untrusted) -> Vec<Effect> {
    let order = order(model, verb, Subject::named(vec![name.clone()]));
    match verb {
        Verb::Export => return vec![Effect::Carry(order)],
        // What goes for ever is looked at before.
        Verb::Drop => return look_first(model, order),
        _ => {}
    }
    let what = Untrusted::new(format!("{} {}", shortened(&name), words.raw()));
    let mut lines = vec![what];
    lines.extend(promise(verb, 1).map(Untrusted::from));
    let mut dialog = Dialog::new(
        verb.title(),
        lines,
        Choice::new(verb.button(), Intent::Carry(order)),
    );
    if verb == Verb::Bury {
        dialog.fields.push(Field::new("reason", Want::Reason));
    }
    model.overlay = Some(Overlay::Dialog(dialog));
    Vec::new()
}

fn ask_many(model: &mut Model, verb: Verb, subject: Subject) -> Vec<Effect> {
    if matches!(&subject, Subject::These { ids, matching } if ids.is_empty() && matching.is_empty()) {
        refuse(model, "nothing is chosen");
        return Vec::new();
    }
    let order = order(model, verb, subject);
    if verb == Verb::Export {
        return vec![Effect::Carry(order)];
    }
    look_first(model, order)
}

/// Opens the plan and asks for its dry run.
fn look_first(model: &mut Model, order: Order) -> Vec<Effect> {
    let mut dialog = Dialog::new(
        order.verb.title(),
        vec!["looking at them, nothing is written yet …".into()],
        Choice::new(order.verb.button(), Intent::Foresee(order.clone())),
    );
    dialog.choices.clear();
    dialog.rung = rung(order.verb);
    dialog.awaits = Some(order.number);
    model.overlay = Some(Overlay::Dialog(dialog));
    vec![Effect::Foresee(order)]
}

const fn rung(verb: Verb) -> u8 {
    match verb {
        Verb::Drop => 4,
        _ => 3,
    }
}

/// Asks about the queue as a whole.
pub fn ask_queue(model: &mut Model, verb: Verb, reason: &str) -> Vec<Effect> {
    let order = order(model, verb, Subject::Queue);
    let queue = Untrusted::new(format!("{}.", model.profile.queue.raw()));
    let lines = [queue].into_iter().chain(promise(verb, 1).map(Untrusted::from));
    let choice = Choice::new(verb.button(), Intent::Carry(order));
    let mut dialog = Dialog::new(verb.title(), lines.collect(), choice);
    if verb == Verb::Pause {
        let mut field = Field::new("reason", Want::ReasonOrNothing);
        reason.clone_into(&mut field.text);
        dialog.fields.push(field);
    }
    model.overlay = Some(Overlay::Dialog(dialog));
    Vec::new()
}

/// Asks before something is submitted.
pub fn ask_submit(model: &mut Model, input: &str) -> Vec<Effect> {
    let order = order(model, Verb::Submit, Subject::Input(input.to_owned()));
    let lines = vec![
        input.into(),
        "goes on the queue as a job of its own; X calls it off.".into(),
    ];
    let choice = Choice::new(Verb::Submit.button(), Intent::Carry(order));
    model.overlay = Some(Overlay::Dialog(Dialog::new(Verb::Submit.title(), lines, choice)));
    Vec::new()
}

/// What a verb does, in a sentence.
fn promise(verb: Verb, count: usize) -> Option<&'static str> {
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
        Verb::Export | Verb::Submit => return None,
    })
}

/// The dry run has answered: the plan says what will run and what will not.
pub fn foreseen(model: &mut Model, order: Order, came: Result<Came, Untrusted>) {
    let is_awaited =
        matches!(&model.overlay, Some(Overlay::Dialog(dialog)) if dialog.awaits == Some(order.number));
    if !is_awaited {
        return;
    }
    let came = match came {
        Ok(came) => came,
        Err(why) => {
            model.overlay = None;
            model.notice = Some(Notice::new(Tone::Bad, why.raw(), model.now));
            return;
        }
    };
    let not_exported = came
        .done
        .iter()
        .filter(|id| !model.exported.contains(*id))
        .count();
    if order.verb == Verb::Drop && not_exported > 0 {
        model.overlay = None;
        let text = format!(
            "{not_exported} of {} were not exported: o writes them to a file",
            came.done.len()
        );
        refuse(model, &text);
        return;
    }
    let queue = model.profile.queue.raw().to_owned();
    let at = model.server_now();
    model.overlay = Some(Overlay::Dialog(plan(order, &came, &queue, at)));
}

fn plan(order: Order, came: &Came, queue: &str, at: chrono::DateTime<chrono::Utc>) -> Dialog {
    let (verb, count) = (order.verb, came.done.len());
    let mut facts = vec![(
        Untrusted::new(format!("{count} will be {}", verb.done())),
        some(came.done.iter().map(String::as_str)),
    )];
    for (why, ids) in came.reasons() {
        let name = Untrusted::new(format!("{} not", ids.len()));
        let ids = some(ids.into_iter());
        facts.push((name, Untrusted::new(format!("{}: {}", why.raw(), ids.raw()))));
    }
    facts.extend(came.notes.iter().map(|note| ("note".into(), note.clone())));
    let frozen = format!(
        "frozen at {}, {} ids",
        at.format("%H:%M:%SZ"),
        count + came.refused.len()
    );
    let mut lines = vec![Untrusted::new(frozen)];
    lines.extend(promise(verb, count).map(Untrusted::from));
    let again = Choice {
        guarded: false,
        ..Choice::new("Dry run again", Intent::Foresee(order.clone()))
    };
    let carried = Order {
        subject: Subject::named(came.done.clone()),
        ..order
    };
    let word = format!("{} {count}", verb.button().split(' ').next().unwrap_or_default());
    let mut dialog = Dialog::new(verb.title(), lines, Choice::new(word, Intent::Carry(carried)));
    dialog.facts = facts;
    dialog.rung = rung(verb);
    if count == 0 {
        dialog.choices.clear();
    } else {
        dialog.fields = fields(verb, count, queue);
    }
    dialog.choices.push(again);
    dialog
}

/// What has to be typed before many things move, or some go for ever.
fn fields(verb: Verb, count: usize, queue: &str) -> Vec<Field> {
    let mut fields = vec![Field::new("reason", Want::Reason)];
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
fn shortened(id: &str) -> String {
    if id.parse::<millstream::domain::JobId>().is_ok() {
        id.chars().take(SHORT_ID).collect()
    } else {
        id.to_owned()
    }
}

/// An order was carried out, in whole, in part or not at all.
pub fn carried(model: &mut Model, order: &Order, came: Result<Came, Untrusted>) -> Vec<Effect> {
    match came {
        Err(why) => model.notice = Some(Notice::new(Tone::Bad, why.raw(), model.now)),
        Ok(came) => {
            unmark(model, &came);
            if order.verb == Verb::Export {
                remember_export(model, &came);
            }
            if let (Verb::Pause | Verb::Resume, Some(queue)) = (order.verb, model.overview.queue.value_mut())
                && came.refused.is_empty()
            {
                queue.paused = order.verb == Verb::Pause;
            }
            tell_outcome(model, order.verb, &came);
        }
    }
    vec![Effect::Refresh]
}

/// Rows lose their mark as they succeed: what is marked still is what is left to do.
fn unmark(model: &mut Model, came: &Came) {
    use crate::model::dead::DeadKey;
    let is_done = |id: &str| came.done.iter().any(|done| done == id);
    model.jobs.list.marks.retain(|id| !is_done(&id.to_string()));
    let rows = model.pending.page.value().map_or(&[][..], |page| &page.rows);
    let entries: Vec<_> = rows
        .iter()
        .filter(|line| {
            is_done(&line.entry.to_string()) || line.job.is_some_and(|job| is_done(&job.to_string()))
        })
        .map(crate::model::pending::PendingLine::key)
        .collect();
    model.pending.list.marks.retain(|key| !entries.contains(key));
    // What is left of a cause is listed anew; a cause of which nothing is left goes by itself.
    model.dead.list.marks.retain(|key| match key {
        DeadKey::Job(id) => !is_done(&id.to_string()),
        DeadKey::Cause(_) => came.done.is_empty(),
    });
}

fn remember_export(model: &mut Model, came: &Came) {
    if model.exported.len() + came.done.len() > REMEMBERED {
        model.exported.clear();
    }
    model.exported.extend(came.done.iter().take(REMEMBERED).cloned());
}

/// `47 of 50 claimed; 3: another consumer holds its entry by now`.
fn tell_outcome(model: &mut Model, verb: Verb, came: &Came) {
    let (done, refused) = (came.done.len(), came.refused.len());
    let notes = came.notes.iter().map(|note| note.raw().to_owned());
    let whole = match (done, refused) {
        (0, 0) => "nothing was done".to_owned(),
        (1, 0) => format!("{} {}", shortened(&came.done[0]), verb.done()),
        (_, 0) => format!("{done} {}", verb.done()),
        (_, _) => format!("{done} of {} {}", done + refused, verb.done()),
    };
    let reasons = came
        .reasons()
        .into_iter()
        .map(|(why, ids)| format!("{}: {}", ids.len(), why.raw()));
    let text: Vec<String> = [whole].into_iter().chain(reasons).chain(notes).collect();
    let tone = if refused == 0 && done > 0 {
        Tone::Good
    } else {
        Tone::Bad
    };
    model.notice = Some(Notice::new(tone, text.join("; "), model.now));
}

/// A button of a question was pressed.
pub fn press(model: &mut Model, nth: usize) -> Vec<Effect> {
    let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
        return Vec::new();
    };
    if !dialog.is_armed(nth) {
        if let Some(wrong) = dialog.first_wrong() {
            dialog.focus = Focus::Field(wrong);
        }
        return Vec::new();
    }
    let (typed, intent) = (dialog.typed(), dialog.choices[nth].intent.clone());
    match intent {
        Intent::Foresee(order) => {
            let order = self::order(model, order.verb, order.subject);
            look_first(model, order)
        }
        Intent::Carry(order) => {
            model.overlay = None;
            // A server may have gone while the question was open.
            if let Some(why) = crate::command::no_order(model) {
                refuse(model, why);
                return Vec::new();
            }
            tell(model, "sent, waiting for what comes of it");
            vec![Effect::Carry(Order { typed, ..order })]
        }
        other => {
            model.overlay = None;
            super::commands::carry_out(model, &other)
        }
    }
}
