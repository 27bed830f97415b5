//! How a stage's statements wait for locks, and beside whom they don't begin.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::config::ConfigError;

/// A stage's settings for locks. In a pipeline's file they stand among the stage's other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSettings {
    /// How long a transaction may wait for locks before it lets the queue behind it go and tries again.
    #[serde(with = "crate::duration")]
    pub lock_timeout: Duration,
    /// For how long it is tried again, and for how long [`Self::oldest_transaction`] and dumps are waited for.
    #[serde(with = "crate::duration", default = "lock_retry_for")]
    pub lock_retry_for: Duration,
    /// The `lock_timeout` of statements that run CONCURRENTLY: they wait for other transactions by design and stand in
    /// nobody's way meanwhile, and a build that is broken off has to begin from nothing.
    #[serde(with = "crate::duration", default = "concurrent_lock_timeout")]
    pub concurrent_lock_timeout: Duration,
    /// Beside a transaction that is older nothing begins.
    #[serde(with = "crate::duration", default = "oldest_transaction")]
    pub oldest_transaction: Duration,
    /// Whether the event log may hold what a blocking session runs. A query's text may hold values of rows.
    #[serde(default)]
    pub show_queries: bool,
}

const fn lock_retry_for() -> Duration {
    Duration::from_mins(10)
}

const fn concurrent_lock_timeout() -> Duration {
    Duration::from_mins(10)
}

const fn oldest_transaction() -> Duration {
    Duration::from_mins(5)
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_millis(100),
            lock_retry_for: lock_retry_for(),
            concurrent_lock_timeout: concurrent_lock_timeout(),
            oldest_transaction: oldest_transaction(),
            show_queries: false,
        }
    }
}

impl LockSettings {
    /// Why PostgreSQL could not have this `lock_timeout`.
    pub fn check_timeout(timeout: Duration) -> Result<(), &'static str> {
        match timeout {
            short if short < Duration::from_millis(1) => Err("is less than 1 ms; it would wait for ever"),
            long if long > Duration::from_hours(24 * 24) => {
                Err("is more than 24 days, the longest that PostgreSQL can count")
            }
            _ => Ok(()),
        }
    }

    /// Why nothing could ever begin with this [`Self::oldest_transaction`].
    pub fn check_oldest(oldest: Duration) -> Result<(), &'static str> {
        if oldest < Duration::from_secs(1) {
            return Err("is less than 1 s; a database at work is never without such transactions");
        }
        Ok(())
    }
}

/// The keys as they stand in a stage.
pub(super) struct RawLocks<'a> {
    pub(super) lock_timeout: &'a Option<Spanned<String>>,
    pub(super) lock_retry_for: &'a Option<Spanned<String>>,
    pub(super) concurrent_lock_timeout: &'a Option<Spanned<String>>,
    pub(super) oldest_transaction: &'a Option<Spanned<String>>,
    pub(super) show_queries: bool,
}

impl RawLocks<'_> {
    pub(super) fn read(&self, file: &str, text: &str) -> Result<LockSettings, ConfigError> {
        let default = LockSettings::default();
        let read = |key: &str,
                    value: &Option<Spanned<String>>,
                    default: Duration,
                    check: fn(Duration) -> Result<(), &'static str>| {
            let Some(value) = value else { return Ok(default) };
            let at = |message| ConfigError::at(file, text, Some(value.span()), message);
            let duration = crate::duration::parse(value.get_ref()).map_err(at)?;
            check(duration).map_err(|why| at(format!("`{key}` {why}")))?;
            Ok(duration)
        };
        let timeout = LockSettings::check_timeout;
        let concurrent = (&self.concurrent_lock_timeout, default.concurrent_lock_timeout);
        Ok(LockSettings {
            lock_timeout: read("lock_timeout", self.lock_timeout, default.lock_timeout, timeout)?,
            lock_retry_for: read("lock_retry_for", self.lock_retry_for, default.lock_retry_for, |_| Ok(()))?,
            concurrent_lock_timeout: read("concurrent_lock_timeout", concurrent.0, concurrent.1, timeout)?,
            oldest_transaction: read(
                "oldest_transaction",
                self.oldest_transaction,
                default.oldest_transaction,
                LockSettings::check_oldest,
            )?,
            show_queries: self.show_queries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_from_an_older_log_has_the_defaults() {
        let old: LockSettings = serde_json::from_str(r#"{"lock_timeout": "250ms"}"#).unwrap();
        let expected = LockSettings { lock_timeout: Duration::from_millis(250), ..LockSettings::default() };
        assert_eq!(old, expected);
    }
}
