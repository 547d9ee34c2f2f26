//! A look at both servers before a worker trusts them with jobs.

use crate::clock;
use crate::queue::connect::ServerFacts;

/// Commands of Redis 7.0 are needed.
const OLDEST: (u32, u32) = (7, 0);

/// The oldest Postgres that the queries are tried on.
const OLDEST_POSTGRES: i32 = 14;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What forbids the start; each says what to do.
    pub refusals: Vec<String>,
    /// What is worth a word.
    pub warnings: Vec<String>,
}

/// Judges a Valkey server.
#[must_use]
pub fn judge(facts: &ServerFacts, allow_eviction: bool) -> Report {
    let mut report = Report {
        refusals: Vec::new(),
        warnings: Vec::new(),
    };
    let name = format!("{} {}", facts.name, facts.version);
    if facts.compatible < OLDEST {
        report.refusals.push(format!(
            "{name} is too old: commands of Redis 7.0 are needed; upgrade the server"
        ));
    }
    if facts.may_evict() {
        let policy = &facts.eviction;
        let text = format!(
            "{name} may drop jobs when its memory is full (maxmemory-policy {policy}); type CONFIG SET maxmemory-policy noeviction"
        );
        if allow_eviction {
            report.warnings.push(text);
        } else {
            report.refusals.push(format!("{text}, or set ALLOW_EVICTION=1"));
        }
    }
    if !facts.append_only {
        report.warnings.push(format!(
            "{name} writes no append-only file: after its restart the stream is rebuilt from Postgres; type CONFIG SET appendonly yes to keep it"
        ));
    }
    report
}

/// Judges a Postgres server by its version number, as `150018` for 15.18.
#[must_use]
pub fn judge_postgres(version: i32) -> Option<String> {
    let major = version / 10_000;
    (major < OLDEST_POSTGRES).then(|| {
        format!("Postgres {major} is too old: {OLDEST_POSTGRES} or newer is needed; upgrade the server")
    })
}

/// How far this machine's clock is from the server's, in words, if it is far enough to matter.
#[must_use]
pub fn clock_offset(server_ms: u64) -> Option<String> {
    let server = i64::try_from(server_ms).unwrap_or(i64::MAX);
    let offset = clock::now().timestamp_millis().saturating_sub(server);
    (offset.abs() > 2_000)
        .then(|| format!("this machine's clock is {offset} ms off the server's; span times will look odd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(compatible: (u32, u32), eviction: &str, append_only: bool) -> ServerFacts {
        ServerFacts {
            name: "valkey".into(),
            version: "8.1.0".into(),
            compatible,
            eviction: eviction.into(),
            append_only,
            run_id: "r".into(),
        }
    }

    #[test]
    fn a_sound_server_gives_no_finding() {
        let report = judge(&facts((7, 2), "noeviction", true), false);
        assert_eq!(
            report,
            Report {
                refusals: vec![],
                warnings: vec![]
            }
        );
    }

    #[test]
    fn an_old_postgres_and_a_wrong_clock_are_said() {
        assert!(judge_postgres(130_012).is_some_and(|said| said.contains("13")));
        assert_eq!(judge_postgres(140_000), None);
        let now = clock::now().timestamp_millis().unsigned_abs();
        assert_eq!(clock_offset(now), None);
        assert!(clock_offset(now - 60_000).is_some());
    }

    #[test]
    fn a_server_that_may_drop_jobs_is_refused_unless_allowed() {
        assert_eq!(
            judge(&facts((7, 2), "allkeys-lru", true), false).refusals.len(),
            1
        );
        let allowed = judge(&facts((7, 2), "allkeys-lru", true), true);
        assert_eq!((allowed.refusals.len(), allowed.warnings.len()), (0, 1));
        assert_eq!(judge(&facts((6, 2), "noeviction", true), false).refusals.len(), 1);
        assert_eq!(
            judge(&facts((7, 0), "noeviction", false), false).warnings.len(),
            1
        );
    }
}
