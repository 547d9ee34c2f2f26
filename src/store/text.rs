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
pub fn clean_value(value: &Value) -> Cow<'_, Value> {
    if has_nul(value) {
        Cow::Owned(replaced(value))
    } else {
        Cow::Borrowed(value)
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(k, v)| k.contains('\0') || has_nul(v)),
        _ => false,
    }
}

fn replaced(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text).into_owned()),
        Value::Array(items) => items.iter().map(replaced).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(k, v)| (clean(k).into_owned(), replaced(v)))
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_wherever_it_stands() {
        let value = serde_json::json!({"a\0": ["b\0", {"c": "\0d"}], "n": 1});
        let cleaned = clean_value(&value).to_string();
        assert_eq!(cleaned.matches('\u{fffd}').count(), 3);
        assert!(!cleaned.contains("\\u0000"));
    }
}
