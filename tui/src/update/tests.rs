//! What a person types, and what becomes of the model.

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::update;
use crate::effect::{Effect, Wish};
use crate::keymap::{self, Key};
use crate::model::connection::Server;
use crate::model::overlay::Overlay;
use crate::model::pending::Place;
use crate::model::streams::StreamPane;
use crate::model::view::{Size, View};
use crate::model::workers::WorkerState;
use crate::model::{Access, Model};
use crate::msg::{Answer, Msg, Topic};
use crate::sample;

/// Presses the keys of a script and answers all effects.
fn press(model: &mut Model, script: &str) -> Vec<Effect> {
    let keys = keymap::parse(script).expect("a key script");
    keys.into_iter()
        .flat_map(|key| update(model, Msg::Key(key)))
        .collect()
}

fn answer(model: &mut Model, answer: Answer) {
    update(model, Msg::Answer(Box::new(answer)));
}

#[test]
fn numbers_open_views_and_escape_goes_out() {
    let mut model = sample::story();
    let effects = press(&mut model, "2");
    assert_eq!(model.view(), View::Jobs);
    assert!(matches!(&effects[..], [Effect::Watch(Wish::Jobs { .. })]));
    press(&mut model, "<enter>");
    assert_eq!(model.view(), View::Job);
    press(&mut model, "t");
    assert_eq!(model.path, [View::Jobs, View::Job, View::Trace]);
    press(&mut model, "<esc><esc>");
    assert_eq!(model.view(), View::Jobs);
    for (number, view) in View::TABS {
        press(&mut model, &number.to_string());
        assert_eq!(model.view(), view);
    }
    press(&mut model, "90");
    assert_eq!(model.view(), View::Activity, "there is no ninth view");
}

#[test]
fn a_pending_entry_leads_to_its_job_and_back_to_its_row() {
    let mut model = sample::pending();
    press(&mut model, "j");
    let key = model.pending.list.cursor;
    press(&mut model, "<enter>");
    assert_eq!(model.view(), View::Job);
    let id = model.pending.selected().unwrap().job;
    assert_eq!(model.job.as_ref().map(|job| job.id), id);
    press(&mut model, "<esc>");
    assert_eq!((model.view(), model.pending.list.cursor), (View::Pending, key));
    // The first row's payload is gone: nobody can read its job.
    press(&mut model, "g<enter>");
    assert_eq!(model.view(), View::Pending);
    assert!(model.notice.is_some());
}

#[test]
fn a_pending_list_asks_for_the_end_once_and_an_old_answer_moves_nothing() {
    let mut model = sample::pending();
    let mut page = model.pending.page.value().unwrap().clone();
    page.after = true;
    answer(&mut model, Answer::Pending(page.clone()));
    let effects = press(&mut model, "G");
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Watch(Wish::Pending {
            place: Place::Last,
            ..
        })
    )));
    assert!(press(&mut model, "GG").is_empty(), "one question at a time");
    answer(&mut model, Answer::Pending(page));
    assert_eq!(
        model.pending.place,
        Place::Last,
        "an answer to another place is nobody's"
    );
}

#[test]
fn enter_unfolds_a_cause_and_its_jobs_are_asked_for() {
    let mut model = sample::dead();
    press(&mut model, "<enter>");
    assert_eq!(model.dead.list.len(), 4);
    let effects = press(&mut model, "<enter>");
    assert!(
        matches!(&effects[..], [Effect::Watch(Wish::Dead { unfolded: Some(cause) })] if cause.starts_with("e3a91c"))
    );
    press(&mut model, "j<enter>");
    assert_eq!(model.view(), View::Job);
    press(&mut model, "<esc>/class:input<enter>");
    assert_eq!(model.dead.list.len(), 1);
}

#[test]
fn tab_turns_what_is_told_of_a_stream() {
    let mut model = sample::streams();
    let effects = press(&mut model, "<tab>");
    assert!(matches!(
        &effects[..],
        [Effect::Watch(Wish::Streams {
            pane: StreamPane::Consumers,
            near: Some(_),
            open: false,
        })]
    ));
    assert!(
        model.streams.detail().is_none(),
        "what was told of another pane is not shown in this one"
    );
    press(&mut model, "/mail<enter>");
    assert_eq!(model.streams.list.len(), 1);
}

