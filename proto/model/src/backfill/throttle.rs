//! How fast a backfill may go, as several may say it: the person at run time, the directive, the pipeline's stage.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Directive, Pace};
use crate::duration;

/// One's word on the speed; what is not said is left to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// How long a batch should take.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub batch_time: Option<Duration>,
    /// Rows that are touched in a second, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<u32>,
    /// Between two batches.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub pause: Option<Duration>,
    /// No batch begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

impl Throttle {
    /// This word, and what it leaves open from the other.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            batch_time: self.batch_time.or(other.batch_time),
            max_rate: self.max_rate.or(other.max_rate),
            pause: self.pause.or(other.pause),
            paused: self.paused || other.paused,
        }
    }

    #[must_use]
    pub fn target(&self) -> Duration {
        self.batch_time.unwrap_or(Pace::DEFAULT_TARGET)
    }

    /// How long to rest after a batch that touched so many rows in so much time.
    #[must_use]
    pub fn rest(&self, rows: u64, took: Duration) -> Duration {
        let whole = self.max_rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos(rows.saturating_mul(1_000_000_000) / u64::from(rate.max(1)))
        });
        whole.saturating_sub(took).max(self.pause.unwrap_or_default())
    }
}

impl From<&Directive> for Throttle {
    fn from(directive: &Directive) -> Self {
        Self {
            batch_time: directive.batch_time,
            max_rate: directive.max_rate,
            pause: directive.pause,
            paused: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts_and_a_pause_of_any_holds() {
        let person = Throttle { max_rate: Some(100), ..Throttle::default() };
        let stage = Throttle {
            max_rate: Some(9),
            pause: Some(Duration::from_secs(1)),
            paused: true,
            ..Throttle::default()
        };
        let both = person.or(&stage);
        assert_eq!((both.max_rate, both.pause, both.paused), (Some(100), stage.pause, true));
        assert_eq!(both.target(), Duration::from_millis(100));
    }

    #[test]
    fn a_rate_is_kept_by_resting() {
        let slow = Throttle { max_rate: Some(1_000), ..Throttle::default() };
        assert_eq!(slow.rest(100, Duration::from_millis(20)), Duration::from_millis(80));
        assert_eq!(slow.rest(100, Duration::from_millis(200)), Duration::ZERO);
        let pausing = Throttle { pause: Some(Duration::from_millis(5)), ..Throttle::default() };
        assert_eq!(pausing.rest(1, Duration::from_secs(9)), Duration::from_millis(5));
    }
}
