//! The console in front of the demo: on its servers, with its processes in reach.

use std::sync::Arc;

use millstream::untrusted::Untrusted;
use tracing::info;

use super::Demo;
use super::feed::Feed;
use super::hands::Hands;
use crate::cli::ConsoleArgs;
use crate::failure::Failure;
use crate::model::view::Size;
use crate::model::{Model, Profile};
use crate::reach::place;
use crate::runtime::{self, Console, log};
use crate::verbs::console::{attempts_allowed, look};

/// Opens the console, and returns when its user leaves it.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn open(demo: &Demo, feed: Arc<Feed>) -> Result<(), Failure> {
    // The log is whole once this is dropped, after the screen is given back.
    let _log = log::start(demo.folder.path());
    info!(
        "the console opens in front of the demo in {}",
        demo.folder.path().display()
    );
    let (hands, link) = Hands::new(Arc::clone(&demo.fleet), feed);
    let console = Console {
        model: model(demo),
        queue: demo.queue.clone(),
        store: demo.store.clone(),
        attempts_allowed: attempts_allowed()?,
        link: Some(link),
    };
    tokio::select! {
        ended = runtime::run(console) => Ok(ended?),
        // The hands work until the console lets go of them.
        () = hands.run() => Ok(()),
    }
}

fn model(demo: &Demo) -> Model {
    let keys = demo.queue.keys();
    let profile = Profile {
        name: "demo".into(),
        queue: Untrusted::new(keys.shared.clone()),
        group: Untrusted::new(keys.group.clone()),
    };
    let size = Size {
        width: 80,
        height: 24,
    };
    let mut model = Model::new(size, profile, millstream::clock::now());
    model.look = look(&ConsoleArgs::default());
    model.fleet = Some(super::hands::fleet(&demo.fleet));
    model.connection.valkey.place = Untrusted::new(place(&demo.servers.valkey_url));
    model.connection.postgres.place = Untrusted::new(place(&demo.servers.database_url));
    model
}
