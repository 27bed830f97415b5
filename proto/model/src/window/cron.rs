//! A cron expression: at which times something begins.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Zone;
use crate::text::as_text;

/// Five fields, from minutes to days of the week, as cron has them; with six the first one is seconds. It is kept as it
/// was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    parsed: croner::Cron,
}

/// A text that names no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no cron expression: {why}; write minute, hour, day, month and day of the week, such as \"0 2 * * 1-5\" for 02:00 from Monday to Friday",
    text.escape_debug()
)]
pub struct NoCron {
    text: String,
    why: String,
}

impl Cron {
    /// The first time behind this one; None where it never comes again.
    pub(super) fn after(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let next = self.parsed.find_next_occurrence(&zone.at(at), false);
        next.ok().map(|zoned| zoned.timestamp())
    }

    /// The last time that is not behind this one.
    pub(super) fn last(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let last = self.parsed.find_previous_occurrence(&zone.at(at), true);
        last.ok().map(|zoned| zoned.timestamp())
    }
}

impl FromStr for Cron {
    type Err = NoCron;

    fn from_str(text: &str) -> Result<Self, NoCron> {
        let no = |why: String| NoCron { text: text.to_owned(), why };
        let fields = text.split_whitespace().count();
        if !text.trim_start().starts_with('@') && !(5..=6).contains(&fields) {
            return Err(no(format!("it has {fields} fields")));
        }
        let parsed = croner::Cron::from_str(text).map_err(|error| no(why(&error)))?;
        Ok(Self { text: text.to_owned(), parsed })
    }
}

as_text!(Cron, NoCron);

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Without the crate's own words around it.
fn why(error: &croner::errors::CronError) -> String {
    use croner::errors::CronError::{ComponentError, IllegalCharacters, InvalidPattern};
    match error {
        InvalidPattern(why) | IllegalCharacters(why) | ComponentError(why) => {
            why.trim_end_matches('.').to_owned()
        }
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}
