//! A time in which nothing begins, whatever the windows say.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use super::Zone;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// As it was written.
    pub text: String,
    pub from: Timestamp,
    /// From then on it is over.
    pub until: Timestamp,
}

impl Freeze {
    /// Reads "2026-12-20/2027-01-04", from the beginning of the first day to the end of the last one in a zone. Either may
    /// have a time as well, with an offset or without.
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, String> {
        let no = || {
            format!(
                "`{}` is no freeze; write its first and its last day, such as \"2026-12-20/2027-01-04\", or two times, such as \"2026-12-20T18:00:00Z/2027-01-04T06:00:00Z\"",
                text.escape_debug()
            )
        };
        let (first, last) = text.split_once('/').ok_or_else(no)?;
        let (from, until) = (edge(first, zone, Edge::First), edge(last, zone, Edge::Last));
        let (from, until) = (from.ok_or_else(no)?, until.ok_or_else(no)?);
        if until <= from {
            return Err(format!("the freeze `{text}` ends before it begins; exchange its two sides"));
        }
        Ok(Self { text: text.to_owned(), from, until })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    First,
    Last,
}

fn edge(text: &str, zone: &Zone, edge: Edge) -> Option<Timestamp> {
    let text = text.trim();
    if !text.contains(['T', 't', ' ']) {
        let day: Date = text.parse().ok()?;
        let day = if edge == Edge::Last { day.tomorrow().ok()? } else { day };
        // A day that has no midnight begins a little later.
        return Some(day.to_zoned(zone.rules().clone()).ok()?.timestamp());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let time: DateTime = text.parse().ok()?;
    Some(time.to_zoned(zone.rules().clone()).ok()?.timestamp())
}
