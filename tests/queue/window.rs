//! Pending lists of any length: read from any place on, in steps that stay small.

use std::time::{Duration, Instant};

use millstream::domain::{EntryId, JobId, Lane, WorkerId};
use millstream::queue::held::HeldWindow;
use millstream::queue::keys::PARKED;
use millstream::queue::window::{Payload, Place, Spot};
use millstream::queue::{NewEntry, Wire};

use crate::support::{PATIENCE, World, private};

/// Adds and delivers a million entries on the server itself, in slices.
const FILL: &str = "
for i = 1, ARGV[3] do redis.call('XADD', KEYS[1], '*', 'jobId', i, 'payload', 'p') end
local given = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')
return #given[1][2]";

async fn deliver(world: &World, lane: Lane, consumer: &str, count: usize) {
    let _rows: redis::Value = redis::cmd("XREADGROUP")
        .arg(&["GROUP", &world.settings.group, consumer, "COUNT"])
        .arg(count)
        .arg(&["STREAMS", world.queue.keys().stream(lane), ">"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
}

/// A world with so many entries on its three streams by turns, all of them pending.
async fn pending(count: usize) -> (World, Vec<(EntryId, Lane)>) {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut ids = Vec::new();
    for nth in 0..count {
        let entry = NewEntry {
            lane: Lane::ALL[nth % 3],
            job: JobId::fresh(),
            payload: "p".into(),
            traceparent: None,
        };
        let lane = entry.lane;
        let id = world.queue.enqueue(&[entry]).await.expect("enqueue")[0];
        ids.push((id, lane));
    }
    for lane in Lane::ALL {
        deliver(&world, lane, "worker-1", count).await;
    }
    ids.sort_unstable();
    (world, ids)
}

async fn look(world: &World, place: Place, limit: usize) -> HeldWindow {
    world.queue.held(place, limit).await.expect("valkey is there")
}

/// The rows of a window that are not among those that were seen: windows overlap, since entries of two streams may
/// have the same id.
fn unseen(window: &HeldWindow, seen: &[(EntryId, Lane)]) -> Vec<(EntryId, Lane)> {
    let rows = window.rows.iter().map(|row| (row.held.entry, row.lane));
    rows.filter(|row| !seen.contains(row)).collect()
}

#[tokio::test]
async fn a_window_walks_three_streams_forwards_and_backwards_and_misses_nothing() {
    let (world, all) = pending(330).await;
    let (mut seen, mut place) = (Vec::new(), Place::First);
    loop {
        let window = look(&world, place, 50).await;
        assert_eq!(window.total, 330);
        assert_eq!(window.before, !seen.is_empty(), "at {place:?}");
        seen.extend(unseen(&window, &seen));
        if !window.after {
            break;
        }
        place = Place::At(window.rows[40].held.entry);
    }
    assert_eq!(seen, all);
    let (mut back, mut place) = (Vec::new(), Place::Last);
    loop {
        let window = look(&world, place, 50).await;
        assert!(window.rows.len() >= 25 || !window.before, "at {place:?}");
        assert_eq!(window.after, place != Place::Last);
        back.splice(0..0, unseen(&window, &back));
        if !window.before {
            break;
        }
        place = Place::Before(window.rows[5].held.entry);
    }
    assert_eq!(back, all);
}

#[tokio::test]
async fn entries_of_three_streams_with_one_id_are_not_passed_over_on_the_way_back() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut all = Vec::new();
    for ms in 1..=20 {
        for lane in Lane::ALL {
            let id = EntryId { ms, seq: 0 };
            let _: String = redis::cmd("XADD")
                .arg(world.queue.keys().stream(lane))
                .arg(id.to_string())
                .arg(&["payload", "p"])
                .query_async(&mut world.valkey.clone())
                .await
                .expect("valkey is there");
            all.push((id, lane));
        }
    }
    for lane in Lane::ALL {
        deliver(&world, lane, "worker-1", 20).await;
    }
    for limit in [4, 10, 11] {
        let (mut back, mut place) = (Vec::new(), Place::Last);
        loop {
            let window = look(&world, place, limit).await;
            assert!(window.rows.len() <= limit);
            back.splice(0..0, unseen(&window, &back));
            if !window.before {
                break;
            }
            place = Place::Before(window.rows[0].held.entry);
        }
        assert_eq!(back, all, "by {limit}");
    }
}

#[tokio::test]
async fn a_row_says_who_holds_it_when_it_is_due_and_what_it_holds() {
    let (world, all) = pending(3).await;
    let (mut valkey, keys) = (world.valkey.clone(), world.queue.keys());
    let worker = WorkerId::fresh();
    world.queue.beat(worker, "{}", true).await.expect("beat");
    let claim = |lane: Lane, to: String, id: EntryId| {
        redis::cmd("XCLAIM")
            .arg(keys.stream(lane))
            .arg(&world.settings.group)
            .arg(to)
            .arg(0)
            .arg(id.to_string())
            .to_owned()
    };
    let (own, shared, high) = (all[0].0, all[1].0, all[2].0);
    let _: redis::Value = claim(Lane::Own, PARKED.into(), own)
        .query_async(&mut valkey)
        .await
        .expect("claim");
    let _: u64 = redis::cmd("ZADD")
        .arg(&keys.due)
        .arg(4_102_444_800_000_u64)
        .arg(format!("1:{own}"))
        .query_async(&mut valkey)
        .await
        .expect("due");
    let _: redis::Value = claim(Lane::Shared, worker.to_string(), shared)
        .query_async(&mut valkey)
        .await
        .expect("claim");
    let _: u64 = redis::cmd("XDEL")
        .arg(&keys.high)
        .arg(high.to_string())
        .query_async(&mut valkey)
        .await
        .expect("delete");
    let rows = look(&world, Place::First, 10).await.rows;
    assert!(rows[0].parked && rows[0].due_in.is_some_and(|left| left > Duration::from_secs(60)));
    assert_eq!(rows[1].held.consumer, worker.to_string().as_bytes());
    assert!(
        rows[1]
            .silence
            .is_some_and(|silence| silence < Duration::from_secs(60))
    );
    assert_eq!(rows[1].held.deliveries, 2);
    assert!(rows[1].job.is_some() && rows[1].input.as_deref() == Some("p"));
    assert_eq!((&rows[2].held.payload, rows[2].job), (&Payload::Gone, None));
    assert_eq!(rows[2].silence, None, "worker-1 sends no heartbeat of ours");
}

#[tokio::test]
async fn names_and_fields_that_are_no_text_are_read_as_bytes() {
    let world = World::new().await;
    let mut valkey = world.valkey.clone();
    let spot = Spot {
        stream: b"odd\xff\x1b[2J"
            .iter()
            .chain(world.settings.name.as_bytes())
            .copied()
            .collect(),
        group: b"g\xfe".to_vec(),
    };
    let run = |words: Vec<Vec<u8>>| {
        let mut command = redis::cmd(std::str::from_utf8(&words[0]).expect("a command"));
        for word in &words[1..] {
            command.arg(word);
        }
        command
    };
    let (key, group) = (spot.stream.clone(), spot.group.clone());
    for words in [
        vec![
            b"XGROUP".to_vec(),
            b"CREATE".to_vec(),
            key.clone(),
            group.clone(),
            b"0".to_vec(),
            b"MKSTREAM".to_vec(),
        ],
        vec![
            b"XADD".to_vec(),
            key.clone(),
            b"*".to_vec(),
            b"f\xff".to_vec(),
            b"\x00\xc3(".to_vec(),
        ],
        vec![
            b"XREADGROUP".to_vec(),
            b"GROUP".to_vec(),
            group,
            b"c\x80".to_vec(),
            b"STREAMS".to_vec(),
            key,
            b">".to_vec(),
        ],
    ] {
        let _: redis::Value = run(words)
            .query_async(&mut valkey)
            .await
            .expect("valkey takes bytes");
    }
    let window = world
        .queue
        .window(&[spot], Place::First, 5)
        .await
        .expect("valkey is there");
    assert_eq!(window.rows[0].consumer, b"c\x80");
    let Payload::There { fields, bytes } = &window.rows[0].payload else {
        panic!("{window:?}")
    };
    assert_eq!(
        (fields[0].clone(), *bytes),
        ((b"f\xff".to_vec(), b"\x00\xc3(".to_vec()), 5)
    );
}

#[tokio::test]
async fn a_million_pending_entries_cost_no_command_more_than_five_milliseconds() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::JOB).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut valkey = world.valkey.clone();
    // Nothing of this has to outlive the server, and a log of it would be most of the work.
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "appendonly", "no"])
        .query_async(&mut valkey)
        .await
        .expect("ours");
    let fill = redis::Script::new(FILL);
    for _ in 0..500 {
        let given: usize = fill
            .key(&world.queue.keys().own)
            .arg(&world.settings.group)
            .arg("worker-1")
            .arg(2_000)
            .invoke_async(&mut valkey)
            .await
            .expect("valkey is there");
        assert_eq!(given, 2_000);
    }
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "slowlog-log-slower-than", "5000"])
        .query_async(&mut valkey)
        .await
        .expect("ours");
    // The server measures by the clock on the wall: on a busy machine one of some rounds is quiet.
    let (began, mut rounds) = (Instant::now(), Vec::new());
    while rounds.len() < 5 || began.elapsed() < PATIENCE {
        let (slow, first) = round(&world).await;
        if slow == 0 && first < Duration::from_millis(300) {
            servers.stop().await;
            return;
        }
        rounds.push((slow, first));
    }
    panic!("slow commands and time to the first rows, of each round: {rounds:?}");
}

