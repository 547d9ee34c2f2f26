//! The tool `contrast_ratio`: how well a text colour stands out, by the formula of WCAG 2.

use serde_json::{Value, json};

use super::{BadArguments, optional_text};

/// What the model is told when a colour cannot be read; the reference's words.
const INVALID: &str = "Invalid hex color; use #RGB or #RRGGBB.";

/// A colour in sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

impl Colour {
    /// Reads three or six hexadecimal digits, with or without `#`.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim();
        let digits = digits.strip_prefix('#').unwrap_or(digits);
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = match digits.len() {
            6 => number.to_be_bytes(),
            // Each digit stands for two of itself: #abc is #aabbcc.
            3 => ((number & 0xf00) << 8 | (number & 0xf0) << 4 | number & 0xf)
                .wrapping_mul(17)
                .to_be_bytes(),
            _ => return None,
        };
        Some(Self { red, green, blue })
    }

    /// The relative luminance, from 0 for black to 1 for white.
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

/// The contrast of two colours, from 1 to 21, whichever of them is the text.
#[must_use]
pub fn ratio(one: Colour, other: Colour) -> f64 {
    let (a, b) = (one.luminance(), other.luminance());
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Words and parameters for a model.
pub(super) fn describe() -> (&'static str, Value) {
    let colour = json!({"type": "string", "description": "#RGB or #RRGGBB"});
    (
        "WCAG contrast ratio of two colours, and whether it meets AA and AAA for normal and large text.",
        json!({
            "type": "object",
            "properties": {"foreground": colour, "background": colour},
            "required": ["foreground", "background"],
        }),
    )
}

/// Answers a call.
pub(super) fn call(arguments: &Value) -> Result<Value, BadArguments> {
    let colour = |name: &str| {
        optional_text(arguments, name)?
            .map(Colour::from_hex)
            .ok_or_else(|| BadArguments(format!("`{name}` is missing")))
    };
    let (Some(foreground), Some(background)) = (colour("foreground")?, colour("background")?) else {
        return Ok(json!({ "error": INVALID }));
    };
    let ratio = ratio(foreground, background);
    // The levels are compared before rounding: 4.496 is shown as 4.5 and does not meet it.
    Ok(json!({
        "ratio": (ratio * 100.0).round() / 100.0,
        "aaNormal": ratio >= 4.5,
        "aaLarge": ratio >= 3.0,
        "aaaNormal": ratio >= 7.0,
        "aaaLarge": ratio >= 4.5,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_pairs_have_their_known_ratios() {
        for (foreground, background, expected, normal, large) in [
            ("#000", "#ffffff", 21.0, true, true),
            ("fff", "#FFF", 1.0, false, false),
            ("#777777", "#fff", 4.48, false, true),
            ("#767676", "#ffffff", 4.54, true, true),
            // Rounds to 3 and is below it.
            ("#959595", "#fff", 3.0, false, false),
            ("#abc", "#aabbcc", 1.0, false, false),
        ] {
            let answer =
                call(&json!({"foreground": foreground, "background": background})).expect("two colours");
            assert_eq!(answer["ratio"], json!(expected), "{foreground} on {background}");
            assert_eq!(
                (&answer["aaNormal"], &answer["aaLarge"]),
                (&json!(normal), &json!(large))
            );
        }
    }

    #[test]
    fn what_is_no_colour_is_said_to_be_none() {
        for text in [
            "", "#", "#ff", "#ffff", "#fffffff", "##fff", "red", "#+ff", "#ffffé",
        ] {
            let answer = call(&json!({"foreground": text, "background": "#fff"})).expect("text arguments");
            assert_eq!(answer["error"], INVALID, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_ratio_is_between_1_and_21_and_does_not_depend_on_the_order(a in "[0-9a-f]{6}", b in "[0-9a-f]{3}") {
            let (a, b) = (Colour::from_hex(&a).expect("hex"), Colour::from_hex(&b).expect("hex"));
            let forward = ratio(a, b);
            prop_assert!((1.0..=21.0).contains(&forward));
            prop_assert!((forward - ratio(b, a)).abs() < f64::EPSILON);
        }
    }
}
