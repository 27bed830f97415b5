//! A time zone by its name in the IANA database.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// "Europe/Paris", "UTC". Its rules are those that this version was built with, wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A text that is no zone's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{}`; {hint}", name.escape_debug())]
pub struct NoZone {
    name: String,
    hint: String,
}

impl Zone {
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.rules.clone())
    }

    /// "Tue 2026-11-24 02:00 Europe/Paris (01:00 UTC)"; the day in UTC as well where it is another.
    #[must_use]
    pub fn show(&self, at: Timestamp) -> String {
        let (here, utc) = (self.at(at), at.to_zoned(TimeZone::UTC));
        let time = if here.second() == 0 && utc.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
        let shown = here.strftime(&format!("%a %Y-%m-%d {time} {}", self.name)).to_string();
        if self.is_utc() {
            return shown;
        }
        let day = if here.date() == utc.date() { "" } else { "%a " };
        format!("{shown} ({})", utc.strftime(&format!("{day}{time} UTC")))
    }

    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.rules == TimeZone::UTC
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }
}

impl FromStr for Zone {
    type Err = NoZone;

    fn from_str(name: &str) -> Result<Self, NoZone> {
        if name == "UTC" {
            return Ok(Self::default());
        }
        let database = TimeZoneDatabase::bundled();
        // The database takes any case; a name is kept as it is known.
        match database.get(name) {
            Ok(rules) => Ok(Self { name: rules.iana_name().unwrap_or(name).to_owned(), rules }),
            Err(_) => Err(NoZone { name: name.to_owned(), hint: hint(&database, name) }),
        }
    }
}

fn hint(database: &TimeZoneDatabase, name: &str) -> String {
    let distance = |known: &str| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    let nearest = database.available().map(|known| (distance(known.as_str()), known.to_string())).min();
    match nearest {
        Some((distance, known)) if distance <= 1.max(name.len() / 4) => format!("did you mean `{known}`?"),
        _ => "write a name of the IANA database, such as \"Europe/Paris\", \"America/New_York\" or \"UTC\""
            .to_owned(),
    }
}

as_text!(Zone, NoZone);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}
