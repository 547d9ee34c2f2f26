//! The Blueprint: what Render's schema asks of the fields that it uses, and what the system asks of Render.

use std::time::Duration;

use millstream::settings::catalog::ALL;
use millstream::settings::{EngineSettings, Reader};
use serde_json::Value;

use super::source::read;

/// Variables that the Blueprint leaves out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("REDIS_URL", "an alias of VALKEY_URL"),
    ("PORT", "Render sets it"),
    ("HOST", "follows from being on Render"),
    ("PUBLIC_SUBMIT", "opens the producer to anybody"),
    ("PUBLIC_READ", "lets anybody look"),
    ("PROXIES", "follows from being on Render"),
    (
        "WEBHOOK_ALLOW_PRIVATE",
        "lets whoever submits call into the private network",
    ),
    (
        "WEBHOOK_CA_FILE",
        "receivers on the internet are vouched for by the web's own roots",
    ),
    ("ALLOW_EVICTION", "lets the queue lose jobs"),
    ("AGENT_MODEL", "the keys decide"),
    ("MODEL_MEDIUM", "follows from the keys"),
    ("MODEL_LARGE", "follows from the keys"),
    (
        "ANTHROPIC_BASE_URL",
        "there is one Anthropic unless one has a gateway",
    ),
    ("OPENAI_BASE_URL", "there is one OpenAI unless one has a gateway"),
    (
        "RENDER_API_KEY",
        "whoever scales has it in the shell; no service does",
    ),
    ("RENDER_WORKER_SERVICE_ID", "the same"),
    ("RENDER_API_URL", "there is one Render"),
    ("GITHUB_API_URL", "there is one GitHub unless one has one's own"),
];
/// Variables that have another value than their default, and why.
const CHANGED: [(&str, &str); 2] = [
    (
        "SHUTDOWN_GRACE",
        "Render can be told to wait longer than it does by default",
    ),
    ("LOG_FORMAT", "logs are collected"),
];

/// The fields that each kind of resource may have, of those that are used.
const FIELDS: [(&str, &[&str]); 5] = [
    (
        "keyvalue",
        &[
            "type",
            "name",
            "region",
            "plan",
            "maxmemoryPolicy",
            "persistenceMode",
            "ipAllowList",
        ],
    ),
    (
        "web",
        &[
            "type",
            "name",
            "region",
            "runtime",
            "plan",
            "numInstances",
            "buildCommand",
            "startCommand",
            "healthCheckPath",
            "maxShutdownDelaySeconds",
            "envVars",
        ],
    ),
    (
        "worker",
        &[
            "type",
            "name",
            "region",
            "runtime",
            "plan",
            "numInstances",
            "buildCommand",
            "startCommand",
            "maxShutdownDelaySeconds",
            "envVars",
        ],
    ),
    (
        "database",
        &[
            "name",
            "region",
            "plan",
            "postgresMajorVersion",
            "databaseName",
            "ipAllowList",
        ],
    ),
    ("group", &["name", "envVars"]),
];
const REGIONS: [&str; 5] = ["oregon", "ohio", "frankfurt", "singapore", "virginia"];
/// Paid plans of web services and workers.
const SERVICE_PLANS: [&str; 6] = ["starter", "standard", "pro", "pro plus", "pro max", "pro ultra"];

fn blueprint() -> Value {
    serde_saphyr::from_str(&read("render.yaml")).expect("render.yaml is YAML")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The one service of a type.
fn service<'a>(blueprint: &'a Value, kind: &str) -> &'a Value {
    let mut found = list(blueprint, "services")
        .iter()
        .filter(|service| text(service, "type") == kind);
    let one = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there are two of {kind}");
    one
}

fn database(blueprint: &Value) -> &Value {
    let databases = list(blueprint, "databases");
    assert_eq!(databases.len(), 1);
    &databases[0]
}

/// What a service reads, its groups' variables included, by name.
fn variables<'a>(blueprint: &'a Value, service: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let mut found = Vec::new();
    for variable in list(service, "envVars") {
        match variable["fromGroup"].as_str() {
            Some(group) => {
                let group = list(blueprint, "envVarGroups")
                    .iter()
                    .find(|g| text(g, "name") == group);
                let group = group.unwrap_or_else(|| panic!("{} has no such group", text(service, "name")));
                found.extend(list(group, "envVars").iter().map(|v| (text(v, "key"), v)));
            }
            None => found.push((text(variable, "key"), variable)),
        }
    }
    found
}

