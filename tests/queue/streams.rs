//! Any stream on a server: found in steps, looked into, and a lag that says how it is known.

use millstream::queue::Wire;
use millstream::queue::streams::{GroupFacts, Lag, StreamFacts};
use millstream::queue::window::Payload;
use redis::aio::MultiplexedConnection;

use crate::support::{World, private};

async fn run(valkey: &mut MultiplexedConnection, words: &[&[u8]]) -> redis::Value {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(valkey).await.expect("valkey takes it")
}

async fn add(valkey: &mut MultiplexedConnection, stream: &str, ids: std::ops::RangeInclusive<u64>) {
    let mut pipe = redis::pipe();
    for id in ids {
        pipe.cmd("XADD")
            .arg(stream)
            .arg(format!("{id}-0"))
            .arg("n")
            .arg(id)
            .ignore();
    }
    let () = pipe.query_async(valkey).await.expect("valkey is there");
}

async fn read(valkey: &mut MultiplexedConnection, stream: &str, group: &str, count: &str) {
    let command = [
        "XREADGROUP",
        "GROUP",
        group,
        "c",
        "COUNT",
        count,
        "STREAMS",
        stream,
        ">",
    ];
    run(valkey, &command.map(str::as_bytes)).await;
}

async fn look(world: &World, stream: &str) -> StreamFacts {
    let (mut found, _) = world
        .queue
        .streams(&[stream.into()])
        .await
        .expect("valkey is there");
    found.pop().expect("the stream is there")
}

fn group<'a>(facts: &'a StreamFacts, name: &str) -> &'a GroupFacts {
    facts
        .groups
        .iter()
        .find(|group| group.name == name.as_bytes())
        .expect("the group is there")
}

#[tokio::test]
async fn a_lag_says_how_it_is_known_and_is_never_guessed() {
    let world = World::new().await;
    let (mut valkey, stream) = (world.valkey.clone(), format!("{}:other", world.settings.name));
    let key = stream.as_bytes();
    run(
        &mut valkey,
        &[b"XGROUP", b"CREATE", key, b"begin", b"0", b"MKSTREAM"],
    )
    .await;
    add(&mut valkey, &stream, 1..=50).await;
    read(&mut valkey, &stream, "begin", "10").await;
    let facts = look(&world, &stream).await;
    assert_eq!((facts.length, facts.added), (50, Some(50)));
    assert_eq!(
        (facts.first.map(|id| id.ms), facts.last.map(|id| id.ms)),
        (Some(1), Some(50))
    );
    let begin = group(&facts, "begin");
    assert_eq!(
        (begin.lag, begin.pending, begin.consumers, begin.read),
        (Lag::Counter(40), 10, 1, Some(10))
    );

    // An entry that nobody has read is deleted: the counter says nothing any more, and 39 are left.
    run(&mut valkey, &[b"XDEL", key, b"30-0"]).await;
    // A group that begins in the middle has no counter either.
    run(&mut valkey, &[b"XGROUP", b"CREATE", key, b"midway", b"45-0"]).await;
    let facts = look(&world, &stream).await;
    assert_eq!(group(&facts, "begin").lag, Lag::Counted(39));
    let midway = group(&facts, "midway").lag;
    assert!(matches!(midway, Lag::Counted(5) | Lag::Counter(5)), "{midway:?}");

    add(&mut valkey, &stream, 51..=900).await;
    assert_eq!(
        group(&look(&world, &stream).await, "begin").lag,
        Lag::AtLeast(500),
        "one slice is counted"
    );
    run(&mut valkey, &[b"XTRIM", key, b"MAXLEN", b"3"]).await;
    let facts = look(&world, &stream).await;
    assert_eq!(
        group(&facts, "begin").lag,
        Lag::Counter(3),
        "all that is there is new to it"
    );
    run(&mut valkey, &[b"DEL", key]).await;
    let (found, _) = world
        .queue
        .streams(&[key.to_vec()])
        .await
        .expect("valkey is there");
    assert!(found.is_empty(), "what is gone is left out");
}

#[tokio::test]
async fn our_own_queue_knows_what_waits_though_entries_left_out_of_order() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    for word in ["one", "two", "three"] {
        world.submit(word).await;
    }
    let own = world.queue.keys().own.clone();
    let facts = look(&world, &own).await;
    assert_eq!(group(&facts, &world.settings.group).lag, Lag::Ours(3));
}

