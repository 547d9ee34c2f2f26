//! JSON in a model's prose: fenced, explained before and after, or alone.

use std::ops::Range;

use serde_json::Value;

/// The longest answer that is searched; more than any budget lets a model write.
const LONGEST: usize = 256 * 1024;

/// Every complete object and array of a text that is not part of another one, in order.
///
/// A brace that begins no JSON is passed over, so `{x}` in a sentence hides nothing behind it.
#[must_use]
pub fn values(text: &str) -> Vec<Value> {
    placed(text).into_iter().map(|(_, value)| value).collect()
}

/// The same, with the place of each, in bytes.
#[must_use]
pub fn placed(text: &str) -> Vec<(Range<usize>, Value)> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = text[at..].find(['{', '[']).map(|offset| at + offset) {
        let mut reader = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match reader.next() {
            Some(Ok(value)) => {
                at = start + reader.byte_offset().max(1);
                found.push((start..at, value));
            }
            _ => at = start + 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn json_is_found_wherever_it_stands() {
        for (text, expected) in [
            ("{\"a\":1}", vec![json!({"a": 1})]),
            ("```json\n[1, 2]\n```", vec![json!([1, 2])]),
            (
                "I used {x} and [y: then {\"a\":\"}{\"} end",
                vec![json!({"a": "}{"})],
            ),
            (
                "{\"a\":1} or {\"b\":[{}]}",
                vec![json!({"a": 1}), json!({"b": [{}]})],
            ),
            ("{\"a\": ", vec![]),
            ("{'a': 1}", vec![]),
            ("{\"a\":1,}", vec![]),
            ("none", vec![]),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_searched_without_a_panic(text in "[\\[\\]{}\":,a1é ]{0,80}") {
            let _ = values(&text);
        }
    }
}
