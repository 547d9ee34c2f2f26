//! The W3C `traceparent` of a submission: whose trace a review is part of.

use millstream::domain::JobId;

/// A trace, and the span in it under which a review hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The trace.
    pub trace: [u8; 16],
    /// The producer's span, if there is one.
    pub parent: Option<[u8; 8]>,
    /// Whether the trace is recorded: who began it decides.
    pub sampled: bool,
}

impl Origin {
    /// The trace of a job that was submitted with this header. Without one, or with one that cannot
    /// be read, the job begins a trace that has its own id.
    #[must_use]
    pub fn of(job: JobId, traceparent: Option<&str>) -> Self {
        traceparent.and_then(read).unwrap_or(Self {
            trace: *job.0.as_bytes(),
            parent: None,
            sampled: true,
        })
    }
}

/// Reads `00-<trace>-<span>-<flags>`. A later version may have more behind the flags.
fn read(text: &str) -> Option<Origin> {
    let mut parts = text.trim().split('-');
    let version = parts.next()?;
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let ends = parts.next().is_none();
    if hex::<1>(version)? == [0xff] || (version == "00" && !ends) {
        return None;
    }
    let (trace, span) = (hex::<16>(trace)?, hex::<8>(span)?);
    let [flags] = hex::<1>(flags)?;
    (trace != [0; 16] && span != [0; 8]).then_some(Origin {
        trace,
        parent: Some(span),
        sampled: flags & 1 == 1,
    })
}

/// So many bytes in lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let lower = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * N || !digits.iter().all(lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_trace_is_the_submissions_or_the_jobs_own() {
        let job = JobId::fresh();
        let origin = Origin::of(job, Some(GIVEN));
        assert_eq!(origin.trace[..2], [0x0a, 0xf7]);
        assert_eq!(origin.parent.map(|span| span[7]), Some(0x31));
        assert!(origin.sampled && !Origin::of(job, Some(&GIVEN.replace("-01", "-00"))).sampled);
        let own = Origin::of(job, None);
        assert_eq!((own.trace, own.parent), (*job.0.as_bytes(), None));
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_of_its_own() {
        for wrong in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319ü-b7ad6b7169203331-01",
        ] {
            let job = JobId::fresh();
            assert_eq!(Origin::of(job, Some(wrong)), Origin::of(job, None), "{wrong}");
        }
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        assert!(read(later).is_some());
    }
}