#[test]
fn a_stream_takes_the_screen_and_gives_it_back() {
    let mut model = sample::streams();
    let before = model.streams.list.clone();
    let effects = press(&mut model, "<enter>");
    assert!(matches!(
        &effects[..],
        [Effect::Watch(Wish::Streams { open: true, .. })]
    ));
    press(&mut model, "<tab><tab><tab>");
    assert_eq!(
        (model.streams.shown_pane(), model.streams.lines()),
        (StreamPane::Groups, 3)
    );
    press(&mut model, "jjG");
    assert_eq!(model.streams.first_line, 0, "three lines fit");
    assert_eq!(model.streams.list, before, "the list is as it was left");
    press(&mut model, "<esc>");
    assert!(!model.streams.open);
    assert_eq!(
        (model.view(), model.streams.pane),
        (View::Streams, StreamPane::Pending)
    );
    press(&mut model, "<esc>");
    assert_eq!(model.view(), View::Overview);

    let mut many = sample::stream_consumers();
    press(&mut many, "G");
    let height = many.list_height();
    assert_eq!(many.streams.first_line, 60 - height);
    press(&mut many, "g<pgdn>k");
    assert_eq!(many.streams.first_line, height - 2);
}

#[test]
fn a_search_in_a_trace_finds_its_span_behind_a_fold_and_the_zoom_keeps_it_in_sight() {
    let mut model = sample::trace();
    press(&mut model, "g/contrast<enter>");
    let facts = model.trace.known().unwrap().clone();
    let found = facts.span(model.trace.selected_span().unwrap()).unwrap().clone();
    assert_eq!(found.name.raw(), "contrast_ratio");
    press(&mut model, ">>>>>>");
    let now = model.server_now();
    let (origin, whole) = model.trace.stretch(&facts, now);
    let at = (found.started_at - origin).to_std().unwrap().as_secs_f64() / whole.as_secs_f64();
    let from = f64::from(model.trace.zoom.from_ppm) / 1e6;
    assert_eq!(model.trace.zoom.factor, 64);
    assert!(from <= at && at < from + 1.0 / 64.0, "{at} in {from}");
    press(&mut model, "mmm");
    assert_eq!(
        model.trace.selected_span(),
        Some(found.id),
        "what is looked at is never hidden for being short"
    );
}

#[test]
fn w_makes_up_for_a_clock_and_back() {
    let mut model = sample::skewed_trace();
    let facts = model.trace.known().unwrap().clone();
    let now = model.server_now();
    assert_eq!(model.trace.ahead(&facts, 1, now), TimeDelta::zero());
    press(&mut model, "w");
    assert!(model.trace.ahead(&facts, 1, now) < TimeDelta::zero());
    assert_eq!(
        model.trace.ahead(&facts, 2, now),
        TimeDelta::zero(),
        "the other worker's clock is right"
    );
    press(&mut model, "w");
    assert!(!model.trace.adjusted);
}

#[test]
fn enter_on_the_overview_goes_to_the_worker_that_needs_somebody_or_to_the_chosen_one() {
    let mut model = sample::story();
    press(&mut model, "<enter>");
    assert_eq!(model.view(), View::Workers);
    assert_eq!(model.workers.selected().unwrap().name.short(), "w-02de");

    let mut model = sample::story();
    press(&mut model, "j<enter>");
    assert_eq!(model.workers.selected().unwrap().name.short(), "w-91bc");
}

#[test]
fn typing_a_filter_narrows_at_once_and_escape_takes_it_back() {
    let mut model = sample::story();
    press(&mut model, "2/status:dead");
    assert_eq!(model.jobs.list.len(), 4);
    assert!(model.typing.is_some());
    press(&mut model, "<esc>");
    assert_eq!((model.jobs.list.len(), model.typing.is_some()), (11, false));
    let effects = press(&mut model, "/mastra<enter>");
    assert_eq!(model.jobs.list.len(), 4);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Watch(Wish::Jobs { filter, .. }) if filter.text == "mastra"
    )));
    press(&mut model, "q");
    assert!(model.leaving, "after Enter keys are commands again");
}

#[test]
fn an_answer_to_another_filter_is_left_out() {
    let mut model = sample::story();
    press(&mut model, "2/status:dead<enter>");
    let late = sample::story().jobs.page.value().unwrap().clone();
    let before = model.jobs.page.clone();
    answer(&mut model, Answer::Jobs(late));
    assert_eq!(model.jobs.page, before);
}

#[test]
fn killing_asks_first_and_enter_alone_does_nothing() {
    let mut model = sample::story();
    assert!(
        press(&mut model, "4K<enter>")
            .iter()
            .all(|effect| !matches!(effect, Effect::KillWorker(_)))
    );
    assert_eq!(model.overlay, None);
    let effects = press(&mut model, "K<tab><enter>");
    assert!(matches!(&effects[..], [Effect::KillWorker(worker)] if worker.pid == 48_110));
    let effects = press(&mut model, "Ky");
    assert!(matches!(&effects[..], [Effect::KillWorker(_)]));
}

#[test]
fn a_lost_worker_is_not_killed_twice() {
    let mut model = sample::story();
    press(&mut model, "4G");
    assert_eq!(
        model.workers.selected().map(|worker| worker.state),
        Some(WorkerState::Lost)
    );
    assert_eq!(press(&mut model, "K"), []);
    assert_eq!(model.overlay, None);
    assert!(model.notice.is_some());
}

