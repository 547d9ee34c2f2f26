//! What each command does. Effects carry ids: what was under the cursor when the key was pressed.

use std::time::Duration;

use millstream::domain::JobId;
use millstream::untrusted::Untrusted;

use super::{answers, copy, keys, orders, palette};
use crate::command::CommandId;
use crate::effect::Effect;
use crate::model::filter::Filter;
use crate::model::job::{Job, JobPane};
use crate::model::list::{List, Step};
use crate::model::look::ThemeName;
use crate::model::need::Target;
use crate::model::notice::{Notice, Tone};
use crate::model::order::Verb;
use crate::model::overlay::{Choice, Dialog, Intent, Overlay};
use crate::model::trace::{Fold, Trace, TraceKey, TracePane};
use crate::model::view::View;
use crate::model::workers::{WorkerLine, WorkerName};
use crate::model::{Frozen, Model};
use crate::msg::WorkerProcess;

/// The diffs of a burst.
const BURST: u32 = 50;
/// Views that are remembered on the way out.
const DEEPEST: usize = 16;

/// Does a command, or tells why not.
pub fn run(model: &mut Model, command: CommandId) -> Vec<Effect> {
    if let Some(why) = command.refusal(model) {
        refuse(model, why);
        return Vec::new();
    }
    match command {
        CommandId::Quit => return super::quit(model),
        CommandId::Refresh => return vec![Effect::Refresh],
        CommandId::Record => return vec![Effect::Record],
        CommandId::Interval => return next_interval(model),
        CommandId::Submit => return vec![Effect::Submit(1)],
        CommandId::Burst => return vec![Effect::Submit(BURST)],
        CommandId::AddWorker => return vec![Effect::AddWorker],
        CommandId::DrainWorker => return drain(model),
        CommandId::Retry => return orders::ask(model, Verb::Retry),
        CommandId::Requeue => return orders::ask(model, Verb::Requeue),
        CommandId::Cancel => return orders::ask(model, Verb::Cancel),
        CommandId::Bury => return orders::ask(model, Verb::Bury),
        CommandId::Claim => return orders::ask(model, Verb::Claim),
        CommandId::Export => return orders::ask(model, Verb::Export),
        CommandId::Drop => return orders::ask(model, Verb::Drop),
        CommandId::Edit => return orders::ask_edit(model),
        CommandId::Undo => return orders::ask_undo(model),
        CommandId::Pause => return orders::ask_queue(model, Verb::Pause, ""),
        CommandId::Resume => return orders::ask_queue(model, Verb::Resume, ""),
        CommandId::CopyId | CommandId::CopyJson => return copy::copy(model, command == CommandId::CopyJson),
        CommandId::Scale => return orders::ask_scale(model, ""),
        CommandId::KillWorker => ask_to_kill(model),
        CommandId::Freeze => freeze(model),
        CommandId::Theme => next_theme(model),
        CommandId::Help => model.overlay = Some(Overlay::Help),
        CommandId::Sent => model.overlay = Some(Overlay::Sent { offset: 0 }),
        CommandId::Palette => palette::open(model),
        CommandId::Filter => filter(model),
        CommandId::Sort | CommandId::Turn => sort(model, command == CommandId::Turn),
        CommandId::Mark | CommandId::MarkAll | CommandId::Unmark => mark(model, command),
        CommandId::NextPane => next_pane(model),
        other => go(model, other),
    }
    Vec::new()
}

/// Commands that move: from view to view, from row to row, through a waterfall.
fn go(model: &mut Model, command: CommandId) {
    match command {
        CommandId::Overview => open_tab(model, View::Overview),
        CommandId::Jobs => open_tab(model, View::Jobs),
        CommandId::Pending => open_tab(model, View::Pending),
        CommandId::Dead => open_tab(model, View::Dead),
        CommandId::Streams => open_tab(model, View::Streams),
        CommandId::Activity => open_tab(model, View::Activity),
        CommandId::Workers => open_tab(model, View::Workers),
        CommandId::Trace => open_trace_tab(model),
        CommandId::Enter => enter(model),
        CommandId::Out => out(model),
        CommandId::Previous => back(model),
        CommandId::Down => step(model, Step::By(1)),
        CommandId::Up => step(model, Step::By(-1)),
        CommandId::PageDown => step(model, Step::Page(1)),
        CommandId::PageUp => step(model, Step::Page(-1)),
        CommandId::First => step(model, Step::First),
        CommandId::Last => step(model, Step::Last),
        CommandId::ShowTrace => show_chosen_trace(model),
        CommandId::ShowJob => {
            if let Some(id) = model.chosen_job() {
                open_job(model, id);
            }
        }
        CommandId::CriticalPath => model.trace.critical = !model.trace.critical,
        CommandId::HideShort => hide_short(model),
        CommandId::ZoomIn | CommandId::ZoomOut => {
            let now = model.server_now();
            model.trace.magnify(command == CommandId::ZoomIn, now);
        }
        CommandId::Skew => skew(model),
        CommandId::PanLeft => model.trace.zoom.pan(-1),
        CommandId::PanRight => model.trace.zoom.pan(1),
        CommandId::SpanInput => model.trace.pane = TracePane::Input,
        CommandId::SpanOutput => model.trace.pane = TracePane::Output,
        CommandId::SpanAttributes => model.trace.pane = TracePane::Attributes,
        // Everything else is done in `run`.
        _ => {}
    }
}