#[tokio::test]
async fn ten_thousand_consumers_are_counted_and_few_are_listed() {
    let world = World::new().await;
    let (mut valkey, stream) = (world.valkey.clone(), format!("{}:crowd", world.settings.name));
    run(
        &mut valkey,
        &[b"XGROUP", b"CREATE", stream.as_bytes(), b"g", b"0", b"MKSTREAM"],
    )
    .await;
    let mut pipe = redis::pipe();
    for nth in 0..10_000 {
        pipe.cmd("XGROUP")
            .arg(&["CREATECONSUMER", &stream, "g"])
            .arg(format!("c{nth}"))
            .ignore();
    }
    let () = pipe.query_async(&mut valkey).await.expect("valkey is there");
    let facts = look(&world, &stream).await;
    assert_eq!(group(&facts, "g").consumers, 10_000);
    let few = format!("{}:few", world.settings.name);
    run(
        &mut valkey,
        &[b"XGROUP", b"CREATE", few.as_bytes(), b"g", b"0", b"MKSTREAM"],
    )
    .await;
    add(&mut valkey, &few, 1..=2).await;
    read(&mut valkey, &few, "g", "2").await;
    let consumers = world
        .queue
        .consumers(few.as_bytes(), b"g")
        .await
        .expect("the group is there");
    assert_eq!((consumers.len(), consumers[0].pending), (1, 2));
    let entries = world
        .queue
        .last_entries(few.as_bytes(), 1)
        .await
        .expect("valkey is there");
    assert_eq!(entries[0].id.ms, 2);
    assert!(
        matches!(&entries[0].payload, Payload::There { bytes: 2, .. }),
        "{entries:?}"
    );
}

#[tokio::test]
async fn names_are_found_among_many_keys_in_bounded_steps() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let mut valkey = world.valkey.clone();
    let mut pipe = redis::pipe();
    for nth in 0..5_000 {
        pipe.cmd("SET").arg(format!("key:{nth}")).arg(nth).ignore();
    }
    for nth in 0..30 {
        pipe.cmd("XADD")
            .arg(format!("stream:{nth}\u{1b}"))
            .arg(&["*", "a", "b"])
            .ignore();
    }
    let () = pipe.query_async(&mut valkey).await.expect("valkey is there");
    let (mut cursor, mut names, mut steps) = (0, std::collections::BTreeSet::new(), 0);
    loop {
        let (next, found) = world.queue.scan_streams(cursor).await.expect("valkey is there");
        names.extend(found);
        (cursor, steps) = (next, steps + 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(names.len(), 30);
    assert!(steps > 10, "{steps} steps");
    servers.stop().await;
}

#[tokio::test]
async fn a_group_tells_how_old_its_backlogs_are() {
    let world = World::new().await;
    let (mut valkey, stream) = (world.valkey.clone(), format!("{}:aged", world.settings.name));
    let key = stream.as_bytes();
    run(
        &mut valkey,
        &[b"XGROUP", b"CREATE", key, b"busy", b"0", b"MKSTREAM"],
    )
    .await;
    run(&mut valkey, &[b"XGROUP", b"CREATE", key, b"idle", b"0"]).await;
    add(&mut valkey, &stream, 1..=20).await;
    read(&mut valkey, &stream, "busy", "20").await;
    // The first entry was given out a minute ago, the others just now; the sixth was deleted meanwhile.
    run(
        &mut valkey,
        &[b"XCLAIM", key, b"busy", b"c", b"0", b"1-0", b"IDLE", b"60000"],
    )
    .await;
    read(&mut valkey, &stream, "idle", "5").await;
    run(&mut valkey, &[b"XDEL", key, b"6-0"]).await;
    let facts = look(&world, &stream).await;
    let busy = group(&facts, "busy");
    assert!(
        busy.oldest_idle >= Some(std::time::Duration::from_secs(60)),
        "{busy:?}"
    );
    assert_eq!(busy.next, None, "nothing waits for it");
    let idle = group(&facts, "idle");
    assert_eq!(idle.next.map(|id| id.ms), Some(7));
    assert!(
        idle.oldest_idle < Some(std::time::Duration::from_secs(60)),
        "{idle:?}"
    );
}
