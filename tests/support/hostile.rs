//! Text as an enemy writes it, and what may reach a terminal in spite of it.

use unicode_width::UnicodeWidthChar;

/// Stands in every hostile text, so that it is known where one came through.
pub const MARK: &str = "☣";
/// Marks on one letter that a terminal is sent; a storm has thousands.
const MOST_MARKS: usize = 8;

/// The corpus: what a terminal obeys, what it hides, what it draws over something else, what is too long.
pub fn corpus() -> Vec<String> {
    let controls: String = ('\u{1}'..='\u{1f}').chain('\u{7f}'..='\u{9f}').collect();
    let texts = [
        controls.as_str(),
        "\u{1b}[2J\u{1b}[H\u{1b}[31mred\u{1b}[0m\u{1b}[?1049l",
        "\u{9b}2J\u{9b}31m",
        "\u{1b}]0;a title\u{7}\u{1b}]2;a title\u{1b}\\",
        "\u{1b}]52;c;c3RvbGVu\u{7}",
        "\u{1b}]8;;https://example.org\u{1b}\\click\u{1b}]8;;\u{1b}\\",
        "\u{1b}P+q544e\u{1b}\\\u{90}q#0\u{9c}",
        "\u{1b}_apc\u{1b}\\\u{1b}^pm\u{1b}\\\u{1b}Xsos\u{1b}\\",
        "\u{1b}c\u{1b}[6n\u{1b}[c\u{5}",
        "fix\u{202e}gpj.exe\u{202c}\u{2066}a\u{2069}\u{200f}\u{61c}",
        "a\u{200b}b\u{200c}c\u{200d}d\u{2060}e\u{ad}f\u{34f}g\u{115f}\u{3164}h",
        "\u{e0001}\u{e0041}\u{e0042}\u{e007f}tags",
        "\u{feff}bom\u{fff9}a\u{fffa}b\u{fffb}\u{1d173}\u{1bca0}\u{13430}",
        "❤\u{fe0f}x\u{fe00}\u{e0100}",
        "漢字漢字かなカナ한국어👩\u{200d}👩\u{200d}👧🇫🇷",
        "two\nlines\r\nand\ttabs\u{2028}ps\u{2029}\u{85}nel\u{b}vt\u{c}ff",
        "{\"a\":\"\u{1b}[2J\",\"\u{202e}\":[1,{\"b\":\"\u{9b}31m\"}]}",
        "",
    ];
    let storm = format!("e{}", "\u{301}\u{489}".repeat(2_000));
    let long = "a line without an end ".repeat(400);
    let texts = texts.into_iter().map(str::to_owned);
    texts
        .chain([storm, long])
        .map(|text| format!("{MARK}{text}"))
        .collect()
}

/// A line of ten megabytes.
pub fn endless() -> String {
    format!("{MARK}{}", "\u{1b}[2Jx\u{202e}".repeat((10 << 20) / 8))
}

/// Checks that text is only what can be seen: no control character but the end of a line, nothing that is hidden, no
/// storm of marks.
pub fn can_be_seen(text: &str) -> Result<(), String> {
    let mut marks = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| *c != '\n') {
        let around = || text[..at].chars().rev().take(20).collect::<Vec<_>>();
        if c.is_control() || is_ignorable(c) {
            return Err(format!("U+{:04X} behind {:?}", u32::from(c), around()));
        }
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        if marks > MOST_MARKS {
            return Err(format!("a storm of marks behind {:?}", around()));
        }
    }
    Ok(())
}

/// Checks that bytes for a terminal are text that can be seen and the sequences that the console itself sends.
pub fn is_allowed(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut parts = text.split('\u{1b}');
    let seen = |part: &str| match part.contains('\n') {
        true => Err(format!("a line that ends: {part:?}")),
        false => can_be_seen(part),
    };
    seen(parts.next().unwrap_or_default())?;
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(part.len());
        let rest = part.get(end + 1..).unwrap_or_default();
        if !is_ours(&part[..end], part.as_bytes().get(end).copied()) {
            return Err(format!("ESC {:?}", part.chars().take(40).collect::<String>()));
        }
        seen(rest)?;
    }
    Ok(())
}

/// Whether this is a sequence of the console: colours, the cursor's place, a cleared screen, a frame's begin and end, and
/// what takes the screen and gives it back.
fn is_ours(head: &str, last: Option<u8>) -> bool {
    let numbers = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
    match (head.strip_prefix('['), last) {
        (Some(place), Some(b'm' | b'H')) => numbers(place),
        (Some("2"), Some(b'J')) => true,
        (Some("?2026" | "?1049" | "?2004" | "?25"), Some(b'h' | b'l')) => true,
        _ => false,
    }
}

/// Characters of format and of no width: the property Default_Ignorable_Code_Point of Unicode, its breaks of line and
/// paragraph, and what annotates.
fn is_ignorable(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}
