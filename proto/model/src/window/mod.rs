//! When statements may begin: windows by cron expression, length and time zone, and freezes over them.
//!
//! A window opens at each time that its expression names and stays open for a length of real time: one of 2 hours is open
//! for 2 hours in the night that has an hour twice as well. An opening that falls into the hour that a night does not have
//! is as soon as that hour is over. Windows that touch or overlap are one. A freeze goes over all of them.
//!
//! The rules of the time zones are those that this version was built with.

mod cron;
mod freeze;
mod zone;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use cron::{Cron, NoCron};
pub use freeze::Freeze;
pub use zone::{NoZone, Zone};

/// How far ahead is looked for an opening.
const HORIZON: Duration = Duration::from_hours(2 * 366 * 24);
/// Openings that follow one another without a gap for so long are as good as no end.
const NO_END: Duration = Duration::from_hours(8 * 24);
/// Openings that are looked at for one interval, or intervals for one answer, at most.
const MOST_LOOKED_AT: usize = 20_000;
const MOST_INTERVALS: usize = 2_000;

/// The windows and freezes of a stage; without any it is always open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// In which times are shown; it is that of the windows where they have one in common.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub zone: Zone,
}

/// A time that comes again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub cron: Cron,
    /// How long it stays open.
    #[serde(rename = "for", with = "crate::duration")]
    pub length: Duration,
    pub timezone: Zone,
    #[serde(default, skip_serializing_if = "AtEnd::is_pause")]
    pub at_end: AtEnd,
}

/// What a backfill does that reaches a window's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// It stops behind a batch, and goes on in the next window.
    #[default]
    Pause,
    GoOn,
}

/// A time without a gap in which statements may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When it opens, or the time from which on it was asked for.
    pub from: Timestamp,
    /// None: its end is not in sight.
    pub until: Option<Timestamp>,
    pub at_end: AtEnd,
}

impl Calendar {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.freezes.is_empty()
    }

    /// The opening that this time is in.
    #[must_use]
    pub fn open_at(&self, now: Timestamp) -> Option<Opening> {
        self.next(now).filter(|opening| opening.from <= now)
    }

    /// When the freeze ends that this time is in; those that touch are one.
    #[must_use]
    pub fn frozen_at(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.thaw(now);
        (until > now).then_some(until)
    }

    /// The first opening from this time on; None where there is none within two years.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Opening> {
        let horizon = now.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let mut at = self.thaw(now);
        for _ in 0..=MOST_INTERVALS {
            let from = if self.is_covered(at) { at } else { self.opens_after(at)? };
            if from > horizon {
                return None;
            }
            at = self.thaw(from);
            if at == from {
                return Some(self.opening_from(from));
            }
        }
        None
    }

    /// The openings from this time on, for two years.
    pub fn openings(&self, now: Timestamp) -> impl Iterator<Item = Opening> + '_ {
        let horizon = now.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let after = |opening: &Opening| opening.until.and_then(|until| self.next(until));
        std::iter::successors(self.next(now), after).take_while(move |o| o.from <= horizon)
    }

    /// The first opening that something fits into from this time on; None where it fits into none.
    #[must_use]
    pub fn next_with_room(&self, now: Timestamp, needed: Duration) -> Option<Opening> {
        self.openings(now).take(MOST_INTERVALS).find(|opening| opening.has_room(needed))
    }

    /// The longest opening from this time on; None where one has no end.
    #[must_use]
    pub fn longest(&self, now: Timestamp) -> Option<Duration> {
        let lengths = self.openings(now).take(MOST_INTERVALS).map(|opening| opening.left());
        lengths.collect::<Option<Vec<_>>>().map(|all| all.into_iter().max().unwrap_or_default())
    }

    /// "Tue 2026-11-24 02:00 Europe/Paris (01:00 UTC)".
    #[must_use]
    pub fn show(&self, at: Timestamp) -> String {
        self.zone.show(at)
    }

    /// The end of all freezes that this time is in; the time itself where it is in none.
    fn thaw(&self, mut at: Timestamp) -> Timestamp {
        while let Some(freeze) = self.freezes.iter().find(|freeze| freeze.from <= at && at < freeze.until) {
            at = freeze.until;
        }
        at
    }

    fn is_covered(&self, at: Timestamp) -> bool {
        self.windows.is_empty() || self.windows.iter().any(|window| window.end_around(at) > Some(at))
    }

    fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.windows.iter().filter_map(|window| window.cron.after(at, &window.timezone)).min()
    }

    /// How long it stays open from a time that a window covers and no freeze does.
    fn opening_from(&self, from: Timestamp) -> Opening {
        let (until, at_end) = self.windows_end(from);
        let frozen = self.freezes.iter().map(|freeze| freeze.from).filter(|begin| *begin > from).min();
        match frozen {
            // What begins then is no ordinary end: nothing goes on into it.
            Some(begin) if until.is_none_or(|until| begin < until) => {
                Opening { from, until: Some(begin), at_end: AtEnd::Pause }
            }
            _ => Opening { from, until, at_end },
        }
    }

    fn windows_end(&self, from: Timestamp) -> (Option<Timestamp>, AtEnd) {
        let no_end = from.checked_add(NO_END).unwrap_or(Timestamp::MAX);
        let (mut until, mut at_end) = (from, AtEnd::Pause);
        for _ in 0..MOST_LOOKED_AT {
            let ends = self.windows.iter().filter_map(|w| w.end_around(until).map(|end| (end, w.at_end)));
            match ends.max_by_key(|(end, _)| *end) {
                Some((end, _)) if end > no_end => break,
                Some((end, of_window)) if end > until => (until, at_end) = (end, of_window),
                _ if until > from => return (Some(until), at_end),
                _ => break,
            }
        }
        (None, AtEnd::Pause)
    }
}

impl Window {
    /// When the last opening ends that began by then; it may have ended before.
    fn end_around(&self, at: Timestamp) -> Option<Timestamp> {
        let began = self.cron.last(at, &self.timezone)?;
        Some(began.checked_add(self.length).unwrap_or(Timestamp::MAX))
    }
}

impl Opening {
    /// None: for as long as anybody can say.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.left_at(self.from)
    }

    /// What is left of it at a time.
    #[must_use]
    pub fn left_at(&self, now: Timestamp) -> Option<Duration> {
        let left = |until: Timestamp| Duration::try_from(now.duration_until(until)).unwrap_or_default();
        self.until.map(left)
    }

    #[must_use]
    pub fn has_room(&self, needed: Duration) -> bool {
        self.left().is_none_or(|left| needed <= left)
    }
}

impl AtEnd {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    fn is_pause(&self) -> bool {
        *self == Self::Pause
    }
}

#[cfg(test)]
mod tests;
