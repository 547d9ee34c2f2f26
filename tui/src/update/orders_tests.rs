//! What a person orders by keys, what is asked before, and what becomes of the rows after.

use super::update;
use crate::effect::Effect;
use crate::keymap;
use crate::model::dead::DeadKey;
use crate::model::order::{Came, Order, Subject, Verb};
use crate::model::overlay::{Dialog, Focus, Overlay};
use crate::model::view::View;
use crate::model::{Access, Model};
use crate::msg::Msg;
use crate::sample;

fn press(model: &mut Model, script: &str) -> Vec<Effect> {
    let keys = keymap::parse(script).expect("a key script");
    keys.into_iter()
        .flat_map(|key| update(model, Msg::Key(key)))
        .collect()
}

fn dialog(model: &Model) -> &Dialog {
    match &model.overlay {
        Some(Overlay::Dialog(dialog)) => dialog,
        other => panic!("no question is asked: {other:?}"),
    }
}

fn orders(effects: &[Effect]) -> Vec<&Order> {
    let orders = effects.iter().filter_map(|effect| match effect {
        Effect::Carry(order) => Some(order),
        _ => None,
    });
    orders.collect()
}

/// Answers the dry run that is on its way: these ids would be done, those refused.
fn foresee(model: &mut Model, effects: &[Effect], done: &[&str], refused: &[(&str, &str)]) {
    let order = effects.iter().find_map(|effect| match effect {
        Effect::Foresee(order) => Some(order.clone()),
        _ => None,
    });
    let order = order.unwrap_or_else(|| panic!("no dry run is asked for: {effects:?}"));
    let came = Ok(came(done, refused));
    update(model, Msg::Foreseen { order, came });
}

fn came(done: &[&str], refused: &[(&str, &str)]) -> Came {
    Came {
        done: done.iter().map(|id| (*id).to_owned()).collect(),
        refused: refused
            .iter()
            .map(|(id, why)| ((*id).to_owned(), (*why).into()))
            .collect(),
        ..Came::default()
    }
}

/// The jobs with the cursor on a dead one, and nothing marked.
fn on_a_dead_job() -> Model {
    let mut model = sample::jobs();
    model.jobs.list.marks.clear();
    model
}

#[test]
fn enter_alone_cancels_and_y_does_it() {
    let mut model = on_a_dead_job();
    assert!(orders(&press(&mut model, "R<enter>")).is_empty());
    assert_eq!(model.overlay, None);
    assert_eq!(
        model.notice.as_ref().unwrap().text.raw(),
        "cancelled, nothing was sent"
    );
    let effects = press(&mut model, "Ry");
    let orders = orders(&effects);
    assert_eq!(orders[0].verb, Verb::Requeue);
    let Subject::These { ids, .. } = &orders[0].subject else {
        panic!("{orders:?}")
    };
    assert_eq!(ids, &[model.jobs.list.cursor.unwrap().to_string()]);
    let effects = press(&mut model, "R<tab><enter>");
    assert_eq!(self::orders(&effects).len(), 1, "Tab and Enter do it, too");
}

#[test]
fn an_order_keeps_its_ids_when_rows_move() {
    let mut model = on_a_dead_job();
    let meant = model.jobs.list.cursor.unwrap().to_string();
    press(&mut model, "R");
    let mut page = model.jobs.page.value().unwrap().clone();
    page.rows.retain(|row| row.id.to_string() != meant);
    page.filter = model.jobs.filter.clone();
    update(&mut model, Msg::Answer(Box::new(crate::msg::Answer::Jobs(page))));
    let effects = press(&mut model, "y");
    let Subject::These { ids, .. } = &orders(&effects)[0].subject else {
        panic!("{effects:?}")
    };
    assert_eq!(ids, &[meant]);
}

#[test]
fn several_rows_want_a_plan_a_reason_and_their_number() {
    let mut model = sample::jobs();
    let effects = press(&mut model, "R");
    assert!(
        dialog(&model).choices.is_empty(),
        "before the dry run nothing can be pressed"
    );
    foresee(&mut model, &effects, &["a", "b", "c"], &[("d", "it is waiting")]);
    let plan = dialog(&model);
    assert_eq!((plan.rung, plan.focus), (3, Focus::Cancel));
    assert!(
        plan.facts
            .iter()
            .any(|(name, text)| name.raw() == "1 not" && text.raw().contains("it is waiting"))
    );
    assert!(
        orders(&press(&mut model, "y")).is_empty(),
        "y is for the second rung"
    );
    press(&mut model, "<tab>slow model<tab>4<tab><enter>");
    assert_eq!(
        dialog(&model).fields[1].complaint().as_deref(),
        Some("you typed 4, 3 will run")
    );
    assert!(!dialog(&model).is_armed(0));
    let effects = press(&mut model, "<backspace>3<tab><enter>");
    let orders = orders(&effects);
    assert_eq!(orders[0].typed.reason.as_deref(), Some("slow model"));
    assert_eq!(orders[0].typed.count, Some(3));
    assert_eq!(
        orders[0].subject,
        Subject::named(["a", "b", "c"].map(str::to_owned).to_vec())
    );
}