/// Says something that went well or is only told.
pub fn tell(model: &mut Model, text: &str) {
    model.notice = Some(Notice::new(Tone::Plain, text, model.now));
}

/// Says why something is not done.
pub fn refuse(model: &mut Model, text: &str) {
    model.notice = Some(Notice::new(Tone::Bad, text, model.now));
}

fn open_tab(model: &mut Model, view: View) {
    model.path = vec![view];
}

fn open_view(model: &mut Model, view: View) {
    if model.view() == view {
        return;
    }
    // There and back between a job and its trace is no way that gets longer.
    if model.path.iter().rev().nth(1) == Some(&view) {
        model.path.pop();
        return;
    }
    model.path.push(view);
    if model.path.len() > DEEPEST {
        model.path.remove(0);
    }
}

/// The trace that was open last, else the one of the job that a key would act on.
fn open_trace_tab(model: &mut Model) {
    if model.trace.id.is_none()
        && let Some(id) = model.chosen_job()
    {
        model.trace = Trace::new(Some(id), model.now);
    }
    open_tab(model, View::Trace);
}

fn show_chosen_trace(model: &mut Model) {
    let Some(id) = model.chosen_job() else { return };
    if model.trace.id != Some(id) {
        model.trace = Trace::new(Some(id), model.now);
    }
    open_view(model, View::Trace);
}

fn open_job(model: &mut Model, id: JobId) {
    if model.job.as_ref().is_none_or(|job| job.id != id) {
        model.job = Some(Job::new(id, model.now));
    }
    open_view(model, View::Job);
}

/// The job of the row under the cursor, if that has one.
fn open_chosen_job(model: &mut Model) {
    match model.chosen_job() {
        Some(id) => open_job(model, id),
        None => refuse(model, "no job can be read from this entry"),
    }
}

fn show_jobs(model: &mut Model, text: &str) {
    model.jobs.filter = Filter::new(text);
    open_view(model, View::Jobs);
    answers::rearrange(model);
}

fn enter(model: &mut Model) {
    match model.view() {
        View::Overview => {
            select_needy_worker(model);
            open_view(model, View::Workers);
        }
        View::Jobs => {
            if let Some(id) = model.jobs.list.cursor {
                open_job(model, id);
            }
        }
        View::Pending => open_chosen_job(model),
        View::Dead if model.dead.selected_job().is_some() => open_chosen_job(model),
        View::Dead => {
            model.dead.toggle();
            answers::rearrange(model);
        }
        View::Streams if model.streams.open => next_pane(model),
        View::Streams => model.streams.open(),
        View::Activity => {}
        View::Job => show_chosen_trace(model),
        View::Trace => toggle_fold(model),
        View::Workers => {
            if let Some(worker) = model.workers.list.cursor.clone() {
                show_jobs(model, &format!("worker:{}", worker.raw()));
            }
        }
    }
}

/// Puts the cursor on the worker that `Needs you` names, unless a person has chosen another one.
fn select_needy_worker(model: &mut Model) {
    let named = model.overview.needs.iter().find_map(|need| match &need.target {
        Target::Worker(name) => Some(name.clone()),
        Target::Job(_) | Target::Jobs(_) => None,
    });
    if let Some(name) = named.filter(|_| model.workers.list.follows_top) {
        let height = model.list_height();
        model.workers.list.select(&name, height);
    }
}

/// Takes the filter back first, then goes out; at the outermost view it stays.
fn out(model: &mut Model) {
    if model.view() == View::Streams && model.streams.open {
        model.streams.close();
        return;
    }
    if let Some(text) = keys::filter_text(model)
        && !text.is_empty()
    {
        text.clear();
        answers::rearrange(model);
        return;
    }
    back(model);
}

fn back(model: &mut Model) {
    if model.path.len() > 1 {
        model.path.pop();
    } else if model.view() != View::Overview {
        open_tab(model, View::Overview);
    }
}

