//! An estimate's duration in words: "about 14 s", "2 to 4 min".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::human;

/// Between what and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    #[serde(with = "crate::duration")]
    pub low: Duration,
    #[serde(with = "crate::duration")]
    pub high: Duration,
}

/// Anything shorter than this is not felt beside the way there and back.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(5);

/// What stands behind "takes" or "estimated".
pub(super) fn words(duration: Duration, spread: Option<Spread>) -> String {
    if duration < NEXT_TO_NOTHING {
        return "next to nothing".to_owned();
    }
    spread.and_then(between).unwrap_or_else(|| format!("about {}", human(rounded(duration))))
}

/// None where both ends look alike.
fn between(Spread { low, high }: Spread) -> Option<String> {
    let units: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];
    // The unit in which the higher end is at least 2.
    let unit = units.iter().rev().find(|(_, seconds)| high.as_secs_f64() >= 2.0 * seconds)?;
    let shown = |time: Duration| {
        let number = time.as_secs_f64() / unit.1;
        if number < 9.5 && number.fract() > 0.05 && number.fract() < 0.95 {
            format!("{number:.1}")
        } else {
            format!("{number:.0}")
        }
    };
    let (low, high) = (shown(low), shown(high));
    (low != high).then(|| format!("{low} to {high} {}", unit.0))
}

/// To two digits, so that it does not pretend to know more.
fn rounded(duration: Duration) -> Duration {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut unit = 1;
    while millis / unit >= 100 {
        unit *= 10;
    }
    // From a minute on `human` shows whole seconds.
    Duration::from_millis((millis.saturating_add(unit / 2) / unit).saturating_mul(unit).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_exactly_as_they_are_known() {
        let ms = Duration::from_millis;
        let spread = |low, high| Some(Spread { low: ms(low), high: ms(high) });
        for (duration, spread, expected) in [
            (0, None, "next to nothing"),
            (4, None, "next to nothing"),
            (17, None, "about 17 ms"),
            (13_700, None, "about 14 s"),
            (27_000, spread(26_900, 27_100), "about 27 s"),
            (180_000, spread(121_000, 241_000), "2 to 4 min"),
            (180_000, spread(90_000, 241_000), "1.5 to 4 min"),
            (65_000, spread(55_000, 71_000), "55 to 71 s"),
            (600, spread(420, 880), "420 to 880 ms"),
            (9_000_000, spread(5_400_000, 10_800_000), "1.5 to 3 h"),
        ] {
            assert_eq!(words(ms(duration), spread), expected, "{duration}");
        }
    }
}
