//! Figures, times and states in the few words that a person reads. The console says them alike.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use millstream::domain::{JobState, PrUrl};
use millstream::untrusted::visible;

/// How a state looks: its glyph, its word, its colour. Colour is never alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    glyph: &'static str,
    /// The word.
    pub word: &'static str,
    class: &'static str,
    /// It has ended.
    pub is_final: bool,
}

/// How it stands, in our words; of a review that only a reference process knows, as near as its word says.
pub fn look(state: Option<&str>, status: &str) -> Look {
    let state = state.and_then(|word| word.parse().ok()).unwrap_or(match status {
        "done" => JobState::Done,
        "error" => JobState::Dead,
        "queued" => JobState::Retrying,
        _ => JobState::Running,
    });
    let (glyph, class) = match state {
        JobState::Scheduled => ("◌", "waiting"),
        JobState::Waiting => ("○", "waiting"),
        JobState::Running => ("◐", "busy"),
        JobState::Retrying => ("↻", "retrying"),
        JobState::Dead => ("✗", "dead"),
        JobState::Dropped | JobState::Cancelled => ("⊘", "stale"),
        JobState::Done => ("✓", "ok"),
    };
    Look {
        glyph,
        word: state.word(),
        class,
        is_final: state.is_final(),
    }
}

/// A state as a pill.
pub fn state_pill(look: Look) -> Markup {
    html! { span class={ "pill " (look.class) } { span.glyph aria-hidden="true" { (look.glyph) } (look.word) } }
}

/// A verdict as a pill.
pub fn verdict_pill(verdict: &str) -> Markup {
    let (glyph, class) = match verdict {
        "approve" => ("✓", "ok"),
        "request-changes" => ("▲", "retrying"),
        _ => ("?", "stale"),
    };
    html! { span class={ "pill " (class) } { span.glyph aria-hidden="true" { (glyph) } (visible(verdict)) } }
}

/// `owner/repo#7` for a pull request, else what came.
pub fn input(payload: &str) -> String {
    match payload.parse::<PrUrl>() {
        Ok(pr) => pr.short(),
        Err(_) => visible(payload),
    }
}

/// `12 ms`, `0.4 s`, `41 s`, `1m 37s`, `3h 05m`, `2d 4h`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.1 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds as u64;
    match whole {
        ..60 => format!("{whole} s"),
        60..3_600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// `12,345`, from a million on `7.4 M`.
pub fn count(number: i64) -> String {
    if number >= 1_000_000 {
        return format!("{:.1} M", number as f64 / 1e6);
    }
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `$0.027`, two digits from a dollar on.
pub fn money(usd: f64) -> String {
    if usd < 1.0 {
        format!("${usd:.3}")
    } else {
        format!("${usd:.2}")
    }
}

/// How long ago, with the exact time for who asks.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let seconds = (now - at).num_seconds().max(0);
    let words = match seconds {
        0 => "now".to_owned(),
        1..10 => format!("{seconds} s ago"),
        _ => duration(seconds as f64) + " ago",
    };
    html! { time datetime=(exact) title=(exact) { (words) } }
}

/// What somebody else wrote, in its lines; what stands between back-quotes is code.
pub fn prose(text: &str) -> Markup {
    html! { div.prose { @for line in text.lines() { p { (with_code(line)) } } } }
}

fn with_code(line: &str) -> Markup {
    let parts: Vec<&str> = line.split('`').collect();
    // A back-quote without its other half is only a mark.
    if parts.len().is_multiple_of(2) {
        return html! { (visible(line)) };
    }
    html! {
        @for (number, part) in parts.iter().enumerate() {
            @if number.is_multiple_of(2) { (visible(part)) } @else { code { (visible(part)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (seconds, text) in [
            (-1.0, "0 ms"),
            (0.0124, "12 ms"),
            (0.44, "0.4 s"),
            (41.7, "41 s"),
            (97.0, "1m 37s"),
            (11_100.0, "3h 05m"),
            (187_200.0, "2d 4h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (12_345, "12,345"),
            (999_999, "999,999"),
            (7_400_000, "7.4 M"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            (money(0.0271), money(12.5)),
            ("$0.027".to_owned(), "$12.50".to_owned())
        );
    }

    #[test]
    fn a_review_of_the_reference_looks_as_near_as_its_word_says() {
        assert_eq!(look(Some("waiting"), "running").word, "waiting");
        assert_eq!(look(None, "queued").word, "retrying");
        assert_eq!(look(None, "error").word, "dead");
        assert_eq!(look(Some("\" onload=x"), "anything").word, "running");
    }

    #[test]
    fn code_stands_between_back_quotes_and_is_text() {
        let html = prose("a `<b>` c\n`d").into_string();
        assert_eq!(
            html,
            "<div class=\"prose\"><p>a <code>&lt;b&gt;</code> c</p><p>`d</p></div>"
        );
    }

    #[test]
    fn an_input_is_short_and_hides_nothing() {
        assert_eq!(input("https://github.com/acme/ledger/pull/7"), "acme/ledger#7");
        assert_eq!(input("patch:\u{202e}x"), "patch:\\u{202e}x");
    }
}