/// Moves the cursor, and the window of what is fetched after it.
pub fn step(model: &mut Model, step: Step) {
    if step == Step::First {
        // At the top rows may take the order they should have.
        move_cursor(model, step);
        answers::rearrange(model);
    }
    move_cursor(model, step);
    match model.view() {
        View::Jobs => ask_for_more(model),
        View::Pending => model.pending.follow(step),
        View::Activity => model.activity.follow(),
        _ => {}
    }
}

fn move_cursor(model: &mut Model, step: Step) {
    let height = model.list_height();
    match model.view() {
        View::Overview | View::Workers => model.workers.list.step(step, height),
        View::Jobs => model.jobs.list.step(step, height),
        View::Pending => model.pending.list.step(step, height),
        View::Dead => model.dead.list.step(step, height),
        View::Streams if model.streams.open => model.streams.scroll(step, height),
        View::Streams => model.streams.list.step(step, height),
        View::Activity => model.activity.list.step(step, height),
        View::Trace => model.trace.list.step(step, height),
        View::Job => {
            if let Some(job) = &mut model.job {
                match job.pane {
                    JobPane::Findings => job.findings.step(step, height),
                    JobPane::Attempts => job.attempts.step(step, height),
                    JobPane::Events => job.events.step(step, height),
                }
            }
        }
    }
}

/// Near the end of the fetched rows more are asked for, up to a bound.
fn ask_for_more(model: &mut Model) {
    let jobs = &mut model.jobs;
    let fetched = jobs.page.value().map_or(0, |page| page.rows.len());
    let near_end = jobs.list.at + 50 >= jobs.list.len();
    if near_end && fetched >= jobs.limit as usize {
        jobs.limit = (jobs.limit + crate::model::jobs::Jobs::STEP).min(crate::model::jobs::Jobs::MOST);
    }
}

fn filter(model: &mut Model) {
    if model.view() == View::Streams {
        // What is filtered is the list.
        model.streams.close();
    }
    if keys::filter_text(model).is_none() {
        // The overview and a job have nothing to filter; the jobs do.
        open_view(model, View::Jobs);
    }
    keys::start_typing(model);
}

fn sort(model: &mut Model, turn: bool) {
    match model.view() {
        View::Jobs if turn => model.jobs.turned = !model.jobs.turned,
        View::Jobs => model.jobs.sort = model.jobs.sort.next(),
        View::Workers if turn => model.workers.turned = !model.workers.turned,
        View::Workers => model.workers.sort = model.workers.sort.next(),
        View::Pending if turn => model.pending.turned = !model.pending.turned,
        View::Pending => model.pending.sort = model.pending.sort.next(),
        View::Dead if turn => model.dead.turned = !model.dead.turned,
        View::Dead => model.dead.sort = model.dead.sort.next(),
        View::Streams if turn => model.streams.turned = !model.streams.turned,
        View::Streams => model.streams.sort = model.streams.sort.next(),
        View::Overview | View::Job | View::Trace | View::Activity => return,
    }
    answers::rearrange(model);
}

fn mark(model: &mut Model, command: CommandId) {
    match model.view() {
        View::Pending => mark_in(&mut model.pending.list, command),
        View::Dead => mark_in(&mut model.dead.list, command),
        _ => mark_in(&mut model.jobs.list, command),
    }
    if command == CommandId::Mark {
        step(model, Step::By(1));
    }
}

fn mark_in<K: Ord + Clone + std::hash::Hash>(list: &mut List<K>, command: CommandId) {
    match command {
        CommandId::Mark => list.toggle_mark(),
        CommandId::MarkAll => list.marks = list.order.iter().cloned().collect(),
        _ => list.marks.clear(),
    }
}

fn next_pane(model: &mut Model) {
    if model.view() == View::Streams {
        model.streams.next_pane();
    } else if let Some(job) = model.job.as_mut() {
        job.pane = job.pane.next();
    }
}

fn toggle_fold(model: &mut Model) {
    let Some(key) = model.trace.list.cursor else {
        return;
    };
    let now = model.server_now();
    let is_leaf = |row: &crate::model::trace::TraceRow| row.key == key && row.fold == Fold::Leaf;
    if model.trace.rows(now).iter().any(is_leaf) {
        return;
    }
    fold(&mut model.trace, key);
    answers::rearrange(model);
}

fn fold(trace: &mut Trace, key: TraceKey) {
    trace.folds_chosen = true;
    if !trace.folded.remove(&key) {
        trace.folded.insert(key);
    }
}

/// Shows spans by the servers' clock, or by their workers' again.
fn skew(model: &mut Model) {
    let now = model.server_now();
    let is_off = model
        .trace
        .known()
        .is_some_and(|facts| !facts.skews(now).is_empty());
    model.trace.adjusted = !model.trace.adjusted;
    let text = match (model.trace.adjusted, is_off) {
        (true, true) => "spans are moved by what their workers' clocks are off, estimated",
        (true, false) => "no worker's clock is seen to be off: nothing is moved",
        (false, _) => "times are shown as workers wrote them",
    };
    tell(model, text);
}

