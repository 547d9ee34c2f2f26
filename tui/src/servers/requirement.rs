//! The pinned packages: `assets/embedded/requirements.txt`, which is also what pip reads.

/// The file, held in the binary so that it works alone.
const REQUIREMENTS: &str = include_str!("../../../assets/embedded/requirements.txt");

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub name: String,
    pub version: String,
    /// The sha256 of each platform's file, in lower-case hex.
    pub hashes: Vec<String>,
}

impl Requirement {
    /// The pinned package of this name.
    pub fn pinned(name: &str) -> Option<Requirement> {
        parse(REQUIREMENTS)
            .into_iter()
            .find(|requirement| requirement.name == name)
    }

    /// The package alone as a requirements file, since only what is missing is fetched.
    pub fn to_file(&self) -> String {
        let hashes: String = self
            .hashes
            .iter()
            .map(|hash| format!(" \\\n    --hash=sha256:{hash}"))
            .collect();
        format!("{}=={}{hashes}\n", self.name, self.version)
    }

    /// The name of the folder that holds it in the cache. A home folder may be shared by machines of several
    /// kinds, so the platform is part of it.
    pub fn folder(&self) -> String {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        format!("{}-{}-{os}-{arch}", self.name, self.version)
    }
}

/// Reads requirements as pip does, as far as ours go: `name==version --hash=sha256:..`, comments, and lines
/// that end in a backslash.
fn parse(text: &str) -> Vec<Requirement> {
    let uncommented: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let joined = uncommented.join("\n").replace("\\\n", " ");
    joined.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Requirement> {
    let mut words = line.split_whitespace();
    let (name, version) = words.next()?.split_once("==")?;
    let hashes = words
        .filter_map(|word| word.strip_prefix("--hash=sha256:"))
        .map(str::to_lowercase)
        .collect();
    Some(Requirement {
        name: name.to_owned(),
        version: version.to_owned(),
        hashes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::program::Kind;

    #[test]
    fn each_server_is_pinned_for_four_platforms() {
        for kind in [Kind::Valkey, Kind::Postgres] {
            let pinned = Requirement::pinned(kind.wheel()).unwrap();
            assert_eq!(pinned.hashes.len(), 4, "{pinned:?}");
            assert!(pinned.hashes.iter().all(|hash| hash.len() == 64));
        }
    }

    #[test]
    fn a_requirement_survives_being_written_and_read() {
        for requirement in parse(REQUIREMENTS) {
            assert_eq!(parse(&requirement.to_file()), [requirement]);
        }
    }

    #[test]
    fn comments_and_continued_lines_are_read_as_pip_reads_them() {
        let read =
            parse("# a comment \\\nsmall==1.0 \\\n  --hash=sha256:AB \\\n  --hash=sha256:cd\n\nplain\n");
        let hashes = vec!["ab".to_owned(), "cd".to_owned()];
        assert_eq!(
            read,
            [Requirement {
                name: "small".to_owned(),
                version: "1.0".to_owned(),
                hashes
            }]
        );
    }
}
