//! What a stage does about a schema that is not as Stopover left it.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::choice;
use crate::config::ConfigError;
use crate::drift::ObjectGlob;

/// A stage's settings for drift. In a pipeline's file they stand among its own keys, or the stage's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftSettings {
    pub policy: DriftPolicy,
    /// Objects that are none of the pipeline's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<ObjectGlob>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// Nothing is applied.
    Refuse,
    /// The plan says so.
    #[default]
    Warn,
    /// The inspection shows it.
    Allow,
}

impl DriftSettings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The keys as they stand in the pipeline, or in a stage.
#[derive(Default)]
pub(super) struct RawDrift {
    pub(super) drift: Option<Spanned<String>>,
    pub(super) drift_ignore: Vec<Spanned<String>>,
}

impl RawDrift {
    /// A stage's policy goes before the pipeline's; what either ignores is ignored.
    pub(super) fn read(
        &self,
        over: &DriftSettings,
        file: &str,
        text: &str,
    ) -> Result<DriftSettings, ConfigError> {
        let words =
            [("refuse", DriftPolicy::Refuse), ("warn", DriftPolicy::Warn), ("allow", DriftPolicy::Allow)];
        let policy = choice::read("drift", self.drift.as_ref(), &words, file, text)?;
        let mut ignore = over.ignore.clone();
        for glob in &self.drift_ignore {
            let read = glob.get_ref().parse();
            let read = read.map_err(|why: String| {
                ConfigError::at(file, text, Some(glob.span()), format!("`drift_ignore`: {why}"))
            })?;
            if !ignore.contains(&read) {
                ignore.push(read);
            }
        }
        Ok(DriftSettings { policy: policy.unwrap_or(over.policy), ignore })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    fn parse(pipeline: &str, stage: &str) -> Result<Pipeline, String> {
        let text = format!("name = \"p\"\n{pipeline}\n[[stage]]\nenvironment = \"s\"\n{stage}\n");
        Pipeline::parse("pipeline.toml", &text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_stage_goes_over_its_pipeline() {
        let settings = |pipeline, stage| parse(pipeline, stage).unwrap().stages.remove(0).drift;
        assert_eq!(settings("", ""), DriftSettings::default());
        assert_eq!(settings("", "").policy, DriftPolicy::Warn);
        assert_eq!(settings("drift = \"refuse\"", "").policy, DriftPolicy::Refuse);
        assert_eq!(settings("drift = \"refuse\"", "drift = \"allow\"").policy, DriftPolicy::Allow);
        let both =
            settings("drift_ignore = [\"partman.*\"]", "drift_ignore = [\"partman.*\", \"public.e_p*\"]");
        assert_eq!(
            both.ignore.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["partman.*", "public.e_p*"]
        );
    }

    #[test]
    fn what_is_none_is_shown_in_its_place() {
        let error = parse("drift = \"refused\"", "").unwrap_err();
        assert!(
            error.contains("pipeline.toml:2:9: unknown drift `refused`; use \"refuse\", \"warn\""),
            "{error}"
        );
        let error = parse("", "drift_ignore = [\"a.*\", \"a.[\"]").unwrap_err();
        assert!(error.contains("pipeline.toml:5:24: `drift_ignore`: `a.[` is no pattern"), "{error}");
        assert!(parse("drft = \"warn\"", "").unwrap_err().contains("did you mean `drift`?"));
    }

    #[test]
    fn a_stage_from_an_older_log_warns_and_its_digest_is_the_same() {
        let pipeline = parse("", "").unwrap();
        let json = serde_json::to_value(&pipeline).unwrap();
        assert!(json["stages"][0].get("drift").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), pipeline);
    }
}
