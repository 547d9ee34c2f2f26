//! The console in front of the demo: on its servers, with its processes in reach.

use std::sync::Arc;

use millstream::ops::{DemoFleet, Operator, Rights, Submitter};
use millstream::settings::process_environment;
use millstream::untrusted::Untrusted;
use tracing::info;

use super::Demo;
use super::feed::Feed;
use super::hands::Hands;
use crate::cli::ConsoleArgs;
use crate::failure::Failure;
use crate::model::view::Size;
use crate::model::{Access, Model, Profile};
use crate::reach::{max_patch, place};
use crate::runtime::orders::Pen;
use crate::runtime::{self, Console, log};
use crate::verbs::console::{keys, look, recordings, rules, state_folder};
use crate::verbs::names::acting;

/// Opens the console, and returns when its user leaves it.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn open(demo: &Demo, args: &ConsoleArgs, feed: Arc<Feed>) -> Result<(), Failure> {
    // The log is whole once this is dropped, after the screen is given back.
    let log = log::start(demo.folder.path());
    info!(
        "the console opens in front of the demo in {}",
        demo.folder.path().display()
    );
    let (hands, link) = Hands::new(Arc::clone(&demo.fleet), feed);
    let (attempts_allowed, lease) = rules()?;
    let mut model = model(demo, args);
    (model.keys, model.zone) = (keys(args)?, args.tz);
    let pen = model.access.may_write().then(|| pen(demo)).transpose()?;
    let console = Console {
        model,
        pen,
        folder: state_folder().join("exports"),
        queue: demo.queue.clone(),
        store: demo.store.clone(),
        attempts_allowed,
        lease,
        link: Some(link),
        log: log.as_ref().map(|log| log.path.clone()),
        mouse: args.mouse,
        recordings: recordings(),
    };
    // The hands work until the console lets go of them, and it is the console that says how it ended.
    let working = async {
        hands.run().await;
        std::future::pending().await
    };
    tokio::select! {
        ended = runtime::run(console) => Ok(ended?),
        never = working => never,
    }
}

/// A demo is its user's own: its console may write.
fn pen(demo: &Demo) -> Result<Pen, Failure> {
    let max_patch = max_patch(&process_environment)?;
    let operator = Operator::new(
        demo.store.clone(),
        demo.queue.clone(),
        acting("console"),
        Rights::Guarded,
    );
    let fleet = DemoFleet::new(demo.store.clone(), demo.queue.keys().shared.clone());
    Ok(Pen {
        operator: operator.with_fleet(Arc::new(fleet)),
        submitter: Submitter::new(
            demo.store.clone(),
            demo.queue.clone(),
            super::queue_settings()?,
            max_patch,
        ),
        max_patch,
    })
}

fn model(demo: &Demo, args: &ConsoleArgs) -> Model {
    let keys = demo.queue.keys();
    let profile = Profile {
        name: "demo".into(),
        queue: Untrusted::new(keys.shared.clone()),
        group: Untrusted::new(keys.group.clone()),
        tint: None,
        is_production: false,
    };
    let size = Size {
        width: 80,
        height: 24,
    };
    let mut model = Model::new(size, profile, millstream::clock::now());
    model.look = look(args);
    if args.read_only {
        model.access = Access::ReadOnly;
    }
    model.fleet = Some(super::hands::fleet(&demo.fleet));
    model.connection.valkey.place = Untrusted::new(place(&demo.servers.valkey_url));
    model.connection.postgres.place = Untrusted::new(place(&demo.servers.database_url));
    model
}
