//! From a key to an order: which rows are meant, what is asked before, and what becomes of the answer.
//!
//! One row is asked about at once. Several, and whatever a filter finds, are first looked at in a dry run; its answer
//! is the list that stays, whatever moves meanwhile.

use millstream::ops::scale::MOST_WORKERS;
use millstream::untrusted::Untrusted;

use super::commands::{refuse, tell};
use super::plan::{self, promise, rung, shortened};
use crate::command::why_not;
use crate::effect::Effect;
use crate::model::Model;
use crate::model::notice::{Notice, Tone};
use crate::model::order::{Came, Chosen, Order, RunNews, Standing, Subject, Typed, Verb};
use crate::model::overlay::{Choice, Dialog, Field, Focus, Intent, Overlay, Want};
use crate::model::view::View;

/// An order with a number of its own.
pub fn order(model: &mut Model, verb: Verb, subject: Subject) -> Order {
    model.orders += 1;
    Order {
        number: model.orders,
        verb,
        subject,
        typed: Typed::default(),
        frozen: None,
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
        return ask_one(model, verb, &name, &words);
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
            Standing::NoCause | Standing::Letters => {}
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
            ask_one(model, verb, &name, &Untrusted::default())
        }
        _ => ask_many(model, verb, Subject::named(ids)),
    }
}

fn ask_one(model: &mut Model, verb: Verb, name: &str, words: &Untrusted) -> Vec<Effect> {
    let order = order(model, verb, Subject::named(vec![name.to_owned()]));
    match verb {
        Verb::Export => return vec![Effect::Carry(order)],
        // What goes for ever is looked at before.
        Verb::Drop => return look_first(model, order),
        _ => {}
    }
    let what = Untrusted::new(format!("{} {}", shortened(name), words.raw()));
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
    let queue = model.profile.queue.raw().to_owned();
    let at = model.server_now();
    let dialog = match order.verb {
        Verb::Undo | Verb::ResumeRun | Verb::Scale => plan::way_back(order, &came),
        _ => plan::many(order, &came, &queue, at),
    };
    model.overlay = Some(Overlay::Dialog(dialog));
}

/// Asks whether the action under the cursor, or one's own last one, is taken back.
pub fn ask_undo(model: &mut Model) -> Vec<Effect> {
    let action = match model.view() {
        View::Activity => model.activity.list.cursor,
        _ => None,
    };
    let order = order(model, Verb::Undo, Subject::Action(action));
    look_first(model, order)
}

/// Asks whether there shall be so many workers.
pub fn ask_scale(model: &mut Model, text: &str) -> Vec<Effect> {
    let Some(count) = text.parse().ok().filter(|count| *count <= MOST_WORKERS) else {
        let text = format!("a number of workers is wanted, up to {MOST_WORKERS}: :scale 4");
        refuse(model, &text);
        return Vec::new();
    };
    let order = order(model, Verb::Scale, Subject::Workers(count));
    look_first(model, order)
}

/// Asks about a run.
pub fn ask_run(model: &mut Model, verb: Verb, run: &str) -> Vec<Effect> {
    let order = order(model, verb, Subject::Run(run.to_owned()));
    if verb == Verb::ResumeRun {
        return look_first(model, order);
    }
    let lines = [run.into()]
        .into_iter()
        .chain(promise(verb, 1).map(Untrusted::from));
    let choice = Choice::new(verb.button(), Intent::Carry(order));
    model.overlay = Some(Overlay::Dialog(Dialog::new(
        verb.title(),
        lines.collect(),
        choice,
    )));
    Vec::new()
}

/// Asks for another input of a dead job; an address is there to be changed.
pub fn ask_edit(model: &mut Model) -> Vec<Effect> {
    let Some(one) = model.chosen().into_iter().next() else {
        return Vec::new();
    };
    let order = order(model, Verb::Edit, Subject::named(vec![one.name.clone()]));
    let mut field = Field::new("input", Want::Input);
    if one.input.raw().contains("://") {
        let visible = one.input.raw().chars().filter(|c| !c.is_control());
        field.text = visible.take(Field::LONGEST).collect();
    }
    let lines = vec![
        Untrusted::new(format!("{} {}", shortened(&one.name), one.words.raw())),
        "A new job with this input takes its place; it stays, as dropped.".into(),
        "An address of a pull request, or the path of a patch.".into(),
    ];
    let choice = Choice::new(Verb::Edit.button(), Intent::Carry(order));
    let mut dialog = Dialog::new(Verb::Edit.title(), lines, choice);
    dialog.fields.push(field);
    // Whoever edits wants to type; the button is one Tab away.
    dialog.focus = Focus::Field(0);
    model.overlay = Some(Overlay::Dialog(dialog));
    Vec::new()
}

/// A run has put more jobs back, or stands.
pub fn run_went_on(model: &mut Model, news: &RunNews) -> Vec<Effect> {
    let why = news
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {}", why.raw()));
    let text = format!(
        "{} {}{why}  {} of {} put back, {} done, {} failed, {} left",
        news.run, news.state, news.requeued, news.total, news.done, news.failed, news.planned
    );
    let tone = match news.state.as_str() {
        "done" if news.failed == 0 => Tone::Good,
        "stopped" | "aborted" => Tone::Bad,
        _ => Tone::Plain,
    };
    model.notice = Some(Notice::new(tone, text, model.now));
    vec![Effect::Refresh]
}

/// An order was carried out, in whole, in part or not at all.
pub fn carried(model: &mut Model, order: &Order, came: Result<Came, Untrusted>) -> Vec<Effect> {
    match came {
        Err(why) => model.notice = Some(Notice::new(Tone::Bad, why.raw(), model.now)),
        Ok(came) => {
            unmark(model, &came);
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
        DeadKey::Letter(id) => !is_done(&id.to_string()),
        DeadKey::Cause(_) => came.done.is_empty(),
    });
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
            let fresh = self::order(model, order.verb, order.subject);
            let frozen = order.frozen;
            look_first(model, Order { frozen, ..fresh })
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
