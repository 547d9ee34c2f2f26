//! The tool `current_time`: now, in UTC, to the millisecond.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::agent::trace;

/// Words and parameters for a model.
pub(super) fn describe() -> (&'static str, Value) {
    (
        "The current time in UTC, as RFC 3339.",
        json!({"type": "object", "properties": {}}),
    )
}

/// Answers a call.
pub(super) fn call() -> Value {
    json!({ "now": trace::now().to_rfc3339_opts(SecondsFormat::Millis, true) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_utc_in_milliseconds() {
        let now = call()["now"].as_str().expect("text").to_owned();
        assert!(
            now.ends_with('Z') && now.len() == "2026-11-22T03:52:45.421Z".len(),
            "{now}"
        );
    }
}
