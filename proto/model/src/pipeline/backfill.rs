//! How fast a stage lets backfills go, and what of the live database holds them: the table `[stage.backfill]`.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::backfill::{Brakes, Canary, Throttle};
use crate::config::ConfigError;

/// A stage's settings for statements that are run in batches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillSettings {
    #[serde(default)]
    pub throttle: Throttle,
    #[serde(default)]
    pub brakes: Brakes,
    #[serde(default, skip_serializing_if = "VacuumAfter::is_default")]
    pub vacuum: VacuumAfter,
}

/// When the table is vacuumed while its rows are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VacuumAfter {
    /// It is left to autovacuum.
    #[serde(rename = "off")]
    Off,
    /// Each time that the dead rows come to so many percent of the table's rows.
    #[serde(rename = "percent")]
    Percent(u32),
}

impl Default for VacuumAfter {
    fn default() -> Self {
        Self::Percent(20)
    }
}

impl VacuumAfter {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How many dead rows of a table with so many rows are enough; None: no number is.
    #[must_use]
    pub fn dead_rows(self, rows: u64) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Percent(percent) => Some(rows.saturating_mul(u64::from(percent)) / 100),
        }
    }
}

impl BackfillSettings {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The table as it is written. A limit of `"off"` switches its signal off.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackfill {
    batch_time: Option<Spanned<String>>,
    max_rate: Option<Spanned<u32>>,
    pause: Option<Spanned<String>>,
    replica_behind: Option<Spanned<String>>,
    archive_behind: Option<Spanned<String>>,
    wal_rate: Option<Spanned<String>>,
    lock_waiters: Option<Spanned<u32>>,
    oldest_transaction: Option<Spanned<String>>,
    autovacuum: Option<bool>,
    canary: Option<RawCanary>,
    vacuum: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCanary {
    sql: Spanned<String>,
    p99: Spanned<String>,
}

impl RawBackfill {
    pub(super) fn read(self, file: &str, text: &str) -> Result<BackfillSettings, ConfigError> {
        let place = Place { file, text };
        let default = Brakes::default();
        let max_rate = self.max_rate.as_ref();
        if let Some(zero) = max_rate.filter(|rate| *rate.get_ref() == 0) {
            return Err(place.at(
                zero,
                "a max_rate of 0 would never end; `stopover throttle ID --pause` holds a backfill",
            ));
        }
        Ok(BackfillSettings {
            throttle: Throttle {
                batch_time: self.batch_time.as_ref().map(|value| place.time(value)).transpose()?,
                max_rate: max_rate.map(|rate| *rate.get_ref()),
                pause: self.pause.as_ref().map(|value| place.time(value)).transpose()?,
                paused: false,
            },
            brakes: Brakes {
                replica_behind: place.or(
                    self.replica_behind.as_ref(),
                    default.replica_behind,
                    Place::bytes,
                )?,
                archive_behind: place.or(
                    self.archive_behind.as_ref(),
                    default.archive_behind,
                    Place::bytes,
                )?,
                wal_rate: place.or(self.wal_rate.as_ref(), default.wal_rate, Place::bytes)?,
                lock_waiters: match self.lock_waiters.map(Spanned::into_inner) {
                    None => default.lock_waiters,
                    Some(0) => None,
                    some => some,
                },
                oldest_transaction: place.or(
                    self.oldest_transaction.as_ref(),
                    default.oldest_transaction,
                    Place::time,
                )?,
                autovacuum: self.autovacuum.unwrap_or(default.autovacuum),
                canary: self.canary.map(|canary| canary.read(&place)).transpose()?,
            },
            vacuum: self.vacuum.as_ref().map(|value| place.vacuum(value)).transpose()?.unwrap_or_default(),
        })
    }
}

impl RawCanary {
    fn read(self, place: &Place<'_>) -> Result<Canary, ConfigError> {
        let count =
            crate::sql::split(self.sql.get_ref()).map_err(|e| place.at(&self.sql, &e.to_string()))?.len();
        if count != 1 {
            let message = format!("the canary's sql must be one query, and holds {count} statements");
            return Err(place.at(&self.sql, &message));
        }
        Ok(Canary { p99: place.time(&self.p99)?, sql: self.sql.into_inner() })
    }
}

struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn at<T>(&self, value: &Spanned<T>, message: &str) -> ConfigError {
        ConfigError::at(self.file, self.text, Some(value.span()), message)
    }

