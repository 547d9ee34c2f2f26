//! What can go wrong between us and Valkey, by what the caller does about it.

use redis::RedisError;

use crate::exit::Exit;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The server cannot be reached, or went away before it answered.
    #[error("reach Valkey: {0}")]
    Unreachable(String),
    /// The stream or its group is gone: all data was lost, or somebody deleted it.
    #[error("find the consumer group: {0}")]
    NoGroup(String),
    /// The server refused the command: no rights, no memory, wrong type.
    #[error("run a command on Valkey: {0}")]
    Refused(String),
    /// The address cannot be read.
    #[error("read the address of Valkey: {0}")]
    Address(String),
    /// The answer is not what this version understands.
    #[error("understand Valkey's answer: {0}")]
    Answer(String),
}

impl QueueError {
    /// How a process ends that cannot do without the command.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Address(_) => Exit::Usage,
            Self::NoGroup(_) | Self::Refused(_) | Self::Answer(_) => Exit::Ours,
        }
    }

    /// Whether waiting may help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl QueueError {
    /// The error that a script passes on as text.
    pub(super) fn said(text: &str) -> Self {
        let text = crate::untrusted::one_line(text, 300);
        if is_no_group(&text) {
            Self::NoGroup(text)
        } else {
            Self::Refused(text)
        }
    }
}

/// Redis 7.0 says UNBLOCKED where newer servers say NOGROUP; inside a script both arrive as the text of
/// a script error.
fn is_no_group(text: &str) -> bool {
    text.contains("NOGROUP") || text.contains("UNBLOCKED") || text.contains("no such key")
}

/// Whether the server cannot be reached, or says that it cannot serve yet.
pub(super) fn is_away(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || matches!(
            error.code(),
            Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN")
        )
}

impl From<RedisError> for QueueError {
    fn from(error: RedisError) -> Self {
        let text = crate::untrusted::one_line(&error.to_string(), 300);
        if is_no_group(&text) {
            return Self::NoGroup(text);
        }
        if is_away(&error) {
            return Self::Unreachable(text);
        }
        match error.kind() {
            redis::ErrorKind::UnexpectedReturnType | redis::ErrorKind::Parse => Self::Answer(text),
            _ => Self::Refused(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_for_a_missing_group_is_known() {
        for text in [
            "NOGROUP No such key 'reviews:queue' or consumer group 'reviewers'",
            "UNBLOCKED the stream key no longer exists",
            "ERR no such key",
        ] {
            assert!(matches!(QueueError::said(text), QueueError::NoGroup(_)), "{text}");
        }
        assert!(matches!(
            QueueError::said("OOM command not allowed"),
            QueueError::Refused(_)
        ));
    }
}