fn hide_short(model: &mut Model) {
    let here = Trace::SHORTEST
        .iter()
        .position(|step| *step == model.trace.shortest);
    let next = here.map_or(0, |nth| (nth + 1) % Trace::SHORTEST.len());
    model.trace.shortest = Trace::SHORTEST[next];
    answers::rearrange(model);
}

fn next_theme(model: &mut Model) {
    let all = ThemeName::ALL;
    let here = all.iter().position(|name| *name == model.look.theme).unwrap_or(0);
    model.look.theme = all[(here + 1) % all.len()];
    tell(model, &format!("theme {}", model.look.theme.word()));
}

/// The theme of that name.
pub fn theme(model: &mut Model, name: &str) -> Vec<Effect> {
    match ThemeName::ALL.into_iter().find(|theme| theme.word() == name) {
        Some(theme) => {
            model.look.theme = theme;
            tell(model, &format!("theme {name}"));
        }
        None => {
            let words: Vec<&str> = ThemeName::ALL.iter().map(|theme| theme.word()).collect();
            refuse(model, &format!("themes are {}", words.join(", ")));
        }
    }
    Vec::new()
}

fn next_interval(model: &mut Model) -> Vec<Effect> {
    let steps = [1, 5, 30].map(|seconds| Some(Duration::from_secs(seconds)));
    model.interval = match steps.iter().position(|step| *step == model.interval) {
        Some(nth) => steps.get(nth + 1).copied().flatten(),
        None => steps[0],
    };
    let text = match model.interval {
        Some(interval) => format!("refreshed every {} s", interval.as_secs()),
        None => "refreshed with r only".to_owned(),
    };
    tell(model, &text);
    vec![Effect::Every(model.interval)]
}

/// Stops the screen, or catches up in one draw.
fn freeze(model: &mut Model) {
    match model.frozen.take() {
        Some(frozen) => {
            for answer in frozen.held {
                answers::receive(model, answer);
            }
        }
        None => {
            model.frozen = Some(Frozen {
                since: model.now,
                held: Vec::new(),
                new: 0,
            });
        }
    }
}

fn drain(model: &mut Model) -> Vec<Effect> {
    match model.workers.selected().and_then(process) {
        Some(worker) => vec![Effect::DrainWorker(worker)],
        None => Vec::new(),
    }
}

fn process(worker: &WorkerLine) -> Option<WorkerProcess> {
    worker.pid.map(|pid| WorkerProcess {
        name: worker.name.clone(),
        pid,
    })
}

fn ask_to_kill(model: &mut Model) {
    let Some(worker) = model.workers.selected() else {
        return;
    };
    let host = worker
        .host
        .as_ref()
        .map_or_else(String::new, |host| format!(" on {host}"));
    let pid = worker
        .pid
        .map_or_else(String::new, |pid| format!(" to process {pid}"));
    let held = match worker.busy {
        0 => "It runs nothing now.".to_owned(),
        1 => "1 job runs there. Another worker takes it over within 5 s;".to_owned(),
        jobs => format!("{jobs} jobs run there. Another worker takes them over within 5 s;"),
    };
    let mut lines = vec![
        Untrusted::new(format!("kill -9{pid}{host}.")),
        Untrusted::new(held),
    ];
    if worker.busy > 0 {
        lines.push("what their agents have finished is kept and not paid for again.".into());
    }
    let kill = Choice::new("Kill", Intent::KillWorker(worker.name.clone()));
    let mut dialog = Dialog::new(format!("Kill {}", worker.name.short()), lines, kill);
    let drain = Intent::DrainWorker(worker.name.clone());
    dialog.choices.push(Choice::new("Drain instead", drain));
    model.overlay = Some(Overlay::Dialog(dialog));
}

/// Does what was confirmed. The worker may be gone since the question was asked.
pub fn carry_out(model: &mut Model, intent: &Intent) -> Vec<Effect> {
    match intent {
        Intent::KillWorker(name) => with_process(model, name).map(Effect::KillWorker),
        Intent::DrainWorker(name) => with_process(model, name).map(Effect::DrainWorker),
        // Orders have their own way.
        Intent::Foresee(_) | Intent::Carry(_) => None,
    }
    .into_iter()
    .collect()
}

fn with_process(model: &mut Model, name: &WorkerName) -> Option<WorkerProcess> {
    let page = model.workers.page.value();
    let found = page.and_then(|page| page.find(name)).and_then(process);
    if found.is_none() {
        refuse(model, "that worker is gone already");
    }
    found
}
