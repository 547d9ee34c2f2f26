//! Where commands and replies of Valkey's protocol begin and end, and what a command is called.

use std::collections::HashMap;

use redis::Value;

use super::lossy::Frames;
use crate::tidy::source::{root, under};

/// Commands whose first argument says what they do.
const WITH_VERB: [&str; 6] = ["CLIENT", "SCRIPT", "XGROUP", "XINFO", "CONFIG", "COMMAND"];
/// Commands that are told apart by their key.
const WITH_KEY: [&str; 9] = [
    "SET", "GET", "DEL", "EXISTS", "XADD", "XDEL", "XLEN", "XRANGE", "XPENDING",
];
/// What stands in front of the scripts that delete entries.
pub const PRELUDE: &str = "needed.lua";

/// One connection to Valkey.
pub struct Resp {
    scripts: HashMap<String, String>,
}

impl Resp {
    /// A connection whose scripts are known by their digests.
    pub fn new() -> Self {
        let prelude = std::fs::read_to_string(root().join("assets/lua").join(PRELUDE)).expect("it is there");
        let mut scripts = HashMap::new();
        for (name, text) in scripts_of_ours() {
            for whole in [format!("{text}\n"), format!("{prelude}\n{text}\n")] {
                scripts.insert(redis::Script::new(&whole).get_hash().to_owned(), name.clone());
            }
        }
        Self { scripts }
    }

    fn name(&self, command: &[u8]) -> String {
        let Ok(Value::Array(words)) = redis::parse_redis_value(command) else {
            return "unreadable".to_owned();
        };
        let word = |nth: usize| match words.get(nth) {
            Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let verb = word(0).to_uppercase();
        match verb.as_str() {
            "EVALSHA" => self.scripts.get(&word(1)).cloned().unwrap_or(verb),
            _ if WITH_VERB.contains(&verb.as_str()) => format!("{verb} {}", word(1).to_uppercase()),
            _ if WITH_KEY.contains(&verb.as_str()) => {
                let key = word(1);
                format!(
                    "{verb} {}",
                    key.split_once("}:").map_or("shared", |(_, name)| name)
                )
            }
            _ => verb,
        }
    }
}

impl Frames for Resp {
    fn request(&mut self, buffer: &[u8]) -> Option<(usize, Option<String>)> {
        let end = end_of_value(buffer)?;
        Some((end, Some(self.name(&buffer[..end]))))
    }

    fn reply(&mut self, buffer: &[u8]) -> Option<(usize, bool)> {
        Some((end_of_value(buffer)?, true))
    }
}

/// The scripts that are called, by name.
pub fn scripts_of_ours() -> Vec<(String, String)> {
    let files = under("assets/lua").into_iter();
    let named = files.map(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        (name.to_owned(), file.text)
    });
    let called = named.filter(|(name, _)| name != PRELUDE);
    called
        .map(|(name, text)| (name.trim_end_matches(".lua").to_owned(), text))
        .collect()
}

/// The length of the first whole value: a line, and what it announces.
fn end_of_value(buffer: &[u8]) -> Option<usize> {
    let (mut at, mut left) = (0, 1_usize);
    while left > 0 {
        let rest = buffer.get(at..)?;
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let count = || -> Option<usize> {
            let text = std::str::from_utf8(&rest[1..line]).ok()?;
            text.parse().ok()
        };
        at += line + 2;
        left -= 1;
        match rest[0] {
            // A missing one has a length of -1.
            b'$' | b'=' | b'!' => at += count().map_or(0, |length| length + 2),
            b'*' | b'~' | b'>' => left += count().unwrap_or(0),
            b'%' => left += 2 * count().unwrap_or(0),
            _ => {}
        }
    }
    (at <= buffer.len()).then_some(at)
}