#[test]
fn a_dry_run_that_comes_too_late_opens_nothing() {
    let mut model = sample::jobs();
    let effects = press(&mut model, "R<esc>");
    foresee(&mut model, &effects, &["a"], &[]);
    assert_eq!(model.overlay, None);
}

#[test]
fn a_cause_is_re_queued_by_its_fingerprint() {
    let mut model = sample::dead();
    let effects = press(&mut model, "R");
    let Some(Effect::Foresee(order)) = effects.first() else {
        panic!("{effects:?}")
    };
    let matching = vec!["fingerprint:e3a91c07b4d2".to_owned()];
    let ids = Vec::new();
    assert_eq!(order.subject, Subject::These { ids, matching });
}

#[test]
fn rows_lose_their_mark_as_they_succeed() {
    let mut model = sample::jobs();
    let ids: Vec<String> = model.jobs.list.marks.iter().map(ToString::to_string).collect();
    let order = Order {
        number: 1,
        verb: Verb::Requeue,
        subject: Subject::named(ids.clone()),
        typed: crate::model::order::Typed::default(),
        frozen: None,
    };
    let came = Ok(came(&[&ids[0]], &[(&ids[1], "it is waiting")]));
    let effects = update(&mut model, Msg::Carried { order, came });
    assert!(effects.contains(&Effect::Refresh));
    let left: Vec<String> = model.jobs.list.marks.iter().map(ToString::to_string).collect();
    assert_eq!(left, [ids[1].clone()]);
    let told = model.notice.as_ref().unwrap().text.raw();
    assert_eq!(told, "1 of 2 re-queued; 1: it is waiting");
}

#[test]
fn the_dead_go_for_ever_only_by_the_queues_name() {
    let mut model = sample::dead();
    press(&mut model, "j");
    let Some(DeadKey::Job(id)) = model.dead.list.cursor.clone() else {
        panic!("a job")
    };
    let id = id.to_string();
    let effects = press(&mut model, ":drop<enter>");
    foresee(&mut model, &effects, &[], &[(&id, "it was not exported")]);
    assert!(dialog(&model).fields.is_empty(), "there is nothing to confirm");
    let effects = press(&mut model, "<esc>o");
    assert_eq!(orders(&effects)[0].verb, Verb::Export);
    let effects = press(&mut model, ":dead drop<enter>");
    foresee(&mut model, &effects, &[&id], &[]);
    assert_eq!(dialog(&model).rung, 4);
    press(&mut model, "<tab>seen to<tab>1<tab>reviews");
    assert!(!dialog(&model).is_armed(0), "half a name is none");
    let effects = press(&mut model, ":queue<tab><enter>");
    assert_eq!(orders(&effects)[0].typed.name.as_deref(), Some("reviews:queue"));
}

#[test]
fn a_plan_offers_a_canary_and_a_pace_and_keeps_its_list() {
    let mut model = sample::dead();
    let effects = press(&mut model, "R");
    let Some(Effect::Foresee(order)) = effects.into_iter().next() else {
        panic!("a dry run")
    };
    let number = order.number;
    let mut found = came(&["a", "b", "c"], &[("d", "already re-queued by ci, run r-40")]);
    found.offer = Some(crate::model::order::Offer {
        list: "9f1c".to_owned(),
        canary: 1,
        pace: "2".to_owned(),
        brakes: "at most 4 in flight".to_owned(),
        cost: "~$0.022".to_owned(),
    });
    update(
        &mut model,
        Msg::Foreseen {
            order,
            came: Ok(found),
        },
    );
    assert!(dialog(&model).lines[0].raw().contains("list 9f1c, 4 ids"));
    // Back from the reason to the pace: none is slower than nothing.
    press(&mut model, "<tab><shift-tab><backspace>0");
    assert!(dialog(&model).fields[1].complaint().is_some());
    let effects = press(&mut model, "<backspace>5<tab>slow model<tab>3<tab><enter>");
    let order = orders(&effects)[0];
    assert_eq!(order.typed.pace.as_deref(), Some("5"));
    assert_eq!(order.typed.canary.as_deref(), Some("1"));
    assert_eq!(order.frozen, Some(number));
}

