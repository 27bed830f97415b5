//! What a pipeline says of a stage's fleet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Selector;
use crate::text::as_text;

/// So many databases are worked on at once at the very most.
const MOST_PARALLEL: u32 = 1_000;

/// How a stage goes through its databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSettings {
    /// None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Selector>,
    /// One after the other; none: all databases are one wave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// So many databases are worked on at a time. One by one they keep strictly to their order.
    pub max_parallel: u32,
    pub max_failures: MaxFailures,
}

/// `canary:1`, `10%`, `tier=canary`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wave {
    pub name: Option<String>,
    pub share: Share,
}

/// Who is in a wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// So many of those that are left.
    Count(u32),
    /// So many as make it this part of all, with those of the waves before it; rounded up.
    Percent(u32),
    /// Those of them that are left.
    Labelled(Selector),
}

/// So many databases may fail before nothing further is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MaxFailures {
    /// In all waves together.
    Count(u32),
    /// Of each wave by itself, rounded down.
    Percent(u32),
}

impl Default for FleetSettings {
    fn default() -> Self {
        Self { select: None, waves: Vec::new(), max_parallel: 1, max_failures: MaxFailures::Count(0) }
    }
}

impl FleetSettings {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Why nobody could follow them.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MOST_PARALLEL).contains(&self.max_parallel) {
            return Err(format!("`max_parallel` is from 1 to {MOST_PARALLEL}"));
        }
        check_waves(&self.waves).map_err(|(_, why)| why)
    }
}

/// The first wave that makes no sense, and why.
pub(crate) fn check_waves(waves: &[Wave]) -> Result<(), (usize, String)> {
    let mut before = 0;
    for (place, wave) in waves.iter().enumerate() {
        if let Share::Percent(percent) = wave.share {
            if percent <= before {
                let why = format!(
                    "the wave `{wave}` would be empty: a percentage is of all databases, with the waves before it, \
                     and {before}% are through by then"
                );
                return Err((place, why));
            }
            before = percent;
        }
    }
    match waves.last() {
        Some(last) if last.share != Share::Percent(100) => {
            let why = "some databases could be in no wave; let the last one be \"100%\"".to_owned();
            Err((waves.len() - 1, why))
        }
        _ => Ok(()),
    }
}

impl MaxFailures {
    /// How many of a wave's databases may fail, of the percentage.
    #[must_use]
    pub fn of_wave(self, databases: usize) -> Option<usize> {
        match self {
            Self::Percent(percent) => Some(databases * percent as usize / 100),
            Self::Count(_) => None,
        }
    }
}

impl FromStr for Wave {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, share) = match text.split_once(':') {
            Some((name, share)) => (Some(name.trim()), share.trim()),
            None => (None, text.trim()),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ');
        if name.is_some_and(|name| name.is_empty() || name.len() > 40 || !name.chars().all(fits)) {
            return Err(format!(
                "`{}` has no name for a wave before its colon: letters, digits, '-' and '_'",
                text.escape_debug()
            ));
        }
        let share = if share.contains('=') {
            Share::Labelled(share.parse()?)
        } else if let Some(number) = share.strip_suffix('%') {
            Share::Percent(percent(number).filter(|p| *p > 0).ok_or_else(|| not_a_wave(text))?)
        } else {
            let count = share.parse().ok().filter(|count| *count > 0);
            Share::Count(count.ok_or_else(|| not_a_wave(text))?)
        };
        Ok(Self { name: name.map(str::to_owned), share })
    }
}

impl FromStr for MaxFailures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is not a number of databases; use max_failures = 3, or \"5%\" of each wave",
                text.escape_debug()
            )
        };
        match text.trim().strip_suffix('%') {
            Some(number) => percent(number).map(Self::Percent).ok_or_else(wrong),
            None => text.trim().parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// None: it is none from 0 to 100.
fn percent(number: &str) -> Option<u32> {
    number.parse().ok().filter(|percent| *percent <= 100)
}

fn not_a_wave(text: &str) -> String {
    format!(
        "`{}` is not a wave; use a number of databases (\"canary:1\"), a percentage of all (\"10%\"), or labels \
         (\"tier=canary\")",
        text.escape_debug()
    )
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Labelled(selector) => selector.fmt(f),
        }
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}:{}", self.share),
            None => self.share.fmt(f),
        }
    }
}

impl fmt::Display for MaxFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

as_text!(Wave, String);

as_text!(MaxFailures, String);
