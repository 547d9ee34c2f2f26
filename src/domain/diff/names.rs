//! Names of files as a diff spells them: quoted, with prefixes, or with spaces in them.

/// The two names of a `diff --git` line. Unquoted names may hold spaces, so where both are the
/// same the line is split in its middle.
pub(super) fn git_names(rest: &str) -> (Option<String>, Option<String>) {
    let split = if let Some(quoted) = rest.strip_prefix('"') {
        closing_quote(quoted).map(|end| (&rest[..end + 2], rest[end + 2..].trim_start()))
    } else if rest.ends_with('"') {
        rest.split_once(" \"")
            .map(|(old, _)| (old, &rest[old.len() + 1..]))
    } else {
        halves(rest)
            .or_else(|| rest.find(" b/").map(|at| (&rest[..at], &rest[at + 1..])))
            .or_else(|| rest.split_once(' '))
    };
    split.map_or((None, None), |(old, new)| {
        without_prefixes(Some(unquoted(old)), Some(unquoted(new)))
    })
}

/// `a/NAME b/NAME`, split where both names are equal.
fn halves(rest: &str) -> Option<(&str, &str)> {
    let middle = rest.len() / 2;
    if rest.as_bytes().get(middle) != Some(&b' ') {
        return None;
    }
    let (old, new) = (&rest[..middle], &rest[middle + 1..]);
    let tail = |name: &str| {
        name.split_once('/')
            .map_or_else(|| name.to_owned(), |(_, tail)| tail.to_owned())
    };
    (tail(old) == tail(new)).then_some((old, new))
}

/// A name of a `---` or `+++` line: unquoted, without its time stamp; none for `/dev/null`.
pub(super) fn file_name(text: &str) -> Option<String> {
    let name = if text.starts_with('"') {
        unquoted(text)
    } else {
        text.split('\t').next().unwrap_or_default().to_owned()
    };
    (name != "/dev/null").then_some(name)
}

/// Takes git's `a/` and `b/` away, or the letters of `diff.mnemonicPrefix`. Two names with the same
/// letter were written without prefixes: there it is a folder.
pub(super) fn without_prefixes(old: Option<String>, new: Option<String>) -> (Option<String>, Option<String>) {
    let letter = |name: &Option<String>| {
        let bytes = name.as_deref().unwrap_or_default().as_bytes();
        bytes
            .first()
            .copied()
            .filter(|b| bytes.get(1) == Some(&b'/') && b"abciwo12".contains(b))
    };
    let strip = match (letter(&old), letter(&new)) {
        (Some(left), Some(right)) => left != right,
        (Some(_), None) => new.is_none(),
        (None, Some(_)) => old.is_none(),
        (None, None) => false,
    };
    let cut = |name: String| if strip { name[2..].to_owned() } else { name };
    (old.map(cut), new.map(cut))
}

/// Where the closing quote stands in what follows an opening one.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Reads a name that git has put in quotes: C escapes, bytes beyond ASCII in octal.
pub(super) fn unquoted(text: &str) -> String {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| Some(&rest[..closing_quote(rest)?]))
    else {
        return text.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some(escape) = rest.next() else { break };
        bytes.push(match escape {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'0'..=b'7' => {
                let mut value = escape - b'0';
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|next| (b'0'..=b'7').contains(next)) else {
                        break;
                    };
                    value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                }
                value
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name that stays on its line: control characters are spelt out, as git does.
pub fn spelt_out(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}
