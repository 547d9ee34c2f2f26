//! Text on its way into Postgres, which refuses the NUL character in text and in JSON.

use std::borrow::Cow;

use serde_json::Value;

/// The text with every NUL replaced.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The value with every NUL in its texts replaced.
pub fn clean_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(clean_value).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(k, v)| (clean(&k).into_owned(), clean_value(v)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_wherever_it_stands() {
        let value = serde_json::json!({"a\0": ["b\0", {"c": "\0d"}], "n": 1});
        let cleaned = clean_value(value).to_string();
        assert_eq!(cleaned.matches('\u{fffd}').count(), 3);
        assert!(!cleaned.contains("\\u0000"));
    }
}
