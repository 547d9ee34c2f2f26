//! Version numbers, as servers print them.

use std::fmt;

/// A server's version. Two numbers decide everything that is asked here; a third is kept to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number, 0 if there is none.
    pub minor: u32,
    /// The third number; Postgres has none.
    pub patch: Option<u32>,
}

impl Version {
    /// Reads a number such as `9.1.2`, `15.18` or `19devel`; what follows the numbers is ignored.
    pub fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split('.');
        let major = leading_number(parts.next()?)?;
        let minor = parts.next().and_then(leading_number).unwrap_or(0);
        let patch = parts.next().and_then(leading_number);
        Some(Version { major, minor, patch })
    }

    /// Reads the line that `valkey-server --version` or `redis-server --version` prints.
    pub fn of_valkey(line: &str) -> Option<Version> {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix("v="))
            .and_then(Version::parse)
    }

    /// Reads the line that `postgres --version` prints.
    pub fn of_postgres(line: &str) -> Option<Version> {
        let (_, rest) = line.split_once("(PostgreSQL) ")?;
        rest.split_whitespace().next().and_then(Version::parse)
    }
}

/// The number that a word starts with.
fn leading_number(word: &str) -> Option<u32> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    word[..end].parse().ok()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_servers_print_them() {
        let shown = |version: Option<Version>| version.map(|version| version.to_string());
        let valkey = [
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1f",
                Some("7.0.15"),
            ),
            (
                "Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=5e",
                Some("9.1.2"),
            ),
            ("Server started", None),
            ("v=x", None),
        ];
        for (line, want) in valkey {
            assert_eq!(shown(Version::of_valkey(line)).as_deref(), want, "{line}");
        }
        let postgres = [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some("15.18"),
            ),
            ("postgres (PostgreSQL) 18.6", Some("18.6")),
            ("postgres (PostgreSQL) 19devel", Some("19.0")),
            ("postgres (PostgreSQL) 18beta1", Some("18.0")),
            ("mysqld 8", None),
        ];
        for (line, want) in postgres {
            assert_eq!(shown(Version::of_postgres(line)).as_deref(), want, "{line}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(Version::parse("10.0") > Version::parse("9.9.9"));
        assert!(Version::parse("6.2.14") < Version::parse("7.0"));
        assert!(Version::parse("7.0.0") >= Version::parse("7.0"));
    }
}
