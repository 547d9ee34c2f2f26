//! The time zone that clocks are read in: UTC, unless somebody asked for their own.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A zone of the IANA database, as `Europe/Berlin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl Zone {
    /// A moment of today's clock: `14:03:27Z`, and in another zone `16:03:27`, as the header has its name.
    #[must_use]
    pub fn clock(self, at: DateTime<Utc>) -> String {
        if self.is_utc() {
            return at.format("%H:%M:%SZ").to_string();
        }
        self.moment(at)
    }

    /// The same without a zone.
    #[must_use]
    pub fn moment(self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.0).format("%H:%M:%S").to_string()
    }

    /// The header's clock: `14:03:27Z`, `16:03:27 CEST`.
    #[must_use]
    pub fn clock_with_name(self, at: DateTime<Utc>) -> String {
        if self.is_utc() {
            return self.clock(at);
        }
        at.with_timezone(&self.0).format("%H:%M:%S %Z").to_string()
    }

    fn is_utc(self) -> bool {
        self == Self::default()
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| "a zone of the IANA database is wanted, like Europe/Berlin or UTC".to_owned())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summer_and_winter_are_told_apart_by_the_zones_name() {
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(zone.clock_with_name(at("2026-11-21T14:03:27Z")), "15:03:27 CET");
        assert_eq!(zone.clock_with_name(at("2026-07-21T14:03:27Z")), "16:03:27 CEST");
        assert_eq!(Zone::default().clock(at("2026-07-21T14:03:27Z")), "14:03:27Z");
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for wrong in ["", "Berlin/Europe", "+02:00"] {
            assert!(wrong.parse::<Zone>().is_err(), "{wrong}");
        }
    }
}
