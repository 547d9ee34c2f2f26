//! What the console says it costs is what the server says it did: the figure in the header is the mean of these
//! counts over five seconds, as `runtime/feed/load.rs` tests.

use millstream::queue::Wire;
use millstream_tui::model::connection::{Sent, Server};
use millstream_tui::msg::Msg;
use millstream_tui::recording::Tape;

use crate::support::processes::Home;
use crate::support::terminal::Terminal;
use crate::support::{World, private, until};

/// Rounds that are asked for in each view.
const ROUNDS: u64 = 12;

/// So many answers in a row without a new command: the round is over.
const QUIET: usize = 40;

/// The commands that a server has carried out, this question left out.
async fn carried_out(world: &World) -> u64 {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_"));
    let calls = lines.filter_map(|line| {
        let (name, figures) = line.split_once(':')?;
        let calls = figures.strip_prefix("calls=")?.split(',').next()?;
        (name != "info").then(|| calls.parse::<u64>().expect("a count"))
    });
    calls.sum()
}

fn sent(tape: &Tape) -> Vec<Sent> {
    let messages = (0..tape.messages.len()).filter_map(|nth| tape.message(nth));
    let to_valkey = messages.filter_map(|msg| match msg {
        Msg::Sent(sent) if sent.server == Server::Valkey => Some(sent),
        _ => None,
    });
    to_valkey.collect()
}

#[tokio::test]
async fn the_load_in_the_header_is_what_the_server_has_counted() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("\u{12}").await;
    terminal.until_shows("REC").await;
    let before = carried_out(&world).await;
    for view in ["1", "3", "7", "5", "4", "8"] {
        terminal.press(view).await;
        for _ in 0..ROUNDS {
            let so_far = carried_out(&world).await;
            terminal.press("r").await;
            // A round that another view cuts off is carried out and not told: each is let come to its end.
            until("a round was carried out", || async {
                let now = carried_out(&world).await;
                for _ in 0..QUIET {
                    if carried_out(&world).await != now {
                        return None;
                    }
                }
                (now > so_far).then_some(())
            })
            .await;
        }
    }
    let counted = carried_out(&world).await - before;
    terminal.press("\u{12}").await;
    terminal
        .until("the end of the recording", |screen| !screen.contains("REC "))
        .await;
    let folder = terminal.home().path().join(".local/state/millstream/recordings");
    let file = std::fs::read_dir(folder)
        .expect("it was recorded")
        .flatten()
        .next()
        .expect("one file");
    let tape = Tape::open(&file.path()).expect("a recording");

    let sent = sent(&tape);
    let told: u64 = sent.iter().map(|sent| u64::from(sent.count)).sum();
    assert!(counted > 200, "{counted} commands say too little");
    assert!(
        told.abs_diff(counted) * 10 <= counted,
        "the console told {told} commands, the server counted {counted}"
    );
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    servers.stop().await;
}
