//! What a process's exit code says: the one place where kinds of failure meet numbers.

/// Why a process did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Our fault.
    Ours,
    /// Not found, or refused.
    Refused,
    /// Wrong usage, wrong settings.
    Usage,
    /// A server is unreachable, does not let us in, or does not fit.
    Unreachable,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ours => 1,
            Self::Refused => 2,
            Self::Usage => 64,
            Self::Unreachable => 69,
        }
    }
}