#[test]
fn without_a_demo_and_read_only_nothing_is_written() {
    for mut model in [sample::read_only(), {
        let mut model = sample::story();
        model.fleet = None;
        model
    }] {
        assert_eq!(press(&mut model, "nb+-K"), []);
        assert!(model.notice.is_some());
    }
    let mut model = sample::story();
    model.access = Access::ReadOnly;
    assert_eq!(press(&mut model, "nb+-"), []);
}

#[test]
fn demo_keys_have_their_effects() {
    let mut model = sample::story();
    let effects = press(&mut model, "nb+-");
    assert_eq!(
        effects[..3],
        [Effect::Submit(1), Effect::Submit(50), Effect::AddWorker]
    );
    assert!(matches!(&effects[3], Effect::DrainWorker(_)));
}

#[test]
fn a_frozen_screen_stands_still_and_catches_up_at_once() {
    let mut model = sample::story();
    press(&mut model, "p");
    let mut later = model.overview.queue.value().unwrap().clone();
    later.waiting = 99;
    let later_now = model.now + TimeDelta::seconds(12);
    update(&mut model, Msg::Tick { now: later_now });
    answer(&mut model, Answer::Queue(later));
    assert_eq!(model.overview.queue.value().unwrap().waiting, 128);
    assert!(
        !model.overview.queue.is_stale(),
        "a frozen screen does not grow old"
    );
    press(&mut model, "p");
    assert_eq!(model.overview.queue.value().unwrap().waiting, 99);
    assert_eq!(model.frozen, None);
}

#[test]
fn a_lost_server_leaves_its_figures_with_their_age_and_comes_back() {
    let mut model = sample::story();
    let figures = model.overview.queue.value().unwrap().clone();
    let next_try = model.now + TimeDelta::seconds(3);
    update(
        &mut model,
        Msg::Down {
            server: Server::Valkey,
            why: "refused".into(),
            next_try,
        },
    );
    update(
        &mut model,
        Msg::Missed {
            topic: Topic::Queue,
            why: "refused".into(),
        },
    );
    let later_now = model.now + TimeDelta::seconds(12);
    update(&mut model, Msg::Tick { now: later_now });
    assert!(model.connection.valkey.is_lost());
    assert_eq!(model.overview.queue.age(model.now), Some(Duration::from_secs(12)));
    assert_eq!(model.overview.queue.value(), Some(&figures));
    update(
        &mut model,
        Msg::Up {
            server: Server::Valkey,
            latency: Duration::from_millis(1),
            clock_ahead_ms: None,
        },
    );
    answer(&mut model, Answer::Queue(figures));
    assert!(!model.overview.queue.is_stale() && !model.connection.valkey.is_lost());
}

#[test]
fn rows_that_arrive_leave_the_cursor_on_its_job() {
    let mut model = sample::story();
    press(&mut model, "2jjjj");
    let chosen = model.jobs.list.cursor;
    let line = model.jobs.list.position().unwrap() - model.jobs.list.offset;
    let mut page = model.jobs.page.value().unwrap().clone();
    for nth in 0..30 {
        let mut fresh = page.rows[0].clone();
        fresh.id = millstream::domain::JobId(uuid::Uuid::from_u128(nth));
        fresh.created_at = model.now + TimeDelta::seconds(nth as i64 + 1);
        page.rows.push(fresh);
    }
    answer(&mut model, Answer::Jobs(page));
    assert_eq!(model.jobs.list.cursor, chosen);
    assert_eq!(model.jobs.list.position().unwrap() - model.jobs.list.offset, line);
    assert_eq!(model.jobs.list.waiting, 30);
    press(&mut model, "g");
    assert_eq!(
        (model.jobs.list.waiting, model.jobs.list.position()),
        (0, Some(0))
    );
}

#[test]
fn a_worker_that_falls_silent_is_told_marked_and_needed() {
    let mut model = sample::story();
    let mut rows = model.workers.page.value().unwrap().rows.clone();
    update(
        &mut model,
        Msg::WorkerEnded {
            pid: 48_127,
            how: "exit by signal 9".into(),
            in_order: false,
        },
    );
    assert_eq!(
        model.workers.page.value().unwrap().rows[1].state,
        WorkerState::Lost,
        "at once"
    );
    rows[1].pid = None;
    answer(&mut model, Answer::Workers(rows));
    let worker = &model.workers.page.value().unwrap().rows[1];
    assert_eq!(worker.pid, Some(48_127), "what it said last stays");
    assert_eq!(
        model.happenings.iter().next().unwrap().what.to_string(),
        "went silent"
    );
    assert!(
        model
            .overview
            .needs
            .iter()
            .any(|need| need.what.raw().contains("w-91bc lost"))
    );
    assert!(model.overview.needs[0].what.raw().contains("signal 9"));
    let told = model
        .happenings
        .iter()
        .filter(|told| told.subject.raw() == "w-91bc")
        .count();
    assert_eq!(told, 1, "it is told once");
}

