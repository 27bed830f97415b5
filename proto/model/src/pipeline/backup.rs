//! How a stage's databases are backed up before the first statement: how far the backup is proven, and what is in it.

use std::fmt;
use std::ops::Range;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::choice;
use crate::config::ConfigError;

/// A stage's `backup`: a level, or a table of these keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct BackupSettings {
    pub level: BackupLevel,
    pub scope: BackupScope,
    /// A named place in the WAL is made as well, for a recovery to this point in time.
    pub restore_point: bool,
}

/// How far a backup is proven before the first statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupLevel {
    /// `pg_dump` ended well, and the file's SHA-256 is in the manifest.
    Recorded,
    /// And the whole archive was read back and decoded.
    Decoded,
    /// And it was restored into a scratch database, where the schema and every row are as they were when it was made.
    Restored,
}

/// Whose rows are in a backup. The schema always is as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupScope {
    /// Those of all tables.
    #[default]
    Database,
    /// Those of the tables that the plan's statements touch, where that can be known.
    Touched,
}

impl BackupSettings {
    #[must_use]
    pub fn of(level: BackupLevel) -> Self {
        Self { level, scope: BackupScope::default(), restore_point: false }
    }
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self::of(BackupLevel::Recorded)
    }
}

/// The digest of a deployment is over this JSON, which was the level alone before there was more to say.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Level(BackupLevel),
    Settings {
        level: BackupLevel,
        #[serde(default)]
        scope: BackupScope,
        #[serde(default)]
        restore_point: bool,
    },
}

impl From<Stored> for BackupSettings {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Level(level) => Self::of(level),
            Stored::Settings { level, scope, restore_point } => Self { level, scope, restore_point },
        }
    }
}

impl From<BackupSettings> for Stored {
    fn from(settings: BackupSettings) -> Self {
        let BackupSettings { level, scope, restore_point } = settings;
        if settings == BackupSettings::of(level) {
            return Self::Level(level);
        }
        Self::Settings { level, scope, restore_point }
    }
}

/// The key as it stands in a stage: `"restored"`, or a table.
pub(super) enum RawBackup {
    Level(String),
    Table(RawTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    level: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
    #[serde(default)]
    restore_point: bool,
}

impl<'de> Deserialize<'de> for RawBackup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawBackup;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a level, or a table with level, scope and restore_point")
            }

            fn visit_str<E>(self, level: &str) -> Result<RawBackup, E> {
                Ok(RawBackup::Level(level.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawBackup, A::Error> {
                RawTable::deserialize(MapAccessDeserializer::new(map)).map(RawBackup::Table)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// The settings of a stage; what it does not say is the default.
pub(super) fn read(
    raw: Option<&Spanned<RawBackup>>,
    file: &str,
    text: &str,
) -> Result<BackupSettings, ConfigError> {
    let Some(raw) = raw else { return Ok(BackupSettings::default()) };
    let at = |span, message| ConfigError::at(file, text, Some(span), message);
    let table = match raw.get_ref() {
        RawBackup::Level(name) => {
            return level(name).map(BackupSettings::of).map_err(|message| at(raw.span(), message));
        }
        RawBackup::Table(table) => table,
    };
    let mut settings = BackupSettings { restore_point: table.restore_point, ..BackupSettings::default() };
    if let Some(name) = &table.level {
        settings.level = level(name.get_ref()).map_err(|message| at(name.span(), message))?;
    }
    if let Some(name) = &table.scope {
        settings.scope = scope(name.get_ref()).map_err(|message| at(name.span(), message))?;
    }
    Ok(settings)
}

/// Where a level is written, if one is.
pub(super) fn level_written(raw: Option<&Spanned<RawBackup>>) -> Option<Range<usize>> {
    let raw = raw?;
    match raw.get_ref() {
        RawBackup::Level(_) => Some(raw.span()),
        RawBackup::Table(table) => table.level.as_ref().map(Spanned::span),
    }
}

fn level(name: &str) -> Result<BackupLevel, String> {
    use BackupLevel::{Decoded, Recorded, Restored};
    choice::of("backup level", name, &[("recorded", Recorded), ("decoded", Decoded), ("restored", Restored)])
}

fn scope(name: &str) -> Result<BackupScope, String> {
    use BackupScope::{Database, Touched};
    choice::of("backup scope", name, &[("database", Database), ("touched", Touched)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::parse_stage;

    fn parse(lines: &str) -> Result<BackupSettings, String> {
        parse_stage(lines).map(|stage| stage.backup)
    }

    #[test]
    fn a_level_alone_and_a_table_are_read() {
        assert_eq!(parse("").unwrap(), BackupSettings::of(BackupLevel::Recorded));
        assert_eq!(parse("backup = \"restored\"").unwrap(), BackupSettings::of(BackupLevel::Restored));
        let all =
            BackupSettings { level: BackupLevel::Restored, scope: BackupScope::Touched, restore_point: true };
        let inline = "backup = { level = \"restored\", scope = \"touched\", restore_point = true }";
        let table = "[stage.backup]\nlevel = \"restored\"\nscope = \"touched\"\nrestore_point = true";
        assert_eq!([parse(inline).unwrap(), parse(table).unwrap()], [all, all]);
        let point = parse("backup = { restore_point = true }").unwrap();
        assert_eq!(point, BackupSettings { restore_point: true, ..BackupSettings::default() });
    }

    #[test]
    fn what_is_none_is_shown_in_its_place() {
        for (lines, expected) in [
            (
                "backup = \"tape\"",
                "pipeline.toml:4:10: unknown backup level `tape`; use \"recorded\", \"decoded\" or \"restored\"",
            ),
            ("[stage.backup]\nlevel = \"tape\"", "pipeline.toml:5:9: unknown backup level `tape`"),
            (
                "backup = { scope = \"some\" }",
                "pipeline.toml:4:20: unknown backup scope `some`; use \"database\"",
            ),
            ("backup = { levle = \"decoded\" }", "did you mean `level`?"),
            ("backup = true", "expected a level, or a table with level, scope and restore_point"),
            ("backup = { command = [\"x\"] }", "unknown field `command`"),
        ] {
            let error = parse(lines).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
    }

    #[test]
    fn an_older_log_is_read_and_its_digest_stays() {
        let plain = BackupSettings::of(BackupLevel::Decoded);
        assert_eq!(serde_json::to_string(&plain).unwrap(), "\"decoded\"");
        assert_eq!(serde_json::from_str::<BackupSettings>("\"decoded\"").unwrap(), plain);
        let more = BackupSettings { scope: BackupScope::Touched, ..plain };
        let json = serde_json::to_string(&more).unwrap();
        assert_eq!(serde_json::from_str::<BackupSettings>(&json).unwrap(), more);
        assert_eq!(
            serde_json::from_str::<BackupSettings>("{\"level\":\"restored\"}").unwrap(),
            BackupSettings::of(BackupLevel::Restored)
        );
    }
}
