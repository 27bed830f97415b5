//! What a stage does where a database's disk has no room for what its migrations are estimated to write.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::choice;
use crate::config::ConfigError;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskPolicy {
    /// Nothing is applied.
    #[default]
    Refuse,
    /// The plan says so.
    Warn,
    /// Nobody looks at it.
    Allow,
}

impl DiskPolicy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
    pub(super) fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

/// A stage's `disk`.
pub(super) fn read(
    written: Option<&Spanned<String>>,
    file: &str,
    text: &str,
) -> Result<DiskPolicy, ConfigError> {
    let words = [("refuse", DiskPolicy::Refuse), ("warn", DiskPolicy::Warn), ("allow", DiskPolicy::Allow)];
    Ok(choice::read("disk", written, &words, file, text)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::parse_stage;

    #[test]
    fn too_little_room_is_refused_unless_the_stage_says_otherwise() {
        for (line, expected) in [
            ("", DiskPolicy::Refuse),
            ("disk = \"warn\"", DiskPolicy::Warn),
            ("disk = \"allow\"", DiskPolicy::Allow),
        ] {
            assert_eq!(parse_stage(line).unwrap().disk, expected);
        }
        let error = parse_stage("disk = \"ignore\"").unwrap_err();
        assert!(
            error.contains("4:8: unknown disk `ignore`; use \"refuse\", \"warn\" or \"allow\""),
            "{error}"
        );
        // A log from before the key, and its digest, stay what they were.
        assert!(serde_json::to_value(parse_stage("").unwrap()).unwrap().get("disk").is_none());
    }
}
