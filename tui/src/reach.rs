//! Where the servers are: what the environment says, else the demo that was started last.

use millstream::domain::CallbackReach;
use millstream::ops;
use millstream::queue::{Queue, Wire};
use millstream::settings::{
    CallbackSettings, Faults, QueueSettings, Reader, ServerSettings, process_environment,
};
use millstream::store::Store;
use secrecy::ExposeSecret;

use crate::failure::Failure;
use crate::profiles::ServerProfile;
use crate::runtime_file::{Running, RuntimeFolder};

/// Connections of a verb: it asks one thing after the other.
const CONNECTIONS: u32 = 2;

/// Which servers a verb cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Valkey and Postgres.
    Both,
    /// Postgres alone.
    Postgres,
    /// Valkey alone.
    Valkey,
    /// One of them: what the other would tell is shown as missing. Servers that somebody has named may both be away:
    /// whoever looks at them wants to see them come back.
    Either,
}

/// A system that a verb can talk to.
#[derive(Debug)]
pub struct Reach {
    /// The queue.
    pub queue: Queue,
    /// The store.
    pub store: Store,
    /// The queue's settings.
    pub settings: QueueSettings,
    /// The largest diff that is taken.
    pub max_patch: usize,
    /// Where callbacks may lead.
    pub callbacks: CallbackReach,
    /// `host:port` of Valkey.
    pub valkey_place: String,
    /// `host:port` of Postgres.
    pub postgres_place: String,
    /// The demo, when it is one.
    pub demo: Option<Running>,
    /// The profile, when one was asked for.
    pub profile: Option<ServerProfile>,
    /// Somebody has said where its servers are.
    is_named: bool,
}

impl Reach {
    /// Finds the system, and looks whether what the verb needs is there.
    ///
    /// # Errors
    /// When settings are wrong, or a server that is needed is away.
    pub async fn find(needs: Needs) -> Result<Self, Failure> {
        Self::find_as(needs, None).await
    }

    /// The same for the servers of a profile, if one is named here or by `MILLSTREAM_PROFILE`.
    ///
    /// # Errors
    /// As [`Reach::find`], and when there is no such profile.
    pub async fn find_as(needs: Needs, profile: Option<&str>) -> Result<Self, Failure> {
        let reach = Self::find_with(profile, &process_environment)?;
        if needs == Needs::Either && reach.is_named {
            return Ok(reach);
        }
        let (valkey, postgres) = tokio::join!(reach.queue.check(), reach.store.check());
        match needs {
            Needs::Both => {
                valkey?;
                postgres?;
            }
            Needs::Postgres => postgres?,
            Needs::Valkey => valkey?,
            Needs::Either if postgres.is_err() => valkey?,
            Needs::Either => {}
        }
        Ok(reach)
    }

    fn find_with(profile: Option<&str>, vars: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let profile = ServerProfile::find(profile, vars)?;
        let vars: &dyn Fn(&str) -> Option<String> = &|name| match &profile {
            Some(profile) => profile.lookup(name, vars),
            None => vars(name),
        };
        let found = Found::look(vars);
        let (servers, settings, max_patch, callbacks) = read(&|name| found.lookup(name, vars))?;
        let queue = Queue::open(&servers.valkey_url, &settings, Wire::of(&settings))?;
        let store = Store::open(&servers.database_url, "millstream", CONNECTIONS)?;
        Ok(Self {
            queue,
            store,
            settings,
            max_patch,
            callbacks: ops::reach(&callbacks),
            valkey_place: place(servers.valkey_url.expose_secret()),
            postgres_place: place(servers.database_url.expose_secret()),
            demo: found.demo,
            profile: profile.clone(),
            is_named: is_named(vars),
        })
    }
}

/// `host:port` of an address: what may be shown of it.
pub fn place(address: &str) -> String {
    let Ok(url) = url::Url::parse(address) else {
        return String::new();
    };
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Whether somebody has said where a server is.
fn is_named(vars: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| vars(name).is_some_and(|value| !value.trim().is_empty());
    ["VALKEY_URL", "REDIS_URL", "DATABASE_URL"].into_iter().any(set)
}

/// The demo that stands in for settings that nobody made.
#[derive(Debug)]
pub struct Found {
    demo: Option<Running>,
}

impl Found {
    /// Looks for a demo, unless an address is set: a Valkey of one system and a Postgres of another would
    /// not fit.
    #[must_use]
    pub fn look(vars: &dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            demo: if is_named(vars) {
                None
            } else {
                RuntimeFolder::locate(vars).newest_alive()
            },
        }
    }

    /// A variable: the demo's address, or what is set.
    #[must_use]
    pub fn lookup(&self, name: &str, vars: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        match (&self.demo, name) {
            (Some(demo), "VALKEY_URL") => Some(demo.valkey_url.clone()),
            (Some(demo), "DATABASE_URL") => Some(demo.database_url.clone()),
            _ => vars(name),
        }
    }
}

/// The largest diff that is taken.
///
/// # Errors
/// When the setting is wrong.
pub fn max_patch(vars: &dyn Fn(&str) -> Option<String>) -> Result<usize, Faults> {
    let mut reader = Reader::new(vars);
    let limit = read_max_patch(&mut reader);
    reader.finish(limit)
}

fn read_max_patch(reader: &mut Reader<'_>) -> usize {
    reader.number("MAX_PATCH", 8 << 20, 1..=64 << 20)
}

fn read(
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<(ServerSettings, QueueSettings, usize, CallbackSettings), Faults> {
    let mut reader = Reader::new(vars);
    let read = (
        ServerSettings::read(&mut reader),
        QueueSettings::read(&mut reader),
        read_max_patch(&mut reader),
        CallbackSettings::read(&mut reader),
    );
    reader.finish(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_no_password() {
        assert_eq!(place("redis://user:secret@valkey:6379/0"), "valkey:6379");
        assert_eq!(place("postgres://secret@db/millstream"), "db");
    }
}