/// From the first rows to the last and a little back; answers how many commands were slow, and how long the first
/// rows took.
async fn round(world: &World) -> (usize, Duration) {
    let mut valkey = world.valkey.clone();
    let () = redis::cmd("SLOWLOG")
        .arg("RESET")
        .query_async(&mut valkey)
        .await
        .expect("ours");
    let begun = Instant::now();
    let mut window = look(world, Place::First, 200).await;
    let first = begun.elapsed();
    assert_eq!((window.rows.len(), window.total), (200, 1_000_000));
    for _ in 0..20 {
        let last = window.rows[150].held.entry;
        window = look(world, Place::At(last), 200).await;
        assert!(window.before && window.after && window.rows.len() == 200);
    }
    window = look(world, Place::Last, 200).await;
    assert!(
        window.before && !window.after && window.rows.len() >= 100,
        "{}",
        window.rows.len()
    );
    assert!(window.commands < 200, "{} commands", window.commands);
    for _ in 0..5 {
        let place = Place::Before(window.rows[20].held.entry);
        window = look(world, place, 200).await;
        assert!(window.before && window.after && window.rows.len() >= 100);
    }
    let slow: Vec<redis::Value> = redis::cmd("SLOWLOG")
        .arg("GET")
        .arg(-1)
        .query_async(&mut valkey)
        .await
        .expect("ours");
    (slow.len(), first)
}
