//! Sizes, rates, shares and times as people read them.

use std::time::Duration;

use jiff::Timestamp;
use stopover_model::duration::human;
use stopover_model::plan::grouped;
use stopover_model::report::ProgressUnit;

/// `512 B`, `1.2 MB`, `77 GB`; powers of 1000, as disks are sold.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `1 row`, `20,000 rows`.
#[must_use]
pub fn count(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", grouped(n))
}

/// How far something is, in its unit: `120,000/300,000 rows`, `1.2 MB`.
#[must_use]
pub fn amount(done: u64, total: u64, unit: ProgressUnit) -> String {
    let name = match unit {
        ProgressUnit::Rows => "rows",
        ProgressUnit::Blocks => "blocks",
        ProgressUnit::Checks => "checks",
        ProgressUnit::Percent => return format!("{done}%"),
        ProgressUnit::Bytes if total > 0 => return format!("{}/{}", bytes(done), bytes(total)),
        ProgressUnit::Bytes => return bytes(done),
    };
    if total > 0 {
        format!("{}/{} {name}", grouped(done), grouped(total))
    } else {
        format!("{} {name}", grouped(done))
    }
}

/// `41,000 rows/s`, `12 MB/s`.
#[must_use]
pub fn rate(per_second: f64, unit: ProgressUnit) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive and shown rounded"
    )]
    let whole = per_second.max(0.0).round() as u64;
    match unit {
        ProgressUnit::Bytes => format!("{}/s", bytes(whole)),
        ProgressUnit::Percent => format!("{whole}%/s"),
        ProgressUnit::Rows => format!("{} rows/s", grouped(whole)),
        ProgressUnit::Blocks => format!("{} blocks/s", grouped(whole)),
        ProgressUnit::Checks => format!("{} checks/s", grouped(whole)),
    }
}

/// A duration that somebody wrote, without rounding: `10m`, `1d 12h`, `100ms`.
#[must_use]
pub fn exact(duration: Duration) -> String {
    let s = duration.as_secs();
    let parts = [
        (s / 86_400, "d"),
        (s % 86_400 / 3_600, "h"),
        (s % 3_600 / 60, "m"),
        (s % 60, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
    ];
    let shown: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// The time between two moments; nothing when they are the other way round.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `3m 05s ago`, `in 12 s`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("in {}", human(seconds(between(now, at))))
    } else {
        format!("{} ago", human(seconds(between(at, now))))
    }
}

/// A clock that ticks in seconds is calmer to watch: nothing below ten seconds has a fraction.
#[must_use]
pub fn ticking(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        s @ 0..10 => format!("{s} s"),
        _ => human(elapsed),
    }
}

/// `14:03:07 UTC`, with the date when it is another day than `now`.
#[must_use]
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    let same_day = at.strftime("%F").to_string() == now.strftime("%F").to_string();
    at.strftime(if same_day { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S UTC" }).to_string()
}

/// `2025-01-16T14:03:07Z`: for logs.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn seconds(duration: Duration) -> Duration {
    if duration.as_secs() < 1 { Duration::from_secs(1) } else { Duration::from_secs(duration.as_secs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_three_digits() {
        let shown = [0, 999, 1000, 1_234_567, 999_499_999, 999_999_999, 77_000_000_000, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.2 MB", "999 MB", "1.0 GB", "77 GB", "18 EB"]);
    }

    #[test]
    fn amounts_say_their_unit_and_their_end_when_it_is_known() {
        assert_eq!(amount(120_000, 300_000, ProgressUnit::Rows), "120,000/300,000 rows");
        assert_eq!(amount(120_000, 0, ProgressUnit::Rows), "120,000 rows");
        assert_eq!(amount(1_200_000, 0, ProgressUnit::Bytes), "1.2 MB");
        assert_eq!(amount(40, 100, ProgressUnit::Percent), "40%");
        assert_eq!(rate(41_234.4, ProgressUnit::Rows), "41,234 rows/s");
        assert_eq!(rate(-1.0, ProgressUnit::Bytes), "0 B/s");
        assert_eq!(count(1, "statement"), "1 statement");
    }

    #[test]
    fn what_somebody_wrote_comes_back_exactly() {
        let shown =
            [0, 100, 10_000, 600_000, 86_400_000, 129_600_500].map(|ms| exact(Duration::from_millis(ms)));
        assert_eq!(shown, ["0s", "100ms", "10s", "10m", "1d", "1d 12h 500ms"]);
    }

    #[test]
    fn another_day_is_named() {
        let now: Timestamp = "2025-01-16T14:03:07Z".parse().unwrap();
        assert_eq!(clock(now, now), "14:03:07 UTC");
        assert_eq!(clock("2025-01-15T14:03:07Z".parse().unwrap(), now), "2025-01-15 14:03:07 UTC");
        assert_eq!(relative("2025-01-16T14:03:00.5Z".parse().unwrap(), now), "6.0 s ago");
        assert_eq!(relative("2025-01-16T14:05:07Z".parse().unwrap(), now), "in 2m 00s");
    }
}