#[test]
fn an_undo_says_first_what_can_come_back() {
    let mut model = sample::activity();
    press(&mut model, "z");
    assert_eq!(model.overlay, None, "nothing of the first row can come back");
    let effects = press(&mut model, "jz");
    let Some(Effect::Foresee(order)) = effects.into_iter().next() else {
        panic!("a question")
    };
    assert_eq!(order.subject, Subject::Action(Some(6)));
    let mut found = came(&[], &[]);
    found.notes = vec!["2 not yet started can come back, 1 already ran or moved".into()];
    found.action = Some(6);
    update(
        &mut model,
        Msg::Foreseen {
            order,
            came: Ok(found),
        },
    );
    assert_eq!(dialog(&model).rung, 2);
    let effects = press(&mut model, "<tab><enter>");
    assert_eq!(orders(&effects)[0].subject, Subject::Action(Some(6)));
}

#[test]
fn an_address_is_there_to_be_edited() {
    let mut model = sample::dead();
    press(&mut model, "E");
    assert_eq!(model.overlay, None, "a cause is many jobs");
    press(&mut model, "jE");
    let before = dialog(&model).fields[0].text.clone();
    assert!(before.contains("://"), "{before}");
    let effects = press(&mut model, "9<tab><enter>");
    assert_eq!(orders(&effects)[0].typed.input, Some(format!("{before}9")));
}

#[test]
fn the_palette_takes_ids_and_reasons_as_the_command_line_does() {
    let mut model = sample::story();
    press(&mut model, ":cancel 469158<enter>");
    assert_eq!(dialog(&model).rung, 2);
    let effects = press(&mut model, "y");
    assert_eq!(
        orders(&effects)[0].subject,
        Subject::named(vec!["469158".to_owned()])
    );
    press(&mut model, ":cancel nothing<enter>");
    assert!(
        model
            .notice
            .as_ref()
            .unwrap()
            .text
            .raw()
            .contains("first 6 digits")
    );
    press(&mut model, ":pause deploy of the proxy<enter>");
    let effects = press(&mut model, "y");
    assert_eq!(
        orders(&effects)[0].typed.reason.as_deref(),
        Some("deploy of the proxy")
    );
    press(&mut model, ":<up>");
    assert!(
        matches!(&model.overlay, Some(Overlay::Palette(palette)) if palette.text.starts_with("pause deploy"))
    );
}

#[test]
fn scale_says_first_what_there_is_and_what_there_will_be() {
    let mut model = sample::story();
    let effects = press(&mut model, ":scale 4<enter>");
    let Some(Effect::Foresee(order)) = effects.into_iter().next() else {
        panic!("a question")
    };
    let mut found = came(&[], &[]);
    found.notes = vec!["2 > 4 workers: more start.".into()];
    update(
        &mut model,
        Msg::Foreseen {
            order,
            came: Ok(found),
        },
    );
    assert_eq!(dialog(&model).rung, 2);
    let effects = press(&mut model, "y");
    assert_eq!(orders(&effects)[0].subject, Subject::Workers(4));
    press(&mut model, ":scale many<enter>");
    assert_eq!(model.overlay, None);
}

#[test]
fn a_console_that_only_looks_orders_nothing_by_any_way() {
    for access in [Access::ReadOnly, Access::OnlyRead] {
        for (_, view) in View::TABS {
            let mut model = sample::jobs();
            (model.access, model.path) = (access, vec![view]);
            for script in ["R", "X", "B", "C", "P", "n", "b", "+", "-", "K"] {
                let effects = press(&mut model, script);
                assert!(effects.is_empty(), "{view:?} {script}: {effects:?}");
                assert_eq!(model.overlay, None, "{view:?} {script}");
            }
            for line in [
                "cancel 469158",
                "drop",
                "pause",
                "scale 2",
                "submit x.patch",
                "dead requeue",
            ] {
                let effects = press(&mut model, &format!(":{line}<enter>"));
                assert!(effects.is_empty(), "{view:?} {line}: {effects:?}");
                assert_eq!(model.overlay, None, "{view:?} {line}");
            }
        }
    }
}

#[test]
fn what_is_copied_holds_nothing_that_a_terminal_obeys() {
    let mut model = sample::jobs();
    let effects = press(&mut model, "Y");
    let Some(Effect::Copy(text)) = effects.first() else {
        panic!("{effects:?}")
    };
    assert!(
        text.starts_with('{') && !text.chars().any(char::is_control),
        "{text}"
    );
    assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
    let id = model.jobs.list.cursor.unwrap().to_string();
    assert_eq!(press(&mut model, "y"), [Effect::Copy(id)]);
}
