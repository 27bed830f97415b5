//! Whether what a stage's migrations drop is saved before, and for how long that is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveSettings {
    /// What is dropped is saved in the same transaction.
    pub save: bool,
    /// What the copies of one statement may take: its tables are locked meanwhile.
    #[serde(with = "duration")]
    pub within: Duration,
    /// What is older is purged by the stage's next migration. None: never.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
}

impl Default for SaveSettings {
    fn default() -> Self {
        Self { save: true, within: Duration::from_secs(10), keep_for: None }
    }
}

impl SaveSettings {
    /// For logs and digests, in which it does not stand where nothing was set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether values may be purged after so long.
    pub fn check_keep_for(keep_for: Duration) -> Result<(), &'static str> {
        if keep_for < Duration::from_hours(1) {
            return Err("is less than an hour; leave it out to purge nothing, or write a longer time");
        }
        Ok(())
    }

    /// Whether copying may take so long.
    pub fn check_within(within: Duration) -> Result<(), &'static str> {
        if within < Duration::from_millis(10) {
            return Err("is less than 10 ms; write save = false where nothing is to be saved");
        }
        if within > Duration::from_hours(24) {
            return Err("is more than a day");
        }
        Ok(())
    }
}

/// The keys of a stage.
pub(super) struct RawSaving<'a> {
    pub(super) save: Option<bool>,
    pub(super) save_within: &'a Option<toml::Spanned<String>>,
    pub(super) saved_for: &'a Option<toml::Spanned<String>>,
}

impl RawSaving<'_> {
    pub(super) fn read(self, file: &str, text: &str) -> Result<SaveSettings, ConfigError> {
        let default = SaveSettings::default();
        let read = |key: &str,
                    value: &Option<toml::Spanned<String>>,
                    check: fn(Duration) -> Result<(), &'static str>| {
            let Some(value) = value else { return Ok(None) };
            let at = |message: String| ConfigError::at(file, text, Some(value.span()), message);
            let time = duration::parse(value.get_ref()).map_err(at)?;
            check(time).map_err(|why| at(format!("`{key}` {why}")))?;
            Ok(Some(time))
        };
        Ok(SaveSettings {
            save: self.save.unwrap_or(default.save),
            within: read("save_within", self.save_within, SaveSettings::check_within)?
                .unwrap_or(default.within),
            keep_for: read("saved_for", self.saved_for, SaveSettings::check_keep_for)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pipeline, StageSpec};
    use super::*;

    fn stage(lines: &str) -> Result<StageSpec, String> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{lines}\n");
        Pipeline::parse("pipeline.toml", &text).map(|p| p.stages[0].clone()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_dropped_is_saved_unless_a_stage_says_otherwise() {
        assert_eq!(stage("").unwrap().saving, SaveSettings::default());
        let set = stage("save = false\nsave_within = \"1m\"\nsaved_for = \"90d\"").unwrap().saving;
        assert_eq!((set.save, set.within), (false, Duration::from_mins(1)));
        assert_eq!(set.keep_for, Some(Duration::from_hours(90 * 24)));
        for (line, expected) in [
            ("saved_for = \"1m\"", "`saved_for` is less than an hour"),
            ("save_within = \"0s\"", "`save_within` is less than 10 ms"),
            ("saved_for = \"long\"", "is not a duration"),
            ("save = \"no\"", "expected a boolean"),
        ] {
            let error = stage(line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_log_from_before_the_keys_stays_what_it_was() {
        let json = serde_json::to_value(stage("").unwrap()).unwrap();
        assert!(json.get("saving").is_none(), "{json}");
        let set = stage("saved_for = \"30d\"").unwrap();
        let json = serde_json::to_value(&set).unwrap();
        assert_eq!(serde_json::from_value::<StageSpec>(json).unwrap(), set);
    }
}
