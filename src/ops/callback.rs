//! Whether a submission may name an address that is told of the end, and which.

use super::error::OpsError;
use crate::domain::{CallbackReach, CallbackUrl};
use crate::settings::CallbackSettings;

/// What becomes of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callbacks {
    /// It is refused: nobody could sign a webhook.
    Refused,
    /// It is taken if it leads where it may.
    Taken(CallbackReach),
}

impl Callbacks {
    /// What a producer's settings say.
    #[must_use]
    pub const fn of(settings: &CallbackSettings) -> Self {
        if settings.signed {
            Self::Taken(reach(settings))
        } else {
            Self::Refused
        }
    }

    /// Reads the address that a submission names.
    ///
    /// # Errors
    /// When there are no callbacks here, or it is none that may be called.
    pub fn read(self, text: &str) -> Result<CallbackUrl, OpsError> {
        match self {
            Self::Refused => Err(OpsError::NoCallbacks),
            Self::Taken(reach) => Ok(CallbackUrl::parse(text, reach)?),
        }
    }
}

/// Where callbacks may lead.
#[must_use]
pub const fn reach(settings: &CallbackSettings) -> CallbackReach {
    if settings.allow_private {
        CallbackReach::Anywhere
    } else {
        CallbackReach::Public
    }
}