fn variable<'a>(blueprint: &'a Value, kind: &str, name: &str) -> &'a Value {
    let found = variables(blueprint, service(blueprint, kind));
    let found: Vec<&Value> = found
        .into_iter()
        .filter(|(key, _)| *key == name)
        .map(|(_, v)| v)
        .collect();
    assert_eq!(found.len(), 1, "{kind} reads {name} once");
    found[0]
}

/// A value as a process finds it in its environment.
fn as_set(variable: &Value) -> Option<String> {
    match &variable["value"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[test]
fn every_resource_has_what_the_schema_asks_and_nothing_else() {
    let blueprint = blueprint();
    let known = ["services", "databases", "envVarGroups"];
    let top = blueprint.as_object().expect("a mapping");
    assert!(
        top.keys().all(|key| known.contains(&key.as_str())),
        "{:?}",
        top.keys()
    );
    let of_kind =
        |name: &str, kind: &'static str| list(&blueprint, name).iter().map(move |value| (kind, value));
    let services = list(&blueprint, "services")
        .iter()
        .map(|value| (text(value, "type"), value));
    let all = services
        .chain(of_kind("databases", "database"))
        .chain(of_kind("envVarGroups", "group"));
    for (kind, resource) in all {
        let (_, fields) = FIELDS
            .iter()
            .find(|(known, _)| *known == kind)
            .unwrap_or_else(|| panic!("no rules for the type {kind}"));
        let members = resource.as_object().expect("a mapping");
        for field in members.keys() {
            assert!(fields.contains(&field.as_str()), "{kind} has the field {field}");
        }
        assert!(!text(resource, "name").is_empty(), "a {kind} has no name");
        if kind != "group" {
            let region = text(resource, "region");
            assert!(REGIONS.contains(&region), "{kind}: {region}");
            let first = text(&list(&blueprint, "services")[0], "region");
            assert_eq!(region, first, "{kind}: only one region is one network");
        }
    }
}

#[test]
fn the_queue_drops_nothing_and_is_reached_from_within_only() {
    let blueprint = blueprint();
    let queue = service(&blueprint, "keyvalue");
    assert_eq!(text(queue, "maxmemoryPolicy"), "noeviction");
    assert_eq!(text(queue, "persistenceMode"), "journal-snapshot");
    assert_eq!(queue["ipAllowList"], Value::Array(Vec::new()));
    assert_ne!(
        text(queue, "plan"),
        "free",
        "the free plan keeps nothing over a restart"
    );
    assert!(!text(queue, "plan").is_empty());
}

#[test]
fn the_record_is_a_postgres_that_is_reached_from_within_only() {
    let blueprint = blueprint();
    let record = database(&blueprint);
    assert_eq!(record["ipAllowList"], Value::Array(Vec::new()));
    assert!(
        !matches!(text(record, "plan"), "" | "free"),
        "the truth lies on a paid plan"
    );
    let version: u32 = text(record, "postgresMajorVersion")
        .parse()
        .expect("a text that is a number");
    assert!((14..=18).contains(&version), "{version}");
}

#[test]
fn services_are_built_with_our_toolchain_and_start_what_is_built() {
    let blueprint = blueprint();
    let manifest = |kind: &str| read(&format!("{kind}/Cargo.toml"));
    for kind in ["web", "worker"] {
        let one = service(&blueprint, kind);
        assert_eq!(text(one, "runtime"), "rust");
        assert!(
            SERVICE_PLANS.contains(&text(one, "plan")),
            "{kind}: {}",
            text(one, "plan")
        );
        // The whole workspace, so that `millstream` lies beside the service and its shell has it.
        assert_eq!(
            text(one, "buildCommand"),
            "cargo build --release --locked --workspace"
        );
        let program = format!("millstream-{kind}");
        assert_eq!(text(one, "startCommand"), format!("./target/release/{program}"));
        assert!(manifest(kind).contains(&format!("name = \"{program}\"")));
        let toolchain = as_set(variable(&blueprint, kind, "RUSTUP_TOOLCHAIN")).expect("a value");
        assert!(read("rust-toolchain.toml").contains(&format!("channel = \"{toolchain}\"")));
    }
    assert!(read("tui/Cargo.toml").contains("name = \"millstream\""));
    assert_eq!(text(service(&blueprint, "web"), "healthCheckPath"), "/healthz");
    let instances = service(&blueprint, "worker")["numInstances"]
        .as_u64()
        .expect("a number");
    assert!((1..=100).contains(&instances));
}

#[test]
fn render_waits_longer_than_a_worker_needs_to_leave() {
    let blueprint = blueprint();
    let delay = |kind: &str| {
        service(&blueprint, kind)["maxShutdownDelaySeconds"]
            .as_u64()
            .expect("a number")
    };
    for kind in ["web", "worker"] {
        assert!((1..=300).contains(&delay(kind)), "{kind}");
    }
    let grace = worker_settings(&blueprint).grace;
    // Two seconds for the loops to end, and some for the servers to be told.
    assert!(
        Duration::from_secs(delay("worker")) >= grace + Duration::from_secs(5),
        "{grace:?}"
    );
    assert!(delay("web") > 10, "the producer's own drain takes up to 10 s");
}

#[test]
fn both_services_find_both_servers() {
    let blueprint = blueprint();
    for kind in ["web", "worker"] {
        let queue = &variable(&blueprint, kind, "VALKEY_URL")["fromService"];
        assert_eq!(text(queue, "type"), "keyvalue");
        assert_eq!(text(queue, "name"), text(service(&blueprint, "keyvalue"), "name"));
        assert_eq!(text(queue, "property"), "connectionString");
        let record = &variable(&blueprint, kind, "DATABASE_URL")["fromDatabase"];
        assert_eq!(text(record, "name"), text(database(&blueprint), "name"));
        assert_eq!(text(record, "property"), "connectionString");
    }
}

#[test]
fn secrets_are_made_or_asked_for_and_never_written_down() {
    let blueprint = blueprint();
    assert_eq!(
        variable(&blueprint, "web", "MILLSTREAM_TOKEN")["generateValue"],
        Value::Bool(true)
    );
    assert_eq!(
        variable(&blueprint, "worker", "GITHUB_TOKEN")["sync"],
        Value::Bool(false)
    );
    for kind in ["web", "worker"] {
        for (name, value) in variables(&blueprint, service(&blueprint, kind)) {
            let secret = ["TOKEN", "KEY", "SECRET", "_URL"]
                .iter()
                .any(|word| name.ends_with(word));
            assert!(
                !secret || as_set(value).is_none(),
                "{name} has its value in the file"
            );
        }
    }
}

#[test]
fn every_variable_of_the_catalog_is_wired_with_its_default_or_left_out_for_a_reason() {
    let blueprint = blueprint();
    let all: Vec<(&str, &Value)> = ["web", "worker"]
        .iter()
        .flat_map(|kind| variables(&blueprint, service(&blueprint, kind)))
        .collect();
    for known in ALL {
        let wired: Vec<&Value> = all
            .iter()
            .filter(|(name, _)| *name == known.name)
            .map(|(_, v)| *v)
            .collect();
        let left_out = LEFT_OUT.iter().any(|(name, _why)| *name == known.name);
        assert!(
            wired.is_empty() == left_out,
            "{}: wired or listed as left out",
            known.name
        );
        let changed = CHANGED.iter().any(|(name, _why)| *name == known.name);
        for value in wired.into_iter().filter_map(as_set) {
            assert_eq!(value == known.default, !changed, "{} is {value}", known.name);
        }
    }
    for (name, _) in &all {
        let known = ALL.iter().any(|variable| variable.name == *name) || *name == "RUSTUP_TOOLCHAIN";
        assert!(known, "nobody reads {name}");
    }
}

#[test]
fn a_worker_can_read_the_settings_that_it_is_given() {
    let settings = worker_settings(&blueprint());
    assert_eq!(settings.concurrency, EngineSettings::default().concurrency);
}

/// The engine's settings as a worker on Render reads them.
fn worker_settings(blueprint: &Value) -> EngineSettings {
    let vars = |name: &str| {
        let found = variables(blueprint, service(blueprint, "worker"));
        found
            .into_iter()
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| as_set(value))
    };
    let mut reader = Reader::new(&vars);
    let settings = EngineSettings::read(&mut reader);
    reader.finish(settings).expect("the settings are right")
}