#[test]
fn folding_keeps_the_cursor_and_leaves_have_no_fold() {
    let mut model = sample::trace();
    let before = model.trace.list.len();
    press(&mut model, "<enter>");
    assert_eq!(model.trace.list.len(), before, "the selected span is a leaf");
    press(&mut model, "k<enter>");
    assert_eq!(model.trace.list.len(), before - 1);
    press(&mut model, "<enter>");
    assert_eq!(model.trace.list.len(), before);
}

#[test]
fn the_palette_finds_by_word_and_runs() {
    let mut model = sample::story();
    press(&mut model, ":work");
    assert!(matches!(&model.overlay, Some(Overlay::Palette(palette)) if !palette.found.is_empty()));
    press(&mut model, "<enter>");
    assert_eq!((model.view(), &model.overlay), (View::Workers, &None));
    let effects = press(&mut model, ":q<enter>");
    assert_eq!(effects, [Effect::Quit]);
}

#[test]
fn help_tells_why_a_key_does_not_work() {
    let mut model = sample::story();
    press(&mut model, "2?");
    assert_eq!(model.overlay, Some(Overlay::Help));
    let rows = keymap::help(&model, crate::command::Group::Demo);
    assert!(rows.iter().any(|hint| hint.refusal.is_some()) && rows.iter().all(|hint| !hint.keys.is_empty()));
    press(&mut model, "?");
    assert_eq!(model.overlay, None);
}

fn any_msg() -> impl Strategy<Value = Msg> {
    let keys = "jkgG12345678<>hlmciaotTJpqrsSIDu*/?:@+-Kyn b\u{202e}xw";
    let chars: Vec<char> = keys.chars().collect();
    let story = sample::story();
    let jobs = story.jobs.page.value().unwrap().clone();
    let workers = story.workers.page.value().unwrap().rows.clone();
    let facts = story.trace.known().unwrap().clone();
    let trace_id = story.trace.id.unwrap();
    prop_oneof![
        8 => prop::sample::select(chars).prop_map(|c| Msg::Key(Key::Char(c))),
        4 => prop::sample::select(vec![
            Key::Enter, Key::Esc, Key::Tab, Key::Backspace, Key::PageDown, Key::PageUp, Key::Home, Key::End,
            Key::Up, Key::Down, Key::Left, Key::Right,
        ]).prop_map(Msg::Key),
        2 => (0_u16..220, 0_u16..70).prop_map(|(width, height)| Msg::Resize(Size { width, height })),
        1 => (0_i64..100_000).prop_map(|ms| Msg::Tick { now: sample::now() + TimeDelta::milliseconds(ms) }),
        2 => prop::collection::vec(0_usize..11, 0..11).prop_map(move |chosen| {
            let mut page = jobs.clone();
            page.rows = chosen.iter().map(|nth| page.rows[*nth].clone()).collect();
            page.rows.sort_by_key(|row| row.id);
            page.rows.dedup_by_key(|row| row.id);
            Msg::Answer(Box::new(Answer::Jobs(page)))
        }),
        2 => (0_usize..4).prop_map(move |count| {
            Msg::Answer(Box::new(Answer::Workers(workers.iter().take(count).cloned().collect())))
        }),
        2 => (0_usize..18).prop_map(move |count| {
            let mut facts = facts.clone();
            facts.spans.truncate(count);
            Msg::Answer(Box::new(Answer::Trace(trace_id, Some(facts))))
        }),
        1 => Just(Msg::Missed { topic: Topic::Jobs, why: "away".into() }),
        1 => any::<String>().prop_map(Msg::Paste),
    ]
}

proptest! {
    #[test]
    fn after_any_messages_every_cursor_is_on_a_row_and_every_window_fits(
        messages in prop::collection::vec(any_msg(), 0..60)
    ) {
        let mut model = sample::story();
        for msg in messages {
            update(&mut model, msg);
            prop_assert!(!model.path.is_empty());
            let height = model.list_height();
            let jobs = &model.jobs.list;
            prop_assert_eq!(jobs.cursor.is_some(), !jobs.is_empty());
            prop_assert!(jobs.window(height).end <= jobs.len());
            prop_assert_eq!(model.jobs.visible(height).len(), jobs.window(height).len());
            prop_assert_eq!(model.workers.list.cursor.is_some(), !model.workers.list.is_empty());
            let now = model.server_now();
            prop_assert_eq!(model.trace.visible(height, now).len(), model.trace.list.window(height).len());
            if let Some(position) = jobs.position() {
                prop_assert!(jobs.window(height).contains(&position));
            }
        }
    }
}