    fn or<T>(
        &self,
        value: Option<&Spanned<String>>,
        default: Option<T>,
        read: fn(&Self, &Spanned<String>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        match value {
            None => Ok(default),
            Some(off) if off.get_ref() == "off" => Ok(None),
            Some(value) => read(self, value).map(Some),
        }
    }

    fn vacuum(&self, value: &Spanned<String>) -> Result<VacuumAfter, ConfigError> {
        let text = value.get_ref();
        if text == "off" {
            return Ok(VacuumAfter::Off);
        }
        let percent = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        match percent {
            Some(percent @ 1..=100) => Ok(VacuumAfter::Percent(percent)),
            _ => Err(self.at(
                value,
                &format!(
                    "`{}` is no share of the table's rows; write \"1%\" to \"100%\", or \"off\"",
                    text.escape_debug()
                ),
            )),
        }
    }

    fn time(&self, value: &Spanned<String>) -> Result<Duration, ConfigError> {
        match crate::duration::parse(value.get_ref()) {
            Ok(time) if time > Duration::ZERO => Ok(time),
            Ok(_) => Err(self.at(value, "a time of nothing is none; leave the key out")),
            Err(message) => Err(self.at(value, &message)),
        }
    }

    fn bytes(&self, value: &Spanned<String>) -> Result<u64, ConfigError> {
        let bytes = value.get_ref().parse::<ByteSize>().ok().filter(|bytes| bytes.as_u64() > 0);
        bytes.map(|bytes| bytes.as_u64()).ok_or_else(|| {
            let message = format!(
                "`{}` is not a number of bytes: write a number and a unit, such as \"64MiB\" or \"1GiB\", or \"off\"",
                value.get_ref().escape_debug()
            );
            self.at(value, &message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    fn settings(lines: &str) -> Result<BackfillSettings, String> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n[stage.backfill]\n{lines}\n");
        Pipeline::parse("pipeline.toml", &text)
            .map(|p| p.stages[0].backfill.clone())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn every_key_is_read_and_off_switches_a_signal_off() {
        assert_eq!(settings(""), Ok(BackfillSettings::default()));
        let all = settings(
            "batch_time = \"50ms\"\nmax_rate = 50_000\npause = \"10ms\"\nreplica_behind = \"16MiB\"\n\
             archive_behind = \"off\"\nwal_rate = \"100MiB\"\nlock_waiters = 0\noldest_transaction = \"off\"\n\
             autovacuum = true\ncanary = { sql = \"SELECT 1\", p99 = \"20ms\" }\nvacuum = \"50%\"",
        )
        .unwrap();
        assert_eq!(all.throttle.target(), Duration::from_millis(50));
        assert_eq!(
            (all.throttle.max_rate, all.throttle.pause),
            (Some(50_000), Some(Duration::from_millis(10)))
        );
        assert_eq!(all.vacuum.dead_rows(1_000), Some(500));
        assert_eq!(settings("vacuum = \"off\"").unwrap().vacuum.dead_rows(1_000), None);
        let brakes = all.brakes;
        assert_eq!((brakes.replica_behind, brakes.archive_behind), (Some(16 << 20), None));
        assert_eq!(
            (brakes.wal_rate, brakes.lock_waiters, brakes.oldest_transaction),
            (Some(100 << 20), None, None)
        );
        assert!(brakes.autovacuum);
        assert_eq!(brakes.canary.unwrap().p99, Duration::from_millis(20));
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        for (line, expected) in [
            ("batch_time = \"50\"", "pipeline.toml:5:14: `50` is not a duration"),
            ("pause = \"0s\"", "leave the key out"),
            ("max_rate = 0", "would never end"),
            ("replica_behind = \"much\"", "pipeline.toml:5:18: `much` is not a number of bytes"),
            ("vacuum = \"0%\"", "pipeline.toml:5:10: `0%` is no share of the table's rows"),
            ("vacuum = \"20\"", "write \"1%\" to \"100%\", or \"off\""),
            ("replica_lag = \"1MiB\"", "unknown field `replica_lag`"),
            ("canary = { sql = \"SELECT 1; SELECT 2\", p99 = \"1ms\" }", "holds 2 statements"),
        ] {
            let error = settings(line).unwrap_err();
            assert!(error.contains(expected), "{line} gave {error}");
        }
    }
}
