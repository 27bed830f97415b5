//! How fast each kind of work has gone in an environment.

use std::time::Duration;

use jiff::Timestamp;

use super::grouped;
use super::measured::{Known, MeasuredKind, Measurement, Unit};
use crate::id::DatabaseName;

/// The speed of one kind of work, over what was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    kind: MeasuredKind,
    unit: Unit,
    /// In units a second, slowest first.
    sorted: Vec<f64>,
    first: Timestamp,
    /// Of other databases of the environment: this one has none.
    of_others: bool,
}

/// From how many measurements on a quarter at each end is left out of the spread.
const ENOUGH_FOR_QUARTERS: usize = 4;
/// From how many of its size on what was much smaller is left out of account.
const ENOUGH_OF_ITS_SIZE: usize = 3;
const MUCH_SMALLER: u64 = 100;

impl Rate {
    /// Of this much work of a kind, as the database has done it, or else the others of its environment.
    pub(super) fn of(
        known: &Known<'_>,
        database: &DatabaseName,
        kind: MeasuredKind,
        (rows, bytes): (u64, u64),
    ) -> Option<Self> {
        let unit = Unit::of(kind, bytes);
        let here = |m: &&Measurement| {
            m.environment.as_str() == known.environment
                && m.kind == kind
                && Unit::of(m.kind, m.bytes) == unit
                && m.paced().is_some()
        };
        let all: Vec<&Measurement> = known.history.iter().chain(&known.own).filter(here).collect();
        let own: Vec<&Measurement> = all.iter().copied().filter(|m| m.database == *database).collect();
        let of_others = own.is_empty();
        let measured = if of_others { all } else { own };
        let wanted = if unit == Unit::Bytes { bytes } else { rows };
        let large = |m: &&&Measurement| m.paced().unwrap_or(0) >= wanted / MUCH_SMALLER;
        let of_its_size = measured.iter().filter(large).count() >= ENOUGH_OF_ITS_SIZE;
        let counted: Vec<_> = measured.iter().filter(|m| !of_its_size || large(m)).collect();
        let first = counted.iter().map(|m| m.at).min()?;
        let mut sorted: Vec<f64> = counted.iter().filter_map(|m| per_second(m)).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self { kind, unit, sorted, first, of_others }).filter(|rate| !rate.sorted.is_empty())
    }

    /// How long that much takes: at the slowest, at the median, at the fastest.
    pub(super) fn time(&self, (rows, bytes): (u64, u64)) -> [Duration; 3] {
        let amount = as_f64(if self.unit == Unit::Bytes { bytes } else { rows });
        let (slow, fast) = self.spread();
        [slow, self.median(), fast].map(|rate| seconds(amount / rate))
    }

    pub(super) fn has_spread(&self) -> bool {
        self.sorted.len() > 1
    }

    /// "rewrites ran at 55 to 70 MB/s here, 9 runs since 2026-10-02".
    pub(super) fn basis(&self) -> String {
        let (slow, fast) = self.spread();
        let (slow, fast) = (self.shown(slow), self.shown(fast));
        let unit = match self.unit {
            Unit::Rows => "rows/s",
            Unit::Bytes => "MB/s",
        };
        let speed = if slow == fast { format!("{slow} {unit}") } else { format!("{slow} to {fast} {unit}") };
        let place = if self.of_others { "in other databases here" } else { "here" };
        let day = self.first.strftime("%Y-%m-%d");
        let runs = match self.sorted.len() {
            1 => format!("1 run on {day}"),
            n => format!("{n} runs since {day}"),
        };
        format!("{} ran at {speed} {place}, {runs}", self.kind.plural())
    }

    fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        let upper = self.sorted[middle];
        if self.sorted.len().is_multiple_of(2) {
            f64::midpoint(self.sorted[middle - 1], upper)
        } else {
            upper
        }
    }

    fn spread(&self) -> (f64, f64) {
        let last = self.sorted.len() - 1;
        let cut = if self.sorted.len() >= ENOUGH_FOR_QUARTERS { self.sorted.len() / 4 } else { 0 };
        (self.sorted[cut], self.sorted[last - cut])
    }

    /// In two digits: more would pretend to know.
    fn shown(&self, rate: f64) -> String {
        let rate = if self.unit == Unit::Bytes { rate / 1e6 } else { rate };
        if rate < 10.0 {
            return format!("{rate:.1}");
        }
        let magnitude = 10_f64.powf(rate.log10().floor() - 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and shown rounded"
        )]
        let whole = ((rate / magnitude).round() * magnitude).round() as u64;
        grouped(whole)
    }
}

fn per_second(measured: &Measurement) -> Option<f64> {
    let took = measured.took.as_secs_f64().max(1e-6);
    measured.paced().map(|amount| as_f64(amount) / took)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(super) fn as_f64(number: u64) -> f64 {
    number as f64
}

/// Of a time that may be too long for a clock.
pub(super) fn seconds(seconds: f64) -> Duration {
    const LONGEST: Duration = Duration::from_hours(24 * 365);
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
}
